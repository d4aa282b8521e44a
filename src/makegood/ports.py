"""What the engine asks of the world, in the domain's words. Protocols and their values only.

Each port has one conformance suite that every adapter passes. Times are milliseconds since the
epoch, UTC, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import field
from enum import Enum
from typing import Any, Protocol

from makegood.core.events import Record
from makegood.core.outcome import Reply
from makegood.model.fact import named_fact

# --- services ----------------------------------------------------------------------------------


@named_fact
class Invocation:
    """One request to a service: an attempt that is journaled as started.

    Attributes:
        execution_id: Which execution.
        workflow: Its workflow's name.
        step: Name of the step instance, for example `ship[3]`.
        service: Name of the service.
        method: Its method.
        body: The step's input, plain JSON, as it is.
        key: Idempotency key (rule 15), the same for all attempts.
        attempt: From 1.
        deadline_ms: Nothing is sent once it has passed; no answer is awaited beyond it.
        undo: Whether this is a compensation.
        traceparent: W3C trace context, or None.
    """

    execution_id: str
    workflow: str
    step: str
    service: str
    method: str
    body: Any
    key: str
    attempt: int
    deadline_ms: int
    undo: bool = False
    traceparent: str | None = None


class Slot(Enum):
    """The answer to a reservation."""

    GRANTED = "granted"
    """A place is held for one `invoke`, which gives it back."""
    BUSY = "busy"
    """All places are taken; `on_free` will say when to ask again."""
    UNWELL = "unwell"
    """No endpoint may be called now: each is unhealthy, or its circuit is open. `on_free` says when to ask again."""
    MISSING = "missing"
    """There is no such service."""


class Invoker(Protocol):
    """Calls services."""

    on_free: Callable[[str], None] | None
    """Called with a service's name when there may be places again after somebody was told BUSY or UNWELL.

    Once, however many were told: who hears it asks until told so again, or until nobody waits.
    """

    def offers(self, service: str) -> bool:
        """Whether it may be called here: there is such a service, or it may be found when it is asked for."""
        ...

    def offered(self) -> Collection[str] | None:
        """The names of all services that may be called here; None: any may be found when it is asked for."""
        ...

    def strict_idempotent(self, service: str) -> bool:
        """Whether a rejection after an unknown attempt clears it (rule 3)."""
        ...

    def default_timeout_ms(self, service: str) -> int | None:
        """The service's own bound of an attempt, if it has one."""
        ...

    def wait_ms(self, service: str) -> int:
        """How long a step may wait for an endpoint that is well (`wait_seconds`)."""
        ...

    def reserve(self, service: str) -> Slot:
        """Take a place for one call, without waiting."""
        ...

    def release(self, service: str) -> None:
        """Give back a place that will not be used."""
        ...

    def set_share(self, replicas: int) -> None:
        """Take the part of every service's limits that falls to one of so many processes that share them."""
        ...

    async def invoke(self, invocation: Invocation) -> Reply:
        """Send one request under a place taken before, and give the place back.

        Never raises but for cancellation: whatever goes wrong is a reply. Sends nothing, and
        answers `not_sent`, when the deadline has passed. Never takes longer than the deadline.
        """
        ...

    async def aclose(self) -> None:
        """Close connections. Open calls are abandoned."""
        ...


