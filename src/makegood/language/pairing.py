"""Which step of one definition is which step of another, and where each of them stands.

A step is known by its id. A wrapper without one is known by what it holds: the ids inside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass

from makegood.language.order import parts
from makegood.language.telling import kind_of
from makegood.model import Definition, Step, Switch, Try

_HOLDERS_MAX = 8
"""So many wrappers around a step are compared; hostile nesting must not cost the square of its depth."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands.

    Attributes:
        owner: Id of the step that holds it; None at the top.
        part: Which of its owner's lists.
        position: In that list, from 0.
        previous: Id of the step before it in that list; None for the first.
    """

    owner: str | None
    part: str
    position: int
    previous: str | None


class Layout:
    """All steps of a definition in the order of the text, and their places."""

    def __init__(self, definition: Definition) -> None:
        self.steps: dict[str, Step] = {}
        self.places: dict[str, Place] = {}
        self._enter(None, "steps", definition.steps)

    def _enter(self, owner: str | None, part: str, steps: tuple[Step, ...]) -> None:
        previous = None
        for position, step in enumerate(steps):
            self.steps[step.id] = step
            self.places[step.id] = Place(owner, part, position, previous)
            previous = step.id
            for inner in parts(step):
                self._enter(step.id, inner.name, inner.steps)

    def holders(self, name: str) -> list[str]:
        """The nearest wrappers without an id around a step, innermost first."""
        found: list[str] = []
        owner = self.places[name].owner
        while owner is not None and len(found) < _HOLDERS_MAX:
            if self.steps[owner].anonymous:
                found.append(owner)
            owner = self.places[owner].owner
        return found


def pair(old: Layout, new: Layout) -> dict[str, str]:
    """Ids of the old definition's steps, each with the id of the same step in the new one."""
    pairs = {name: name for name, step in old.steps.items() if name in new.steps and not step.anonymous}
    shared: Counter[tuple[str, str]] = Counter()
    for name in pairs:
        for one in old.holders(name):
            for other in new.holders(name):
                if kind_of(old.steps[one]) == kind_of(new.steps[other]):
                    shared[one, other] += 1
    for name, step in old.steps.items():
        # One that holds nothing with an id is known by its path alone.
        if step.anonymous and name in new.steps and kind_of(step) == kind_of(new.steps[name]):
            shared[name, name] += 0
    taken: set[str] = set()
    for (one, other), _ in sorted(shared.items(), key=lambda each: (-each[1], each[0][0] != each[0][1])):
        if one not in pairs and other not in taken:
            pairs[one] = other
            taken.add(other)
    return pairs


def moved(old: Layout, new: Layout, pairs: dict[str, str]) -> set[str]:
    """Ids (in the new definition) of the steps that stand in another list, or in another order, than before."""
    found: set[str] = set()
    lists: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    for name, place in old.places.items():
        if name not in pairs:
            continue
        other = pairs[name]
        now = new.places[other]
        # An owner that went is no step of the new definition, and not the top either.
        owner = None if place.owner is None else pairs.get(place.owner, "")
        if owner != now.owner or _part(place, old, new, owner) != now.part:
            found.add(other)
        else:
            lists[now.owner, now.part].append(other)
    for names in lists.values():
        # In the old order; those that keep their order among each other are as many as can be.
        kept = _ascending([new.places[name].position for name in names])
        found.update(name for number, name in enumerate(names) if number not in kept)
    return found


def _part(place: Place, old: Layout, new: Layout, owner: str | None) -> str:
    """The list of the new owner that is the list of the old one."""
    if place.owner is None or owner is None:
        return place.part
    labels, others = _labels(old.steps[place.owner]), _labels(new.steps[owner])
    if len(labels) == len(others) or place.part not in labels:
        return place.part
    wanted = labels[place.part]
    return next((part for part, label in others.items() if label == wanted), "")


def _labels(step: Step) -> dict[str, object]:
    """The numbered lists of a step, each with what tells it from the others."""
    if isinstance(step, Switch):
        return {f"case {nth}": case.when for nth, case in enumerate(step.cases)}
    if isinstance(step, Try):
        return {f"catch {nth}": each.errors for nth, each in enumerate(step.handlers)}
    return {}


def _ascending(numbers: list[int]) -> set[int]:
    """The indexes of a longest ascending run through numbers that are all different."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, number in enumerate(numbers):
        at = bisect_left(ends, number)
        before.append(last[at - 1] if at else -1)
        ends[at : at + 1] = [number]
        last[at : at + 1] = [index]
    kept: set[int] = set()
    index = last[-1] if last else -1
    while index >= 0:
        kept.add(index)
        index = before[index]
    return kept
