"""Where steps stand to each other: before, after, beside, in another branch, inside.

Only the shape of the tree is judged, in time that the depth bounds. Who reads what is for the checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from makegood.model import Definition, Foreach, If, Parallel, Repeat, Sequential, Step, Switch, Try


class Order(Enum):
    """How one step stands to another."""

    BEFORE = "before"
    ITSELF = "itself"
    LATER = "later"
    BESIDE = "beside"
    OTHER_BRANCH = "other branch"
    OTHER_HANDLER = "other handler"
    AROUND = "around"
    INSIDE = "inside"


@dataclass(frozen=True, slots=True)
class Part:
    """One list of steps inside a step.

    Attributes:
        name: Which of its lists.
        rank: A part runs only after parts of a smaller rank, and instead of others of its own.
        steps: The list.
        beside: Whether these run side by side.
    """

    name: str
    rank: int
    steps: tuple[Step, ...]
    beside: bool = False


@dataclass(frozen=True, slots=True)
class _Link:
    """One level of the way down to a step."""

    owner: str
    part: str
    rank: int
    position: int
    beside: bool


def parts(step: Step) -> tuple[Part, ...]:
    """The lists of steps inside a step, in the order of the text."""
    match step:
        case Parallel():
            return (Part("branches", 0, step.branches, beside=True),)
        case Sequential() | Foreach() | Repeat():
            return (Part("steps", 0, step.steps),)
        case If():
            return Part("then", 0, step.then), Part("else", 0, step.otherwise)
        case Switch():
            cases = tuple(Part(f"case {nth}", 0, case.steps) for nth, case in enumerate(step.cases))
            return *cases, Part("default", 0, step.default)
        case Try():
            handlers = tuple(Part(f"catch {nth}", 1, each.steps) for nth, each in enumerate(step.handlers))
            return Part("try", 0, step.body), *handlers, Part("finally", 2, step.finally_)
        case _:
            return ()


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step, each before those inside it, in the order of the text."""
    waiting = list(reversed(steps))
    while waiting:
        step = waiting.pop()
        yield step
        for part in reversed(parts(step)):
            waiting.extend(reversed(part.steps))


class Ways:
    """The ways down to all steps of one definition.

    Attributes:
        names: The ids that users have given, each once.
    """

    def __init__(self, definition: Definition) -> None:
        self._ways: dict[str, tuple[_Link, ...]] = {}
        self.names: dict[str, None] = {}
        self._enter((), "", (Part("steps", 0, definition.steps),))

    def _enter(self, way: tuple[_Link, ...], owner: str, inner: tuple[Part, ...]) -> None:
        for part in inner:
            for position, step in enumerate(part.steps):
                here = (*way, _Link(owner, part.name, part.rank, position, part.beside))
                self._ways[step.id] = here
                if not step.anonymous:
                    self.names[step.id] = None
                self._enter(here, step.id, parts(step))

    def order(self, step: str, seen_from: str) -> Order:
        """How `step` stands to the step it is seen from."""
        if step == seen_from:
            return Order.ITSELF
        way, eye = self._ways[step], self._ways[seen_from]
        for theirs, ours in zip(way, eye, strict=False):
            if theirs != ours:
                return _parted(theirs, ours)
        return Order.AROUND if len(way) < len(eye) else Order.INSIDE


def _parted(theirs: _Link, ours: _Link) -> Order:
    """Two ways part inside one owner."""
    if theirs.part == ours.part:
        if theirs.beside:
            return Order.BESIDE
        return Order.BEFORE if theirs.position < ours.position else Order.LATER
    if theirs.rank == ours.rank:
        return Order.OTHER_HANDLER if theirs.rank else Order.OTHER_BRANCH
    return Order.BEFORE if theirs.rank < ours.rank else Order.LATER
