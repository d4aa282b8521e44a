"""The parts of an open engine: put together, told of each other, and taken apart in order.

Whoever looks for who hears of what finds it here. Strangers keep out: nothing is done here to an
execution; each part does its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack

from makegood.core.events import Record
from makegood.core.judgement import Settings
from makegood.engine.children import Children
from makegood.engine.committer import Committer, closed
from makegood.engine.definitions import Definitions
from makegood.engine.intake import Intake, Store
from makegood.engine.listening import Listeners
from makegood.engine.live import Live
from makegood.engine.looking import Onlooker
from makegood.engine.observing import Observer
from makegood.engine.repeats import Repeats
from makegood.engine.rerunning import Reruns
from makegood.engine.runner import Runner
from makegood.engine.starting import Starter
from makegood.errors import MakegoodError
from makegood.ports import Clock
from makegood.services import Registry


class Assembly:
    """All parts of one engine, from when it opens its store until it is closed.

    Args:
        only: Advance none but these executions; None advances all.
        live_max: Executions in memory at once.
        drain_s: How long open calls are awaited when it closes.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        settings: Settings,
        *,
        only: Collection[str] | None,
        live_max: int,
        drain_s: float,
    ) -> None:
        self._store: Store | None = store
        self._registry = registry
        self._live_max = live_max
        self._drain_s = drain_s
        self._broken: Exception | None = None
        self._breaks = asyncio.Event()
        self.listeners = Listeners()
        self.definitions = Definitions(store, clock.now_ms)
        self.committer = Committer(store, self._on_broken)
        runner = self.runner = Runner(
            self.committer,
            registry,
            clock,
            settings,
            # What comes to be further down is looked up when it is called.
            on_end=self._on_end,
            on_park=lambda at_ms: self.intake.parked(at_ms),  # noqa: PLW0108
            on_record=self._on_record,
            on_lost=self._on_lost,
            on_attend=lambda live, command: self.children.attend(live, command),  # noqa: PLW0108
            on_room=lambda: self.intake.room_made(),  # noqa: PLW0108
        )
        self.repeats = Repeats(self.store, clock)
        self.intake = self._make_intake(store, clock, only)
        self.starter = Starter(
            runner, self.definitions, registry, settings,
            repeats=self.repeats, only=only, room=self._room, opened=self.store, check_usable=self.check_usable,
        )  # fmt: skip
        self.reruns = Reruns(store, runner, self.intake, self.starter, self.definitions, settings)
        self.onlooker = Onlooker(runner, self.definitions, self.store)
        self.observer = Observer(self.onlooker, self.listeners, self.store)
        self.children = Children(
            store, runner, self.intake, self.onlooker, self.definitions, registry, settings, room=self._room
        )
        self.committer.start()

    def _make_intake(self, store: Store, clock: Clock, only: Collection[str] | None) -> Intake:
        return Intake(
            store,
            self.runner,
            self.definitions,
            self._registry,
            clock,
            repeats=self.repeats,
            only=only,
            room=self._room,
            on_fenced=self.committer.fail,
            on_rerun=lambda row: self.reruns.requested(row),  # noqa: PLW0108 - it comes later
        )

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
            raise self._broken

    async def broken(self) -> Exception:
        """Return only when it can write no more: why."""
        await self._breaks.wait()
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
            stack.push_async_exit(self._drain)
            stack.push_async_callback(self.children.stop)
            stack.push_async_callback(self.intake.stop)

    async def _drain(self, kind: type[BaseException] | None, *_: object) -> None:
        # Whoever is in too much of a hurry to wait for us does not wait for open calls either.
        await self.runner.stop(self._drain_s if kind is None else 0.0)

    # --- who hears of what ---

    def _on_end(self, live: Live) -> None:
        if live.state.ended:
            self.children.ended(live)
        self.listeners.tell_rest(live)

    def _on_record(self, live: Live, record: Record) -> None:
        listened = self.listeners.tell_record(live, record)
        if listened and live.state.status == "suspended" and not live.queued:
            self._on_end(live)

    def _on_lost(self, execution_id: str, error: Exception) -> None:
        """One execution cannot go on here: whoever waits for it must not wait for ever."""
        if isinstance(error, MakegoodError):
            told: Exception = error
        else:
            told = MakegoodError(f"execution {execution_id!r} stops as its journal stands, through a bug: {error!r}")
        self.listeners.tell_lost(execution_id, told)

    def _on_broken(self, error: Exception) -> None:
        self._broken = error
        self._breaks.set()
        self.runner.stopping = True
        self.intake.halt()
        self.listeners.tell_all_lost(error)
