"""Rule 26: what may stand after or beside a step from which there is no way back. And rule 24's `finally`.

After a pivot nothing is undone, so all that follows must be able to succeed in the end.
"""

from __future__ import annotations

from makegood.language.order import Part, parts, walk
from makegood.language.problems import Problems
from makegood.model import Call, ChildWorkflow, Definition, Fail, Foreach, Repeat, SignalStep, Step, Try


def pivots(definition: Definition) -> tuple[str, ...]:
    """The ids of a definition's pivots: a workflow that has some cannot be a child, unless detached."""
    return tuple(step.id for step in walk(definition.steps) if isinstance(step, Call) and step.pivot)


def check_pivots(definition: Definition, problems: Problems) -> None:
    """Report every step that cannot stand after or beside a pivot, or is one where none may be."""
    checker = _Checker(problems)
    if checker.first(definition.steps) is not None:
        checker.sequence(definition.steps, None, "after")
        _check_places(definition, problems)


def check_finally(definition: Definition, problems: Problems) -> None:
    """Report every compensation of a step that a `finally` holds."""
    reported: set[str] = set()
    for scope in walk(definition.steps):
        if not isinstance(scope, Try):
            continue
        for step in walk(scope.finally_):
            undo = step.compensation if isinstance(step, Call | ChildWorkflow) else None
            if undo is not None and step.id not in reported:
                reported.add(step.id)
                message = (
                    f"Step {step.id!r} is in the `finally` of {scope.id!r}, and what a finally does is never undone. "
                    "Remove its compensation, or move the step out."
                )
                problems.error("compensation_in_finally", message, undo.pointer, key=True)


def _check_places(definition: Definition, problems: Problems) -> None:
    """No pivot inside a loop or scope, and no way back from a pivot itself."""
    for holder in walk(definition.steps):
        if isinstance(holder, Call) and holder.pivot and holder.compensation is not None:
            message = (
                f"Step {holder.id!r} is a pivot, and once it has succeeded nothing is undone. "
                "Remove its compensation, or `pivot`."
            )
            problems.error("compensation_of_pivot", message, holder.compensation.pointer, key=True)
    # Each pivot is named once, with the outermost loop or scope around it.
    waiting: list[tuple[Step, Step | None]] = [(step, None) for step in reversed(definition.steps)]
    while waiting:
        step, around = waiting.pop()
        if around is None and isinstance(step, Foreach | Repeat | Try):
            around = step
        if isinstance(step, Call) and step.pivot and around is not None:
            kind = type(around).__name__.lower()
            message = (
                f"Step {step.id!r} is a pivot inside the {kind} {around.id!r}. "
                "Move it out: a pivot happens once and cannot be caught."
            )
            problems.error("pivot_in_scope", message, f"{step.pointer}/pivot", key=True)
        waiting.extend((inner, around) for part in reversed(parts(step)) for inner in reversed(part.steps))


class _Checker:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._first: dict[str, Call | None] = {}

    def first(self, steps: tuple[Step, ...]) -> Call | None:
        """The first pivot in a list of steps, or inside them."""
        found = None
        for step in steps:
            inner = self._inside(step)
            found = found or inner
        return found

    def _inside(self, step: Step) -> Call | None:
        if step.id not in self._first:
            if isinstance(step, Call):
                found = step if step.pivot else None
            else:
                found = self.first(tuple(inner for part in parts(step) for inner in part.steps))
            self._first[step.id] = found
        return self._first[step.id]

    def sequence(self, steps: tuple[Step, ...], pivot: Call | None, where: str) -> None:
        """Steps in order, after (or beside) a pivot that may have run by then."""
        for step in steps:
            self._step(step, pivot, where)
            inner = self._inside(step)
            if pivot is None and inner is not None:
                pivot, where = inner, "after"

    def _step(self, step: Step, pivot: Call | None, where: str) -> None:
        if pivot is not None:
            self._fits(step, pivot, where)
        for part in parts(step):
            if part.beside:
                self._branches(part, pivot, where)
            else:
                self.sequence(part.steps, pivot, where)

    def _branches(self, part: Part, pivot: Call | None, where: str) -> None:
        """Each branch stands beside the pivots of the others."""
        pivots = [(nth, found) for nth, step in enumerate(part.steps) if (found := self._inside(step))]
        for nth, step in enumerate(part.steps):
            beside = next((found for other, found in pivots if other != nth), None)
            if pivot is not None:
                self.sequence((step,), pivot, where)
            else:
                self.sequence((step,), beside, "beside")

    def _fits(self, step: Step, pivot: Call, where: str) -> None:
        after = f"Step {step.id!r} can run {where} the pivot {pivot.id!r}"
        match step:
            case Call():
                self._call(step, after)
            case ChildWorkflow() if not step.detached or step.compensation is not None:
                message = (
                    f"{after}, where nothing may need undoing. Write detached: "
                    "true without a compensation, or move it before the pivot."
                )
                self._problems.error("child_after_pivot", message, step.pointer)
            case Fail():
                message = f"{after}, where nothing may fail. Move it before the pivot."
                self._problems.error("fail_after_pivot", message, step.pointer)
            case SignalStep() if step.timeout_ms is not None and step.on_timeout == "fail":
                message = f"{after}, and its timeout would be a failure. Write on_timeout: continue."
                self._problems.error("signal_after_pivot", message, f"{step.pointer}/timeout", key=True)
            case _:
                pass

    def _call(self, step: Call, after: str) -> None:
        if step.compensation is not None and not step.pivot:
            message = f"{after}, and nothing is undone then. Remove its compensation, or move it before the pivot."
            self._problems.error("compensation_after_pivot", message, step.compensation.pointer, key=True)
        if not step.retriable and not step.read_only:
            message = (
                f"{after}, so it must succeed in the end. Declare retriable: "
                "true (or read_only: true), or move it before the pivot."
            )
            self._problems.error("not_retriable_after_pivot", message, step.pointer)
