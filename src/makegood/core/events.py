"""Everything that can be recorded of an execution: facts in the past tense, frozen per version.

Rules of this file: an event says what happened so completely that `evolve` needs no judgement. A
field is never removed or given another meaning; a new meaning is a new version. `step` is a name in
the compiled program (a step's id, or a wrapper's path), `iteration` the loop numbers around it,
outermost first. Times are milliseconds since the epoch, UTC. `undo` says that the attempt is one of
the step's compensation.
"""

from __future__ import annotations

from typing import Any, Literal

from makegood.model.fact import fact

Iteration = tuple[int, ...]
Settled = Literal["failed", "unknown"]


@fact
class Failure:
    """Why something did not succeed: what users see as `error`.

    Attributes:
        code: Stable name, the engine's or the service's own.
        message: For people.
        details: Anything JSON.
        outcome: `rejected`, `not_sent`, `unknown`, or `failed` when no call was involved.
        step: Name of the step, or None when it was none.
        iteration: Of that step.
    """

    code: str
    message: str = ""
    details: Any = None
    outcome: str = "failed"
    step: str | None = None
    iteration: Iteration = ()


@fact
class Reference:
    """A value that is journaled elsewhere already: the workflow's input or a step's output.

    Attributes:
        path: `("input",)`, `("input", "traveller")`, `("steps", "hotel", "id")`.
    """

    path: tuple[str | int, ...]


# --- the execution -----------------------------------------------------------------------------


@fact
class ExecutionStarted:
    """The first event of every journal."""

    execution_id: str
    workflow: str
    version: int
    input: Any
    timeout_at_ms: int | None = None
    business_key: str | None = None
    parent: str | None = None
    root: str | None = None
    depth: int = 0


@fact
class AbortDecided:
    """Irrevocable: no new forward attempt starts. `cause` is `step`, `cancelled` or `timeout`."""

    cause: str
    error: Failure


@fact
class FailureSuppressed:
    """Something failed after the first cause was known."""

    error: Failure


@fact
class CompensationStarted:
    """Everything has drained, or an operator or the parent asked for it: the execution is compensating."""

    by: str = ""
    note: str = ""
    parent: bool = False


@fact
class ExecutionCompleted:
    """Every step that was reached succeeded. `output` None with `folded` means the last step's."""

    output: Any = None
    folded: bool = False


@fact
class ExecutionFailed:
    """Aborted under fail_fast; the entries are kept for an operator."""


@fact
class ExecutionCompensated:
    """Aborted, and every effect that has a compensation is undone."""


@fact
class CompensationFailed:
    """Aborted, and at least one entry is not undone."""


@fact
class ExecutionSuspended:
    """Stopped for a person. `reason` is `operator`, `pivot_unknown`, `after_pivot`, `quarantine`.

    `step`: what could not be done behind a pivot and is tried again at resume, if it is not a call.
    """

    reason: str
    by: str = ""
    note: str = ""
    step: str | None = None
    iteration: Iteration = ()


@fact
class ExecutionResumed:
    """Goes on where it stood. `timeout_at_ms` is the timeout moved by the time it stood still."""

    timeout_at_ms: int | None = None
    by: str = ""
    note: str = ""


@fact
class OverdueRaised:
    """The timeout passed after a pivot: an alarm, nothing else."""


@fact
class TimeoutHeld:
    """The timeout passed while a pivot was open; it acts if the pivot fails."""


@fact
class SignalReceived:
    """A payload joined the queue of its name."""

    name: str
    payload: Any = None


# --- steps -------------------------------------------------------------------------------------


@fact
class StepScheduled:
    """A call is to be made. Its entry in the compensation list begins here (rule 6).

    `input` is the body as it will be sent, or a Reference. `entry` names the undo's
    `service.method`, or is None.
    """

    step: str
    iteration: Iteration
    input: Any
    entry: str | None = None


@fact
class ChildStarted:
    """A workflow that a step calls is to run as an execution of its own: `child` is its id (rule 25).

    The version is the one that was resolved when the step was scheduled.
    """

    step: str
    iteration: Iteration
    child: str
    version: int


@fact
class StepStarted:
    """A step that calls nothing began. `until_ms`: when a wait ends or a signal is given up."""

    step: str
    iteration: Iteration = ()
    until_ms: int | None = None


@fact
class BranchTaken:
    """Which branch of an if (0 then, 1 else) or a switch (cases, then default); -1 for none."""

    step: str
    iteration: Iteration
    branch: int


@fact
class ItemsTaken:
    """The items of a foreach, evaluated once."""

    step: str
    iteration: Iteration
    items: Any


@fact
class IterationStarted:
    """A foreach went on to an item, or a repeat to a round."""

    step: str
    iteration: Iteration
    number: int


@fact
class ServiceAwaited:
    """No endpoint of the service may be called: the next request waits for one, at most until `until_ms`.

    No attempt is used up by it, and the deadline of the next one has not begun.
    """

    step: str
    iteration: Iteration
    service: str
    until_ms: int
    undo: bool = False


@fact
class AttemptStarted:
    """Journaled before anything is sent (rule 31). A poll of an ongoing call repeats its number."""

    step: str
    iteration: Iteration
    attempt: int
    deadline_ms: int
    undo: bool = False


@fact
class AttemptEnded:
    """An attempt ended without settling its step; the next one is due at `retry_at_ms`.

    `counted` false: it does not use up the budget (rules 2 and 16). `silent_until_ms`: no answer
    came, so the request may be on its way until then (rule 13). `lost` (rule 2): the process that
    made it died.
    """

    step: str
    iteration: Iteration
    attempt: int
    error: Failure
    retry_at_ms: int
    undo: bool = False
    counted: bool = True
    silent_until_ms: int | None = None
    lost: bool = False


