"""The shapes of bodies and answers, as the description of the API gives them. Values only.

Bodies are read into these; answers are made from the state and sent as they are: the tests hold each
answer against its shape.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Of an execution.")]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="Of a workflow.")]
Count = Annotated[int, Meta(ge=0)]
Version = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Text = Annotated[str, Meta(max_length=1_000)]
Note = Annotated[str, Meta(max_length=10_000, description="Why; kept in the history.")]
StepId = Annotated[str, Meta(min_length=1, max_length=1_000, description="Id of the step to begin at.")]
By = Annotated[str, Meta(max_length=200, description="Who asks; where tokens are asked for, the token's name.")]
Key = Annotated[str, Meta(min_length=1, max_length=1_000)]
Moment = Annotated[str, Meta(description="RFC 3339, UTC, with milliseconds.")]
Status = Literal[
    "running", "suspended", "compensating", "completed", "failed", "compensated", "compensation_failed", "superseded"
]
Phase = Literal["forward", "halting"]


class Body(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a request carries."""


# --- bodies ------------------------------------------------------------------------------------


class StartExecution(Body):
    """Start an execution."""

    workflow: Name
    version: Version | None = None
    input: Any = None
    id: Id | None = None
    business_key: Key | None = None
    search: dict[str, Any] | None = None


class Request(Body):
    """Ask something of an execution."""

    note: Note = ""
    by: By = ""


class ResolveStep(Body):
    """Declare a failed undo done by other means; or, with `as`, a step settled that waits for a person."""

    step: Annotated[str, Meta(min_length=1, max_length=1_000, description="Name of the instance, `ship[3]`.")]
    note: Annotated[str, Meta(min_length=1, max_length=10_000, description="How it was settled; kept.")]
    as_: Literal["succeeded", "failed"] | None = msgspec.field(default=None, name="as")
    output: Any = None
    by: By = ""


class CalledError(Body):
    """Why a service did not do what it had accepted: nothing of it remains."""

    code: Annotated[str, Meta(min_length=1, max_length=500)]
    message: Annotated[str, Meta(max_length=10_000)] = ""
    details: Any = None


class CallBack(Body):
    """What came of a call: its output, or an error."""

    output: Any = None
    error: CalledError | None = None


class RerunExecution(Body):
    """Have a failed execution go on from a step, as a new one."""

    from_: StepId = msgspec.field(name="from")
    version: Version | None = None
    note: Note = ""
    by: By = ""


# --- answers -----------------------------------------------------------------------------------


class Failure(Struct, kw_only=True):
    """Why something failed."""

    code: str
    message: str
    details: Any
    outcome: str | None
    step: str | None
    iteration: list[Count]


class Suspension(Struct, kw_only=True):
    """Why an execution waits for a person."""

    reason: str | None
    by: str | None
    note: str | None
    since: Moment | None


class ServiceWait(Struct, kw_only=True):
    """A call or undo waits for a service none of whose endpoints is well; it is given up at `until`."""

    service: str
    since: Moment
    until: Moment


class Step(Struct, kw_only=True):
    """One instance of a step."""

    step: str
    iteration: list[Count]
    kind: str
    call: str | None
    forward: Literal["pending", "running", "succeeded", "failed", "unknown", "skipped"]
    compensation: Literal["none", "armed", "pending", "running", "done", "failed", "skipped", "moved"]
    attempts: Count
    started_at: Moment | None
    ended_at: Moment | None
    input: Any
    output: Any
    error: Failure | None
    execution: str | UnsetType = UNSET
    waits_for: ServiceWait | UnsetType = UNSET
    origin: str | UnsetType = UNSET


class Compensation(Struct, kw_only=True):
    """One entry of the compensation list."""

    step: str
    iteration: list[Count]
    call: str
    status: Literal["none", "armed", "pending", "running", "done", "failed", "skipped", "moved"]
    attempts: Count
    error: Failure | None
    note: str | None
    by: str | None
    waits_for: ServiceWait | UnsetType = UNSET
    origin: str | UnsetType = UNSET


