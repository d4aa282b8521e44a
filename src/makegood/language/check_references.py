"""Do the names an expression reads exist, and can they have a value by then?

One reference at a time; which expressions there are is known to `check_expressions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from makegood.errors import nearest
from makegood.expression import Reference
from makegood.language.order import Order, Ways
from makegood.language.problems import shown

MEMBERS = {
    "execution": ("id", "workflow", "version", "started_at", "business_key"),
    "step": ("input", "output", "outcome", "error"),
}
ERROR_MEMBERS = ("code", "message", "details", "step")

_COMPARED_MAX = 200

_WHY = {
    Order.ITSELF: ("not_yet_run", "which is the step itself and has no output yet."),
    Order.LATER: ("not_yet_run", "which runs later and cannot have run yet. Move it up, or read an earlier step."),
    Order.AROUND: ("not_yet_run", "which holds this step and has no output before its end."),
    Order.INSIDE: ("not_yet_run", "which is inside this step and cannot have run yet."),
    Order.BESIDE: (
        "runs_beside",
        "which runs beside it and cannot have run yet. Put them in a sequence, or read it after the parallel.",
    ),
    Order.OTHER_BRANCH: (
        "other_branch",
        "which belongs to another branch and never runs when this one does.",
    ),
    Order.OTHER_HANDLER: (
        "other_branch",
        "which belongs to another handler and never runs when this one does.",
    ),
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads.

    Attributes:
        step: Id of the step whose expression it is; None for the workflow's output, which sees all.
        what: How a message begins: `Step 'spa'`.
        errors: Names of caught errors.
        sees_inside: Whether the steps inside it have run by then.
        undo: Whether it is a step's compensation, which sees the step's own output as `step.output`.
    """

    step: str | None
    what: str
    errors: tuple[str, ...] = ()
    sees_inside: bool = False
    undo: bool = False


class References:
    """Checks references against the steps of one definition."""

    def __init__(self, ways: Ways, *, incomplete: bool) -> None:
        self._ways = ways
        self._incomplete = incomplete

    def complaint(self, reference: Reference, reader: Reader) -> tuple[str, str] | None:
        """Code and message when the reader cannot read that."""
        found = None
        if reference.root == "steps":
            found = self._step(reference, reader)
        elif reference.root in reader.errors:
            found = _member(reference, ERROR_MEMBERS)
        elif reference.root in MEMBERS:
            found = _member(reference, MEMBERS[reference.root])
        if found is None:
            return None
        code, complaint = found
        return code, f"{reader.what} reads {_path(reference)}, {complaint}"

    def _step(self, reference: Reference, reader: Reader) -> tuple[str, str] | None:
        if not reference.path or not isinstance(reference.path[0], str):
            return "dynamic_step", "and which step that is cannot be checked. Write the step's name out: steps.name."
        name = reference.path[0]
        if name not in self._ways.names:
            if self._incomplete:
                # It may be inside a step that could not be read: one mistake is reported once.
                return None
            return "unknown_step", f"and there is no such step.{_near(name, self._ways.names)}"
        if reader.step is None:
            return None
        order = self._ways.order(name, reader.step)
        if order is Order.BEFORE or (order is Order.INSIDE and reader.sees_inside):
            return None
        if order is Order.ITSELF and reader.undo:
            return "not_yet_run", "which is the step itself: a compensation reads its output as step.output."
        return _WHY[order]


def _near(name: str, names: Iterable[str]) -> str:
    """The nearest id. Comparing is slow, so only ids of about that length are asked when there are many."""
    known = list(names)
    if len(known) > _COMPARED_MAX:
        alike = [each for each in known if abs(len(each) - len(name)) <= 2]
        known = sorted(alike, key=lambda each: each[:1] != name[:1])[:_COMPARED_MAX]
        hint = nearest(name[:100], known)
        return hint if hint.startswith(" Did") else ""
    return nearest(name[:100], known)


def _member(reference: Reference, members: tuple[str, ...]) -> tuple[str, str] | None:
    if not reference.path or reference.path[0] in members:
        return None
    member = reference.path[0]
    hint = nearest(str(member)[:100], members)
    return "unknown_member", f"and {reference.root} has no {shown(member)}.{hint}"


def _path(reference: Reference) -> str:
    """The part of a path that a message names."""
    if not reference.path:
        return reference.root
    first = reference.path[0]
    if isinstance(first, str) and first.isidentifier() and len(first) < 64:
        return f"{reference.root}.{first}"
    return f"{reference.root}[{shown(first)}]"
