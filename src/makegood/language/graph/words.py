"""How a step is put into words: title, details, marks, tooltip. No geometry and no markup."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from makegood.model import (
    Call,
    ChildWorkflow,
    Compensation,
    Definition,
    Fail,
    Foreach,
    If,
    Parallel,
    Repeat,
    RetryPolicy,
    Sequential,
    SetStep,
    SignalStep,
    Step,
    Switch,
    Try,
    Wait,
)

KIND_NAMES: dict[type[Step], str] = {
    Call: "call",
    Sequential: "sequential",
    Parallel: "parallel",
    If: "if",
    Switch: "switch",
    Foreach: "foreach",
    Repeat: "repeat",
    Wait: "wait",
    SignalStep: "signal",
    ChildWorkflow: "workflow",
    Try: "try",
    SetStep: "set",
    Fail: "fail",
}

TEXT_CHARS_MAX = 400
"""Longer texts are cut, in tooltips too: a picture is no place for a schema."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A small label on a step, and the sentence it stands for."""

    kind: str
    text: str
    says: str


@dataclass(frozen=True, slots=True)
class Part:
    """One list of steps inside a step.

    Attributes:
        kind: `steps`, `branch`, `then`, `else`, `case`, `default`, `try`, `catch` or `finally`.
        label: The same for readers; a case's condition, a handler's errors.
    """

    kind: str
    label: str
    steps: tuple[Step, ...]


def kind_of(step: Step) -> str:
    """The kind key of a step."""
    return KIND_NAMES[type(step)]


def duration(ms: int) -> str:
    """A duration as people write it: `250ms`, `1.5s`, `1h 30m`."""
    if ms < 1_000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms / 1_000:.10g}s"
    units = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))
    words, left = [], ms
    for unit, size in units:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words[:2])


def one_line(value: Any) -> str:
    """Any value as one line of bounded text."""
    text = value if isinstance(value, str) else _json(value)
    text = " ".join(text[: 4 * TEXT_CHARS_MAX].split())
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"


def _json(value: Any) -> str:
    """Compact JSON, made piece by piece so that a large value costs no more than what is shown."""
    text = ""
    for piece in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
        text += piece
        if len(text) > 4 * TEXT_CHARS_MAX:
            break
    return text


def title(step: Step) -> str:
    """What the step is called: its id, or its kind when it has none of its own."""
    return kind_of(step) if step.anonymous else step.id


def detail(step: Step) -> str:
    """The one thing to know beside the id."""
    match step:
        case Call():
            return step.call
        case ChildWorkflow():
            return step.workflow if step.version is None else f"{step.workflow} v{step.version}"
        case If():
            return one_line(step.condition)
        case Foreach():
            return f"{step.name} in {one_line(step.items)}"
        case Repeat():
            return _rounds(step)
        case Wait():
            return duration(step.duration_ms) if step.duration_ms is not None else f"until {one_line(step.until)}"
        case SignalStep():
            return step.signal
        case SetStep():
            return one_line(step.value)
        case Fail():
            return step.error
        case _:
            return ""


def _rounds(step: Repeat) -> str:
    words = []
    if step.while_ is not None:
        words.append(f"while {one_line(step.while_)}")
    if step.until is not None:
        words.append(f"until {one_line(step.until)}")
    return ", ".join(words)


def undo(step: Step) -> Compensation | None:
    """What undoes the step, if anything."""
    return step.compensation if isinstance(step, Call | ChildWorkflow) else None


def parts(step: Step) -> tuple[Part, ...]:
    """The lists of steps inside, in the order in which they are written."""
    match step:
        case Sequential() | Foreach() | Repeat():
            return (Part("steps", "", step.steps),)
        case Parallel():
            return tuple(Part("branch", "", (branch,)) for branch in step.branches)
        case If():
            return Part("then", "then", step.then), Part("else", "else", step.otherwise)
        case Switch():
            cases = (Part("case", one_line(case.when), case.steps) for case in step.cases)
            return (*cases, Part("default", "default", step.default))
        case Try():
            caught = (Part("catch", _caught(each.errors, each.name), each.steps) for each in step.handlers)
            last = (Part("finally", "finally", step.finally_),) if step.finally_ else ()
            return (Part("try", "", step.body), *caught, *last)
        case _:
            return ()


def _caught(errors: tuple[str, ...], name: str) -> str:
    what = ", ".join(errors) if errors else "any error"
    return f"catch {what}" if name == "error" else f"catch {what} as {name}"


