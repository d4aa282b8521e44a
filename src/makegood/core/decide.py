"""Judgement: what an input means for an execution, as events. No clock, no chance, no I/O.

`decide` applies each event as it decides it (see `judgement`), so the state it was given is the
state after. What it decides may change from release to release; replay runs `evolve` alone.
"""

from __future__ import annotations

from typing import Any, assert_never

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.attempts import given_up, granted, replied, take_over, timeout_failure, unreachable, unwell
from makegood.core.callbacks import called_back
from makegood.core.children import Family, child_begun, child_ended, child_refused, child_resolved, halt
from makegood.core.events import Failure, Record
from makegood.core.evolve import close_record
from makegood.core.failing import abort, fail, halted_around, region_moved
from makegood.core.flow import move_on
from makegood.core.judgement import Judgement, Moment, Settings
from makegood.core.operating import cancel, compensate, pivot_open, resolve, resume, retry, suspend
from makegood.core.program import Kind, Program
from makegood.core.rerunning import Rerun, place_of_rerun, take_over_from
from makegood.core.signals import signal
from makegood.core.state import MOVING, ROOT, SETTLED, Key, State
from makegood.core.undoing import proceed
from makegood.model import SignalStep


def begin(
    program: Program,
    execution_id: str,
    value: Any,
    moment: Moment,
    settings: Settings,
    *,
    business_key: str | None = None,
    family: Family | None = None,
) -> tuple[State, Record]:
    """Start an execution: its state and its first record.

    Args:
        value: The execution's input, plain JSON, already checked against the schema.
        business_key: Already evaluated.
        family: Of a child: who called it.
    """
    j = _started(program, execution_id, value, moment, settings, business_key, family)
    record = _close(j)
    assert record is not None
    return j.state, record


def rerun(
    old: State, program: Program, execution_id: str, request: Rerun, moment: Moment, settings: Settings
) -> tuple[State, Record, Record]:
    """Have a failed execution go on from a step, as a new one.

    Args:
        old: The execution that failed; it is superseded by this.
        program: What the new one runs: a version of the same workflow.
        execution_id: Of the new one.

    Returns:
        The new execution's state and its first record, and the record of the old one. Both records are appended,
        or neither is.

    Raises:
        NotFound: There is no such step.
        Refused: The old one cannot be rerun from there; nothing was changed.
    """
    node = place_of_rerun(old, program, request)
    j = _started(program, execution_id, old.input, moment, settings, old.business_key, None)
    take_over_from(j, old, node, request)
    first = _close(j)
    closing = Judgement(old, moment, settings)
    closing.emit(ev.ExecutionSuperseded(execution_id, request.step, request.by, request.note))
    last = _close(closing)
    assert first is not None
    assert last is not None
    return j.state, first, last


def _started(
    program: Program,
    execution_id: str,
    value: Any,
    moment: Moment,
    settings: Settings,
    business_key: str | None,
    family: Family | None,
) -> Judgement:
    state = State(program)
    timeout_ms = program.definition.timeout_ms
    if timeout_ms is None:
        timeout_ms = settings.execution_timeout_ms
    started = ev.ExecutionStarted(
        execution_id,
        program.definition.name,
        program.version,
        value,
        None if timeout_ms is None else moment.now_ms + timeout_ms,
        business_key,
        parent=None if family is None else family.parent,
        root=None if family is None else family.root,
        depth=0 if family is None else family.depth,
    )
    j = Judgement(state, moment, settings)
    j.emit(started)
    return j


def decide(
    state: State, news: inputs.Input, moment: Moment, settings: Settings, *, follows: bool = True
) -> Record | None:
    """Judge one input.

    Args:
        follows: Whether the agenda is followed too; otherwise what is on it waits for a `Continue`.

    Returns:
        The record to append, or None when the input changes nothing.

    Raises:
        Refused: The state does not allow the request; nothing was changed.
    """
    j = Judgement(state, moment, settings)
    _judge(j, news)
    return _close(j, follows=follows)


def _judge(j: Judgement, news: inputs.Input) -> None:
    match news:
        case inputs.Replied():
            replied(j, news)
        case inputs.Granted():
            granted(j, news)
        case inputs.Continue():
            pass
        case inputs.TimeReached():
            _time_reached(j)
        case inputs.CalledBack():
            called_back(j, news)
        case inputs.Unreachable():
            unreachable(j, news)
        case inputs.Unwell():
            unwell(j, news)
        case inputs.ChildResolved():
            child_resolved(j, news)
        case inputs.ChildBegun():
            child_begun(j, news)
        case inputs.ChildRefused():
            child_refused(j, news)
        case inputs.ChildEnded():
            child_ended(j, news)
        case inputs.Halt():
            halt(j, news)
        case inputs.TakeOver():
            take_over(j)
        case inputs.Signal():
            signal(j, news)
        case inputs.Cancel():
            cancel(j, news)
        case inputs.Suspend():
            suspend(j, news)
        case inputs.Resume():
            resume(j, news)
        case inputs.Retry():
            retry(j, news)
        case inputs.Resolve():
            resolve(j, news)
        case inputs.Compensate():
            compensate(j, news)
        case _:
            assert_never(news)


def _close(j: Judgement, *, follows: bool = True) -> Record | None:
    """Follow the agenda as far as one record may go, and close the record, if there is anything in it.

    What a suspension leaves on the agenda waits for the resume.
    """
    state = j.state
    while follows and state.agenda and state.status in MOVING and not j.full:
        _visit(j, state.agenda.popitem(last=False)[0])
    more = bool(state.agenda) and not state.ended
    if not j.events:
        state.more = more
        return None
    close_record(state, more)
    return Record(j.now_ms, tuple(j.events), more)


def _visit(j: Judgement, key: Key) -> None:
    state = j.state
    if state.status == "compensating":
        proceed(j, ROOT)
        return
    halted = halted_around(j, key)
    if halted is None:
        move_on(j, key)
    elif halted in state.queues:
        proceed(j, halted)
    elif halted == key and key in state.instances and state.instances[key].forward in SETTLED:
        move_on(j, key)
    else:
        region_moved(j, halted)


# --- time --------------------------------------------------------------------------------------


def _time_reached(j: Judgement) -> None:
    """Everything whose moment has come. What wants to be sent again is `outstanding`, not judged."""
    state = j.state
    if state.status not in MOVING:
        return
    for wish in state.timers.due(j.now_ms):
        if wish not in state.timers:
            continue
        match wish:
            case ("wait", key):
                _wait_over(j, key)
            case ("until", key, undo):
                given_up(j, key, undo=undo)
            case ("timeout",):
                _timeout(j)
            case _:
                pass


def _wait_over(j: Judgement, key: Key) -> None:
    node = j.state.node(key)
    step = node.step
    if node.kind is Kind.SIGNAL and isinstance(step, SignalStep) and step.on_timeout == "fail":
        message = f"no signal {step.signal!r} came in time"
        fail(j, key, Failure("signal_timeout", message, None, "failed", node.name, key[1]))
    else:
        j.emit(ev.StepSucceeded(node.name, key[1]))


def _timeout(j: Judgement) -> None:
    """Rule 30; rule 26 holds it back around a pivot."""
    state = j.state
    if state.pivoted:
        j.emit(ev.OverdueRaised())
    elif pivot_open(state):
        j.emit(ev.TimeoutHeld())
    else:
        abort(j, "timeout", timeout_failure())
