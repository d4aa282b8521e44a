"""Ends: what `result`, `end`, `watch` and `describe` say, and that nobody hears of one before it is durable."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from engines import Counting, EngineOn, Slow, events, one, parked, until, waiting

import makegood as mg
from makegood.core.events import ExecutionCompleted
from makegood.engine import observing

pytestmark = pytest.mark.anyio

UNDONE = mg.workflow(
    "undone", mg.call("a", "s.do", compensation="s.undo"), mg.call("b", "s.refuse"), error_handling="compensation"
)
NOT_UNDONE = mg.workflow(
    "not-undone",
    mg.call("a", "s.do", compensation={"call": "s.refuse", "retry": {"max_attempts": 1}}),
    mg.call("b", "s.refuse"),
    error_handling="compensation",
)


def engine_with(service: Any, store: Any = None, **options: Any) -> EngineOn:
    engine = EngineOn(store or Slow(), **options)
    engine.register("s", service)
    return engine


@pytest.mark.parametrize(
    ("flow", "kind", "status"),
    [
        (one("s.refuse", error_handling="fail_fast"), mg.ExecutionFailed, "failed"),
        (UNDONE, mg.ExecutionCompensated, "compensated"),
        (NOT_UNDONE, mg.CompensationFailed, "compensation_failed"),
    ],
    ids=["failed", "compensated", "compensation_failed"],
)
async def test_an_end_that_is_no_completion_is_raised_with_its_facts(flow: Any, kind: Any, status: str) -> None:
    async with engine_with(Counting()) as engine:
        execution = await engine.start(flow, 1, id="x")
        with pytest.raises(kind) as caught:
            await execution.result()

        error = caught.value
        assert (error.execution_id, error.status, error.code) == ("x", status, status)
        assert error.error is not None
        assert (error.error["code"], error.error["message"]) == ("no", "not today")
        assert error.view == await execution.describe() == await execution.end()
        assert "not today" in str(error)


async def test_a_result_may_be_asked_for_by_many_and_again_after_the_end() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        execution = await engine.start(one("s.wait"), 7)
        asked = [asyncio.ensure_future(execution.result()) for _ in range(5)]
        await service.called.wait()
        service.gate.set()

        assert await asyncio.gather(*asked) == [7] * 5
        assert await execution.result() == 7
        assert engine._listeners.ends == {}


async def test_nobody_hears_of_an_end_before_it_is_durable() -> None:
    service, store = Counting(), Slow()
    async with engine_with(service, store) as engine:
        execution = await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
        result = asyncio.ensure_future(execution.result())
        view = asyncio.ensure_future(execution.describe())
        assert (await view)["status"] == "running"
        store.open.clear()
        service.gate.set()
        await store.waiting.wait()
        asked = [asyncio.ensure_future(each) for each in (execution.end(), execution.describe(), execution.cancel())]
        for _ in range(20):
            await asyncio.sleep(0)
        assert not any(each.done() for each in (result, asked[0], asked[1]))
        assert (await engine.list())[0].standing.status == "running"
        store.open.set()

        assert await result == 1
        assert (await asked[0])["status"] == (await asked[1])["status"] == "completed"
        with pytest.raises(mg.Refused):
            await asked[2]


async def test_a_description_shows_only_what_was_durable_when_it_was_asked_for() -> None:
    service, store = Counting(), Slow()
    async with engine_with(service, store) as engine:
        service.gate.set()
        for number in range(50):
            execution = await engine.start(mg.workflow("w", mg.call("a", "s.do"), mg.call("b", "s.do")), number)
            while True:
                view = await execution.describe()
                durable = len(await engine.history(execution.id))
                assert view["revision"] <= durable
                if view["status"] == "completed":
                    break


async def test_end_of_a_parked_execution_waits_and_of_a_suspended_one_answers() -> None:
    async with engine_with(Counting()) as engine:
        await engine.start(waiting(None), 1, id="x")
        await parked(engine, "x")
        end = asyncio.ensure_future(engine.end("x"))
        await engine.suspend("x", by="op", note="lunch")

        assert (await end)["status"] == "suspended"
        assert (await engine.end("x"))["status"] == "suspended"
        with pytest.raises(mg.ExecutionSuspended):
            await engine.result("x")
        await engine.resume_execution("x")
        end = asyncio.ensure_future(engine.end("x"))
        await engine.signal("x", "go")
        assert (await end)["status"] == "completed"


async def test_what_a_waiter_is_told_of_a_suspension_is_how_it_stood_then() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
        result = asyncio.ensure_future(engine.result("x"))
        await until(lambda: "x" in engine._listeners.ends)
        await asyncio.gather(engine.suspend("x"), engine.resume_execution("x"))
        service.gate.set()

        # Both were one commit: whether it was ever seen suspended is open, but not that it was seen otherwise.
        told = (await asyncio.gather(result, return_exceptions=True))[0]
        assert told == 1 or (isinstance(told, mg.ExecutionSuspended) and told.view["status"] == "suspended")
        assert (await engine.end("x"))["status"] == "completed"


async def test_an_unknown_execution_is_not_found_by_anybody() -> None:
    async with engine_with(Counting()) as engine:
        for asked in (engine.result, engine.end, engine.describe, engine.history, engine.cancel, engine.retry):
            with pytest.raises(mg.NotFound, match="'nobody'"):
                await asked("nobody")
        with pytest.raises(mg.NotFound):
            await engine.signal("nobody", "go")
        assert engine._listeners.ends == {}


async def test_watch_gives_every_record_until_the_end() -> None:
    service = Counting()
    async with engine_with(service) as engine:

        async def watched() -> list[Any]:
            return [record async for record in engine.watch("x")]

        early = asyncio.ensure_future(watched())
        await until(lambda: engine._listeners.watchers)
        await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
        late = asyncio.ensure_future(watched())
        await until(lambda: len(engine._listeners.watchers["x"]) == 2)
        service.gate.set()
        await engine.result("x")
        history = list(await engine.history("x"))

        assert await early == history
        assert await late == history[-len(await late) :]
        assert isinstance((await late)[-1].events[-1], ExecutionCompleted)
        assert await watched() == []
        assert engine._listeners.watchers == {}


def many(count: int) -> Any:
    """A workflow of many records."""
    return mg.workflow("many", *(mg.call(f"a{number}", "s.do") for number in range(count)))


async def test_a_slow_watcher_keeps_few_records_and_misses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "HEARD_MAX", 5)
    async with engine_with(Counting()) as engine:
        watch = engine.watch("x")
        first = asyncio.ensure_future(anext(watch))
        await until(lambda: engine._listeners.watchers)
        await engine.start(many(30), id="x")
        seen = [await first]
        await engine.end("x")
        history = list(await engine.history("x"))
        (bell,) = engine._listeners.watchers["x"]

        assert len(history) > 30
        assert len(bell.heard) <= 5
        assert seen + await _all(watch) == history


async def test_a_slow_follower_keeps_no_records_and_misses_none() -> None:
    async with engine_with(Counting()) as engine:
        await engine.start(many(30), id="x")
        follow = engine.observer.follow("x")
        seen = [await anext(follow)]
        await engine.end("x")
        (bell,) = engine._listeners.watchers["x"]
        assert not bell.heard
        seen += await _all(follow)

        assert seen == list(enumerate(await engine.history("x")))


async def test_watch_ends_at_a_suspension_also_when_nobody_else_waits() -> None:
    async with engine_with(Counting()) as engine:
        await engine.start(waiting(None), 1, id="x")
        await parked(engine, "x")
        watched = asyncio.ensure_future(_all(engine.watch("x")))
        await until(lambda: engine._listeners.watchers)
        await engine.suspend("x")

        assert events(await watched) == ["ExecutionSuspended"]


async def test_a_watcher_that_leaves_is_forgotten() -> None:
    async with engine_with(Counting()) as engine:
        await engine.start(waiting(None), 1, id="x")
        watch = engine.watch("x")
        watched = asyncio.ensure_future(_all(watch))
        await until(lambda: engine._listeners.watchers)
        watched.cancel()
        await asyncio.gather(watched, return_exceptions=True)

        assert engine._listeners.watchers == {}


async def test_descriptions_in_memory_and_from_the_journal_agree() -> None:
    flow = mg.workflow(
        "w",
        mg.parallel("p", mg.call("a", "s.do", compensation="s.undo"), mg.call("b", "s.do", compensation="s.undo")),
        mg.foreach("f", [1, 2, 3], mg.call("c", "s.do", input="${item}", compensation="s.undo")),
        mg.call("d", "s.wait"),
        mg.call("e", "s.refuse"),
        error_handling="compensation",
    )
    service = Counting()
    async with engine_with(service) as engine:
        await engine.start(flow, 1, id="x")
        await service.called.wait()
        live = await engine.describe("x")
        state = engine._runner.live.pop("x")
        stored = await engine.describe("x")
        engine._runner.live["x"] = state
        service.gate.set()
        end = await engine.end("x")

        assert live == stored
        assert end == await engine.describe("x")
        assert [each["status"] for each in end["compensations"]] == ["done"] * 5


async def _all(records: Any) -> list[Any]:
    return [each async for each in records]
