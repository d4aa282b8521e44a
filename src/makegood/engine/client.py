"""The engine as an application holds it: start executions, hear of their ends, act on them.

Everything here is thin: the core judges, the runner drives, the store keeps.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection, Sequence
from types import TracebackType
from typing import Any, Self

from makegood.core.decide import begin
from makegood.core.events import Record
from makegood.core.evolve import fold
from makegood.core.inputs import Cancel, Compensate, Input, Resolve, Resume, Retry, Signal, Suspend
from makegood.core.judgement import Settings
from makegood.core.state import State
from makegood.core.view import describe
from makegood.engine.committer import Committer
from makegood.engine.definitions import Definitions, Registered, business_key_of, schema_check, search_of
from makegood.engine.handle import Execution, ended_otherwise
from makegood.engine.intake import Intake, Store
from makegood.engine.live import Live, standing_of
from makegood.engine.runner import Runner
from makegood.engine.starts import StartRequest, checked_id, plain_json, same_start, start_hash
from makegood.errors import Conflict, DefinitionError, NotFound, Problem, StorageError, nearest
from makegood.model import Definition, SignalStep
from makegood.ports import Query, Start, Stored, StoredDefinition
from makegood.services import Registry
from makegood.storage import open_store


MOVING = frozenset({"running", "compensating"})
"""The states that an execution leaves by itself."""


class WallClock:
    """The operating system's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000


