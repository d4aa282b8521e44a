"""What is in memory, and what only waits in the database until it is due, asked for, or has room."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from engines import Counting, EngineOn, HandClock, Slow, one, parked, until, waiting

import makegood as mg
from makegood.core.events import SignalReceived
from makegood.engine import intake
from makegood.services import ServiceConfig
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio


def engine_with(service: Any, store: Any = None, clock: HandClock | None = None, **options: Any) -> EngineOn:
    engine = (clock.engine if clock else EngineOn)(store or MemoryStore(), **options)
    engine.register("s", service)
    return engine


# --- time ----------------------------------------------------------------------------------------


async def test_a_long_wait_is_parked_and_goes_on_when_it_is_due() -> None:
    clock, service = HandClock(), Counting()
    async with engine_with(service, clock=clock) as engine:
        execution = await engine.start(waiting("1m"), 1, id="x")
        stored = await parked(engine, "x")
        assert stored.standing.wake_at_ms == clock.ms + 60_000
        clock.set(engine, 59_999)
        assert await still(lambda: not service.calls and not engine._runner.live)
        clock.set(engine, 1)

        assert await execution.result() == 1


async def test_a_short_wait_is_spent_in_memory() -> None:
    clock = HandClock()
    async with engine_with(Counting(), clock=clock) as engine:
        execution = await engine.start(waiting("1900ms"), 1, id="x")
        assert await still(lambda: "x" in engine._runner.live)
        clock.set(engine, 1_900)

        assert await execution.result() == 1


async def test_a_wait_between_attempts_is_parked_too() -> None:
    clock, service = HandClock(), Counting()
    calls: list[int] = []

    async def flaky(input: Any, call: mg.Call) -> Any:  # noqa: A002
        calls.append(call.attempt)
        if call.attempt < 3:
            raise RuntimeError("not yet")
        return input

    flow = mg.workflow(
        "w",
        mg.call("a", "f.flaky", input=1, retry={"max_attempts": 3, "initial_interval": "1m", "jitter": 0}),
        output="${steps.a}",
    )
    async with engine_with(service, clock=clock) as engine:
        engine.register("f", {"flaky": flaky})
        execution = await engine.start(flow, 1, id="x")
        for number in (1, 2):
            await parked(engine, "x")
            assert len(calls) == number
            clock.set(engine, 300_000)
            await until(lambda number=number: len(calls) > number)

        assert await execution.result() == 1


async def test_a_thousand_timers_due_at_once_all_go_on() -> None:
    clock, service = HandClock(), Counting()
    async with engine_with(service, clock=clock) as engine:
        found = [await engine.start(waiting("1m"), n) for n in range(1_000)]
        await until(lambda: not engine._runner.live and not engine._runner.parking.under_way)
        clock.set(engine, 60_000)

        assert await asyncio.gather(*(each.result() for each in found)) == list(range(1_000))
    assert len(service.calls) == 1_000


async def test_the_timeout_of_a_parked_execution_ends_it() -> None:
    clock = HandClock()
    async with engine_with(Counting(), clock=clock) as engine:
        execution = await engine.start(waiting(None, timeout="1h", error_handling="fail_fast"), 1, id="x")
        await parked(engine, "x")
        clock.set(engine, 3_600_000)

        assert (await execution.end())["error"]["code"] == "timeout"


async def test_entries_of_executions_that_ended_do_not_pile_up_in_the_alarm() -> None:
    async with engine_with(Counting()) as engine:
        for _ in range(30):
            await asyncio.gather(*(run(engine, n) for n in range(100)))

        assert len(engine._runner.alarm._heap) < 1_500
        assert not engine._runner.alarm._at
        assert not engine._runner.live


async def run(engine: EngineOn, value: Any) -> Any:
    return await (await engine.start(one(), value)).result()


async def still(condition: Any) -> bool:
    """Whether something holds for as long as there is anything left to do at once."""
    for _ in range(200):
        if not condition():
            return False
        await asyncio.sleep(0)
    return True


# --- requests ------------------------------------------------------------------------------------


async def test_requests_reach_an_execution_that_is_parked() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        first = await engine.start(waiting(None), 1, id="x")
        second = await engine.start(waiting(None, error_handling="fail_fast"), 1, id="y")
        for each in "xy":
            await parked(engine, each)
        await first.signal("go")
        await second.cancel(by="op")

        assert await first.result() == 1
        assert (await second.end())["error"]["code"] == "cancelled"


async def test_a_refused_request_leaves_a_parked_execution_parked() -> None:
    async with engine_with(Counting()) as engine:
        await engine.start(waiting(None), 1, id="x")
        before = await parked(engine, "x")
        for _ in range(3):
            with pytest.raises(mg.MakegoodError):
                await engine.signal("x", "no-such-signal")
            with pytest.raises(mg.Refused):
                await engine.retry("x")

        assert await parked(engine, "x") == before


async def test_a_request_at_the_moment_of_parking_finds_the_one_execution() -> None:
    service, store = Counting(), Slow()
    async with engine_with(service, store) as engine:
        for number in range(20):
            await engine.start(waiting(None), number, id=f"x{number}")
            store.open.clear()
            await until(lambda number=number: f"x{number}" not in engine._runner.live)
            signalled = asyncio.ensure_future(engine.signal(f"x{number}", "go"))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            store.open.set()
            await signalled

            assert await engine.result(f"x{number}") == number
    assert len(service.calls) == 20


async def test_many_requests_at_once_to_one_parked_execution_take_it_in_once() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        await engine.start(waiting(None), 1, id="x")
        await parked(engine, "x")
        done = await asyncio.gather(
            *(engine.signal("x", "go", n) for n in range(10)), *(engine.suspend("x") for _ in range(5)),
            return_exceptions=True,
        )  # fmt: skip
        assert [each for each in done if isinstance(each, Exception) and not isinstance(each, mg.Refused)] == []
        if (await engine.end("x"))["status"] == "suspended":
            await engine.resume_execution("x")

        assert await engine.result("x") == 1
    assert service.calls == [("do", "x:a:do", 1)]


async def test_requests_that_come_while_it_is_taken_in_and_parked_again_find_the_one_execution(tmp_path: Path) -> None:
    async with mg.Engine(tmp_path / "w.db") as engine:
        queue = mg.workflow("queue", mg.wait("w", "1h"), mg.signal("a", "go"))
        await engine.start(queue, id="x")
        for number in range(5):
            told = await asyncio.gather(
                *(engine.signal("x", "go", each) for each in range(150)), return_exceptions=True
            )
            assert [each for each in told if each is not None] == [], number

        kept = [event for record in await engine.history("x") for event in record.events]
        assert len([each for each in kept if isinstance(each, SignalReceived)]) == 750


async def test_repairs_at_once_of_one_ended_execution_revive_it_once() -> None:
    service = Counting()
    flow = mg.workflow(
        "w", mg.call("a", "s.do", compensation="s.undo"), mg.call("b", "s.refuse"), error_handling="fail_fast"
    )
    async with engine_with(service) as engine:
        execution = await engine.start(flow, 1, id="x")
        assert (await execution.end())["status"] == "failed"
        found = await asyncio.gather(
            *(engine.compensate("x") for _ in range(10)), *(engine.cancel("x") for _ in range(10)),
            return_exceptions=True,
        )  # fmt: skip

        assert (await execution.end())["status"] == "compensated"
        assert [each for each in found[:10] if each is not None] == []
        assert service.calls.count(("undo", "x:a:undo", 1)) == 1
        await until(lambda: not engine._runner.live)


async def test_an_asker_that_leaves_in_the_middle_leaves_the_execution_as_it_was() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        await engine.start(waiting(None), 1, id="x")
        before = await parked(engine, "x")
        for turns in range(6):
            asker = asyncio.ensure_future(engine.retry("x"))
            for _ in range(turns):
                await asyncio.sleep(0)
            asker.cancel()
            await asyncio.gather(asker, return_exceptions=True)
            assert await parked(engine, "x") == before
        await engine.signal("x", "go")

        assert await engine.result("x") == 1


async def test_a_suspended_execution_is_parked_and_nothing_wakes_it() -> None:
    clock, service = HandClock(), Counting()
    async with engine_with(service, clock=clock) as engine:
        await engine.start(waiting("1m"), 1, id="x")
        await engine.suspend("x")
        stored = await parked(engine, "x")
        assert (stored.standing.status, stored.standing.wake_at_ms) == ("suspended", None)
        clock.set(engine, 10_000_000)
        assert await still(lambda: not engine._runner.live)
        await engine.resume_execution("x")

        assert await engine.result("x") == 1


async def test_one_that_is_suspended_with_a_call_under_way_is_parked_after_the_reply() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
        await engine.suspend("x")
        assert "x" in engine._runner.live
        service.gate.set()

        assert (await parked(engine, "x")).standing.status == "suspended"
        await engine.resume_execution("x")
        assert await engine.result("x") == 1


@pytest.mark.parametrize("database", [":memory:", "file"])
async def test_a_request_reaches_a_parked_parent_that_would_park_again_at_once(database: str, tmp_path: Path) -> None:
    where = database if database == ":memory:" else str(tmp_path / "a.db")
    async with mg.Engine(where) as engine:
        engine.register("s", Counting())
        await engine.put(waiting(None, "child"))
        await engine.start(mg.workflow("parent", mg.child("c", "child")), id="p")
        await parked(engine, "p")

        await asyncio.wait_for(engine.cancel("p"), 30)

        assert (await engine.end("p"))["status"] == "compensated"
        assert {each.standing.status for each in await engine.list()} == {"compensated"}


async def test_what_is_left_over_rests_until_the_engine_is_told_to_go_on() -> None:
    service, store = Counting(), MemoryStore()
    async with engine_with(service, store, drain_seconds=0.0) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
    service.gate.set()
    called = len(service.calls)
    async with engine_with(service, MemoryStore(after=store)) as engine:
        assert await still(lambda: not engine._runner.live and len(service.calls) == called)

        await engine.resume()
        assert await engine.result("x") == 1


async def test_the_row_says_that_there_is_no_way_back_while_it_goes_on() -> None:
    service, store = Counting(), MemoryStore()
    steps = (mg.call("pay", "s.do", input=1, pivot=True), mg.call("last", "s.wait", input=2, retriable=True))
    async with engine_with(service, store) as engine:
        await engine.start(mg.workflow("w", *steps), id="x")
        await service.called.wait()
        stored = await store.find("x")
        assert stored is not None
        assert (stored.standing.status, stored.standing.pivoted) == ("running", True)
        service.gate.set()
        await engine.result("x")


# --- room and places -----------------------------------------------------------------------------


async def test_what_has_no_room_is_left_waiting_and_taken_in_its_turn() -> None:
    service = Counting()
    service.gate.set()
    async with engine_with(service, max_concurrent_executions=10) as engine:
        most = 0

        async def watch_room() -> None:
            nonlocal most
            while True:
                most = max(most, len(engine._runner.live))
                await asyncio.sleep(0)

        watching = asyncio.ensure_future(watch_room())
        found = await asyncio.gather(*(engine.start(one("s.wait"), n) for n in range(300)))
        assert await asyncio.gather(*(each.result() for each in found)) == list(range(300))
        watching.cancel()

        assert most <= 10
        assert service.inside_max <= 10
        assert not engine._runner.live


async def test_a_crowd_that_is_taken_in_at_once_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "makegood")
    clock, service = HandClock(), Counting()
    async with engine_with(service, clock=clock) as engine:
        begun = [await engine.start(waiting("1m"), 1, id=f"x{number}") for number in range(30)]
        for each in begun:
            await parked(engine, each.id)
        clock.set(engine, 60_000)
        for each in begun:
            await each.result()

    told = [(record.event, record.facts) for record in caplog.records if "resumed" in record.event]  # type: ignore[attr-defined]
    assert told == [("executions_resumed", {"count": 30})]


class HeldLoads(Slow):
    """A store whose journals can be held up; who was claimed is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = asyncio.Event()
        self.claimed: list[str] = []

    async def load(self, execution_id: str, **given: Any) -> Any:
        await self.loads.wait()
        return await self.store.load(execution_id, **given)

    async def claim(self, now_ms: int, **given: Any) -> Any:
        found = await self.store.claim(now_ms, **given)
        self.claimed += [each.execution_id for each in found]
        return found


