"""A family of executions on an engine that dies at a record, and on the engines that come after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines import HandClock
from tests.conformance.worlds import WORLDS

import makegood as mg
from makegood.core.children import derived_id
from makegood.core.judgement import Settings
from makegood.engine.client import Engine
from makegood.errors import Refused
from makegood.ports import Append, Stored
from makegood.services import Call
from makegood.simulation.script import Ledger

LIVES_MAX = 4
LOOKS_MAX = 200
"""So often the clock is set on by half a minute before a play is taken for stuck."""
ENDS = {"completed", "failed", "compensated", "compensation_failed"}


@dataclass
class Shop:
    """A service whose calls have effects, once per key; methods named in `refusing` say no."""

    refusing: frozenset[str] = frozenset()
    ledger: Ledger = field(default_factory=Ledger)
    calls: list[str] = field(default_factory=list)

    async def do(self, input: Any, call: Call) -> Any:  # noqa: A002 - the word of the language
        step = call.key.split(":")[1]
        self.calls.append(step)
        if step in self.refusing:
            raise mg.Rejected("sold_out", "no more")
        self.ledger.book(call.key, step)
        return {"of": step}

    async def undo(self, input: Any, call: Call) -> None:  # noqa: A002
        step = call.key.split(":")[1]
        self.calls.append(f"undo {step}")
        self.ledger.book(call.key, step)


class Mortal:
    """A store under an engine that dies when a record becomes durable, or over it.

    Args:
        after: Number of that record, from 1, of all executions together; 0 for none.
        over: Likewise; the record is not written.
    """

    def __init__(self, store: Any, after: int = 0, over: int = 0) -> None:
        self.store = store
        self.records = 0
        self.dead = asyncio.Event()
        self._after = after
        self._over = over

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def append(self, batch: Sequence[Append]) -> list[Exception | None]:
        verdicts: list[Exception | None] = []
        for each in batch:
            number = self.records + (each.record is not None)
            if each.record is not None and number == self._over:
                await self._die()
            verdicts += await self.store.append([each])
            self.records = number
            if each.record is not None and number == self._after:
                await self._die()
        return verdicts

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.Event().wait()


@dataclass
class Family:
    """What is played, and what came of it.

    Attributes:
        ends: The state of each execution, by id.
        balance: The effects that remain, by step.
        records: Records of the first life.
        lives: How many engines it took.
    """

    workflows: Sequence[Any]
    shop: Shop
    cancelled: bool = False
    clock: HandClock = field(default_factory=HandClock)
    ends: dict[str, str] = field(default_factory=dict)
    balance: dict[str, int] = field(default_factory=dict)
    records: int = 0
    lives: int = 0

    async def play(self, world: Any, *, after: int = 0, over: int = 0) -> Family:
        """Start the last workflow, cancel it if it is to be, and follow it through its deaths to its end."""
        for life in range(LIVES_MAX):
            store = Mortal(world.open(), *((after, over) if life == 0 else (0, 0)))
            self.lives += 1
            before = asyncio.all_tasks()
            engine = await self.clock.engine(store, settings=Settings(call_timeout_ms=10_000)).open()
            engine.register("shop", self.shop)
            living = asyncio.ensure_future(self._live(engine))
            dying = asyncio.ensure_future(store.dead.wait())
            await asyncio.wait([living, dying], return_when=asyncio.FIRST_COMPLETED)
            if life == 0:
                self.records = store.records
            if not dying.done():
                dying.cancel()
                await living
                await engine.aclose()
                return self
            left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            engine._runner.alarm.close()
            await world.crash(store.store)
        raise AssertionError("it died too often")

    async def _live(self, engine: Engine) -> None:
        for workflow in self.workflows:
            await engine.put(workflow)
        await engine.start(self.workflows[-1], {"n": 1}, id="family")
        for _ in range(LOOKS_MAX):
            await settled(engine)
            members = await engine.list()
            if all(each.standing.status in ENDS for each in members):
                break
            if self.cancelled and any(each.execution_id == "family" and _runs(each) for each in members):
                await self._cancel(engine)
            self.clock.set(engine, 30_000)
        self.ends = {each.execution_id: each.standing.status for each in members}
        self.balance = self.shop.ledger.balance()

    async def _cancel(self, engine: Engine) -> None:
        try:
            await engine.cancel("family")
        except Refused:
            self.cancelled = False


def _runs(stored: Stored) -> bool:
    return stored.standing.status == "running"


async def settled(engine: Engine) -> None:
    """Return when nothing is under way in the engine any more, so that only time or somebody's word moves it."""
    quiet = 0
    while quiet < 20:
        await asyncio.sleep(0)
        parts, runner, intake = engine._parts, engine._runner, engine._intake
        assert parts is not None
        busy = any(live.queued or live.sending or live.state.open or live.state.more for live in runner.live.values())
        moving = intake._loading or intake._bringing or intake._due.is_due() or intake._claiming.locked()
        quiet = 0 if busy or moving or parts.children._tasks or runner.parking.under_way else quiet + 1


def child_of(parent: str, step: str) -> str:
    """The id of the child that a step calls."""
    return derived_id(f"{parent}:{step}:do")


def world_of(kind: str, folder: Path) -> Any:
    """A place for one play: what a store keeps outlives the engines."""
    folder.mkdir(parents=True, exist_ok=True)
    return WORLDS[kind](folder)


def bought(step: str) -> Any:
    """A call with a compensation."""
    return mg.call(step, "shop.do", compensation="shop.undo")
