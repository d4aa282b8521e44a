"""Keys that mean nothing together, or the contrary of each other: errors where nothing else can be meant."""

from __future__ import annotations

from makegood.expression import compile_expression
from makegood.language.order import walk
from makegood.language.problems import Problems
from makegood.model import Call, Definition, Repeat, SignalStep, Try


def check_keys(definition: Definition, problems: Problems) -> None:
    """Report each `compensate_on_failure` that has nothing to do."""
    for step in walk(definition.steps):
        if isinstance(step, Call) and step.compensate_on_failure and step.compensation is None:
            message = (
                f"Step {step.id!r}: `compensate_on_failure` means nothing without a compensation. "
                "Give the step one, or remove the key."
            )
            problems.error("nothing_to_compensate", message, f"{step.pointer}/compensate_on_failure", key=True)


def check_idle_keys(definition: Definition, problems: Problems) -> None:
    """Warn of keys that are probably not meant so."""
    for step in walk(definition.steps):
        match step:
            case Call():
                _call(step, problems)
            case SignalStep() if step.timeout_ms is None and step.on_timeout == "continue":
                message = f"Step {step.id!r}: `on_timeout` means nothing without a timeout. Give it `timeout`."
                problems.warning("timeout_missing", message, f"{step.pointer}/on_timeout", key=True)
            case Repeat():
                _first_round(step, problems)
            case Try():
                _handlers(step, problems)
            case _:
                pass


def _call(step: Call, problems: Problems) -> None:
    if step.read_only and step.compensation is not None:
        message = (
            f"Step {step.id!r} is read_only, so there is nothing to undo, and it has a compensation. "
            "Remove one of them."
        )
        problems.warning("compensation_of_read_only", message, step.compensation.pointer, key=True)
    if step.read_only and step.pivot:
        message = (
            f"Step {step.id!r} is read_only, so it has no effect, and a pivot, behind which nothing is undone. "
            "Remove one of them."
        )
        problems.warning("read_only_pivot", message, f"{step.pointer}/pivot", key=True)


def _handlers(step: Try, problems: Problems) -> None:
    for nth, handler in enumerate(step.handlers[:-1]):
        if not handler.errors:
            message = (
                f"Step {step.id!r}: handler {nth + 1} catches everything, so those after it never run. "
                "Put it last, or give it `errors`."
            )
            problems.warning("handler_never_runs", message, f"{step.pointer}/catch/{nth + 1}")
            return


def _first_round(step: Repeat, problems: Problems) -> None:
    """Before the first round the steps inside have no output, and `while` is asked then."""
    if step.while_ is None:
        return
    inside = {each.id for each in walk(step.steps)}
    reads = [each for each in compile_expression(step.while_).references if each.root == "steps" and each.path]
    asked = {each.path[0] for each in reads if each.presence}
    for each in reads:
        if each.path[0] in inside and each.path[0] not in asked:
            message = (
                f"Step {step.id!r}: `while` reads steps.{each.path[0]}, which has no value before the first round, "
                f"and would fail. Ask first with has(steps.{each.path[0]}), or use `until`, which is asked after each."
            )
            problems.warning("before_first_round", message, f"{step.pointer}/while")
            return