async def test_the_next_are_claimed_while_the_last_are_loaded_and_none_beyond_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "CLAIM_MAX", 2)
    store, clock = HeldLoads(), HandClock()
    async with engine_with(Counting(), store, clock, max_concurrent_executions=5) as engine:
        begun = [await engine.start(waiting("1m"), 1, id=f"x{number}") for number in range(9)]
        for each in begun:
            await parked(engine, each.id)
        clock.set(engine, 60_000)
        await until(lambda: len(store.claimed) > 2)
        assert await still(lambda: len(store.claimed) == 4)
        store.loads.set()

        assert [await each.result() for each in begun] == [1] * 9
        assert sorted(store.claimed) == sorted(each.id for each in begun)


async def test_room_is_made_by_what_parks_also_when_nothing_will_ever_wake_it() -> None:
    service = Counting()
    async with engine_with(service, max_concurrent_executions=1) as engine:
        await engine.start(one("s.wait"), 1, id="busy")
        found = [await engine.start(one(), n) for n in range(5)]
        await engine.suspend("busy")
        service.gate.set()

        assert await asyncio.gather(*(each.result() for each in found)) == list(range(5))


async def test_room_is_made_by_a_start_that_is_refused() -> None:
    service = Counting()
    async with engine_with(service, max_concurrent_executions=1) as engine:
        await engine.put(one("s.wait"))
        holder = await engine.start(one("s.wait"), 0, business_key="k")
        await engine.suspend(holder.id)
        busy = await engine.start(one("s.wait"), 1)
        waiting = await engine.start(one("s.wait"), 2)
        service.gate.set()
        assert await busy.result() == 1
        # In the same breath it takes the room that has just been made, and is refused for the key.
        with pytest.raises(mg.Conflict):
            await engine.start("one", 3, version=1, business_key="k")

        assert await waiting.result() == 2