def marks(step: Step) -> tuple[Mark, ...]:
    """The labels of a step: what bounds it, what repeats it, what makes it special."""
    match step:
        case Call():
            return _call_marks(step)
        case ChildWorkflow():
            says = "The child is started and left to itself."
            return (Mark("detached", "detached", says),) if step.detached else ()
        case Parallel():
            return _parallel_marks(step)
        case Foreach():
            return _at_once(step.max_concurrency)
        case Repeat():
            return (Mark("limit", f"at most {step.max_iterations}×", "Reaching this many rounds is a failure."),)
        case SignalStep():
            return _signal_marks(step)
        case Try() if not step.compensate:
            return (Mark("keeps", "no undo here", "A failure inside leaves the undo to the outer level."),)
        case _:
            return ()


def _at_once(most: int | None) -> tuple[Mark, ...]:
    if most is None:
        return ()
    text = "one at a time" if most == 1 else f"{most} at once"
    return (Mark("limit", text, f"At most {most} under way at the same time."),)


def _parallel_marks(step: Parallel) -> tuple[Mark, ...]:
    waits = Mark("wait_all", "waits for all", "After a failure the other branches still finish.")
    return (*_at_once(step.max_concurrency), *((waits,) if step.on_failure == "wait_all" else ()))


def _signal_marks(step: SignalStep) -> tuple[Mark, ...]:
    if step.timeout_ms is None:
        return ()
    then = "goes on" if step.on_timeout == "continue" else "fails"
    text = f"{duration(step.timeout_ms)}, then {then}"
    return (Mark("timeout", text, f"Waits at most {duration(step.timeout_ms)}, then {then}."),)


def _call_marks(step: Call) -> tuple[Mark, ...]:
    found = []
    if step.pivot:
        found.append(Mark("pivot", "pivot", "The point of no return: once it has succeeded, nothing is undone."))
    if step.retriable:
        found.append(Mark("retriable", "retriable", "Repeated until it succeeds."))
    if step.read_only:
        found.append(Mark("read_only", "read-only", "Changes nothing, so nothing needs undoing."))
    if step.retry is not None:
        found.append(retry_mark(step.retry))
    if step.timeout_ms is not None:
        most = duration(step.timeout_ms)
        found.append(Mark("timeout", most, f"Each attempt takes at most {most}."))
    if step.compensate_on_failure:
        found.append(Mark("always_undo", "undo on failure", "Undone even when it definitely failed."))
    return tuple(found)


def retry_mark(policy: RetryPolicy) -> Mark:
    """`3 tries`, and the waits between them."""
    waits = policy.backoff
    says = (
        f"At most {policy.attempts_max} attempts; waits from {duration(waits.initial_ms)}, "
        f"times {waits.factor:.10g}, up to {duration(waits.max_ms)}."
    )
    return Mark("retry", f"{policy.attempts_max} tries", says)


def tooltip(step: Step) -> str:
    """Everything in words, one fact per line."""
    lines = [f"{kind_of(step)} {step.id}"]
    if what := detail(step):
        lines.append(what)
    if step.when is not None:
        lines.append(f"only when {one_line(step.when)}")
    lines += [mark.says for mark in marks(step)]
    if isinstance(step, Call | ChildWorkflow):
        lines.append("input: the workflow's" if step.input is None else f"input: {one_line(step.input.tree)}")
    if isinstance(step, Fail) and step.message:
        lines.append(one_line(step.message))
    return "\n".join(lines)


def undo_tooltip(compensation: Compensation) -> str:
    """What the undo does, one fact per line."""
    lines = [f"undo: {compensation.call}"]
    if compensation.when is not None:
        lines.append(f"only when {one_line(compensation.when)}")
    if compensation.has_input:
        lines.append(f"input: {one_line(compensation.input)}")
    if compensation.retry is not None:
        lines.append(retry_mark(compensation.retry).says)
    return "\n".join(lines)


def handling(definition: Definition) -> str:
    """What a failure does, and how long all may take."""
    strategy = definition.error_handling.strategy.replace("_", " ")
    if strategy == "retry":
        strategy += f", then {definition.error_handling.then.replace('_', ' ')}"
    words = [f"on failure: {strategy}"]
    if definition.timeout_ms is not None:
        words.append(f"timeout {duration(definition.timeout_ms)}")
    if definition.business_key is not None:
        words.append(f"one per {one_line(definition.business_key)}")
    return " · ".join(words)
