"""What comes to this engine: executions that nobody advances, parked ones that are due, requests
that other processes left in the inbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from makegood.core import inputs
from makegood.core.state import ENDS
from makegood.engine.committer import closed
from makegood.engine.definitions import Definitions, Registered, check_payload
from makegood.engine.live import Live, standing_of
from makegood.engine.loading import load_state
from makegood.engine.log import log, names
from makegood.engine.repeats import Repeats
from makegood.engine.requests import request_of
from makegood.engine.runner import Runner
from makegood.engine.starts import Turn
from makegood.engine.suspects import Suspects
from makegood.errors import Fenced, NotFound, Refused, StorageError
from makegood.ports import Clock, InboxRow, Invoker, Journal, KeyedRequest, Leases, Requests, Stored

CLAIM_MAX = 500
"""Executions claimed at once."""
INBOX_S = 0.25
"""How often the inbox is looked at."""
OTHERS_DUE_MS = 250
"""How often an engine with `only` looks whether what is due is its own."""
AFTER_TROUBLE_S = 1.0
"""How long the database is left alone when it could not be asked."""
LEFT_FOR_MS = 5_000
"""How long an execution is left alone whose services are not all here."""


class Store(Journal, Requests, Leases, Protocol):
    """The storage ports in one adapter."""


class Intake:
    """Claims, loads and resumes; and reads the inbox.

    Args:
        only: Advance none but these executions; None advances all.
        room: How many more executions may be taken in.
        on_fenced: Told when somebody else holds the database.
        on_rerun: Does what a request for a rerun asks for, and settles it.
    """

    def __init__(  # noqa: PLR0913 - everything around it, by name
        self,
        store: Store,
        runner: Runner,
        definitions: Definitions,
        invoker: Invoker,
        clock: Clock,
        *,
        repeats: Repeats,
        only: Collection[str] | None,
        room: Callable[[], int],
        on_fenced: Callable[[Fenced], None],
        on_rerun: Callable[[InboxRow], Awaitable[None]],
    ) -> None:
        self._store = store
        self._runner = runner
        self._definitions = definitions
        self._invoker = invoker
        self._clock = clock
        self._repeats = repeats
        self._only = None if only is None else set(only)
        self._room = room
        self._on_fenced = on_fenced
        self._on_rerun = on_rerun
        self._due = asyncio.Event()
        self._next_ms: int | None = None
        self._suspects = Suspects(store, runner, clock, enabled=only is None)
        self._crowded = False
        self._looked = False
        # What was claimed and is not in memory yet. Claims are made one at a time, so that nobody
        # finds an execution claimed without finding it here.
        self._claiming = asyncio.Lock()
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._vacant: set[str] = set()
        self._unserved: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._bringing: set[asyncio.Task[Live | None]] = set()

    def start(self) -> None:
        """Begin to take in what is left over and what comes due."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._claim_forever()), loop.create_task(self._read_inbox_forever())]
            self._due.set()

    def halt(self) -> None:
        """Take in nothing more, without waiting for what is under way."""
        for task in (*self._tasks, *self._bringing):
            if task is not asyncio.current_task():
                task.cancel()

    async def stop(self) -> None:
        """Take in nothing more."""
        self.halt()
        await asyncio.gather(*self._tasks, *self._bringing, return_exceptions=True)
        for loading in self._loading.values():
            loading.cancel()

    def look_at_the_clock(self) -> None:
        """It was set by hand."""
        self._due.set()

    def parked(self, wake_ms: int | None) -> None:
        """Some execution was parked until then."""
        if wake_ms is not None and (self._next_ms is None or wake_ms < self._next_ms):
            self._next_ms = wake_ms
            self._due.set()

    def room_made(self) -> None:
        """There may be room for an execution that was left waiting."""
        if self._crowded:
            self._due.set()

    def allow(self, execution_id: str) -> None:
        """A child of an execution that is advanced here is advanced here too."""
        if self._only is not None and execution_id not in self._only:
            self._only.add(execution_id)
            self._due.set()

    # --- claiming ---

    async def _claim_forever(self) -> None:
        while True:
            await self._wait_until_due()
            self._due.clear()
            try:
                await self._claim_due()
            except Fenced as error:
                self._on_fenced(error)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the others must not wait for ever
                log.warning(names.COMMIT_FAILED, error=repr(error))
                await asyncio.sleep(AFTER_TROUBLE_S)
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
        # Unknown from here on: what is parked while we look sets it, and is not forgotten below.
        self._next_ms = None
        self._crowded = False
        while (room := self._room()) > 0:
            only = None if self._only is None else list(self._only)
            limit = min(room, CLAIM_MAX)
            # The first time also what sleeps: a parent looks after its children, which are then allowed here too.
            found = await self._claim(limit, only, early=only is not None and not self._looked)
            self._looked = True
            for stored in found:
                with suppress(Exception):  # It is logged, and stays where it is.
                    self._runner.release(await self._take(stored))
            if len(found) < limit:
                break
        else:
            self._crowded = True
            return
        next_ms = await self._store.next_wake_ms()
        if self._only is not None and next_ms is not None:
            # The next one due may be another's, which stays due for as long as this engine runs.
            next_ms = max(next_ms, self._clock.now_ms() + OTHERS_DUE_MS)
        moments = [each for each in (next_ms, self._next_ms) if each is not None]
        self._next_ms = min(moments, default=None)

    async def _claim(self, limit: int, only: Collection[str] | None, *, early: bool = False) -> list[Stored]:
        async with self._claiming:
            found = await self._store.claim(self._clock.now_ms(), limit=limit, only=only, early=early)
            self._vacant.difference_update(stored.execution_id for stored in found)
            for stored in found:
                self._loading[stored.execution_id] = asyncio.get_running_loop().create_future()
        return found

    async def _take(self, stored: Stored) -> Live:
        """Load an execution that was claimed, resume and hold it; one not understood or not served is left alone.

        Raises:
            Refused: Its services are not all here.
        """
        try:
            registered = await self._definitions.get(stored.start.workflow, stored.start.version)
            self.check_served(stored.execution_id, registered)
            self._suspects.check_turn(stored)
            state = await load_state(self._store, stored.execution_id, registered.program)
            live = Live(stored.execution_id, registered.program, state, state.records, standing_of(state), held=1)
            log.info(names.EXECUTION_RESUMED, execution=stored.execution_id, crashes=stored.crashes)
            self._runner.resume(live, self._suspects.quarantine(stored))
        except Refused as error:
            if stored.standing.status not in ENDS:
                self._leave(stored, str(error))
            raise
        except Exception as error:
            log.error(names.EXECUTION_NOT_UNDERSTOOD, execution=stored.execution_id, error=repr(error))
            raise
        finally:
            loading = self._loading.pop(stored.execution_id, None)
            if loading is not None:
                loading.set_result(None)
        return live

    def check_served(self, execution_id: str, registered: Registered) -> None:
        """Raises Refused when an execution of that definition needs services that are not here."""
        missing = sorted(name for name in registered.program.services if not self._invoker.knows(name))
        if missing:
            raise Refused(
                f"execution {execution_id!r} needs services that this engine does not have: "
                f"{', '.join(missing)}. Register them, or ask where they are.",
                code="unserved",
            )

    def _leave(self, stored: Stored, why: str) -> None:
        """Released and parked, never failed: a process that offers the service goes on with it."""
        self._runner.parking.park_unloaded(stored, self._clock.now_ms() + LEFT_FOR_MS)
        if stored.execution_id not in self._unserved:
            self._unserved.add(stored.execution_id)
            log.warning(names.EXECUTION_UNSERVED, execution=stored.execution_id, why=why)

    # --- one execution, for a request ---

    @asynccontextmanager
    async def holding(self, execution_id: str) -> AsyncIterator[Live]:
        """The execution in memory, where it stays meanwhile: taken in if it was parked, revived if it has ended.

        Raises:
            NotFound: There is no such execution.
            Refused: Its services are not all here.
        """
        live = await self._held(execution_id)
        try:
            yield live
        finally:
            self._runner.release(live)

    async def _held(self, execution_id: str) -> Live:
        while True:
            live = self._runner.live.get(execution_id)
            if live is not None:
                live.held += 1
                return live
            task = asyncio.get_running_loop().create_task(self._bring(execution_id))
            self._bringing.add(task)
            task.add_done_callback(self._bringing.discard)
            try:
                # What was claimed must come in, whatever becomes of the one who asks for it.
                live = await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.cancelled():
                    raise closed() from None
                task.add_done_callback(self._nobody_asks)
                raise
            if live is not None:
                return live

    def _nobody_asks(self, task: asyncio.Task[Live | None]) -> None:
        if not task.cancelled() and task.exception() is None and (live := task.result()) is not None:
            self._runner.release(live)

    async def _bring(self, execution_id: str) -> Live | None:
        """Take it in and hold it; None when somebody else does, or did while we looked."""
        moving = self._loading.get(execution_id) or self._runner.parking.under_way.get(execution_id)
        if moving is not None:
            await asyncio.wait([moving])
            return None
        found = await self._claim(1, [execution_id], early=True)
        if found:
            return await self._take(found[0])
        if self._is_here(execution_id):
            return None
        # Whoever takes it while we look takes it off this list, and then the row we find is an old one.
        self._vacant.add(execution_id)
        stored = await self._store.find(execution_id)
        vacant = execution_id in self._vacant
        self._vacant.discard(execution_id)
        if stored is None:
            raise NotFound(f"there is no execution {execution_id!r}")
        if stored.standing.parked or not vacant or self._is_here(execution_id):
            return None
        # It has ended; or nobody has it although it is ours, since it was not understood, or went wrong: once more.
        self._loading[execution_id] = asyncio.get_running_loop().create_future()
        return await self._take(stored)

    async def request(
        self, execution_id: str, news: inputs.Input, *, inbox_id: int | None = None, once: KeyedRequest | None = None
    ) -> None:
        """Put a request before an execution, wherever it is; return when the verdict is durable.

        Args:
            once: Under which key it is asked: what was done under it is not done again.

        Raises:
            NotFound: There is no such execution.
            Refused: Its state does not allow it; nothing was changed.
            InputError: The payload of a signal does not fit.
            Conflict: The key stands for another request.
        """
        if once is None:
            await self._ask(execution_id, news, inbox_id)
            return
        async with self._repeats.turn(once) as turn:
            if turn is not None:
                await self._ask(execution_id, news, inbox_id, once, turn)

    def _is_here(self, execution_id: str) -> bool:
        return any(execution_id in each for each in (self._runner.live, self._loading, self._runner.parking.under_way))

    async def _ask(
        self, execution_id: str, news: inputs.Input, inbox_id: int | None,
        once: KeyedRequest | None = None, turn: Turn | None = None,
    ) -> None:  # fmt: skip
        async with self.holding(execution_id) as live:
            if isinstance(news, inputs.Signal):
                check_payload((node.step for node in live.program.nodes), news.name, news.payload)
            effectless = await self._tell(live, news, inbox_id, once, turn)
        if effectless and inbox_id is not None:
            await self._store.drop_inbox([inbox_id])
        if effectless and once is not None:
            await self._repeats.keep(once)

    async def _tell(
        self, live: Live, news: inputs.Input, inbox_id: int | None, once: KeyedRequest | None, turn: Turn | None
    ) -> bool:
        """Put news before a live execution; return when what followed is durable. Whether no record came of it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(error: Exception | None) -> None:
            if turn is not None and turn.kept:
                turn.give()
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        position = live.position
        live.inbox_ids += [] if inbox_id is None else [inbox_id]
        live.requests += [] if once is None else [once]
        try:
            self._runner.tell(live, news, told)
        finally:
            effectless = live.position == position
            if effectless:
                # Whatever comes next is not their effect.
                live.inbox_ids = [each for each in live.inbox_ids if each != inbox_id]
                live.requests = [each for each in live.requests if each is not once]
            elif turn is not None and not done.done():
                # Kept until the record is durable, also when nobody waits for it any more.
                turn.kept = True
        await done
        return effectless

    # --- the inbox ---

    async def _read_inbox_forever(self) -> None:
        while True:
            rest_s = INBOX_S
            try:
                await self._suspects.clear()
                rows = await self._store.inbox(limit=100)
                for row in rows:
                    if self._only is None or row.execution_id in self._only:
                        await self._handle(row)
            except Fenced as error:
                self._on_fenced(error)
                return
            except Exception as error:  # noqa: BLE001 - the requests stay where they are
                log.warning(names.COMMIT_FAILED, error=repr(error))
                rest_s = AFTER_TROUBLE_S
            await asyncio.sleep(rest_s)

    async def _handle(self, row: InboxRow) -> None:
        try:
            if row.kind == "rerun":
                await self._on_rerun(row)
            else:
                await self.request(row.execution_id, request_of(row.kind, row.body), inbox_id=row.id)
        except (StorageError, Fenced):
            # No verdict: it stays in the inbox, for this engine or the next one.
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be understood must not stop the others
            log.warning(names.REQUEST_DROPPED, execution=row.execution_id, kind=row.kind, error=repr(error))
            await self._store.drop_inbox([row.id], verdict=str(error) or repr(error))