async def test_a_service_with_one_place_has_one_call_at_a_time_and_serves_everybody_in_turn() -> None:
    service = Counting()
    flow = mg.workflow("w", mg.call("a", "n.wait", input="${input}"), mg.call("b", "n.wait", input="${input}"))
    async with engine_with(Counting()) as engine:
        engine._registry.register("n", service, ServiceConfig(name="n", max_concurrent=1))
        found = [await engine.start(flow, n, id=f"x{n}") for n in range(50)]
        service.gate.set()
        await asyncio.gather(*(each.result() for each in found))

        assert service.inside_max == 1
        first = [key for _, key, _ in service.calls if ":a:" in key]
        assert first == [f"x{n}:a:do" for n in range(50)]
        # Whoever has had a place waits behind those that have waited for it.
        assert [key for _, key, _ in service.calls].index("x0:b:do") > 40


async def test_a_place_that_is_not_wanted_any_more_goes_to_the_next() -> None:
    service = Counting()
    async with engine_with(Counting()) as engine:
        engine._registry.register("n", service, ServiceConfig(name="n", max_concurrent=1))
        flow = one("n.wait", error_handling="fail_fast")
        found = [await engine.start(flow, n, id=f"x{n}") for n in range(6)]
        await service.called.wait()
        await engine.cancel("x1")
        await engine.suspend("x2")
        await engine.cancel("x3")
        service.gate.set()

        assert [(await found[n].end())["status"] for n in range(6)] == [
            "completed", "failed", "suspended", "failed", "completed", "completed",
        ]  # fmt: skip
        await parked(engine, "x2")
        await engine.resume_execution("x2")
        assert await engine.result("x2") == 2
        assert engine._registry.in_flight("n") == 0