class Engine:
    """Runs workflows durably: on a SQLite file, or in memory.

    Args:
        database: Path of a SQLite file, `sqlite:///path`, or `:memory:`.
        settings: What the core decides by: timeouts and limits.
        max_concurrent_executions: Executions advancing at once; waiting ones do not count.
        only: Advance none but these executions (ids); None advances all.
        drain_seconds: How long open calls are awaited when the engine closes.
        registry: Services registered beforehand; None begins with none.

    Raises:
        StorageHeld: Another engine holds the file.
        StorageError: It cannot be opened; the message says why and what to do.

    Use it as `async with Engine(...)`, or as a plain `with` and the `..._sync` methods in scripts.
    """

    def __init__(
        self,
        database: str | os.PathLike[str] = "./makegood.db",
        *,
        settings: Settings | None = None,
        max_concurrent_executions: int = 1000,
        only: Collection[str] | None = None,
        drain_seconds: float = 1.0,
        registry: Registry | None = None,
    ) -> None:
        self._database = os.fspath(database)
        self._settings = settings or Settings()
        self._room = max_concurrent_executions
        self._only = only
        self._drain_s = drain_seconds
        self._registry = registry or Registry()
        self._clock = WallClock()
        self._ends: dict[str, list[asyncio.Future[State]]] = {}
        self._watchers: dict[str, list[asyncio.Queue[Record | None]]] = {}
        self._store: Store | None = None
        self._broken: Exception | None = None
        self._door: Any = None

    # --- opening and closing ---

    async def open(self) -> Self:
        """Take hold of the database. Executions left over resume at the first `start` or `resume`."""
        store: Store = open_store(self._database)
        self._store = store
        self._definitions = Definitions(store, self._clock.now_ms)
        self._committer = Committer(store, self._on_broken)
        self._runner = Runner(
            self._committer, self._registry, self._clock, self._settings,
            on_end=self._on_end, on_park=lambda at_ms: self._intake.parked(at_ms), on_record=self._on_record,
        )
        self._intake = Intake(
            store, self._runner, self._definitions, self._registry, self._clock,
            only=self._only, room=lambda: self._room - len(self._runner.live),
        )
        self._committer.start()
        return self

    async def aclose(self) -> None:
        """Stop gracefully: nothing new is sent, open calls have `drain_seconds`, the rest is left to be resumed."""
        store, self._store = self._store, None
        if store is None:
            return
        await self._intake.stop()
        await self._runner.stop(self._drain_s)
        await self._committer.aclose()
        await self._registry.aclose()
        await store.aclose()
        for waiting in self._ends.values():
            for future in waiting:
                future.cancel()
        for queues in self._watchers.values():
            for queue in queues:
                queue.put_nowait(None)

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
            DefinitionError: It names a service that is not registered here.
            Conflict: Its explicit version exists with other content.
        """
        registered, _ = await self._put(definition)
        program = registered.program
        return StoredDefinition(
            name=definition.name, version=program.version, tree=definition.tree, created_at_ms=self._clock.now_ms()
        )

    async def _put(self, definition: Definition) -> tuple[Registered, bool]:
        if self._store is None:
            raise _closed()
        registered, new = await self._definitions.register(definition)
        self._check_services(registered)
        return registered, new

    def _check_services(self, registered: Registered) -> None:
        known = self._registry.names()
        missing = sorted(registered.program.services - set(known))
        if missing:
            raise DefinitionError(
                [
                    Problem(
                        f"service {name!r} is not registered with this engine.{nearest(name, known)} "
                        f"Register it first: engine.register({name!r}, ...).",
                        code="unknown_service",
                    )
                    for name in missing
                ],
                registered.program.definition.name,
            )

    # --- starting ---

    async def resume(self) -> None:
        """Go on with the executions that an earlier engine left, after services are registered."""
        self._intake.start()

    async def start(
        self,
        workflow: Definition | str,
        input: Any = None,  # noqa: A002 - the word of the language
        *,
        id: str | None = None,  # noqa: A002
        version: int | None = None,
        business_key: str | None = None,
        search: dict[str, Any] | None = None,
    ) -> Execution:
        """Start an execution; when this returns, it is durable.

        Args:
            workflow: A definition (registered if need be), or the name of a registered one.
            input: Plain JSON.
            id: Of the execution; the same id and content again gives the same execution.
            version: With a name: which version; the newest if left out.
            business_key: Wins over the definition's expression.
            search: Attributes on top of the definition's.

        Raises:
            InputError: The input does not fit, or the id is malformed.
            Conflict: The id is taken by other content, or the business key by a live execution.
            NotFound: No such workflow.
            DefinitionError: A service is not registered.
        """
        name = workflow.name if isinstance(workflow, Definition) else workflow
        request = StartRequest(name, version, plain_json(input, self._settings.limits), id, business_key, search or {})
        self._intake.start()
        if id is not None:
            existing = await self._existing(request)
            if existing is not None:
                return existing
        if isinstance(workflow, Definition):
            registered, _ = await self._put(workflow)
        else:
            registered = await self._definitions.get(workflow, version)
            self._check_services(registered)
        return await self._start(registered, request)

    async def _existing(self, request: StartRequest) -> Execution | None:
        assert request.id is not None
        checked_id(request.id)
        stored = await self._store_open.find(request.id)
        if stored is None:
            return None
        same_start(stored, request)
        await self._intake.activate(request.id)
        return Execution(self, request.id, resumed=True)

    async def _start(self, registered: Registered, request: StartRequest) -> Execution:
        registered.check_input(request.input)
        key = request.business_key
        if key is None:
            key = business_key_of(registered, request.input)
        execution_id = request.id or new_id()
        moment = self._runner.moment()
        state, record = begin(
            registered.program, execution_id, request.input, moment, self._settings, business_key=key
        )
        start = Start(
            workflow=registered.program.definition.name,
            version=registered.program.version,
            start_hash=start_hash(request),
            started_at_ms=moment.now_ms,
            business_key=key,
            root=execution_id,
            search={**search_of(registered, request.input), **request.search},
        )
        live = Live(execution_id, registered.program, state, 0, standing_of(state))
        try:
            await self._begin(live, record, start)
        except Conflict as error:
            if request.id is None or error.code == "business_key_taken":
                raise
            existing = await self._existing(request)
            assert existing is not None
            return existing
        return Execution(self, execution_id)

    async def _begin(self, live: Live, record: Record, start: Start) -> None:
        """Return when the start is durable, or raise why it was refused."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(error: Exception | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        crowded = len(self._runner.live) >= self._room
        self._runner.begin(live, record, start, told, waits=crowded)
        await done

    # --- asking ---

    async def describe(self, execution_id: str) -> dict[str, Any]:
        """The whole execution, as the API gives it, with everything decided so far durable.

        Raises:
            NotFound: There is no such execution.
        """
        return describe(await self.state_of(execution_id))

    async def state_of(self, execution_id: str) -> State:
        """The state of an execution; of one in memory, when it is durable. Read it, do not keep it."""
        live = self._runner.live.get(execution_id)
        if live is not None:
            await self._durable(live)
            return live.state
        stored = await self._store_open.find(execution_id)
        if stored is None:
            raise NotFound(f"there is no execution {execution_id!r}")
        registered = await self._definitions.get(stored.start.workflow, stored.start.version)
        return fold(registered.program, await self._store_open.load(execution_id))

    async def _durable(self, live: Live) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(error: Exception | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        self._runner.when_durable(live, told)
        await done

    async def list(self, query: Query | None = None) -> Sequence[Stored]:
        """Executions, newest first."""
        return await self._store_open.query(query or Query())

    async def history(self, execution_id: str) -> Sequence[Record]:
        """The journal of an execution.

        Raises:
            NotFound: There is no such execution.
        """
        records = await self._store_open.load(execution_id)
        if not records:
            raise NotFound(f"there is no execution {execution_id!r}")
        return records

    async def result(self, execution_id: str) -> Any:
        """Wait for the end; the output of one that completed.

        Raises:
            ExecutionFailed, ExecutionCompensated, CompensationFailed, ExecutionSuspended: It ended
                otherwise, or waits for a person.
        """
        state = await self._at_rest(execution_id)
        if state.status == "completed":
            return state.output
        raise ended_otherwise(describe(state))

    async def end(self, execution_id: str) -> dict[str, Any]:
        """Wait for the end, or for a suspension; the whole execution then."""
        return describe(await self._at_rest(execution_id))

    async def _at_rest(self, execution_id: str) -> State:
        """The state once it has ended or waits for a person."""
        future: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._ends.setdefault(execution_id, []).append(future)
        try:
            if self._broken is not None:
                raise self._broken
            live = self._runner.live.get(execution_id)
            if live is None or live.state.status not in MOVING:
                state = await self.state_of(execution_id)
                if state.status not in MOVING:
                    return state
            return await future
        finally:
            waiting = self._ends.get(execution_id, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._ends.pop(execution_id, None)

    async def watch(self, execution_id: str) -> AsyncIterator[Record]:
        """Every record from now on, as it becomes durable, until the execution is at rest."""
        queue: asyncio.Queue[Record | None] = asyncio.Queue()
        queues = self._watchers.setdefault(execution_id, [])
        queues.append(queue)
        try:
            while (record := await queue.get()) is not None:
                yield record
        finally:
            queues.remove(queue)
            if not queues:
                self._watchers.pop(execution_id, None)

    # --- acting ---

    async def cancel(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Abort, and undo what the strategy undoes. Idempotent until the end, then refused."""
        await self._request(execution_id, Cancel(by, note))

    async def signal(self, execution_id: str, name: str, payload: Any = None) -> None:
        """Send a signal; it is kept when nobody waits for it yet."""
        payload = plain_json(payload, self._settings.limits)
        schema = await self._signal_schema(execution_id, name)
        schema_check(schema, f"the payload of signal {name!r}")(payload)
        await self._request(execution_id, Signal(name, payload))

    async def suspend(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Stop for a while."""
        await self._request(execution_id, Suspend(by, note))

    async def resume_execution(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Let a suspended execution go on."""
        await self._request(execution_id, Resume(by, note))

    async def retry(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Have the entries that failed tried again."""
        await self._request(execution_id, Retry(by, note))

    async def resolve(self, execution_id: str, step: str, *, note: str, by: str = "") -> None:
        """Declare a failed entry undone by other means."""
        await self._request(execution_id, Resolve(step, note, by))

    async def compensate(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Have a failed execution undone after all."""
        await self._request(execution_id, Compensate(by, note))

    async def _request(self, execution_id: str, news: Input) -> None:
        if self._store is None:
            raise _closed()
        self._intake.start()
        await self._intake.request(execution_id, news)

    async def _signal_schema(self, execution_id: str, name: str) -> Any:
        stored = await self._store_open.find(execution_id)
        if stored is None:
            raise NotFound(f"there is no execution {execution_id!r}")
        registered = await self._definitions.get(stored.start.workflow, stored.start.version)
        steps = (node.step for node in registered.program.nodes)
        return next((step.schema for step in steps if isinstance(step, SignalStep) and step.signal == name), None)

    # --- what the runner tells ---

    def _on_end(self, live: Live) -> None:
        for future in self._ends.pop(live.id, ()):
            if not future.done():
                future.set_result(live.state)
        for queue in self._watchers.get(live.id, ()):
            queue.put_nowait(None)
        self._intake.room_made()

    def _on_record(self, live: Live, record: Record) -> None:
        for queue in self._watchers.get(live.id, ()):
            queue.put_nowait(record)
        if live.state.status == "suspended" and live.id in self._ends and not live.queued:
            self._on_end(live)

    def _on_broken(self, error: Exception) -> None:
        self._broken = error
        for waiting in self._ends.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(error)

    @property
    def _store_open(self) -> Store:
        if self._store is None:
            raise _closed()
        return self._store

    # --- the sync door, for scripts ---

    def __enter__(self) -> Self:
        from makegood.engine.door import Door

        self._door = Door()
        try:
            self._door.run(self.open())
        except BaseException:
            self._door.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._door.run(self.aclose())
        finally:
            self._door.close()

    def start_sync(self, workflow: Definition | str, input: Any = None, **options: Any) -> str:  # noqa: A002
        """Start an execution from a script; its id. Takes what `start` takes."""
        execution: Execution = self._door.run(self.start(workflow, input, **options))
        return execution.id

    def run_sync(self, workflow: Definition | str, input: Any = None, **options: Any) -> Any:  # noqa: A002
        """Start an execution from a script and wait for its output. Takes what `start` takes."""
        return self._door.run(self._run(workflow, input, **options))

    async def _run(self, workflow: Definition | str, input: Any = None, **options: Any) -> Any:  # noqa: A002
        execution = await self.start(workflow, input, **options)
        return await execution.result()


def _closed() -> StorageError:
    return StorageError("the engine is closed; use it inside `async with Engine(...)` or `with Engine(...)`")


def new_id() -> str:
    """A new execution id: an UUID of version 7, so that ids sort by time."""
    from uuid_utils import uuid7

    return str(uuid7())
