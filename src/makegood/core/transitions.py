"""Which event takes what from which state to which: the tables. Pure data, no judgement.

`evolve` does what an event does, `decide` chooses events; neither reads this. Tests hold both to it,
and the reference of states is written from it. A state that an event is not listed for is not
changed by it; one that is listed and meets an execution in any other state is a bug.
"""

from __future__ import annotations

from dataclasses import dataclass

from makegood.core import events as ev
from makegood.core.state import Instance, State

Place = str | None
"""A state by name; None before the first event."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row.

    Attributes:
        source: The state before.
        event: The kind of event that is recorded.
        target: The state after.
        when: What it follows from, as a clause.
    """

    source: Place
    event: type
    target: str
    when: str


FORWARD = "running/forward"
HALTING = "running/halting"

EXECUTION: tuple[Transition, ...] = (
    Transition(None, ev.ExecutionStarted, FORWARD, "started"),
    Transition(FORWARD, ev.ExecutionCompleted, "completed", "the root is done"),
    Transition(FORWARD, ev.AbortDecided, HALTING, "a failure that nothing catches, a cancel, the timeout"),
    Transition(HALTING, ev.ExecutionFailed, "failed", "drained, and the strategy undoes nothing"),
    Transition(HALTING, ev.CompensationStarted, "compensating", "drained, and the strategy undoes"),
    Transition("compensating", ev.ExecutionCompensated, "compensated", "every entry is settled, none failed"),
    Transition(
        "compensating", ev.CompensationFailed, "compensation_failed", "each entry is settled or left, some failed"
    ),
    Transition(
        "failed", ev.CompensationStarted, "compensating", "an operator's `compensate`, or the abort of a child's parent"
    ),
    Transition(
        "compensation_failed",
        ev.CompensationStarted,
        "compensating",
        "an operator's `retry` or `resolve`, or the abort of a child's parent",
    ),
    Transition("completed", ev.CompensationStarted, "compensating", "a child, and its parent's abort reaches it"),
    Transition("failed", ev.ExecutionSuperseded, "superseded", "an operator's `rerun`: another goes on in its place"),
    Transition(FORWARD, ev.ExecutionSuspended, "suspended", "an operator, a pivot, quarantine"),
    Transition(HALTING, ev.ExecutionSuspended, "suspended", "an operator, quarantine"),
    Transition("compensating", ev.ExecutionSuspended, "suspended", "quarantine"),
    Transition("suspended", ev.ExecutionSuspended, "suspended", "behind a pivot one more step waits for a person"),
    Transition("suspended", ev.AbortDecided, "suspended", "an open attempt failed; halting begins at `resume`"),
    Transition("suspended", ev.ExecutionResumed, FORWARD, "it was going forward"),
    Transition("suspended", ev.ExecutionResumed, HALTING, "it was halting, or has been aborted meanwhile"),
    Transition("suspended", ev.ExecutionResumed, "compensating", "it was compensating"),
)

STEP: tuple[Transition, ...] = (
    Transition("pending", ev.StepScheduled, "running", "a call is to be made"),
    Transition("pending", ev.StepStarted, "running", "a step that calls nothing begins"),
    Transition("pending", ev.StepSucceeded, "succeeded", "a `set`"),
    Transition("pending", ev.StepFailed, "failed", "an expression has no value, or a `fail`"),
    Transition("pending", ev.StepSkipped, "skipped", "its `when` is false"),
    Transition("pending", ev.StepTakenOver, "succeeded", "it was done by the execution that this one reruns"),
    Transition("pending", ev.StepTakenOver, "failed", "likewise, inside a `try` that caught it"),
    Transition("pending", ev.StepTakenOver, "unknown", "likewise"),
    Transition("pending", ev.StepTakenOver, "skipped", "likewise, or its `when` was false"),
    Transition("running", ev.StepSucceeded, "succeeded", "an attempt was ok, or what is inside is done"),
    Transition("running", ev.StepFailed, "failed", "no attempt was ok, and none may have had an effect"),
    Transition("running", ev.StepFailed, "unknown", "no attempt was ok, and one may have had an effect"),
    Transition("running", ev.StepSkipped, "skipped", "an abort came before its first attempt"),
)

CLOSING: tuple[type, ...] = (
    ev.CompensationStarted,
    ev.ExecutionFailed,
    ev.FinallyStarted,
    ev.HandlerTaken,
    ev.ScopeUndoing,
    ev.StepFailed,
)
"""These close a region that has drained: the composite steps in it that still run become `failed` or `skipped`."""

COMPENSATION: tuple[Transition, ...] = (
    Transition("none", ev.StepScheduled, "armed", "the call has a compensation: its entry is journaled with it"),
    Transition("armed", ev.StepFailed, "none", "nothing can remain: the entry is disarmed"),
    Transition("armed", ev.StepSkipped, "none", "nothing was sent"),
    Transition("armed", ev.CompensationStarted, "pending", "the execution is undone"),
    Transition("armed", ev.ScopeUndoing, "pending", "the `try` around it is undone"),
    Transition("pending", ev.UndoScheduled, "running", "its turn has come"),
    Transition("pending", ev.UndoSkipped, "skipped", "its `when` is false"),
    Transition("pending", ev.UndoFailed, "failed", "its input has no value"),
    Transition("running", ev.UndoDone, "done", "the service undid it, or there was nothing to undo"),
    Transition("running", ev.UndoFailed, "failed", "its attempts are used up"),
    Transition("pending", ev.CompensationFailed, "armed", "`halt`: an entry before it failed"),
    Transition("failed", ev.EntryRearmed, "pending", "an operator's `retry`"),
    Transition("failed", ev.EntryResolved, "done", "an operator's `resolve`"),
    Transition("pending", ev.EntryResolved, "done", "an operator's `resolve` of an entry that was left"),
    Transition("none", ev.StepTakenOver, "armed", "the entry moved here from the execution that this one reruns"),
    Transition("none", ev.StepTakenOver, "done", "likewise, undone by a `try`"),
    Transition("none", ev.StepTakenOver, "skipped", "likewise, passed over by a `try`"),
    Transition("armed", ev.ExecutionSuperseded, "moved", "the entry moved to the execution that reruns this one"),
)


def place_of(state: State) -> Place:
    """Where an execution is, in the words of `EXECUTION`."""
    if not state.execution_id:
        return None
    return f"running/{state.phase}" if state.status == "running" else state.status


def execution_allowed(before: Place, event: type, after: Place) -> bool:
    """Whether an event may take an execution from one state to another."""
    if any(row.event is event for row in EXECUTION):
        return (before, event, after) in _ROWS[EXECUTION]
    return before == after


def step_allowed(before: Instance | None, event: type, after: Instance) -> bool:
    """Whether an event may take a step, and its entry, from one pair of states to another."""
    forward = before.forward if before is not None else "pending"
    undo = before.compensation if before is not None else "none"
    closed = forward == "running" and after.forward in {"failed", "skipped"} and event in CLOSING
    moved = closed or forward == after.forward or (forward, event, after.forward) in _ROWS[STEP]
    return moved and (undo == after.compensation or (undo, event, after.compensation) in _ROWS[COMPENSATION])


_ROWS = {
    table: frozenset((row.source, row.event, row.target) for row in table) for table in (EXECUTION, STEP, COMPENSATION)
}
