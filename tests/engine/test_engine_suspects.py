"""One execution that kills its engine must not stop the rest: suspects one at a time, then quarantine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from engines import Counting, EngineOn, HandClock, one, until

from makegood.engine.suspects import Suspects
from makegood.errors import Refused
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def begun(store: MemoryStore, *ids: str) -> Counting:
    """Executions in the middle of a call, and the engine that made them gone as a kill leaves it."""
    service = Counting()
    engine = await EngineOn(store).open()
    engine.register("s", service)
    for each in ids:
        await engine.start(one("s.wait"), each, id=each)
    await until(lambda: len(service.calls) == len(ids))
    engine._intake.halt()
    engine._runner.stopping = True
    for task in [*engine._runner._calls.under_way, engine._committer._task]:
        assert task is not None
        task.cancel()
    return service


async def deaths(store: MemoryStore, times: int) -> MemoryStore:
    """So many processes take everything in, and die of it."""
    for _ in range(times):
        store = MemoryStore(after=store)
        await store.claim(2**53, limit=100)
    return MemoryStore(after=store)


async def crashes(store: MemoryStore, execution_id: str) -> int:
    stored = await store.find(execution_id)
    assert stored is not None
    return stored.crashes


async def test_a_first_death_makes_nobody_a_suspect() -> None:
    store, service = MemoryStore(), Counting()
    await begun(store, "a", "b")
    async with EngineOn(MemoryStore(after=store)) as engine:
        engine.register("s", service)
        await engine.resume()

        await until(lambda: len(service.calls) == 2)
        service.gate.set()
        assert [await engine.result(each) for each in ("a", "b")] == ["a", "b"]


async def test_suspects_are_resumed_one_at_a_time() -> None:
    store, service, clock = MemoryStore(), Counting(), HandClock()
    await begun(store, "a", "b")
    async with clock.engine(await deaths(store, 1)) as engine:
        engine.register("s", service)
        await engine.resume()
        await until(lambda: len(service.calls) == 1)
        first = service.calls[0][1].split(":")[0]
        other = "b" if first == "a" else "a"
        await until(lambda: other not in engine._intake._loading and other not in engine._runner.parking.under_way)
        assert list(engine._runner.live) == [first]

        service.gate.set()
        assert await engine.result(first) == first
        clock.set(engine, 6_000)
        assert await engine.result(other) == other


class Trials:
    """Who is tried, without an engine."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        self.suspects = Suspects(
            MemoryStore(), self.here.__contains__, HandClock(), enabled=True, lease_ms=1_000
        )  # fmt: skip

    def begins(self, execution_id: str, deaths: int) -> bool:
        try:
            self.suspects.check_turn(SimpleNamespace(execution_id=execution_id, crashes=deaths))
        except Refused:
            return False
        self.here.add(execution_id)
        return True


async def test_for_each_suspect_that_does_no_harm_one_more_is_tried_at_once() -> None:
    trials = Trials()
    assert [trials.begins(each, 2) for each in "abcdef"] == [True, False, False, False, False, False]
    assert trials.suspects.next_turn() is None
    turns = []
    for _ in range(3):
        trials.here.clear()
        turns.append("")
        while (turn := trials.suspects.next_turn()) is not None:
            assert trials.begins(turn, 2)
            turns[-1] += turn
    assert turns == ["bc", "def", ""]


async def test_from_the_third_death_on_a_suspect_is_tried_alone() -> None:
    trials = Trials()
    assert [trials.begins("a", 2), trials.begins("p", 3)] == [True, False]
    trials.here.clear()
    assert trials.suspects.next_turn() == "p"
    assert [trials.begins("p", 3), trials.begins("b", 2), trials.begins("q", 3)] == [True, False, False]
    assert trials.suspects.next_turn() is None
    trials.here.clear()
    assert trials.suspects.next_turn() == "b"
    assert trials.begins("b", 2)
    assert trials.suspects.next_turn() is None, "q waits until it is alone"


async def test_many_who_were_near_when_processes_died_go_on_without_waiting_for_time_to_pass() -> None:
    store, service, clock = MemoryStore(), Counting(), HandClock()
    names = [f"e{number}" for number in range(40)]
    await begun(store, *names)
    service.gate.set()
    async with clock.engine(await deaths(store, 1)) as engine:
        engine.register("s", service)
        await engine.resume()

        assert [await engine.result(each) for each in names] == names


async def test_after_five_deaths_an_execution_is_quarantined_and_says_so_and_the_rest_goes_on() -> None:
    store, service = MemoryStore(), Counting()
    await begun(store, "poison")
    store = await deaths(store, 4)
    service.gate.set()
    async with EngineOn(store) as engine:
        engine.register("s", service)
        await engine.resume()

        view = await engine.end("poison")
        healthy = await engine.start(one("s.do"), 7)

        assert view["status"] == "suspended"
        assert (await engine.state_of("poison")).suspended_reason == "quarantine"
        assert await healthy.result() == 7
        assert [call for call in service.calls if call[1].startswith("poison")] == []


async def test_a_quarantined_execution_goes_on_when_an_operator_lets_it() -> None:
    store, service = MemoryStore(), Counting()
    await begun(store, "poison")
    service.gate.set()
    async with EngineOn(await deaths(store, 4)) as engine:
        engine.register("s", service)
        await engine.resume()
        await engine.end("poison")

        await engine.resume_execution("poison", by="ada", note="the library is mended")

        assert await engine.result("poison") == "poison"
        assert service.calls == [("wait", "poison:a:do", 2)]


async def test_who_lives_for_two_leases_is_cleared() -> None:
    store, service, clock = MemoryStore(), Counting(), HandClock()
    await begun(store, "a")
    after = await deaths(store, 2)
    async with clock.engine(after) as engine:
        engine.register("s", service)
        await engine.resume()
        await until(lambda: len(service.calls) == 1)
        assert await crashes(after, "a") == 3

        clock.set(engine, 20_000)
        await engine._intake.suspects.clear()

        assert await crashes(after, "a") == 0
        service.gate.set()
        await engine.result("a")


async def test_an_engine_that_advances_given_executions_alone_quarantines_none() -> None:
    store, service = MemoryStore(), Counting()
    await begun(store, "a")
    service.gate.set()
    async with EngineOn(await deaths(store, 9), only={"a"}) as engine:
        engine.register("s", service)
        await engine.resume()

        assert await engine.result("a") == "a"