@fact
class AttemptOngoing:
    """The service accepted and asks to be polled; given up at `until_ms`."""

    step: str
    iteration: Iteration
    attempt: int
    poll_at_ms: int
    until_ms: int | None = None
    undo: bool = False


@fact
class StepSucceeded:
    """Settled. `folded`: the output follows from the inner steps and is not repeated here."""

    step: str
    iteration: Iteration
    output: Any = None
    folded: bool = False


@fact
class StepFailed:
    """Settled `failed` or `unknown`. `silent_until_ms` as in AttemptEnded."""

    step: str
    iteration: Iteration
    settled: Settled
    error: Failure
    silent_until_ms: int | None = None


@fact
class StepSkipped:
    """Settled without being done: its `when` was false, or an abort came first."""

    step: str
    iteration: Iteration = ()


# --- scopes ------------------------------------------------------------------------------------


@fact
class RegionHalted:
    """A failure stops one region (a try's body, handler or finally; a branch that others outlive).

    `region` is the name of its block or branch.
    """

    region: str
    iteration: Iteration
    error: Failure


@fact
class ScopeUndoing:
    """The body of a try has drained; its entries are undone now."""

    step: str
    iteration: Iteration = ()


@fact
class HandlerTaken:
    """A try goes on in its handler of that number."""

    step: str
    iteration: Iteration
    handler: int
    error: Failure


@fact
class FinallyStarted:
    """A try goes on in its finally; `error` travels outward afterwards, if any.

    `outcome` is what the try settles as then: `succeeded`, `failed` or `unknown`.
    """

    step: str
    iteration: Iteration
    error: Failure | None = None


# --- undo --------------------------------------------------------------------------------------


@fact
class UndoScheduled:
    """An entry's turn has come. `input` is the body, resolved once; `snapshot`: it is the one of
    rule 9, which follows from the journal and is not repeated. Nothing is sent before
    `not_before_ms` (rule 13)."""

    step: str
    iteration: Iteration
    input: Any = None
    snapshot: bool = False
    not_before_ms: int | None = None


@fact
class UndoDone:
    """The effect is undone, or there was none to undo."""

    step: str
    iteration: Iteration


@fact
class UndoFailed:
    """The entry failed for good."""

    step: str
    iteration: Iteration
    error: Failure


@fact
class UndoSkipped:
    """The entry's `when` was false."""

    step: str
    iteration: Iteration


@fact
class EntryRearmed:
    """An operator has a failed or halted entry tried again."""

    step: str
    iteration: Iteration
    by: str = ""
    note: str = ""


@fact
class EntryResolved:
    """An operator declares an entry undone by other means."""

    step: str
    iteration: Iteration
    note: str
    by: str = ""


# --- rerun -------------------------------------------------------------------------------------


@fact
class RerunBegan:
    """This execution goes on in the place of `execution`, which failed, from `step`.

    What follows in its first record is what it takes over: the steps before that one, and what they did.
    """

    execution: str
    step: str
    by: str = ""
    note: str = ""


@fact
class StepTakenOver:
    """A step that another execution settled is this one's: it is never called again here.

    Attributes:
        execution: Whose keys its call had, and its undo has: the one that made the call.
        forward: What it settled as.
        compensation: How its entry stands: `none`, `armed`, `done` or `skipped`.
        settled_at: Its place in the order of settling, from 1; 0 if it never settled by itself.
        attempts: Of its call.
        silent_until_ms: As in AttemptEnded.
        items: Of a foreach.
        begun: Iterations or rounds begun.
        branch: Which branch was taken, of an if, a switch or a try.
        caught: Of a try: what its body failed with.
        child: Id of the execution that a call of another workflow started, and its version.
        undo_attempts: Of its undo.
    """

    step: str
    iteration: Iteration
    execution: str
    forward: str
    compensation: str = "none"
    settled_at: int = 0
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    input: Any = None
    output: Any = None
    error: Failure | None = None
    attempts: int = 0
    silent_until_ms: int | None = None
    items: Any = None
    begun: int = 0
    branch: int | None = None
    caught: Failure | None = None
    child: str | None = None
    child_version: int | None = None
    undo_attempts: int = 0


@fact
class ExecutionSuperseded:
    """It goes on as `successor` from `step`: what its steps before that one did is that execution's now."""

    successor: str
    step: str
    by: str = ""
    note: str = ""


Event = (
    ExecutionStarted
    | AbortDecided
    | FailureSuppressed
    | CompensationStarted
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionCompensated
    | CompensationFailed
    | ExecutionSuspended
    | ExecutionResumed
    | OverdueRaised
    | TimeoutHeld
    | SignalReceived
    | StepScheduled
    | ChildStarted
    | StepStarted
    | BranchTaken
    | ItemsTaken
    | IterationStarted
    | ServiceAwaited
    | AttemptStarted
    | AttemptEnded
    | AttemptOngoing
    | StepSucceeded
    | StepFailed
    | StepSkipped
    | RegionHalted
    | ScopeUndoing
    | HandlerTaken
    | FinallyStarted
    | UndoScheduled
    | UndoDone
    | UndoFailed
    | UndoSkipped
    | EntryRearmed
    | EntryResolved
    | RerunBegan
    | StepTakenOver
    | ExecutionSuperseded
)


@fact
class Record:
    """One append: the events that one input caused.

    Attributes:
        at_ms: When the input was judged.
        events: In order.
        more: The core stopped at a record's limit and goes on by itself in the next one.
    """

    at_ms: int
    events: tuple[Event, ...]
    more: bool = False