# --- services that are elsewhere -----------------------------------------------------------------


async def test_what_needs_a_service_that_is_not_here_is_left_for_a_process_that_has_it() -> None:
    clock, service, store = HandClock(), Counting(), MemoryStore()
    async with engine_with(service, store, clock) as engine:
        await engine.start(waiting("1m"), 1, id="x")
        await parked(engine, "x")
    clock.ms += 60_000
    store = MemoryStore(after=store)
    async with clock.engine(store) as engine:
        await engine.resume()
        await until(lambda: engine._intake._unserved)
        stored = await parked(engine, "x")
        assert stored.standing.wake_at_ms > clock.ms
        for request in (engine.cancel, engine.suspend):
            with pytest.raises(mg.Refused, match="services that this engine does not have: s"):
                await request("x")
        assert (await engine.describe("x"))["status"] == "running"
        await parked(engine, "x")
        # Registered late, it is served the next time it is looked at.
        engine.register("s", service)
        clock.set(engine, 5_000)

        assert await engine.result("x") == 1


async def test_an_ended_execution_is_not_repaired_where_its_services_are_missing() -> None:
    service, store = Counting(), MemoryStore()
    flow = mg.workflow(
        "w", mg.call("a", "s.do", compensation="s.undo"), mg.call("b", "s.refuse"), error_handling="fail_fast"
    )
    async with engine_with(service, store) as engine:
        await (await engine.start(flow, 1, id="x")).end()
    async with EngineOn(MemoryStore(after=store)) as engine:
        with pytest.raises(mg.Refused, match="does not have: s"):
            await engine.compensate("x")
        assert (await engine.describe("x"))["status"] == "failed"
