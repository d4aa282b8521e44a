"""The operator's hand: cancel, suspend, resume, and the repair of a compensation (rules 14, 19, 26, 29).

Every action is journaled with who and why, or refused with the state it met; a refusal changes nothing.
"""

from __future__ import annotations

from makegood.core import events as ev
from makegood.core.events import Failure
from makegood.core.failing import RESOLVED, abort
from makegood.core.flow import start
from makegood.core.inputs import Cancel, Compensate, Resolve, Resume, Retry, Suspend
from makegood.core.judgement import Judgement
from makegood.core.program import Kind
from makegood.core.signals import hand_out_all
from makegood.core.state import ROOT, Key, State
from makegood.errors import NotFound, Refused, nearest


def cancel(j: Judgement, news: Cancel) -> None:
    """Abort; idempotent until the end (rule 29)."""
    state = j.state
    if state.ended:
        raise _refused(state, "cancelled")
    if state.pivoted:
        raise _refused(state, "cancelled: it has passed its point of no return", code="pivoted")
    if pivot_open(state):
        raise _refused(state, "cancelled while its pivot is under way", code="pivot_open")
    if state.status == "compensating" or ROOT in state.halted:
        return
    if state.status == "suspended":
        j.emit(ev.ExecutionResumed(by=news.by, note="cancelled while suspended"))
    abort(
        j,
        "cancelled",
        Failure("cancelled", news.note or "cancelled by an operator", {"by": news.by} if news.by else None),
    )


def pivot_open(state: State) -> bool:
    """Whether a pivot's first attempt is journaled and the pivot has not settled."""
    for key in state.live:
        node = state.node(key)
        track = state.instances[key].call
        if node.kind is Kind.CALL and node.call.pivot and track is not None and track.attempts:
            return True
    return False


def suspend(j: Judgement, news: Suspend) -> None:
    """Stop for a person; idempotent."""
    state = j.state
    if state.ended:
        raise _refused(state, "suspended")
    if state.status == "suspended":
        return
    if state.status == "compensating" and news.reason == "operator":
        raise _refused(state, "suspended: nothing stops a compensation by hand")
    j.emit(ev.ExecutionSuspended(news.reason, news.by, news.note))


def resume(j: Judgement, news: Resume) -> None:
    """Let it go on; the timeout has stood still meanwhile. Idempotent."""
    state = j.state
    if state.ended:
        raise _refused(state, "resumed")
    if state.status != "suspended":
        return
    stuck = list(state.stuck)
    _go_on(j, news.by, news.note)
    for key in stuck:
        if key in state.instances:
            state.agenda[key] = None
        else:
            start(j, state.node(key), key[1])
    hand_out_all(j)


def _go_on(j: Judgement, by: str, note: str) -> None:
    """Leave the suspension; the timeout has stood still meanwhile."""
    state = j.state
    timeout_at_ms = state.timeout_at_ms
    if timeout_at_ms is not None and state.suspended_at_ms is not None:
        timeout_at_ms += max(0, j.now_ms - state.suspended_at_ms)
    forward = state.resume_status == "running" and not state.halted
    j.emit(ev.ExecutionResumed(timeout_at_ms if forward else None, by, note))


def compensate(j: Judgement, news: Compensate) -> None:
    """Have a failed execution undone after all; idempotent while that goes on."""
    state = j.state
    if state.status in {"compensating", "compensated"}:
        return
    if state.status != "failed" and not (news.parent and state.ended):
        raise _refused(state, "compensated; only a failed execution can be")
    _start_again(j, news.by, news.note, parent=news.parent)


def retry(j: Judgement, news: Retry) -> None:
    """Have the entries that failed, or that were left, tried again; idempotent while that goes on."""
    state = j.state
    if state.status == "compensating":
        return
    if state.status != "compensation_failed":
        raise _refused(state, "retried; only one that ended compensation_failed can be")
    _start_again(j, news.by, news.note)


def _start_again(j: Judgement, by: str, note: str, *, parent: bool = False) -> None:
    """Compensate what is armed, and what has failed before once more."""
    state = j.state
    j.emit(ev.CompensationStarted(by, note, parent))
    for key in list(state.entries):
        if state.instances[key].compensation == "failed":
            j.emit(ev.EntryRearmed(state.node(key).name, key[1], by, note))


def resolve(j: Judgement, news: Resolve) -> None:
    """Declare one failed or left entry undone by other means, or a step settled that waits for a person."""
    state = j.state
    if news.outcome is not None:
        _resolve_step(j, news)
        return
    if state.status != "compensation_failed":
        raise _refused(state, "resolved; only one that ended compensation_failed can be")
    names = {state.name(key): key for key in state.entries if state.instances[key].compensation in {"failed", "armed"}}
    key = names.get(news.step)
    if key is None:
        raise NotFound(f"no entry {news.step!r} of execution {state.execution_id} is left.{nearest(news.step, names)}")
    j.emit(ev.CompensationStarted(news.by, news.note))
    j.emit(ev.EntryResolved(state.node(key).name, key[1], news.note, news.by))


def _resolve_step(j: Judgement, news: Resolve) -> None:
    """Settle a pivot of unknown outcome, or what could not be done behind one (rule 26)."""
    state = j.state
    if state.status != "suspended":
        raise _refused(state, "resolved; a step can be while the execution is suspended")
    waiting = _waiting_for_a_person(state)
    key = waiting.get(news.step)
    if key is None:
        raise NotFound(
            f"no step {news.step!r} of execution {state.execution_id} waits for a person.{nearest(news.step, waiting)}"
        )
    node, others = state.node(key), [each for each in state.stuck if each != key]
    _go_on(j, news.by, news.note)
    if news.outcome == "succeeded":
        j.emit(ev.StepSucceeded(node.name, key[1], news.output))
    else:
        failure = Failure("resolved", news.note, {"by": news.by} if news.by else None, "rejected", node.name, key[1])
        j.emit(ev.StepFailed(node.name, key[1], "failed", failure))
        abort(j, RESOLVED if state.pivoted else "step", failure)
    for each in others:
        if not state.halted:
            j.emit(ev.ExecutionSuspended("after_pivot", step=state.node(each).name, iteration=each[1]))
    hand_out_all(j)


def _waiting_for_a_person(state: State) -> dict[str, Key]:
    """What stands still because of a pivot: calls between two attempts, and what could not begin or go on."""
    calls = [key for key in state.live if (track := state.instances[key].call) is not None and track.error is not None]
    return {state.name(key): key for key in (*state.stuck, *calls) if state.suspended_reason in _PERSONS}


_PERSONS = frozenset({"pivot_unknown", "after_pivot"})


def _refused(state: State, what: str, code: str = "refused") -> Refused:
    if state.superseded_by is not None:
        code, what = "superseded", f"{what}: it goes on as {state.superseded_by}"
    return Refused(
        f"execution {state.execution_id} is {state.status} and cannot be {what}", code=code, status=state.status
    )
