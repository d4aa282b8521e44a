"""What comes to this engine: executions that nobody advances, parked ones that are due, requests
that other processes left in the inbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Protocol

from makegood.core import inputs
from makegood.core.evolve import fold
from makegood.core.state import State
from makegood.engine.definitions import Definitions
from makegood.engine.live import Live, standing_of
from makegood.engine.log import log, names
from makegood.engine.runner import Runner
from makegood.errors import MakegoodError, NotFound
from makegood.ports import Clock, InboxRow, Invoker, Journal, Leases, Stored

CLAIM_MAX = 500
"""Executions claimed at once."""
INBOX_S = 0.25
"""How often the inbox is looked at."""
LOAD_PAGE = 1_000
OTHERS_DUE_MS = 250
"""How often an engine with `only` looks whether what is due is its own."""
LEFT_FOR_MS = 5_000
"""How long an execution is left alone whose services are not all here."""


class Store(Journal, Leases, Protocol):
    """Both storage ports in one adapter."""


class Intake:
    """Claims, loads and resumes; and reads the inbox.

    Args:
        only: Advance none but these executions; None advances all.
        room: How many more executions may be taken in.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        definitions: Definitions,
        invoker: Invoker,
        clock: Clock,
        *,
        only: Collection[str] | None,
        room: Callable[[], int],
    ) -> None:
        self._store = store
        self._runner = runner
        self._definitions = definitions
        self._invoker = invoker
        self._clock = clock
        self._only = only
        self._room = room
        self._due = asyncio.Event()
        self._next_ms: int | None = None
        self._loading: dict[str, asyncio.Future[Live | None]] = {}
        self._unserved: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to take in what is left over and what comes due."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._claim_forever()), loop.create_task(self._read_inbox_forever())]
            self._due.set()

    async def stop(self) -> None:
        """Take in nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def parked(self, wake_ms: int | None) -> None:
        """Some execution was parked until then."""
        if wake_ms is not None and (self._next_ms is None or wake_ms < self._next_ms):
            self._next_ms = wake_ms
            self._due.set()

    def room_made(self) -> None:
        """There may be room for an execution that was left waiting."""
        self._due.set()

    # --- claiming ---

    async def _claim_forever(self) -> None:
        while True:
            await self._wait_until_due()
            self._due.clear()
            try:
                await self._claim_due()
            except MakegoodError as error:
                log.warning(names.COMMIT_FAILED, error=str(error))
                await asyncio.sleep(1.0)
                self._due.set()

    async def _wait_until_due(self) -> None:
        while not self._due.is_set():
            rest_s = None if self._next_ms is None else max(0.0, (self._next_ms - self._clock.now_ms()) / 1000)
            try:
                # Not wait_for: up to Python 3.11 it swallows a cancellation that comes with the event.
                async with asyncio.timeout(None if rest_s is None else min(rest_s, 60.0)):
                    await self._due.wait()
            except TimeoutError:
                if self._next_ms is not None and self._next_ms <= self._clock.now_ms():
                    return

    async def _claim_due(self) -> None:
        while (room := self._room()) > 0:
            only = None if self._only is None else list(self._only)
            found = await self._store.claim(self._clock.now_ms(), limit=min(room, CLAIM_MAX), only=only)
            taken = [await self._take(stored) for stored in found]
            if len(found) < min(room, CLAIM_MAX) or not any(taken):
                break
        else:
            self._next_ms = None
            return
        self._next_ms = await self._store.next_wake_ms()
        if self._only is not None and self._next_ms is not None:
            # The next one due may be another's, which stays due for as long as this engine runs.
            self._next_ms = max(self._next_ms, self._clock.now_ms() + OTHERS_DUE_MS)

    async def _take(self, stored: Stored) -> Live | None:
        """Load an execution and resume it; one that cannot be understood or served is left alone."""
        try:
            registered = await self._definitions.get(stored.start.workflow, stored.start.version)
            missing = [name for name in registered.program.services if not self._invoker.knows(name)]
            if missing:
                self._leave(stored, f"no service {', '.join(sorted(missing))} here")
                return None
            state = State(registered.program)
            position = 0
            while True:
                records = await self._store.load(stored.execution_id, start=position, limit=LOAD_PAGE)
                fold(registered.program, records, state)
                position += len(records)
                if len(records) < LOAD_PAGE:
                    break
        except Exception as error:  # noqa: BLE001 - nothing read at start-up is fatal; this one stays where it is
            log.error(names.EXECUTION_NOT_UNDERSTOOD, execution=stored.execution_id, error=repr(error))
            return None
        live = Live(stored.execution_id, registered.program, state, position, standing_of(state))
        log.info(names.EXECUTION_RESUMED, execution=stored.execution_id, crashes=stored.crashes)
        self._runner.resume(live)
        return live

    def _leave(self, stored: Stored, why: str) -> None:
        """Released and parked, never failed: a process that offers the service goes on with it."""
        self._runner.park_unloaded(stored, self._clock.now_ms() + LEFT_FOR_MS)
        if stored.execution_id not in self._unserved:
            self._unserved.add(stored.execution_id)
            log.warning(names.EXECUTION_UNSERVED, execution=stored.execution_id, why=why)

    # --- one execution, for a request ---

    async def activate(self, execution_id: str) -> Live | None:
        """The execution in memory, taken in if it was parked; None when it has ended.

        Raises:
            NotFound: There is no such execution.
        """
        live = self._runner.live.get(execution_id)
        if live is not None:
            return live
        stored = await self._store.find(execution_id)
        if stored is None:
            raise NotFound(f"there is no execution {execution_id!r}")
        if execution_id in self._loading:
            return await asyncio.shield(self._loading[execution_id])
        loading: asyncio.Future[Live | None] = asyncio.get_running_loop().create_future()
        self._loading[execution_id] = loading
        try:
            live = await self._load_for_request(stored)
            loading.set_result(live)
        finally:
            del self._loading[execution_id]
            if not loading.done():
                loading.cancel()
        return live

    async def _load_for_request(self, stored: Stored) -> Live | None:
        found = await self._store.claim(self._clock.now_ms(), limit=1, only=[stored.execution_id], early=True)
        if found:
            return await self._take(found[0])
        # It may have been taken in while we asked.
        return self._runner.live.get(stored.execution_id)

    async def revive(self, stored: Stored) -> Live:
        """An ended execution in memory again, for an operator's repair."""
        registered = await self._definitions.get(stored.start.workflow, stored.start.version)
        state = fold(registered.program, await self._store.load(stored.execution_id))
        live = Live(stored.execution_id, registered.program, state, state.records, standing_of(state))
        return self._runner.live.setdefault(stored.execution_id, live)

    # --- the inbox ---

    async def _read_inbox_forever(self) -> None:
        while True:
            try:
                rows = await self._store.inbox(limit=100)
                for row in rows:
                    if self._only is None or row.execution_id in self._only:
                        await self._handle(row)
            except MakegoodError as error:
                log.warning(names.REQUEST_DROPPED, error=str(error))
            await asyncio.sleep(INBOX_S)

    async def _handle(self, row: InboxRow) -> None:
        try:
            await self.request(row.execution_id, request_of(row.kind, row.body), inbox_id=row.id)
        except MakegoodError as error:
            log.warning(names.REQUEST_DROPPED, execution=row.execution_id, kind=row.kind, error=str(error))
            await self._store.drop_inbox([row.id], verdict=str(error))

    async def request(self, execution_id: str, news: inputs.Input, *, inbox_id: int | None = None) -> None:
        """Put a request before an execution, wherever it is; return when the verdict is durable.

        Raises:
            NotFound: There is no such execution.
            Refused: Its state does not allow it; nothing was changed.
        """
        live = await self.activate(execution_id)
        if live is None:
            stored = await self._store.find(execution_id)
            assert stored is not None
            live = await self.revive(stored)
        try:
            await self._tell(live, news, inbox_id)
        finally:
            self._runner.forget_if_ended(live)

    async def _tell(self, live: Live, news: inputs.Input, inbox_id: int | None) -> None:
        """Put news before a live execution; return when what followed is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(error: Exception | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        if inbox_id is not None:
            live.inbox_ids.append(inbox_id)
        try:
            self._runner.tell(live, news, told)
        finally:
            settled_by_record = inbox_id is None or inbox_id not in live.inbox_ids
            if not settled_by_record:
                live.inbox_ids.remove(inbox_id)  # type: ignore[arg-type]
        if not settled_by_record:
            await self._store.drop_inbox([inbox_id])  # type: ignore[list-item]
        await done


def request_of(kind: str, body: dict[str, Any]) -> inputs.Input:
    """A request as an input to the core.

    Raises:
        NotFound: There is no such request.
    """
    by, note = str(body.get("by", "")), str(body.get("note", ""))
    match kind:
        case "cancel":
            return inputs.Cancel(by, note)
        case "suspend":
            return inputs.Suspend(by, note)
        case "resume":
            return inputs.Resume(by, note)
        case "retry":
            return inputs.Retry(by, note)
        case "compensate":
            return inputs.Compensate(by, note)
        case "resolve":
            return inputs.Resolve(str(body["step"]), note, by)
        case "signal":
            return inputs.Signal(str(body["name"]), body.get("payload"))
        case _:
            raise NotFound(f"there is no request {kind!r}")