class Effect(Struct, kw_only=True):
    """One row of the effect ledger: what a call did to the world, and what of it remains."""

    step: str
    iteration: list[Count]
    call: str
    effect: Literal["done", "undone", "remaining", "unknown", "irreversible", "moved"]
    key: str
    attempts: Count
    at: Moment | None
    undo_call: str | None
    undo_key: str | None
    undo_attempts: Count
    error: Failure | None
    note: str | None
    execution: str | UnsetType = UNSET
    origin: str | UnsetType = UNSET
    moved_to: str | UnsetType = UNSET


class Execution(Struct, kw_only=True):
    """A whole execution. Of `steps`, `compensations` and `effects` it has the first 1,000; the others come by pages.

    `uncompensated_total` counts those that `uncompensated_steps`, which has 1,000 at most, leaves out too.
    """

    id: str
    workflow: str
    version: Version
    status: Status
    phase: Phase | None
    input: Any
    output: Any
    error: Failure | None
    suppressed: list[Failure]
    steps: list[Step]
    steps_cursor: str | None
    compensations: list[Compensation]
    compensations_cursor: str | None
    uncompensated_steps: list[str]
    uncompensated_total: Count
    business_key: str | None
    started_at: Moment
    ended_at: Moment | None
    revision: Count
    effects: list[Effect]
    effects_cursor: str | None
    suspended: Suspension | UnsetType = UNSET
    rerun_of: str | UnsetType = UNSET
    rerun_from: str | UnsetType = UNSET
    rerun_by: str | UnsetType = UNSET
    rerun_note: str | UnsetType = UNSET
    superseded_by: str | UnsetType = UNSET


class ExecutionRow(Struct, kw_only=True):
    """An execution as a list shows it."""

    id: str
    workflow: str
    version: Version
    status: Status
    phase: Phase | None
    business_key: str | None
    error_code: str | None
    started_at: Moment
    ended_at: Moment | None
    search: dict[str, Any]


class ExecutionPage(Struct, kw_only=True):
    """A page of a list; `cursor` leads to the next one, null after the last."""

    executions: list[ExecutionRow]
    cursor: str | None


class StepPage(Struct, kw_only=True):
    """A page of steps, in order of beginning."""

    steps: list[Step]
    cursor: str | None


class CompensationPage(Struct, kw_only=True):
    """A page of compensations, in undo order."""

    compensations: list[Compensation]
    cursor: str | None


class EffectPage(Struct, kw_only=True):
    """A page of the effect ledger, in order of beginning."""

    effects: list[Effect]
    cursor: str | None


class Event(Struct, kw_only=True):
    """One event of a journal; further fields depend on its kind."""

    position: Count
    at: Moment
    event: str
    event_version: Version


class EventPage(Struct, kw_only=True):
    """A page of a journal."""

    events: list[Event]
    cursor: str | None


class Accepted(Struct, kw_only=True):
    """What came of a request; of a rerun, `superseded_by` is the new execution.

    With `pending` the replica that advances the execution has not decided yet.
    """

    id: str
    request: str
    verdict: Literal["accepted", "pending"]
    pending: bool
    status: Status
    phase: Phase | None
    superseded_by: str | UnsetType = UNSET


class Problem(Struct, kw_only=True):
    """One mistake in a definition, or a warning about it."""

    code: str
    message: str
    pointer: str
    line: int | None
    column: int | None
    severity: Literal["error", "warning"]


class Registered(Struct, kw_only=True):
    """A definition is registered."""

    name: str
    version: Version
    warnings: list[Problem]


class Workflow(Struct, kw_only=True):
    """A workflow. `executions` counts by state, no further than 10,000 each."""

    name: str
    version: Version
    description: str
    created_at: Moment
    executions: dict[str, Count]


class WorkflowList(Struct, kw_only=True):
    """The newest version of every workflow, by name."""

    workflows: list[Workflow]


class WorkflowVersion(Workflow, kw_only=True):
    """One version of a workflow."""

    definition: dict[str, Any]


class Graph(Struct, kw_only=True):
    """The picture of a definition, for programs."""


class Health(Struct, kw_only=True):
    """How the process is."""

    status: Literal["ok", "draining", "unavailable"]
    node: str


class ProblemDocument(Struct, kw_only=True):
    """RFC 9457. `code` is stable; further fields depend on it."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    code: str
    detail: str
    existing: str | UnsetType = UNSET
    execution_status: Status | UnsetType = UNSET
    pointer: str | UnsetType = UNSET
    problems: list[Problem] | UnsetType = UNSET
