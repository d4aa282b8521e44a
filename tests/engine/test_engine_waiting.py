"""A service is unwell: what calls it waits in the database, and comes back when it is well, or that takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engines import Counting, EngineOn, HandClock, Slow, one, parked, until
from tests.postgres_cluster import database

import makegood as mg
from ailing import Ailing, journaled
from makegood.core import events as ev
from makegood.ports import Query
from makegood.services import ServiceConfig
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

UNDONE = mg.workflow(
    "undone", mg.call("a", "s.do", compensation="t.undo"), mg.call("b", "s.do"), mg.fail("no", "broken", "by design")
)


def engine_on(
    registry: Ailing, service: Any, store: Any = None, clock: HandClock | None = None, wait_ms: int = 60_000
) -> EngineOn:
    """An engine with two services of that kind, `s` and `t`."""
    clock = clock or HandClock()
    registry.live_by(clock.now_ms)
    engine = EngineOn(store or MemoryStore(), clock=clock, registry=registry)
    for name in "st":
        registry.register(name, service, ServiceConfig(name=name, wait_ms=wait_ms, max_concurrent=10_000))
    return engine


async def test_a_step_whose_service_is_unwell_is_parked_and_goes_on_when_it_is_well() -> None:
    clock, service, registry = HandClock(), Counting(), Ailing("s")
    async with engine_on(registry, service, clock=clock) as engine:
        execution = await engine.start(one(), 7, id="x")
        stored = await parked(engine, "x")
        assert stored.standing.wake_at_ms == clock.ms + 60_000
        assert (await engine.describe("x"))["steps"][0]["waits_for"]["service"] == "s"
        registry.recover()

        assert await execution.result() == 7
        assert (await engine.describe("x"))["steps"][0]["attempts"] == 1
        assert len(journaled(await engine._store_open.load("x"), ev.ServiceAwaited)) == 1
        assert (await engine._store_open.waiting("s", limit=9)).count == 0
    assert len(service.calls) == 1


async def test_who_waits_for_it_is_known_with_since_when_and_where() -> None:
    clock, registry = HandClock(), Ailing("s")
    async with engine_on(registry, Counting(), clock=clock) as engine:
        await engine.start(one(), 1, id="x")
        await parked(engine, "x")
        clock.set(engine, 5)
        await engine.start(one(), 1, id="y")
        await parked(engine, "y")

        found = await engine._store_open.waiting("s", limit=9)

        assert [(name, wait.step, wait.since_ms) for name, wait in found.longest] == [
            ("x", "a", clock.ms - 5), ("y", "a", clock.ms),
        ]  # fmt: skip
        listed = await engine._store_open.query(Query(waiting_for="s"))
        assert [each.execution_id for each in listed] == ["y", "x"]


async def test_a_wait_that_takes_too_long_was_not_sent() -> None:
    clock, service, registry = HandClock(), Counting(), Ailing("s")
    async with engine_on(registry, service, clock=clock) as engine:
        execution = await engine.start(one(), 7, id="x")
        await parked(engine, "x")
        clock.set(engine, 60_000)

        with pytest.raises(mg.ExecutionCompensated, match="service 's' has no endpoint that is well"):
            await execution.result()
        error = (await engine.describe("x"))["error"]
        assert (error["code"], error["outcome"]) == ("service_unavailable", "not_sent")
    assert service.calls == []


async def test_a_short_wait_is_spent_in_memory_and_is_over_in_time() -> None:
    clock, registry = HandClock(), Ailing("s")
    async with engine_on(registry, Counting(), clock=clock, wait_ms=1_500) as engine:
        execution = await engine.start(one(), 7, id="x")
        await until(lambda: engine._runner.live and not engine._runner.live["x"].queued)
        clock.set(engine, 1_500)

        with pytest.raises(mg.ExecutionCompensated):
            await execution.result()


async def test_a_wait_goes_on_in_another_process_with_its_first_deadline() -> None:
    clock, service, store = HandClock(), Counting(), MemoryStore()
    async with engine_on(Ailing("s"), service, store, clock) as engine:
        await engine.start(one(), 7, id="x")
        first = (await parked(engine, "x")).standing.wake_at_ms
    clock.ms += 20_000
    again = Ailing("s")
    async with engine_on(again, service, MemoryStore(store), clock) as engine:
        await engine.resume()
        assert (await parked(engine, "x")).standing.wake_at_ms == first
        clock.set(engine, 20_000)
        await until(lambda: "x" not in engine._runner.live)
        again.recover()

        assert await engine.result("x") == 7
        records = await engine._store_open.load("x")
    assert len(journaled(records, ev.ServiceAwaited)) == 1
    assert len(service.calls) == 1


async def test_what_waited_when_its_process_was_killed_is_woken_by_the_next_one() -> None:
    clock, service = HandClock(), Counting()
    slow = Slow()
    async with engine_on(Ailing("s"), service, slow, clock) as engine:
        await engine.start(one(), 7, id="x")
        await parked(engine, "x")
        kept = slow.store
        async with engine_on(Ailing(), service, MemoryStore(kept), clock) as other:
            await other.resume()

            assert await other.result("x") == 7
    assert len(service.calls) == 1


async def test_a_cancel_reaches_what_waits_and_it_is_skipped() -> None:
    clock, service, registry = HandClock(), Counting(), Ailing("s")
    async with engine_on(registry, service, clock=clock) as engine:
        execution = await engine.start(one(), 7, id="x")
        await parked(engine, "x")
        await execution.cancel()

        with pytest.raises(mg.ExecutionCompensated):
            await execution.result()
        view = await engine.describe("x")
        assert (view["status"], view["steps"][0]["forward"]) == ("compensated", "skipped")
        assert (await engine._store_open.waiting("s", limit=9)).count == 0
    assert service.calls == []


async def test_an_undo_waits_for_its_service() -> None:
    clock, service, registry = HandClock(), Counting(), Ailing("t")
    async with engine_on(registry, service, clock=clock) as engine:
        execution = await engine.start(UNDONE, 7, id="x")
        await parked(engine, "x")
        assert (await engine.describe("x"))["compensations"][0]["waits_for"]["service"] == "t"
        registry.recover("t")

        with pytest.raises(mg.ExecutionCompensated):
            await execution.result()
        assert (await engine.describe("x"))["status"] == "compensated"
    assert [name for name, *_ in service.calls] == ["do", "do", "undo"]


async def test_behind_a_pivot_it_is_waited_for_again_and_again() -> None:
    flow = mg.workflow("w", mg.call("p", "s.do", pivot=True), mg.call("z", "t.do", retriable=True))
    clock, registry = HandClock(), Ailing("t")
    async with engine_on(registry, Counting(), clock=clock) as engine:
        execution = await engine.start(flow, 7, id="x")
        waits: list[Any] = []
        while len(waits) < 3:
            clock.set(engine, 5_000)
            await asyncio.sleep(0)
            waits = journaled(await engine._store_open.load("x"), ev.ServiceAwaited)
        registry.recover("t")
        clock.set(engine, 300_000)

        await execution.result()


async def test_a_child_waits_and_its_parent_with_it() -> None:
    child = mg.workflow("child", mg.call("a", "s.do", input=1), output="${steps.a}")
    parent = mg.workflow("parent", mg.child("c", "child"), output="${steps.c}")
    registry = Ailing("s")
    async with engine_on(registry, Counting()) as engine:
        await engine.put(child)
        execution = await engine.start(parent, 7, id="x")
        await parked(engine, "x")
        await until(lambda: not engine._runner.live)
        registry.recover()

        assert await execution.result() == 1


async def test_of_two_services_the_one_that_returns_first_is_called_first() -> None:
    flow = mg.workflow("w", mg.parallel("p", mg.call("a", "s.do", input="a"), mg.call("b", "t.do", input="b")))
    service, registry = Counting(), Ailing("s", "t")
    async with engine_on(registry, service) as engine:
        execution = await engine.start(flow, 7, id="x")
        await parked(engine, "x")
        registry.recover("t")
        await until(lambda: len(service.calls) == 1)
        await parked(engine, "x")
        assert (await engine._store_open.waiting("t", limit=9)).count == 0
        assert (await engine._store_open.waiting("s", limit=9)).count == 1
        registry.recover("s")

        await execution.result()
    assert [key.split(":")[1] for _, key, _ in service.calls] == ["b", "a"]


async def test_what_is_under_way_beside_a_wait_keeps_it_in_memory_and_it_hears_at_once() -> None:
    flow = mg.workflow("w", mg.parallel("p", mg.call("a", "s.do"), mg.call("b", "t.wait")))
    service, registry = Counting(), Ailing("s")
    async with engine_on(registry, service) as engine:
        execution = await engine.start(flow, 7, id="x")
        await service.called.wait()
        registry.recover()
        await until(lambda: len(service.calls) == 2)
        assert "x" in engine._runner.live
        service.gate.set()

        await execution.result()


async def test_while_suspended_it_waits_for_no_service_and_resume_asks_again() -> None:
    service, registry = Counting(), Ailing("s")
    async with engine_on(registry, service) as engine:
        execution = await engine.start(one(), 7, id="x")
        await parked(engine, "x")
        await engine.suspend("x")
        await parked(engine, "x")
        assert (await engine._store_open.waiting("s", limit=9)).count == 0
        await engine.resume_execution("x")
        await parked(engine, "x")
        assert (await engine._store_open.waiting("s", limit=9)).count == 1
        registry.recover()

        assert await execution.result() == 7


async def test_who_waits_for_a_place_when_its_service_falls_ill_waits_for_the_service_from_then_on() -> None:
    clock, service, registry = HandClock(), Counting(), Ailing()
    async with EngineOn(MemoryStore(), clock=clock, registry=registry) as engine:
        registry.live_by(clock.now_ms)
        registry.register("s", service, ServiceConfig(name="s", max_concurrent=1))
        found = [await engine.start(one("s.wait"), n, id=f"x{n}") for n in range(3)]
        await service.called.wait()
        registry.unwell.add("s")
        service.gate.set()
        await found[0].result()
        for number in (1, 2):
            await parked(engine, f"x{number}")
        assert (await engine._store_open.waiting("s", limit=9)).count == 2
        registry.recover()

        assert [await each.result() for each in found] == [0, 1, 2]
    assert service.inside_max == 1


async def test_a_service_that_falls_ill_again_is_waited_for_on_without_a_word_in_the_journal() -> None:
    service, registry = Counting(), Ailing("s")
    async with engine_on(registry, service) as engine:
        execution = await engine.start(one(), 7, id="x")
        await parked(engine, "x")
        reserve, times = registry.reserve, 0

        def once(name: str) -> Any:
            nonlocal times
            times += 1
            if times == 2:
                registry.unwell.add("s")
            return reserve(name)

        registry.reserve = once  # type: ignore[method-assign]
        registry.recover()
        await until(lambda: times >= 2)
        await parked(engine, "x")
        registry.recover()

        assert await execution.result() == 7
        assert len(journaled(await engine._store_open.load("x"), ev.ServiceAwaited)) == 1


# --- many -----------------------------------------------------------------------------------------


async def test_they_come_back_in_the_order_and_with_the_gaps_in_which_they_began_to_wait() -> None:
    clock, service, registry = HandClock(), Counting(), Ailing("s")
    async with engine_on(registry, service, clock=clock, wait_ms=3_600_000) as engine:
        for number in range(6):
            await engine.start(one(), number, id=f"x{number}")
            await parked(engine, f"x{number}")
            clock.set(engine, 10_000)
        registry.recover()
        for number in range(6):
            await until(lambda number=number: len(service.calls) > number)
            await until(lambda: not engine._runner.live)
            assert len(service.calls) == number + 1
            clock.set(engine, 10_000)
        assert [key.split(":")[0] for _, key, _ in service.calls] == [f"x{number}" for number in range(6)]


async def test_where_one_call_alone_is_let_in_to_try_one_alone_is_woken_for_it() -> None:
    service, registry = Counting(), Ailing("s")
    async with engine_on(registry, service) as engine:
        found = [await engine.start(one("s.wait"), n) for n in range(50)]
        await until(lambda: not engine._runner.live and not engine._runner.parking.under_way)
        registry.trying.add("s")
        registry.recover()
        await service.called.wait()
        await until(lambda: registry.asked["s"])
        assert (len(service.calls), len(engine._runner.live)) == (1, 1)
        registry.trying.clear()
        service.gate.set()
        registry.recover()

        assert [await each.result() for each in found] == list(range(50))


async def test_no_more_come_back_at_once_than_there_is_room_for() -> None:
    service, registry = Counting(), Ailing("s")
    engine = EngineOn(MemoryStore(), registry=registry, max_concurrent_executions=5)
    async with engine:
        engine.register("s", service)
        found = [await engine.start(one("s.wait"), n) for n in range(20)]
        await until(lambda: not engine._runner.live and not engine._runner.parking.under_way)
        registry.recover()
        await until(lambda: service.inside == 5)
        assert len(engine._runner.live) <= 5
        service.gate.set()

        assert [await each.result() for each in found] == list(range(20))
    assert service.inside_max <= 5


@contextmanager
def sqlite_file(folder: Path) -> Iterator[str]:
    yield str(folder / "makegood.db")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_ten_thousand_that_wait_cost_rows_alone_and_all_finish_when_the_service_returns(
    kind: str, tmp_path: Path
) -> None:
    service, registry = Counting(), Ailing("s")
    with sqlite_file(tmp_path) if kind == "sqlite" else database() as dsn:
        async with mg.Engine(dsn, registry=registry, lease_seconds=30.0) as engine:
            registry.register("s", service, ServiceConfig(name="s", wait_ms=3_600_000))
            flow = one()
            await engine.put(flow)
            found: list[Any] = []
            for begin in range(0, 10_000, 500):
                found += await asyncio.gather(*(engine.start(flow, n) for n in range(begin, begin + 500)))
            store = engine._store_open
            async with asyncio.timeout(120):
                while engine._runner.live or engine._runner.parking.under_way:
                    await asyncio.sleep(0)
            tasks = len(asyncio.all_tasks())
            assert tasks < 30, f"{tasks} tasks for what waits"
            assert not engine._runner._places._unwell.get("s")
            assert (await store.waiting("s", limit=1)).count == 10_000
            registry.recover()

            async with asyncio.timeout(240):
                results = await asyncio.gather(*(each.result() for each in found))
            assert results == list(range(10_000))
            assert (await store.waiting("s", limit=1)).count == 0
    assert len(service.calls) == 10_000
    assert all(attempt == 1 for *_, attempt in service.calls)
