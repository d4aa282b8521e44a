"""How the steps of a definition follow one another: nodes and edges, without geometry.

Splits (`if`, `switch`, `parallel`) are nodes with edges into their branches, and a parallel has a join of
its own. Groups (`sequential`, `foreach`, `repeat`, `try`) are nodes that hold others: edges lead to the
group and away from it; inside, edges of the kinds `enter` and `error` lead from it to the first step of a
part, and `leave` (in loops `again`) from the last one back. So the number of edges grows with the number
of steps, whatever is nested in what.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from makegood.language.graph.words import kind_of, parts
from makegood.model import Definition, Fail, Foreach, If, Parallel, Repeat, Sequential, Step, Switch, Try

START = "#start"
END = "#end"
"""No user's id holds a `#`."""


@dataclass(frozen=True, slots=True)
class Node:
    """A step in its place, or a start, end or join.

    Attributes:
        kind: The step's kind, or `start`, `end`, `join`.
        parent: The step that holds it.
        part: In which list of the parent it stands, counted in the order of `parts`.
    """

    id: str
    kind: str
    step: Step | None = None
    parent: str | None = None
    part: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node to the next. Kinds: `flow`, `branch`, `join`, `enter`, `error`, `again`, `leave`."""

    source: str
    target: str
    kind: str = "flow"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Loose:
    """An edge whose end is not known yet."""

    source: str
    kind: str = "flow"
    label: str = ""


@dataclass(slots=True)
class Outline:
    """The nodes in definition order, and the edges."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def is_group(step: Step) -> bool:
    """Whether the step holds others as a frame around them."""
    return isinstance(step, Sequential | Foreach | Repeat | Try)


def outline(definition: Definition) -> Outline:
    """The nodes and edges of a definition."""
    made = Outline([Node(START, "start")])
    loose = _flow(made, definition.steps, [Loose(START)], None, 0)
    made.nodes.append(Node(END, "end"))
    _tie(made, loose, END)
    return made


def _tie(made: Outline, loose: list[Loose], target: str) -> None:
    made.edges += [Edge(each.source, target, each.kind, each.label) for each in loose]


def _flow(made: Outline, steps: tuple[Step, ...], loose: list[Loose], parent: str | None, part: int) -> list[Loose]:
    """The steps one after another; what is loose at the end."""
    for step in steps:
        made.nodes.append(Node(step.id, kind_of(step), step, parent, part))
        _tie(made, loose, step.id)
        match step:
            case If() | Switch():
                loose = _decision(made, step)
            case Parallel():
                loose = _fork(made, step, parent, part)
            case _ if is_group(step):
                loose = _group(made, step)
            case Fail() if step.when is None:
                loose = []
            case _:
                loose = [Loose(step.id)]
    return loose


def _decision(made: Outline, step: Step) -> list[Loose]:
    loose: list[Loose] = []
    for number, each in enumerate(parts(step)):
        loose += _flow(made, each.steps, [Loose(step.id, "branch", each.label)], step.id, number)
    if step.when is not None:
        loose.append(Loose(step.id, "branch", "skipped"))
    return loose


def _fork(made: Outline, step: Parallel, parent: str | None, part: int) -> list[Loose]:
    join = f"{step.id}#join"
    for number, each in enumerate(parts(step)):
        loose = _flow(made, each.steps, [Loose(step.id, "branch")], step.id, number)
        made.edges += [Edge(end.source, join, "join", end.label) for end in loose]
    made.nodes.append(Node(join, "join", None, parent, part))
    return [Loose(join)]


def _group(made: Outline, step: Step) -> list[Loose]:
    """The parts, each entered from the group; what is loose at their ends leads back to it."""
    held = parts(step)
    loops = isinstance(step, Foreach | Repeat)
    loose: list[Loose] = []
    for number, each in enumerate(held):
        kind = "error" if each.kind == "catch" else "enter"
        if each.kind == "finally":
            loose = _flow(made, each.steps, loose, step.id, number)
        else:
            loose += _flow(made, each.steps, [Loose(step.id, kind, each.label)], step.id, number)
    back = "again" if loops else "leave"
    made.edges += [Edge(end.source, step.id, back, end.label) for end in loose]
    return [Loose(step.id)] if loops or loose or step.when is not None else []
