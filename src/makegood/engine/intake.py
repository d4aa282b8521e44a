"""What comes to this engine: executions that nobody advances, and parked ones that are due or asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from makegood.core.program import Program
from makegood.core.state import ENDS
from makegood.engine.committer import closed
from makegood.engine.crowds import Crowds
from makegood.engine.definitions import Definitions
from makegood.engine.due import Due
from makegood.engine.live import Live, standing_of, waits_of
from makegood.engine.loading import late_by, load_state
from makegood.engine.log import log, names
from makegood.engine.runner import Runner
from makegood.engine.suspects import Suspects
from makegood.engine.waking import Waking
from makegood.errors import Fenced, NotFound, Refused, StorageError, StorageUnavailable
from makegood.ports import Clock, Directory, Invoker, Journal, Leases, Requests, Stored

CLAIM_MAX = 500
"""Executions claimed at once."""
OTHERS_DUE_MS = 250
"""How often an engine with `only` looks whether what is due is its own."""
NOT_FOR_US_MS = 1_000
"""How long what is due is left to others when it could not be claimed."""
AFTER_TROUBLE_S = 1.0
"""How long the database is left alone when it could not be asked."""
LEFT_FOR_MS = 5_000
"""How long an execution is left alone whose services are not all here."""
SUSPECT_FOR_MS = 1_000
"""How long one waits for its turn at other workers, while suspects are on trial here."""


class Store(Journal, Requests, Leases, Protocol):
    """The storage ports in one adapter.

    Attributes:
        directory: Services, for all replicas.
    """

    @property
    def directory(self) -> Directory:
        """See above."""
        ...


class Elsewhere(Refused):
    """Another worker advances the execution."""

    code = "elsewhere"

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"execution {execution_id!r} is advanced by another worker", code="elsewhere")


class Intake:
    """Claims, loads and resumes; and reads the inbox.

    Args:
        only: Advance none but these executions; None advances all.
        room: How many more executions may be taken in.
        on_fenced: Told when somebody else holds the database, or this worker was declared dead.
    """

    def __init__(  # noqa: PLR0913 - everything around it, by name
        self,
        store: Store,
        runner: Runner,
        definitions: Definitions,
        invoker: Invoker,
        clock: Clock,
        *,
        only: Collection[str] | None,
        room: Callable[[], int],
        on_fenced: Callable[[Fenced], None],
        lease_ms: int,
    ) -> None:
        self._store = store
        self._runner = runner
        self._definitions = definitions
        self._invoker = invoker
        self._clock = clock
        self._only = None if only is None else set(only)
        # Those of them that may have to be claimed: a child that has ended is not looked for any more.
        self._sought = set(only or ())
        self._room = room
        self._on_fenced = on_fenced
        self._due = Due(clock, shared=store.shared)
        self.waking = Waking(store, invoker, clock, shared=store.shared, wake=self._wake)
        self.suspects = Suspects(store, self._is_advanced, clock, enabled=only is None, lease_ms=lease_ms)
        self._crowded = False
        self._looked = False
        self._halted = False
        # What was claimed and is not in memory yet. Claims are made one at a time, so that nobody
        # finds an execution claimed without finding it here.
        self._claiming = asyncio.Lock()
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._vacant: set[str] = set()
        self._unserved: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._crowds = Crowds(self._take, runner.release, self.room_made)
        self._bringing: set[asyncio.Task[Live | None]] = set()
        self._retaking: set[asyncio.Task[None]] = set()

    @property
    def started(self) -> bool:
        """Whether it takes in what is left over and what comes due."""
        return bool(self._tasks)

    def start(self) -> None:
        """Begin to take in what is left over and what comes due."""
        if not self._tasks:
            loops = (
                self._forever(self._due.wait, self._claim_due),
                self._forever(self.waking.wait, self.waking.look_at_all),
            )
            self._tasks = [asyncio.get_running_loop().create_task(each) for each in loops]
            self._due.look()

    def halt(self) -> None:
        """Take in nothing more, without waiting for what is under way."""
        self._halted = True
        for task in (*self._tasks, *self._crowds.tasks, *self._bringing, *self._retaking):
            if task is not asyncio.current_task():
                task.cancel()

    async def stop(self) -> None:
        """Take in nothing more."""
        self.halt()
        under_way = (*self._tasks, *self._crowds.tasks, *self._bringing, *self._retaking)
        await asyncio.gather(*under_way, return_exceptions=True)
        for loading in self._loading.values():
            loading.cancel()

    async def clear_crashes(self) -> None:
        """This process ends gracefully: whatever was resumed here did not crash it."""
        with suppress(StorageError, Fenced):
            await self.suspects.clear_all()

    def look(self) -> None:
        """There may be something to take in: the clock was set by hand, or a worker was declared dead."""
        self._due.look()
        self.waking.look_soon()

    def parked(self, wake_ms: int | None) -> None:
        """Some execution was parked until then."""
        self._due.at(wake_ms)

    def room_made(self) -> None:
        """There may be room for an execution that was left waiting."""
        if self._crowded:
            self._due.look()
        self.try_suspects()

    def try_suspects(self) -> None:
        """Suspects whose turn has come are taken in: others have been tried."""
        if self.started and not self._halted and (turn := self.suspects.next_turn()) is not None:
            self._go_on_with(turn, 0.0)

    def allows(self, execution_id: str) -> bool:
        """Whether an execution is advanced here at all."""
        return self._only is None or execution_id in self._only

    def allow(self, execution_id: str, *, begins: bool = False, ended: bool = False) -> None:
        """A child of an execution that is advanced here is advanced here too.

        Args:
            begins: It is about to begin here; otherwise it may be there for anybody to take in.
            ended: It has ended, and is not looked for until somebody asks for it.
        """
        if self._only is None:
            return
        self._only.add(execution_id)
        if ended:
            self._sought.discard(execution_id)
        elif execution_id not in self._sought:
            self._sought.add(execution_id)
            if not begins:
                self._due.look()

    # --- claiming ---

    async def _forever(self, wait: Callable[[], Awaitable[None]], act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await wait()
            try:
                await act()
            except Fenced as error:
                self._on_fenced(error)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the others must not wait for ever
                log.warning(names.COMMIT_FAILED, error=repr(error))
                await asyncio.sleep(AFTER_TROUBLE_S)
                self.look()

    async def _claim_due(self) -> None:
        self._due.forget()
        self._crowded = False
        only: list[str] | None = None
        asked_ms = 0
        while (room := self._room() - len(self._loading)) > 0:
            only = None if self._only is None else list(self._sought)
            limit = min(room, CLAIM_MAX)
            asked_ms = self._clock.now_ms()
            # The first time also what sleeps: a parent looks after its children, which are then allowed here too.
            found = await self._claim(limit, only, early=only is not None and not self._looked)
            self._looked = True
            # While these are taken in the next ones are claimed.
            await self._crowds.taken()
            self._crowds.begin(found)
            # A shared store gives each worker its part, so that there may be more.
            if len(found) < limit and not (found and self._store.shared):
                break
        else:
            self._crowded = True
            return
        await self._crowds.taken()
        next_ms = await self._store.next_wake_ms()
        if next_ms is not None and only is not None:
            # The next one due may be another's, which stays due for as long as this engine runs.
            next_ms = max(next_ms, self._clock.now_ms() + OTHERS_DUE_MS)
        elif next_ms is not None and next_ms <= asked_ms:
            next_ms = self._clock.now_ms() + NOT_FOR_US_MS
        self._due.known(next_ms)

    async def _wake(self, service: str, since_ms: int, limit: int) -> int | None:
        """Take in those that have waited for a service since then or longer; how many, or None without any room."""
        room = self._room() - len(self._loading)
        if room <= 0:
            return None
        only = None if self._only is None else list(self._sought)
        found = await self._claim(min(room, limit), only, waits=(service, since_ms))
        return await self._crowds.take(found)

    async def _claim(
        self, limit: int, only: Collection[str] | None, *, early: bool = False, waits: tuple[str, int] | None = None
    ) -> list[Stored]:
        async with self._claiming:
            offered = None if only is not None else self._invoker.offered()
            now_ms = self._clock.now_ms()
            found = await self._store.claim(now_ms, limit=limit, only=only, early=early, offered=offered, waits=waits)
            # What is here already is only told again, after an answer that was lost.
            found = [each for each in found if each.execution_id not in self._runner.live]
            self._vacant.difference_update(stored.execution_id for stored in found)
            for stored in found:
                self._loading[stored.execution_id] = asyncio.get_running_loop().create_future()
        return found

    async def _take(self, stored: Stored, told: bool = True) -> Live:
        """Load an execution that was claimed, resume and hold it; one not understood or not served is left alone.

        Raises:
            Refused: Its services are not all here.
        """
        try:
            registered = await self._definitions.get(stored.start.workflow, stored.start.version)
            if stored.standing.status not in ENDS:
                # One that has ended calls nobody: whoever brings it back looks then.
                self.check_served(stored.execution_id, registered.program)
            self.suspects.check_turn(stored)
            state = await load_state(self._store, stored.execution_id, registered.program)
            live = Live(stored.execution_id, registered.program, state, state.records, standing_of(state), held=1)
            live.waits = waits_of(state)
            tell = log.info if told or stored.crashes else log.debug
            late_ms = late_by(state, self._clock.now_ms())
            tell(names.EXECUTION_RESUMED, execution=stored.execution_id, crashes=stored.crashes, late_ms=late_ms)
            if self._only is not None and live.id in self._only:
                self._sought.add(live.id)
            self._runner.resume(live, self.suspects.quarantine(stored))
        except Refused as error:
            if stored.standing.status not in ENDS:
                self._leave(stored, str(error), error.code)
            raise
        except (StorageUnavailable, Fenced):
            self.retake(stored.execution_id)
            raise
        except Exception as error:
            log.error(names.EXECUTION_NOT_UNDERSTOOD, execution=stored.execution_id, error=repr(error))
            if stored.standing.ended_at_ms is None and stored.execution_id not in self._runner.live:
                with suppress(StorageError, Fenced):
                    await self._store.set_aside(stored.execution_id, repr(error))
            raise
        finally:
            loading = self._loading.pop(stored.execution_id, None)
            if loading is not None:
                loading.set_result(None)
        return live

    def check_served(self, execution_id: str, program: Program) -> None:
        """Raises Refused when an execution of that program needs services that are not here."""
        missing = sorted(name for name in program.services if not self._invoker.offers(name))
        if missing:
            raise Refused(
                f"execution {execution_id!r} needs services that this engine does not have: "
                f"{', '.join(missing)}. Register them, or ask where they are.",
                code="unserved",
            )

    def _leave(self, stored: Stored, why: str, code: str) -> None:
        """Released and parked, never failed: a process that offers the service goes on with it."""
        left_for_ms = SUSPECT_FOR_MS if code == "suspect" else LEFT_FOR_MS
        self._runner.parking.park_unloaded(stored, self._clock.now_ms() + left_for_ms)
        if stored.execution_id not in self._unserved:
            self._unserved.add(stored.execution_id)
            log.warning(names.EXECUTION_UNSERVED, execution=stored.execution_id, why=why)

    def retake(self, execution_id: str) -> None:
        """Something came between this worker and an execution: unless another has it now, go on with it."""
        if self._store.shared and self.started:
            self._go_on_with(execution_id, AFTER_TROUBLE_S)

    def _go_on_with(self, execution_id: str, after_s: float) -> None:
        async def again() -> None:
            await asyncio.sleep(after_s)
            with suppress(Exception):  # Whoever advances it meanwhile goes on; else it is logged.
                async with self.holding(execution_id):
                    pass
            self.try_suspects()

        task = asyncio.get_running_loop().create_task(again())
        self._retaking.add(task)
        task.add_done_callback(self._retaking.discard)

    # --- one execution, for a request ---

    @asynccontextmanager
    async def holding(self, execution_id: str) -> AsyncIterator[Live]:
        """The execution in memory, where it stays meanwhile: taken in if it was parked, revived if it has ended.

        Raises:
            NotFound: There is no such execution.
            Refused: It has not ended, and its services are not all here.
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
        if stored.elsewhere:
            raise Elsewhere(execution_id)
        if stored.standing.parked or not vacant or self._is_here(execution_id):
            return None
        # It has ended; or nobody has it although it is ours, since it was not understood, or went wrong: once more.
        self._loading[execution_id] = asyncio.get_running_loop().create_future()
        return await self._take(stored)

    def _is_advanced(self, execution_id: str) -> bool:
        return execution_id in self._runner.live or execution_id in self._loading

    def _is_here(self, execution_id: str) -> bool:
        return any(execution_id in each for each in (self._runner.live, self._loading, self._runner.parking.under_way))
