"""What happened, in words: one line for each event worth telling. No terminal, no colour, no I/O."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from makegood.core import events as ev
from makegood.core.program import Kind
from makegood.core.state import Instance, State, instance_name
from makegood.model import ChildWorkflow, SignalStep

SHOWN_MAX = 200
"""Characters of a message that one line shows."""


def clock_text(at_ms: int) -> str:
    """A moment on the wall's clock: `12:03:01.123`."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S.") + f"{at_ms % 1000:03}"


def span_text(span_ms: float) -> str:
    """A length of time: `12 ms`, `3.1 s`, `2 min 5 s`, `3 h 20 min`."""
    if span_ms < 1000:
        return f"{max(span_ms, 0):.0f} ms"
    seconds = span_ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def short(text: Any, width: int = SHOWN_MAX) -> str:
    """A text on one line, without what a terminal would obey."""
    line = "".join(each if each.isprintable() else " " for each in str(text))
    return line if len(line) <= width else f"{line[: width - 3]}..."


def failure_text(error: ev.Failure) -> str:
    """`code: message`."""
    return f"{error.code}: {short(error.message)}" if error.message else error.code


def who_and_why(by: str | None, note: str | None) -> str:
    """What a person said of an action: ` (ada: the hotel called)`, or nothing."""
    said = ": ".join(short(each) for each in (by, note) if each)
    return f" ({said})" if said else ""


def told(state: State, event: ev.Event, at_ms: int) -> str | None:
    """One line about an event that the state has just taken in, or None when it is not worth one."""
    if getattr(event, "step", None) is not None and not isinstance(event, ev.ExecutionSuspended):
        return _of_step(state, event, at_ms)
    return _of_execution(state, event)


def _of_execution(state: State, event: ev.Event) -> str | None:
    match event:
        case ev.ExecutionStarted():
            return f"execution {event.execution_id} of {event.workflow} (version {event.version}) started"
        case ev.AbortDecided():
            return f"stopping: {_cause(event)}"
        case ev.FailureSuppressed():
            return f"failed as well: {failure_text(event.error)}"
        case ev.CompensationStarted():
            return f"compensating{who_and_why(event.by, event.note)}"
        case ev.ExecutionCompleted() | ev.ExecutionFailed() | ev.ExecutionCompensated() | ev.CompensationFailed():
            return f"{state.status} ({span_text((state.ended_at_ms or 0) - state.started_at_ms)})"
        case ev.ExecutionSuspended():
            at = "" if event.step is None else f" at {instance_name(event.step, event.iteration)}"
            return f"suspended: {event.reason}{at}{who_and_why(event.by, event.note)}"
        case ev.ExecutionResumed():
            return f"resumed{who_and_why(event.by, event.note)}"
        case ev.OverdueRaised():
            return "overdue: the timeout passed after the point of no return"
        case ev.TimeoutHeld():
            return "the timeout passed while the pivot is under way, and is held back"
        case ev.SignalReceived():
            return f"signal {event.name!r} received"
        case _:
            return None


def _cause(event: ev.AbortDecided) -> str:
    if event.cause == "step" and event.error.step is not None:
        return f"{instance_name(event.error.step, event.error.iteration)} failed"
    by = event.error.details.get("by") if isinstance(event.error.details, dict) else None
    return (short(event.error.message) or failure_text(event.error)) + who_and_why(
        by if event.cause == "cancelled" else "", ""
    )


def _of_step(state: State, event: Any, at_ms: int) -> str | None:  # noqa: C901, PLR0912 - one flat table
    node = state.program.node(event.step)
    instance = state.instances.get((node.index, event.iteration))
    if instance is None or (node.step is not None and node.step.anonymous):
        return None
    name = instance_name(event.step, event.iteration)
    match event:
        case ev.AttemptStarted():
            target = node.undo if event.undo else node.call
            assert target is not None
            return f"{name} {'undo calls' if event.undo else 'calls'} {target.call} (attempt {event.attempt})"
        case ev.AttemptEnded():
            doing = f"{name} undo" if event.undo else name
            what = "lost in a crash" if event.lost else f"{event.error.outcome}: {failure_text(event.error)}"
            return f"{doing} attempt {event.attempt} {what}{_next_attempt(event.retry_at_ms - at_ms)}"
        case ev.AttemptOngoing():
            return (
                f"{name}{' undo' if event.undo else ''} accepted; asked again in {span_text(event.poll_at_ms - at_ms)}"
            )
        case ev.StepStarted():
            return f"{name} {_began(node.kind, node.step, event)}"
        case ev.ChildStarted():
            return f"{name} runs workflow {_workflow(node.step)} (version {event.version}) as {event.child}"
        case ev.StepSucceeded() if _went_on_without(node.kind, instance, at_ms):
            return f"{name} got no signal in time, and goes on ({_effort(instance, at_ms)})"
        case ev.StepSucceeded():
            return f"{name} succeeded ({_effort(instance, at_ms)})"
        case ev.StepFailed():
            return f"{name} {event.settled}: {failure_text(event.error)} ({_effort(instance, at_ms)})"
        case ev.StepSkipped():
            return f"{name} skipped"
        case ev.HandlerTaken():
            return f"{name} caught {failure_text(event.error)}"
        case ev.ScopeUndoing():
            return f"{name} undoes its scope"
        case ev.UndoDone():
            return f"{name} undone ({_undo_effort(instance, at_ms)})"
        case ev.UndoFailed():
            return f"{name} undo failed: {failure_text(event.error)} ({_undo_effort(instance, at_ms)})"
        case ev.UndoSkipped():
            return f"{name} undo skipped"
        case ev.EntryRearmed():
            return f"{name} undo will be tried again"
        case ev.EntryResolved():
            return f"{name} undo declared done{who_and_why(event.by, event.note)}"
        case _:
            return None


def _next_attempt(wait_ms: int) -> str:
    """Nothing where none is awaited: it follows at once, or when a person says so."""
    return f"; next attempt in {span_text(wait_ms)}" if wait_ms > 0 else ""


def _workflow(step: Any) -> str:
    assert isinstance(step, ChildWorkflow)
    return step.workflow


def _went_on_without(kind: Kind, instance: Instance, at_ms: int) -> bool:
    """A signal that did not come, with `on_timeout: continue`."""
    until_ms = instance.until_ms
    return kind is Kind.SIGNAL and instance.output is None and until_ms is not None and at_ms >= until_ms


def _began(kind: Kind, step: Any, event: ev.StepStarted) -> str:
    until = "" if event.until_ms is None else f" until {clock_text(event.until_ms)}"
    if kind is Kind.WAIT:
        return f"waits{until}"
    if kind is Kind.SIGNAL and isinstance(step, SignalStep):
        return f"waits for signal {step.signal!r}{until}"
    return "started"


def _effort(instance: Instance, at_ms: int) -> str:
    span = span_text(at_ms - (at_ms if instance.started_at_ms is None else instance.started_at_ms))
    return span if instance.call is None else f"attempt {instance.call.attempts}, {span}"


def _undo_effort(instance: Instance, at_ms: int) -> str:
    if instance.undo is None:
        return "0 attempts"
    span = span_text(at_ms - instance.undo.since_ms)
    # The undo of a child has no attempts of its own: what the child undoes has them.
    return f"attempt {instance.undo.attempts}, {span}" if instance.undo.attempts else span
