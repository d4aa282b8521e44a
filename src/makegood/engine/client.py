"""The engine as an application holds it: start executions, hear of their ends, act on them.

Everything here is thin: the core judges, the runner drives, the store keeps. Strangers keep out: what
needs more than a few lines is a class of its own, and has its place in `assembly`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any, Literal, Self, TypeVar

from makegood.core.effects import effects
from makegood.core.events import Record
from makegood.core.inputs import Input
from makegood.core.judgement import Settings
from makegood.core.rerunning import Rerun
from makegood.core.state import State
from makegood.core.view import ROWS_SHOWN, describe
from makegood.engine.assembly import Assembly
from makegood.engine.clock import WallClock
from makegood.engine.committer import closed
from makegood.engine.handle import Execution, Rest, ended_otherwise
from makegood.engine.intake import Store
from makegood.engine.listening import Listeners
from makegood.engine.observing import Observer, page_of
from makegood.engine.operators import ForOperators
from makegood.engine.repeats import Repeats
from makegood.engine.returning import rejoined
from makegood.engine.scripts import ForScripts
from makegood.engine.starts import StartRequest, checked_key, checked_search, plain_json
from makegood.engine.telemetry import Telemetry
from makegood.engine.vitals import Vitals
from makegood.errors import NotFound, StorageError
from makegood.model import Definition
from makegood.ports import Clock, Directory, KeyedRequest, Query, Stored, StoredDefinition
from makegood.services import Registry
from makegood.storage import open_store

T = TypeVar("T")


class Engine(ForOperators, ForScripts):
    """Runs workflows durably: on a SQLite file, on a PostgreSQL that several engines may share, or in memory.

    Args:
        database: Path of a SQLite file, `sqlite:///path`, `postgresql://...`, or `:memory:`.
        settings: What the core decides by: timeouts and limits.
        max_concurrent_executions: Executions advancing at once; waiting ones do not count.
        only: Advance none but these executions (ids); None advances all.
        drain_seconds: How long open calls are awaited when the engine closes.
        registry: Services registered beforehand; None begins with none. It is closed with the engine.
        lease_seconds: On a shared database: how long this engine is taken to be alive without a sign of life.
        clock: Where the time comes from; who sets one by hand calls `clock_was_set` afterwards.
        telemetry: Told of what happens; None tells nobody. It is closed with the engine.

    Raises:
        StorageHeld: Another engine holds the file.
        StorageError: It cannot be opened; the message says why and what to do.

    Use it as `async with Engine(...)`, or as a plain `with` and the `..._sync` methods in scripts.
    """

    def __init__(  # noqa: PLR0913 - everything that an engine may be told, by name
        self,
        database: str | os.PathLike[str] = "./makegood.db",
        *,
        settings: Settings | None = None,
        max_concurrent_executions: int = 1000,
        only: Collection[str] | None = None,
        drain_seconds: float = 1.0,
        registry: Registry | None = None,
        lease_seconds: float = 10.0,
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._database = os.fspath(database)
        self._settings = settings or Settings()
        self._live_max = max_concurrent_executions
        self._only = only
        self._drain_s = drain_seconds
        self._clock = clock or WallClock()
        self._registry = registry or Registry(self._clock.now_ms)
        self._lease_ms = round(lease_seconds * 1000)
        self._telemetry = telemetry
        self._parts: Assembly | None = None
        self._coming_back: asyncio.Task[None] | None = None
        self._opened = False

    # --- opening and closing ---

    async def open(self) -> Self:
        """Take hold of the database. Executions left over resume at the first `start` or `resume`."""
        if self._opened:
            raise StorageError("this engine was opened before; make another one")
        store = self._open_store()
        try:
            await store.join(self._lease_ms)
        except BaseException:
            await store.aclose()
            raise
        self._opened = True
        self._hold(self._assembled(store, Listeners()))
        return self

    def _assembled(self, store: Store, listeners: Listeners) -> Assembly:
        return Assembly(
            store,
            self._registry,
            self._clock,
            self._settings,
            only=self._only,
            live_max=self._live_max,
            drain_s=self._drain_s,
            lease_ms=self._lease_ms,
            listeners=listeners,
            on_dead=self._on_dead,
            telemetry=self._telemetry,
        )

    def _hold(self, parts: Assembly) -> None:
        self._parts = parts
        self._committer = parts.committer
        self._runner = parts.runner
        self._intake = parts.intake
        self._starter = parts.starter
        self._listeners = parts.listeners
        self._onlooker = parts.onlooker

    def _on_dead(self, _: Exception) -> None:
        """On a shared database an engine that was declared dead comes back as a new worker."""
        self._coming_back = asyncio.get_running_loop().create_task(self._come_back(), name="makegood-return")

    async def _come_back(self) -> None:
        dead = self._parts_open
        await dead.abandon()
        store = dead.store()
        await rejoined(store)
        parts = self._assembled(store, dead.listeners)
        self._hold(parts)
        if dead.intake.started:
            parts.resume()

    def _open_store(self) -> Store:
        return open_store(self._database)

    async def aclose(self) -> None:
        """Stop gracefully: nothing new is sent, open calls have `drain_seconds`, the rest is left to be resumed."""
        if self._coming_back is not None:
            self._coming_back.cancel()
            await asyncio.gather(self._coming_back, return_exceptions=True)
        try:
            if self._parts is not None:
                await self._parts.aclose()
        finally:
            telemetry, self._telemetry = self._telemetry, None
            if telemetry is not None:
                await telemetry.aclose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # --- services and definitions ---

    def register(self, name: str, service: Any) -> None:
        """Register a service: an object with public methods, a function, a mapping of functions, or an URL."""
        self._registry.register(name, service)

    async def put(self, definition: Definition) -> StoredDefinition:
        """Register a workflow definition: a new version if its content is new, else the one there is.

        Raises:
            DefinitionError: It names a service that is not registered here, or a workflow with a pivot would
                become a child by it. Nothing was stored.
            Conflict: Its explicit version exists with other content.
        """
        return (await self.put_new(definition))[0]

    async def put_new(self, definition: Definition) -> tuple[StoredDefinition, bool]:
        """As `put`, and whether that made a new version."""
        self._check_usable()
        registered, new = await self._starter.register(definition)
        version, now_ms = registered.program.version, self._clock.now_ms()
        return StoredDefinition(name=definition.name, version=version, tree=definition.tree, created_at_ms=now_ms), new

    # --- starting ---

    async def resume(self) -> None:
        """Go on with the executions that an earlier engine left, after services are registered."""
        self._check_usable()
        self._parts_open.resume()

    def clock_was_set(self) -> None:
        """Look at the clock now: it was set by hand."""
        self._check_usable()
        self._runner.alarm.look()
        self._intake.look()

    async def start(
        self,
        workflow: Definition | str,
        input: Any = None,  # noqa: A002 - the word of the language
        *,
        id: str | None = None,  # noqa: A002
        version: int | None = None,
        business_key: str | None = None,
        search: dict[str, Any] | None = None,
        once: KeyedRequest | None = None,
        look: Callable[[State], Any] | None = None,
    ) -> Execution:
        """Start an execution; when this returns, it is durable.

        Args:
            workflow: A definition (registered if need be), or the name of a registered one.
            input: Plain JSON.
            id: Of the execution; the same id and content again gives the same execution.
            version: With a name: which version; the newest if left out.
            business_key: Wins over the definition's expression.
            search: Attributes on top of the definition's.
            once: With an id: under which key it is asked (see `repeats`).
            look: What it makes of a new execution's state, as the first record leaves it, is `seen` of the handle.

        Raises:
            InputError: The input does not fit, or the id is malformed.
            Conflict: The id is taken by other content, or the business key by a live execution.
            NotFound: No such workflow.
            DefinitionError: A service is not registered.
        """
        self._check_usable()
        limits = self._settings.limits
        request = StartRequest(
            workflow.name if isinstance(workflow, Definition) else workflow,
            version,
            plain_json(input, limits),
            id,
            checked_key(business_key),
            checked_search(search, limits),
        )
        self._parts_open.resume()
        started = await self._starter.start(workflow, request, once, look)
        return Execution(self, started.id, resumed=started.found, seen=started.seen)

    # --- asking ---

    async def describe(self, execution_id: str) -> dict[str, Any]:
        """The whole execution, as the API gives it, with everything decided so far durable.

        Raises:
            NotFound: There is no such execution.
        """
        return await self._look(execution_id, describe)

    async def steps(self, execution_id: str, *, cursor: str | None = None, limit: int = ROWS_SHOWN) -> dict[str, Any]:
        """A page of its steps, in order of beginning: `{steps, cursor}`.

        Args:
            cursor: That of the page before, or `steps_cursor` of a description; None begins with the first.
            limit: Rows on a page, at least 1.

        Raises:
            NotFound, InputError: There is no such execution; the cursor is none, or the limit below 1.
        """
        return await self._look(execution_id, page_of("steps", cursor, limit))

    async def compensations(
        self, execution_id: str, *, cursor: str | None = None, limit: int = ROWS_SHOWN
    ) -> dict[str, Any]:
        """A page of its compensation list, in undo order: `{compensations, cursor}`. As `steps`."""
        return await self._look(execution_id, page_of("compensations", cursor, limit))

    async def effects(self, execution_id: str) -> list[dict[str, Any]]:
        """The effect ledger, whole: what it did to the world, and what of it is undone, remains, or is unknown.

        Raises:
            NotFound: There is no such execution.
        """
        return await self._look(execution_id, effects)

    async def state_of(self, execution_id: str) -> State:
        """The state of an execution. Read it, do not keep it: at the next `await` it may move on."""
        return await self._look(execution_id, lambda state: state)

    async def _look(self, execution_id: str, look: Callable[[State], T]) -> T:
        return await self._parts_open.onlooker.look(execution_id, look)

    async def list(self, query: Query | None = None) -> Sequence[Stored]:
        """Executions, newest first."""
        return await self._store_open.query(query or Query())

    async def history(self, execution_id: str, *, start: int = 0, limit: int | None = None) -> Sequence[Record]:
        """The journal of an execution, or so many of its records from a position on; none behind its end.

        Raises:
            NotFound: There is no such execution.
        """
        store = self._store_open
        records = await store.load(execution_id, start=start, limit=limit)
        if not records and (start == 0 or await store.find(execution_id) is None):
            raise NotFound(f"there is no execution {execution_id!r}")
        return records

    async def result(self, execution_id: str) -> Any:
        """Wait for the end; the output of one that completed.

        Raises:
            ExecutionFailed, ExecutionCompensated, CompensationFailed, ExecutionSuspended: It ended
                otherwise, or waits for a person.
        """
        rest = await self._at_rest(execution_id)
        if rest.status == "completed":
            return rest.output
        raise ended_otherwise(rest.view)

    async def end(self, execution_id: str) -> dict[str, Any]:
        """Wait for the end, or for a suspension; the whole execution then."""
        return (await self._at_rest(execution_id)).view

    async def _at_rest(self, execution_id: str) -> Rest:
        """How it stands once it has ended or waits for a person."""
        self._check_usable()
        with self._listeners.waiting(execution_id) as end:
            return await self._onlooker.rest(execution_id) or await end

    async def watch(self, execution_id: str) -> AsyncIterator[Record]:
        """Every record from now on, as it becomes durable, until the execution is at rest.

        One that has not been started yet is waited for; one that has ended gives nothing.
        """
        async with aclosing(self._open_parts.observer.watch(execution_id)) as records:
            async for record in records:
                yield record

    # --- acting ---

    async def rerun(
        self, execution_id: str, from_step: str, *, version: int | None = None, by: str = "", note: str = ""
    ) -> Execution:
        """Have a failed execution go on from a step, as a new execution; when this returns, it is durable.

        What the steps before that one did is the new execution's from now on: it is not done again, and is undone by
        the new execution if that is aborted. The old one is `superseded`.

        Args:
            execution_id: The one that failed.
            from_step: Id of the step to begin at. It, and whatever is behind it, must have left no effect.
            version: Of the same workflow; the one that ran if left out. Up to that step it must be the same.
            by: Who asks, for the history.
            note: Why.

        Returns:
            The new execution; the same one if the same is asked for again.

        Raises:
            NotFound: There is no such execution, version or step.
            Refused: It cannot be rerun, or not from there; the message names the step that is in the way.
            InputError: The input does not fit that version's schema.
            Conflict: Another live execution holds its business key.
        """
        parts = self._open_parts
        parts.resume()
        successor, found = await parts.reruns.rerun(execution_id, Rerun(from_step, by, note), version)
        return Execution(self, successor, resumed=found)

    async def request(
        self, execution_id: str, news: Input, *, once: KeyedRequest | None = None
    ) -> Literal["accepted", "pending"]:
        """Put a request before an execution, under a key or none. `accepted`: what followed is durable.
        `pending`: another engine of a shared database advances it, and has not decided within two seconds.

        Raises:
            NotFound, Refused, InputError: It was refused; nothing was changed.
            Conflict: The key stands for another request.
        """
        parts = self._open_parts
        parts.resume()
        return "accepted" if await parts.inbox.request(execution_id, news, once=once) else "pending"

    # --- for servers ---

    @property
    def observer(self) -> Observer:
        """Pages of steps and records, what comes, what there is."""
        return self._open_parts.observer

    @property
    def directory(self) -> Directory:
        """The services that the database keeps, for all that share it."""
        return self._store_open.directory

    def services_changed(self) -> None:
        """There may be services now for executions that were left alone."""
        self._parts_open.intake.look()

    @property
    def repeats(self) -> Repeats:
        """What was done under which Idempotency-Key."""
        return self._open_parts.repeats

    async def broken(self) -> Exception:
        """Return only when this engine can write no more: why."""
        return await self._open_parts.broken()

    @property
    def vitals(self) -> Vitals:
        """How it stands at this moment."""
        return self._open_parts.vitals

    @property
    def acts(self) -> bool:
        """Whether it may go on with executions: it is open, and no other engine can have declared it dead."""
        return self._open_parts.tenure.holds()

    @property
    def queued(self) -> int:
        """How many records wait to be written."""
        return self._open_parts.committer.queued

    @property
    def _parts_open(self) -> Assembly:
        if self._parts is None:
            raise closed()
        return self._parts

    @property
    def _open_parts(self) -> Assembly:
        parts = self._parts_open
        parts.check_usable()
        return parts

    def _check_usable(self) -> None:
        self._open_parts  # noqa: B018 - it raises

    @property
    def _store_open(self) -> Store:
        return self._parts_open.store()
