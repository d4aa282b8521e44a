"""The parts of an open engine: put together, told of each other, and taken apart in order.

Whoever looks for who hears of what finds it here. Strangers keep out: nothing is done here to an
execution; each part does its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from typing import cast

from makegood.core.events import Record
from makegood.core.judgement import Settings
from makegood.engine.afar import Afar
from makegood.engine.children import Children
from makegood.engine.committer import Committer, closed
from makegood.engine.definitions import Definitions
from makegood.engine.inbox import Inbox
from makegood.engine.intake import Intake, Store
from makegood.engine.lanes import Lanes
from makegood.engine.listening import Listeners
from makegood.engine.live import Live
from makegood.engine.looking import Onlooker
from makegood.engine.observing import Observer
from makegood.engine.repeats import Repeats
from makegood.engine.rerunning import Reruns
from makegood.engine.runner import Runner
from makegood.engine.starting import Starter
from makegood.engine.starts import Turns
from makegood.engine.telemetry import Telemetry, WatchedInvoker, WatchedJournal, told
from makegood.engine.tenure import Tenure
from makegood.engine.vitals import Vitals
from makegood.errors import Fenced, MakegoodError, StorageError, StorageUnavailable
from makegood.ports import Clock, Journal
from makegood.services import Registry


class Assembly:
    """All parts of one engine, from when it opens its store until it is closed.

    Args:
        only: Advance none but these executions; None advances all.
        live_max: Executions in memory at once.
        drain_s: How long open calls are awaited when it closes.
        lease_ms: How long this worker is taken to be alive without a sign of life.
        listeners: Those of an earlier assembly, when this worker comes back as another one.
        on_dead: Told when this worker was declared dead, or can write no more where others can.
        telemetry: Told of what happens; None tells nobody.
    """

    def __init__(  # noqa: PLR0913 - everything that an engine is told, by name
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        settings: Settings,
        *,
        only: Collection[str] | None,
        live_max: int,
        drain_s: float,
        lease_ms: int,
        listeners: Listeners,
        on_dead: Callable[[Exception], None],
        telemetry: Telemetry | None = None,
    ) -> None:
        self._store: Store | None = store
        self._registry = registry
        self._live_max = live_max
        self._drain_s = drain_s
        self._telemetry = telemetry
        self._broken: Exception | None = None
        self._breaks = asyncio.Event()
        self._on_dead = on_dead
        self._shared = store.shared
        self.listeners = listeners
        self.definitions = Definitions(store, clock.now_ms)
        writers = Lanes if store.shared else Committer
        self.committer = writers(self._watched(store), self._on_broken)
        runner = self._make_runner(store, clock, settings, lease_ms)
        self.repeats = Repeats(self.store, clock)
        self._make_intake(store, clock, only, lease_ms)
        # One for all who begin executions, since their ids are of one kind.
        turns = Turns()
        self.starter = Starter(
            runner, self.definitions, registry, settings, repeats=self.repeats, turns=turns,
            ours=self.intake.allows, room=self._room, opened=self.store, check_usable=self.check_usable,
        )  # fmt: skip
        self.reruns = Reruns(store, runner, self.intake, self.starter, self.definitions, settings, turns=turns)
        self.onlooker = Onlooker(runner, self.definitions, self.store)
        self.observer = Observer(self.onlooker, self.listeners, self.store)
        self.vitals = Vitals(runner, clock, room=self._room, opened=self.store)
        self.children = Children(
            store, runner, self.intake, self.inbox, self.onlooker, self.definitions, registry, settings,
            starter=self.starter, turns=turns,
        )  # fmt: skip
        self._afar = Afar(store, self.onlooker, self.listeners, runner.live.__contains__)
        self.committer.start()
        self.tenure.start()
        if store.shared:
            self._afar.start()

    def resume(self) -> None:
        """Begin to take in what is left over, what comes due, and what other processes ask."""
        self._registry.begin()
        self.intake.start()
        self.inbox.start()

    def _make_runner(self, store: Store, clock: Clock, settings: Settings, lease_ms: int) -> Runner:
        self.tenure = Tenure(
            store,
            lease_ms,
            on_dead=self.committer.fail,
            on_left_over=lambda: self.intake.look(),  # noqa: PLW0108
            on_workers=self._registry.set_share,
        )
        self.runner = Runner(
            self.committer,
            self._registry if self._telemetry is None else WatchedInvoker(self._registry, self._telemetry),
            self.tenure,
            clock,
            settings,
            # What comes to be further down is looked up when it is called.
            on_end=self._on_end,
            on_park=lambda at_ms: self.intake.parked(at_ms),  # noqa: PLW0108
            on_record=self._on_record,
            on_lost=self._on_lost,
            on_attend=lambda live, command: self.children.attend(live, command),  # noqa: PLW0108
            on_room=lambda: self.intake.room_made(),  # noqa: PLW0108
            on_well=lambda service: self.intake.waking.well(service),  # noqa: PLW0108
            on_wait=lambda service: self.intake.waking.parked(service),  # noqa: PLW0108
        )
        return self.runner

    def _make_intake(self, store: Store, clock: Clock, only: Collection[str] | None, lease_ms: int) -> None:
        fail = self.committer.fail
        self.intake = Intake(
            store,
            self.runner,
            self.definitions,
            self._registry,
            clock,
            only=only,
            room=self._room,
            on_fenced=fail,
            lease_ms=lease_ms,
        )
        # What comes later is looked up when it is called.
        self.inbox = Inbox(
            store,
            self.runner,
            self.intake,
            self.repeats,
            allowed=self.intake.allows,
            on_fenced=fail,
            on_child=lambda parent, child: self.children.heard(parent, child),  # noqa: PLW0108
            on_rerun=lambda row: self.reruns.requested(row),  # noqa: PLW0108
        )

    def _watched(self, store: Store) -> Journal:
        return store if self._telemetry is None else cast("Journal", WatchedJournal(store, self._telemetry))

    def store(self) -> Store:
        """The store, or raises that the engine is closed."""
        if self._store is None:
            raise closed()
        return self._store

    def check_usable(self) -> None:
        """Raises when the engine is closed, or why it is broken."""
        if self._store is None:
            raise closed()
        if self._broken is not None:
            raise returning(self._broken) if self._shared else self._broken

    async def broken(self) -> Exception:
        """Return only when it can write no more, and will not come back: why."""
        await (asyncio.Event() if self._shared else self._breaks).wait()
        assert self._broken is not None
        return self._broken

    def _room(self) -> int:
        """How many more executions may be taken in."""
        return self._live_max - len(self.runner.live)

    async def aclose(self) -> None:
        """Send nothing new, give open calls some time, leave the rest to be resumed. Once is enough."""
        store, self._store = self._store, None
        if store is None:
            return
        self.runner.stopping = True
        async with AsyncExitStack() as stack:
            # Also when one of them fails or is cancelled, all that come after it happen: from the last to the first.
            stack.callback(self.listeners.tell_all_lost, closed())
            stack.push_async_callback(store.aclose)
            stack.push_async_callback(self._registry.aclose)
            stack.push_async_callback(self.committer.aclose)
            stack.push_async_callback(self.intake.clear_crashes)
            # Open calls may take longer than a lease.
            stack.push_async_callback(self.tenure.stop)
            stack.push_async_exit(self._drain)
            stack.push_async_callback(self.children.stop)
            stack.push_async_callback(self.intake.stop)
            stack.push_async_callback(self.inbox.stop)
            stack.push_async_callback(self._afar.stop)

    async def abandon(self) -> None:
        """Let go of everything in memory: it belongs to others now. Store and services stay open."""
        self.runner.stopping = True
        for stop in (self._afar.stop, self.tenure.stop, self.inbox.stop, self.intake.stop, self.children.stop):
            await stop()
        await self.runner.stop(0.0)
        await self.committer.aclose()

    async def _drain(self, kind: type[BaseException] | None, *_: object) -> None:
        # Whoever is in too much of a hurry to wait for us does not wait for open calls either.
        await self.runner.stop(self._drain_s if kind is None else 0.0)

    # --- who hears of what ---

    def _on_end(self, live: Live) -> None:
        if live.state.ended:
            self.children.ended(live)
        self.listeners.tell_rest(live)

    def _on_record(self, live: Live, record: Record) -> None:
        if self._telemetry is not None:
            told(self._telemetry.recorded, live.state, record)
        listened = self.listeners.tell_record(live, record)
        if listened and live.state.status == "suspended" and not live.queued:
            self._on_end(live)

    def _on_lost(self, execution_id: str, error: Exception) -> None:
        """One execution cannot go on here: whoever waits for it must not wait for ever."""
        if self._shared and isinstance(error, (Fenced, StorageError)):
            # It goes on elsewhere, or here again; its listeners hear of it then.
            if self.committer.broken is None:
                self.intake.retake(execution_id)
            return
        if isinstance(error, MakegoodError):
            why: Exception = error
        else:
            why = MakegoodError(f"execution {execution_id!r} stops as its journal stands, through a bug: {error!r}")
        self.listeners.tell_lost(execution_id, why)

    def _on_broken(self, error: Exception) -> None:
        self._broken = error
        self._breaks.set()
        self.runner.stopping = True
        self.intake.halt()
        self.inbox.halt()
        if self._shared:
            self.tenure.halt()
            self._on_dead(error)
        else:
            self.listeners.tell_all_lost(error)


def returning(why: Exception) -> StorageUnavailable:
    """The error for whatever comes while a worker comes back."""
    return StorageUnavailable(f"this worker is coming back as a new one; try again in a moment ({why})")