class Clock(Protocol):
    """Wall-clock time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


# --- storage -----------------------------------------------------------------------------------


@named_fact
class Start:
    """A new execution's row: travels with its first record.

    Attributes:
        workflow: Name of its workflow.
        version: Version of its workflow.
        start_hash: Hash of the start as sent, which decides "same content".
        business_key: Held until the end, of a child until that of its root too (rule 28); or None.
        parent: Id of the execution that called this one, or None.
        root: Id of the outermost execution of the family (its own id when it has no parent, or was called detached).
        search: Search attributes, name to value.
        rerun_of: Id of the execution that this one goes on in the place of, or None.
    """

    workflow: str
    version: int
    start_hash: str
    started_at_ms: int
    business_key: str | None = None
    parent: str | None = None
    root: str = ""
    search: dict[str, Any] = field(default_factory=dict)
    rerun_of: str | None = None


@named_fact
class Standing:
    """The columns of an execution's row that change: what lists and claims look at.

    Attributes:
        status: State of the execution.
        phase: `forward`, `halting` or None.
        pivoted: Whether a pivot has succeeded.
        wake_at_ms: When a parked execution must be looked at, or None.
        parked: Whether nothing but its timer or an outside request can move it.
        ended_at_ms: When it ended, or None while it lives.
        error_code: Code of its first cause, or None.
        overdue: Whether its timeout passed after a pivot.
        superseded_by: Id of the execution that goes on in the place of this one, or None.
    """

    status: str
    phase: str | None = None
    pivoted: bool = False
    wake_at_ms: int | None = None
    parked: bool = False
    ended_at_ms: int | None = None
    error_code: str | None = None
    overdue: bool = False
    superseded_by: str | None = None


@named_fact
class KeyedRequest:
    """A write that its sender may repeat under the same Idempotency-Key: kept with its effect for a day.

    Attributes:
        key: The sender's key, with what was asked under it.
        content: Hash of what was sent: another one under the same key is another request.
        at_ms: When it took effect.
        answer: What the sender was told that cannot be told again from what is stored, plain JSON.
    """

    key: str
    content: str
    at_ms: int
    answer: Any = None


@named_fact
class Wait:
    """An execution waits for a service, none of whose endpoints is well.

    Attributes:
        service: Which.
        since_ms: Since when.
        step: Name of the step instance that waits for it, of several the one that has waited longest.
    """

    service: str
    since_ms: int
    step: str


@named_fact
class Append:
    """One journal record of one execution, and what changes with it in the same transaction.

    Attributes:
        execution_id: Whose.
        position: The record's place in that execution's journal, from 0 without gaps.
        record: The events; None when only the row changes (parking), then `position` is where the
            next record would stand.
        start: Given with position 0.
        standing: Given when the row changes.
        inbox_ids: Requests from other processes that this record settles; deleted with it.
        requests: Keyed requests that this record is the effect of; kept with it, unless the key is kept already.
        waits: All that it waits for from now on, each service once; None: what it waited for before.
        together: Appends of a batch that name the same word here, which may be any, are written all or none: what
            refuses one refuses each of them. None: it stands alone.
    """

    execution_id: str
    position: int
    record: Record | None
    start: Start | None = None
    standing: Standing | None = None
    inbox_ids: tuple[int, ...] = ()
    requests: tuple[KeyedRequest, ...] = ()
    waits: tuple[Wait, ...] | None = None
    together: str | None = None


@named_fact
class Stored:
    """An execution's row as it stands.

    Attributes:
        positions: How many records its journal has.
        crashes: How many workers died while they advanced it.
        elsewhere: Whether another worker advances it.
    """

    execution_id: str
    start: Start
    standing: Standing
    positions: int
    crashes: int = 0
    elsewhere: bool = False


@named_fact
class StoredDefinition:
    """One version of a workflow definition."""

    name: str
    version: int
    tree: Any
    created_at_ms: int


@named_fact
class Query:
    """What `list` asks for; None means any.

    Attributes:
        before: A cursor: (started_at_ms, id).
        search: Search attributes, name to text: each must be this text, or a value whose JSON is this text.
        waiting_for: A service that they wait for.
    """

    workflow: str | None = None
    status: str | None = None
    business_key: str | None = None
    started_after_ms: int | None = None
    limit: int = 50
    before: tuple[int, str] | None = None
    search: dict[str, str] = field(default_factory=dict)
    waiting_for: str | None = None


@named_fact
class Waiting:
    """Who waits for a service.

    Attributes:
        count: How many executions.
        longest: Those that have waited longest, the longest first: id and wait.
    """

    count: int
    longest: tuple[tuple[str, Wait], ...]


@named_fact
class InboxRow:
    """A request from another process: `cancel`, `signal` and kin.

    Attributes:
        id: Ascending.
        execution_id: For whom.
        kind: `cancel`, `signal`, `retry`, `compensate`, `resolve`, `suspend`, `resume` or `rerun`.
        body: Its arguments, plain JSON.
    """

    id: int
    execution_id: str
    kind: str
    body: dict[str, Any]


class Journal(Protocol):
    """The journal and the rows of executions. Appending is atomic and durable."""

    async def append(self, batch: Sequence[Append]) -> list[Exception | None]:
        """Write the batch in one transaction; return when it is durable.

        Returns:
            One entry for each append: None, or why that one alone was refused (`Conflict` for a
            start whose id or business key is taken, `Fenced` for a position that is taken); what
            was refused left no trace and the others are committed. Appends that name the same `together`
            have one verdict, that of the first one refused.

        Raises:
            Fenced: The engine no longer holds the database; nothing was written.
            StorageError: Nothing was written.
        """
        ...

    async def load(self, execution_id: str, *, start: int = 0, limit: int | None = None) -> list[Record]:
        """The records from a position on, in order; empty when there is none."""
        ...

    async def find(self, execution_id: str) -> Stored | None:
        """The row of one execution."""
        ...

    async def query(self, query: Query) -> list[Stored]:
        """Rows, newest first (started_at_ms, then id, descending)."""
        ...

    async def counts(self, workflow: str, *, most: int) -> dict[str, int]:
        """How many executions of a workflow are in each state; no count goes beyond `most`, zeros are left out."""
        ...

    async def waiting(self, service: str, *, limit: int) -> Waiting:
        """The executions that wait for a service, so many of them at most by name."""
        ...

    async def waited_for(self, services: Collection[str] | None) -> dict[str, int]:
        """Those of the services (None: of all) that parked executions wait for which this worker could claim, each
        with since when the first of them does."""
        ...

    async def at_rest(self, execution_ids: Collection[str]) -> Collection[str]:
        """Those of these that have ended or are suspended."""
        ...

    async def put_definition(
        self, name: str, tree: Any, version: int | None, now_ms: int, services: Collection[str] = ()
    ) -> tuple[StoredDefinition, bool]:
        """Register: the newest version if its tree equals, else the next one (True: new).

        Args:
            services: The services that its steps call: `Leases.claim` looks at them.

        Raises:
            Conflict: An explicit version exists with other content.
        """
        ...

    async def definition(self, name: str, version: int | None = None) -> StoredDefinition | None:
        """One version, or the newest."""
        ...

    async def definitions(self) -> list[StoredDefinition]:
        """The newest version of every workflow, by name."""
        ...

    async def aclose(self) -> None:
        """Let go of the database."""
        ...


class Requests(Protocol):
    """Writes that their senders may repeat, by Idempotency-Key."""

    async def request(self, key: str) -> KeyedRequest | None:
        """What was done under a key."""
        ...

    async def keep(self, request: KeyedRequest) -> None:
        """Keep one that is the effect of no record. A key that is kept already stays as it is."""
        ...

    async def forget(self, before_ms: int, *, limit: int) -> int:
        """Forget what took effect before then, the oldest first and so many at most: their keys are free again.

        Returns:
            How many were forgotten; fewer than `limit` when there are no more.
        """
        ...


class Leases(Protocol):
    """Which worker may advance which executions.

    Attributes:
        shared: Whether there may be other workers. Where there are none, a lease never ends, requests
            come from processes that are no workers, and whatever another worker owned is left over.
    """

    shared: bool

    @property
    def workers(self) -> int:
        """How many workers were alive at the last `join` or `renew`, this one included."""
        ...

    async def join(self, lease_ms: int) -> int:
        """Become a worker, whose lease lasts so long from now and from each renewal; its number.

        Raises:
            StorageError: The database cannot be used, or has another schema.
        """
        ...

    async def rejoin(self) -> int:
        """Become another worker, after this one was declared dead or lost its database."""
        ...

    async def renew(self, *, bury: bool) -> int:
        """Prolong the lease.

        Args:
            bury: Also declare dead the workers whose lease has run out. What they advanced can be claimed then.

        Returns:
            How many were declared dead.

        Raises:
            Fenced: This worker was declared dead: what it does not know to be committed never will be.
        """
        ...

    async def claim(
        self,
        now_ms: int,
        *,
        limit: int,
        only: Collection[str] | None = None,
        early: bool = False,
        offered: Collection[str] | None = None,
        waits: tuple[str, int] | None = None,
    ) -> list[Stored]:
        """Take executions that live and that nobody advances: first those left over by a worker
        that is gone (the longest first, then by crashes), then those parked whose time has come. The crash
        counter of one that was being advanced when its worker died is raised in the same write;
        it is cleared where that worker left gracefully. What is taken is not parked any more. What this
        code cannot fold is left untouched.

        Args:
            now_ms: What "has come" means.
            limit: How many at most. Of what is left over, a shared store gives each worker its part.
            only: Take none but these.
            early: With `only`: the parked ones too whose time has not come, or that have none,
                because a request for them arrived.
            offered: Without `only`: the services that there are here. A shared store leaves untouched
                what needs others; who has no other worker may be given it.
            waits: A service and a moment: of the parked ones alone those that have waited for that service
                since then or longer, whatever their time, the longest first; nothing that is left over.
        """
        ...

    async def set_aside(self, execution_id: str, why: str) -> None:
        """Release an execution that this code does not understand, with a note on its row: nobody claims
        it until it is asked for by its id. Where there is no other worker it stays where it is."""
        ...

    async def clear_crashes(self, execution_ids: Collection[str]) -> None:
        """Forget the crash counters: these have been advanced long enough."""
        ...

    async def next_wake_ms(self) -> int | None:
        """When the next parked execution is due that this worker could claim."""
        ...

    async def inbox(self, *, limit: int, execution_id: str | None = None) -> list[InboxRow]:
        """Requests from other processes, oldest first, for executions that no other worker advances;
        they stay until an append deletes them.

        Args:
            execution_id: Only those for this one.
        """
        ...

    async def drop_inbox(self, ids: Sequence[int], verdict: str = "") -> None:
        """Delete requests that cause no record (refused, or for an ended execution).

        Args:
            ids: Which.
            verdict: What the asker is told: why it was refused, or "" when it was accepted, as it
                is for the requests that an append settles.
        """
        ...

    async def put_request(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        """Leave a request for whoever advances an execution; its id."""
        ...

    async def verdict(self, inbox_id: int) -> str | None:
        """None while nothing is decided, "" when accepted (or long ago), else why it was refused."""
        ...


# --- the directory of services -------------------------------------------------------------------


@named_fact
class StoredService:
    """A service that is kept in the database.

    Attributes:
        keys: As it was put: the keys of `[services.NAME]`, plain JSON. Nobody promises that they still fit.
        revision: Of the directory, when these keys were put.
    """

    name: str
    keys: dict[str, Any]
    revision: int


@named_fact
class Instance:
    """An endpoint that registered itself, for as long as its lease.

    Attributes:
        id: Of the instance, one of its service's.
        left_ms: How long its lease still lasts, by the database's clock.
    """

    service: str
    id: str
    url: str
    labels: dict[str, str]
    left_ms: int


@named_fact
class EndpointHealth:
    """What health checks found of one endpoint; moments are the database's.

    Attributes:
        well: The verdict.
        reason: Why it is not well, or what the last check found that has not changed the verdict yet.
        since_ms: Since when the verdict is what it is.
        checked_at_ms: When it was checked last; None before the first time.
        in_a_row: Checks at the end that found other than the verdict.
        turn: How often it was claimed: a check that is overtaken is not heard.
        by: Who claimed it last.
    """

    service: str
    url: str
    well: bool = True
    reason: str = ""
    since_ms: int = 0
    checked_at_ms: int | None = None
    in_a_row: int = 0
    turn: int = 0
    by: str = ""


@named_fact
class Listing:
    """The whole directory.

    Attributes:
        revision: Rises with every change of it; renewals of leases and checks that find nothing new are none.
        instances: Those whose lease has not run out.
    """

    revision: int
    services: tuple[StoredService, ...]
    instances: tuple[Instance, ...]
    health: tuple[EndpointHealth, ...]


@named_fact
class Check:
    """An endpoint whose health somebody is to look at.

    Attributes:
        again_ms: How much later it is due again, if it is claimed now.
    """

    service: str
    url: str
    again_ms: int


@named_fact
class Claimed:
    """Which endpoints to check now.

    Attributes:
        due: As they stood; nobody else is given them before they are due again.
        next_ms: In how long the next one of those asked for is due; None without any.
    """

    due: tuple[EndpointHealth, ...]
    next_ms: int | None


@named_fact
class Description:
    """What a service describes of itself, as it was read.

    Attributes:
        source: The address it came from.
        content: The document.
        read_ms: When, by the clock of who read it.
    """

    source: str
    content: str
    read_ms: int


class Directory(Protocol):
    """Services, their instances and the health of their endpoints, as all replicas know them.

    Leases and turns go by the clock of the database.
    """

    async def listing(self, known: int | None = None) -> Listing | None:
        """The whole directory; None when its revision is still the one that is known."""
        ...

    async def put_service(self, name: str, keys: dict[str, Any]) -> bool:
        """Keep a service, instead of the one of that name; whether it is new. What was known of its health is not."""
        ...

    async def remove_service(self, name: str) -> bool:
        """Forget a service, its instances and their health; whether there was one."""
        ...

    async def put_instance(self, service: str, instance_id: str, url: str, labels: dict[str, str], ttl_ms: int) -> bool:
        """Register an instance, or renew its lease, from now on for so long; whether it is new."""
        ...

    async def remove_instance(self, service: str, instance_id: str) -> bool:
        """Forget an instance; whether its lease had not run out."""
        ...

    async def claim_checks(self, asked: Sequence[Check], by: str) -> Claimed:
        """Take those of these endpoints whose turn has come, so that one replica checks each. No two are the same.

        Args:
            by: Who asks, for people.
        """
        ...

    async def put_health(self, found: Sequence[EndpointHealth]) -> None:
        """Keep what checks found of endpoints, each under the turn of its claim; one that was claimed again is not.

        `since_ms` and `checked_at_ms` are taken from the database's clock.
        """
        ...

    async def description(self, service: str) -> Description | None:
        """What a service described when it was last asked, whichever replica asked; None when nobody did."""
        ...

    async def keep_description(self, service: str, described: Description) -> None:
        """Keep it instead of what was kept of that service."""
        ...
