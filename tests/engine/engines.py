"""Engines for tests: on a store that is given, by a clock that is set, with services that wait to be let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import makegood as mg
from makegood.core.events import Record
from makegood.engine.client import Engine
from makegood.ports import Append, Stored
from makegood.services import Call, Registry
from makegood.storage.memory import MemoryStore

T0 = 1_700_000_000_000


class EngineOn(Engine):
    """An engine on a store that is there already, such as what another process left."""

    def __init__(self, store: Any, **options: Any) -> None:
        super().__init__(":memory:", **options)
        self.given = store

    def _open_store(self) -> Any:
        return self.given


class HandClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.ms = T0

    def now_ms(self) -> int:
        return self.ms

    def engine(self, store: Any, **options: Any) -> EngineOn:
        """An engine that lives by this clock."""
        return EngineOn(store, clock=self, registry=Registry(self.now_ms), **options)

    def set(self, engine: Engine, later_ms: int) -> None:
        self.ms += later_ms
        engine.clock_was_set()


class Slow:
    """A store whose appends can be held up, and made to fail; everything else is the store's own."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = asyncio.Event()
        self.fail: Callable[[Sequence[Append]], Exception | None] = lambda _batch: None
        self.batches: list[list[Append]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def append(self, batch: Sequence[Append]) -> list[Exception | None]:
        self.waiting.set()
        await self.open.wait()
        self.waiting.clear()
        error = self.fail(batch)
        if error is not None:
            raise error
        self.batches.append(list(batch))
        return await self.store.append(batch)


class Counting:
    """A service that keeps its calls, and answers when it is let.

    `wait` returns at once while `gate` is set.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int]] = []
        self.gate = asyncio.Event()
        self.called = asyncio.Event()
        self.inside = 0
        self.inside_max = 0

    async def do(self, input: Any, call: Call) -> Any:  # noqa: A002 - the word of the language
        self.calls.append(("do", call.key, call.attempt))
        return input

    async def undo(self, input: Any, call: Call) -> None:  # noqa: A002
        self.calls.append(("undo", call.key, call.attempt))

    async def refuse(self, input: Any, call: Call) -> None:  # noqa: A002
        self.calls.append(("refuse", call.key, call.attempt))
        raise mg.Rejected("no", "not today")

    async def wait(self, input: Any, call: Call) -> Any:  # noqa: A002
        self.calls.append(("wait", call.key, call.attempt))
        self.called.set()
        self.inside += 1
        self.inside_max = max(self.inside, self.inside_max)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.inside -= 1
        return input


def one(method: str = "s.do", name: str = "one", **top_level: Any) -> Any:
    """A workflow of one call."""
    return mg.workflow(name, mg.call("a", method, input="${input}"), **{"output": "${steps.a}", **top_level})


def waiting(duration: str | None, name: str = "waiting", **top_level: Any) -> Any:
    """A workflow that waits for a time or, with None, for the signal `go`; then calls."""
    pause = mg.signal("pause", "go") if duration is None else mg.wait("pause", duration)
    return mg.workflow(name, pause, mg.call("a", "s.do", input="${input}"), **{"output": "${steps.a}", **top_level})


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop turn until something holds. The time limit of the test bounds it."""
    while not condition():
        await asyncio.sleep(0)


async def parked(engine: Engine, execution_id: str) -> Stored:
    """The row of an execution as soon as it is parked."""
    while True:
        stored = await engine._store_open.find(execution_id)
        if stored is not None and stored.standing.parked and execution_id not in engine._runner.live:
            return stored
        await asyncio.sleep(0)


def events(records: Sequence[Record]) -> list[str]:
    """The kinds of the events of a journal."""
    return [type(event).__name__ for record in records for event in record.events]
