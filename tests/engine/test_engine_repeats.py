"""The same Idempotency-Key has one effect: at once, later, after a crash, until a day has passed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from engines import EngineOn, Slow, until

import makegood as mg
from makegood.core.inputs import Signal, Suspend
from makegood.engine import inbox, repeats
from makegood.engine.client import Engine
from makegood.engine.repeats import KEPT_MS, id_of
from makegood.errors import Conflict
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

QUEUE = mg.workflow("queue", mg.signal("a", "go"), mg.signal("b", "go"), output="${[steps.a, steps.b]}")


class HandClock:
    def __init__(self) -> None:
        self.ms = 1_764_028_800_000

    def now_ms(self) -> int:
        return self.ms


async def signal(engine: Engine, key: str, payload: object) -> str:
    once = engine.repeats.keyed(key, "signal x go", payload)
    return await engine.request("x", Signal("go", payload), once=once)


async def test_a_repeated_signal_is_taken_once(tmp_path: Path) -> None:
    async with Engine(tmp_path / "w.db") as engine:
        execution = await engine.start(QUEUE, 1, id="x")

        told = await asyncio.gather(*(signal(engine, "k", 1) for _ in range(20)))
        assert set(told) == {"accepted"}
        with pytest.raises(Conflict, match="other content") as refused:
            await signal(engine, "k", 2)
        assert refused.value.code == "idempotency_key_reused"
        await signal(engine, "l", 2)

        assert await execution.result() == [1, 2]
        # After the end too: it was done.
        assert await signal(engine, "l", 2) == "accepted"


async def test_a_key_outlives_the_engine(tmp_path: Path) -> None:
    async with Engine(tmp_path / "w.db") as engine:
        await engine.start(QUEUE, 1, id="x")
        await signal(engine, "k", 1)

    async with Engine(tmp_path / "w.db") as engine:
        await signal(engine, "k", 1)
        await signal(engine, "l", 2)

        assert await engine.result("x") == [1, 2]


async def test_one_who_gave_up_waiting_does_not_let_the_repeat_in_twice(tmp_path: Path) -> None:
    async with Engine(tmp_path / "w.db") as engine:
        await engine.start(QUEUE, 1, id="x")
        first = asyncio.ensure_future(signal(engine, "k", 1))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await signal(engine, "k", 1)
        await signal(engine, "l", 2)

        assert await engine.result("x") == [1, 2]


async def test_a_request_without_effect_is_remembered_too() -> None:
    async with Engine(":memory:") as engine:
        await engine.start(QUEUE, 1, id="x")
        once = engine.repeats.keyed("k", "suspend x", None)
        await engine.suspend("x")
        await engine.request("x", Suspend(), once=once)
        await engine.cancel("x")
        assert (await engine.end("x"))["status"] == "compensated"

        assert await engine.request("x", Suspend(), once=once) == "accepted"
        assert await engine.repeats.done(once) is not None


async def test_a_key_is_free_again_after_a_day() -> None:
    clock = HandClock()
    async with Engine(":memory:", clock=clock) as engine:
        await engine.start(QUEUE, 1, id="x")
        await signal(engine, "k", 1)
        clock.ms += KEPT_MS + 1
        await signal(engine, "k", 2)

        assert await engine.result("x") == [1, 2]


async def test_keys_that_nobody_repeats_are_forgotten_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "SWEPT_MAX", 3)
    monkeypatch.setattr(inbox, "INBOX_S", 0.0)
    clock, store = HandClock(), MemoryStore()
    async with EngineOn(store, clock=clock) as engine:
        await engine.start(QUEUE, 1, id="x")
        await engine.suspend("x")
        for number in range(10):
            await engine.request("x", Suspend(), once=engine.repeats.keyed(f"{number}", "suspend x", None))
        clock.ms += KEPT_MS + 1
        once = engine.repeats.keyed("last", "suspend x", None)
        await engine.request("x", Suspend(), once=once)

        await until(lambda: list(store._kept.requests) == [once.key])


async def test_a_key_with_another_id_is_refused() -> None:
    async with Engine(":memory:") as engine:
        await engine.put(QUEUE)

        async def start(name: str) -> object:
            once = engine.repeats.keyed("k", "start", name)
            return await engine.start("queue", 1, id=name, once=once)

        await start("a")
        await start("a")
        with pytest.raises(Conflict, match="Idempotency-Key"):
            await start("b")

        assert [each.execution_id for each in await engine.list()] == ["a"]


async def test_racing_starts_of_other_ids_under_one_key_are_one_execution() -> None:
    async with Engine(":memory:") as engine:
        await engine.put(QUEUE)

        async def start(name: str) -> str:
            once = engine.repeats.keyed("k", "start", name)
            return (await engine.start("queue", 1, id=name, once=once)).id

        told = await asyncio.gather(*(start(f"x{number}") for number in range(5)), return_exceptions=True)

        assert [each for each in told if isinstance(each, str)] == ["x0"]
        assert [getattr(each, "code", None) for each in told[1:]] == ["idempotency_key_reused"] * 4
        assert [each.execution_id for each in await engine.list()] == ["x0"]


async def test_a_start_that_finds_its_execution_uses_up_its_key_all_the_same() -> None:
    async with Engine(":memory:") as engine:
        await engine.start(QUEUE, 1, id="x")

        async def start(name: str) -> bool:
            once = engine.repeats.keyed("k", "start", name)
            return (await engine.start(QUEUE, 1, id=name, once=once)).resumed

        assert await start("x")
        assert await start("x")
        with pytest.raises(Conflict, match="Idempotency-Key"):
            await start("y")


async def test_a_start_that_nobody_waits_for_keeps_its_key_until_it_is_durable() -> None:
    store = Slow()
    async with EngineOn(store) as engine:
        await engine.put(QUEUE)

        async def start(name: str) -> str:
            once = engine.repeats.keyed("k", "start", name)
            return (await engine.start("queue", 1, id=name, once=once)).id

        store.open.clear()
        first = asyncio.ensure_future(start("x"))
        await until(lambda: "x" in engine._runner.live)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.ensure_future(start("y"))
        await store.waiting.wait()
        store.open.set()

        with pytest.raises(Conflict, match="Idempotency-Key"):
            await second


def test_a_key_gives_one_id() -> None:
    assert id_of("k") == id_of("k") != id_of("l")
    assert id_of("k")[14] == "8"
