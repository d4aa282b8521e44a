"""Warnings: what is allowed, and leaves effects behind or never happens. Few, so that they are read."""

from __future__ import annotations

from difflib import get_close_matches

from makegood.expression import asks, compile_template, unasked
from makegood.language.check_expressions import texts
from makegood.language.order import parts, walk
from makegood.language.problems import Problems, pointed
from makegood.model import Call, ChildWorkflow, Definition, Fail, RetryPolicy, SignalStep, Step, Try, Wait

CLASSES = ("rejected", "not_sent", "unknown")


def check_risks(definition: Definition, problems: Problems) -> None:
    """Report what is probably not meant."""
    if definition.error_handling.undoes:
        _Uncompensated(problems).sequence(definition.steps, later=False)
    if definition.defaults.retry is not None:
        _retry(definition.defaults.retry, "`defaults`", "/defaults/retry", problems)
    for step in walk(definition.steps):
        if isinstance(step, Call):
            _call(step, problems)
        if isinstance(step, Try):
            _classes(step, problems)
        if isinstance(step, Call | ChildWorkflow):
            _undo(step, problems)
        if isinstance(step, Wait) and definition.timeout_ms is not None:
            _wait(step, definition.timeout_ms, problems)


def _classes(scope: Try, problems: Problems) -> None:
    """A code may be any word, so a class that is misspelt is one, and catches nothing."""
    for nth, handler in enumerate(scope.handlers):
        for place, code in enumerate(handler.errors):
            close = get_close_matches(code, CLASSES, n=1, cutoff=0.8)
            if close and code not in CLASSES:
                message = (
                    f"Step {scope.id!r} catches the code {code!r}, and not the class {close[0]!r}. "
                    f"Write {close[0]}, if that is meant."
                )
                problems.warning("nearly_a_class", message, f"{scope.pointer}/catch/{nth}/errors/{place}")


def _undo(step: Call | ChildWorkflow, problems: Problems) -> None:
    """An undo's input that reads what a call without an answer does not have."""
    undo = step.compensation
    if undo is None or not undo.has_input or (undo.when is not None and asks(undo.when, _OUTPUT, _TELLING)):
        return
    for text, way in texts(undo.input):
        for each in compile_template(text).expressions:
            read = unasked(each.source, _OUTPUT, _TELLING)
            if read is not None:
                message = (
                    f"Step {step.id!r}: its undo reads {read}, and a call whose answer was lost has no output: the "
                    f"undo would fail. Ask first: ${{step.outcome == 'succeeded' ? {read} : null}}."
                )
                problems.warning("output_not_asked", message, pointed(f"{undo.pointer}/input", *way))
                break


_OUTPUT = ("step", "output")
_TELLING = (("step", "outcome"), ("step", "error"))


def _wait(step: Wait, timeout_ms: int, problems: Problems) -> None:
    if step.duration_ms is not None and step.duration_ms >= timeout_ms:
        message = (
            f"Step {step.id!r} waits at least as long as the execution's timeout, "
            "which ends it. Raise `timeout`, or wait shorter."
        )
        problems.warning("wait_beyond_timeout", message, f"{step.pointer}/wait")


def _call(step: Call, problems: Problems) -> None:
    if step.compensation is not None and step.compensation.call == step.call:
        message = (
            f"Step {step.id!r} is undone by the very method it calls, {step.call}. Name the method that undoes it."
        )
        problems.warning("compensation_same_call", message, step.compensation.pointer)
    if step.retry is not None:
        _retry(step.retry, f"Step {step.id!r}", f"{step.pointer}/retry", problems)


def _retry(policy: RetryPolicy, what: str, pointer: str, problems: Problems) -> None:
    if policy.retry_on and policy.attempts_max == 1:
        message = f"{what}: `retry_on` means nothing with a single attempt. Raise max_attempts."
        problems.warning("retry_on_single_attempt", message, f"{pointer}/retry_on", key=True)


class _Uncompensated:
    """Rule 7: a call that is not undone although something later can fail."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._fails: dict[str, bool] = {}

    def sequence(self, steps: tuple[Step, ...], *, later: bool) -> None:
        """From the end: `later` says whether something after these steps can fail."""
        for step in reversed(steps):
            self._step(step, later=later)
            later = later or self._can_fail(step)

    def _step(self, step: Step, *, later: bool) -> None:
        if isinstance(step, Call):
            if later and step.compensation is None and not (step.read_only or step.pivot or step.retriable):
                message = (
                    f"Step {step.id!r} has no compensation: when a later step fails, its effect remains. "
                    "Give it one, or read_only: true if it changes nothing."
                )
                self._problems.warning("uncompensated_call", message, step.pointer)
            return
        for part in parts(step):
            if part.name == "finally":
                # Rule 24: what a finally does has no compensation.
                continue
            if part.beside:
                self._branches(part.steps, later=later)
            else:
                self.sequence(part.steps, later=later)

    def _branches(self, steps: tuple[Step, ...], *, later: bool) -> None:
        failing = sum(self._can_fail(step) for step in steps)
        for step in steps:
            others = failing - self._can_fail(step)
            self.sequence((step,), later=later or others > 0)

    def _can_fail(self, step: Step) -> bool:
        if step.id not in self._fails:
            match step:
                case Call() | ChildWorkflow() | Fail():
                    found = True
                case SignalStep():
                    found = step.timeout_ms is not None and step.on_timeout == "fail"
                case Try() if any(not handler.errors for handler in step.handlers):
                    found = any(self._can_fail(inner) for handler in step.handlers for inner in handler.steps)
                case _:
                    found = any(self._can_fail(inner) for part in parts(step) for inner in part.steps)
            self._fails[step.id] = found
        return self._fails[step.id]
