"""Beginnings: whoever begins an execution is alone with its id, and nobody hears of one that never comes to be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from engines import Counting, EngineOn, Slow, events, one, parked, until
from families import child_of

import makegood as mg
from makegood.errors import Conflict, NotFound, Refused
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

ENDS_AT_ONCE = {
    "completed": mg.workflow("short", mg.set_("a", 5), output="${steps.a}"),
    "compensated": mg.workflow("short", mg.fail("a", "no", "not today")),
    "failed": mg.workflow("short", mg.fail("a", "no", "not today"), error_handling="fail_fast"),
}
TOP = mg.workflow("top", mg.child("b", "short"), output="${steps.b}")


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return ":memory:" if request.param == "memory" else str(tmp_path / "w.db")


def engine_on(store: Any, service: Any = None, **options: Any) -> EngineOn:
    engine = EngineOn(store, **options)
    engine.register("s", service or Counting())
    return engine


# --- ends in the first record, where there is no room ------------------------------------------------


@pytest.mark.parametrize("status", ENDS_AT_ONCE)
@pytest.mark.parametrize("options", [{"only": ()}, {"max_concurrent_executions": 1}])
async def test_what_ends_with_its_first_record_needs_no_room(database: str, status: str, options: Any) -> None:
    async with mg.Engine(database, drain_seconds=0.0, **options) as engine:
        engine.register("s", Counting())
        await engine.start(one("s.wait"), 1, id="full")
        await engine.start(ENDS_AT_ONCE[status], id="x")

        assert (await engine.end("x"))["status"] == status
        assert events(await engine.history("x"))[0] == "ExecutionStarted"


@pytest.mark.parametrize("status", ENDS_AT_ONCE)
async def test_a_child_that_ends_with_its_first_record_needs_no_room_and_its_parent_hears(
    database: str, status: str
) -> None:
    async with mg.Engine(database, max_concurrent_executions=1) as engine:
        await engine.put(ENDS_AT_ONCE[status])
        await engine.start(TOP, id="x")

        end = "completed" if status == "completed" else "compensated"
        assert (await engine.end("x"))["status"] == end
        # One that failed is undone with its parent.
        assert (await engine.describe(child_of("x", "b")))["status"] == end


async def test_a_rerun_that_ends_with_its_first_record_needs_no_room(database: str) -> None:
    flow = mg.workflow("short", mg.set_("a", 5), mg.fail("b", "no", "not today"), error_handling="fail_fast")
    async with mg.Engine(database, only=()) as engine:
        await engine.start(flow, id="x")
        again = await engine.rerun("x", "b")

        assert (await again.end())["status"] == "failed"
        assert (await engine.end("x"))["status"] == "superseded"


# --- one at a time -----------------------------------------------------------------------------------


async def test_a_start_under_the_id_of_a_child_that_begins_finds_that_child() -> None:
    service, store = Counting(), Slow()
    async with engine_on(store, service) as engine:
        await engine.put(one("s.wait"))
        await engine.start(mg.workflow("top", mg.child("b", "one"), output="${steps.b}"), 1, id="x")
        child = child_of("x", "b")
        await until(lambda: child in engine._runner.live)
        store.open.clear()
        begun = engine._runner.live[child]
        other = asyncio.ensure_future(engine.start("one", 2, id=child))
        await store.waiting.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        store.open.set()

        with pytest.raises(Conflict) as refused:
            await other
        assert refused.value.code == "id_taken"
        assert engine._runner.live[child] is begun
        service.gate.set()
        assert (await engine.end("x"))["status"] == "completed"
        assert service.calls == [("wait", f"{child}:a:do", 1)]


async def test_a_child_whose_id_a_start_is_taking_is_refused_and_that_one_goes_on() -> None:
    service, store = Counting(), Slow()
    async with engine_on(store, service) as engine:
        await engine.put(one("s.wait"))
        store.open.clear()
        child = child_of("x", "b")
        first = asyncio.ensure_future(engine.start("one", 2, id=child))
        await until(lambda: child in engine._runner.live)
        begun = engine._runner.live[child]
        parent = asyncio.ensure_future(engine.start(mg.workflow("top", mg.child("b", "one")), 1, id="x"))
        await store.waiting.wait()
        store.open.set()
        await asyncio.gather(first, parent)

        assert (await engine.end("x"))["error"]["details"]["code"] == "id_taken"
        assert engine._runner.live[child] is begun
        service.gate.set()
        assert await engine.result(child) == 2


async def test_a_start_under_the_id_of_a_successor_that_begins_finds_that_successor() -> None:
    service, store = Counting(), Slow()
    flow = mg.workflow("w", mg.call("a", "s.refuse"), error_handling="fail_fast")
    async with engine_on(MemoryStore(), service) as engine:
        await engine.start(flow, id="x")
        await engine.end("x")
        successor = (await engine.rerun("x", "a")).id
    service.calls.clear()
    async with engine_on(store, service) as engine:
        await engine.start(flow, id="x")
        await engine.end("x")
        store.open.clear()
        rerun = asyncio.ensure_future(engine.rerun("x", "a"))
        await until(lambda: successor in engine._runner.live)
        begun = engine._runner.live[successor]
        start = asyncio.ensure_future(engine.start("w", id=successor))
        await store.waiting.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert engine._runner.live[successor] is begun
        store.open.set()

        assert (await rerun).id == successor
        with pytest.raises(Conflict):
            await start
        assert (await engine.end(successor))["status"] == "failed"
    assert service.calls.count(("refuse", f"{successor}:a:do", 1)) == 1


# --- what never comes to be --------------------------------------------------------------------------

BAD = mg.workflow("w", mg.call("a", "s.refuse", compensation="s.undo"), error_handling="fail_fast")
HOLDS = mg.workflow("w", mg.signal("a", "go"))


async def outcome(asked: Awaitable[Any]) -> Any:
    """The state that was seen, or the error that was raised."""
    try:
        view = await asked
    except mg.MakegoodError as error:
        return error
    return view["status"] if isinstance(view, dict) else view


async def refused_rerun(engine: EngineOn, store: Slow) -> asyncio.Future[Any]:
    """Execution `x`, with a rerun under way that will be refused, since `y` holds its key."""
    await engine.start(BAD, id="x", business_key="k")
    await engine.end("x")
    await engine.start(HOLDS, id="y", business_key="k")
    await parked(engine, "y")
    store.open.clear()
    asked = asyncio.ensure_future(outcome(engine.rerun("x", "a")))
    await until(lambda: engine._runner.live and store.waiting.is_set())
    return asked


async def test_only_who_asked_for_a_rerun_hears_that_it_was_refused() -> None:
    store = Slow()
    async with engine_on(store) as engine:
        rerun = await refused_rerun(engine, store)
        successor = next(each for each in engine._runner.live if each != "x")
        others = [
            asyncio.ensure_future(outcome(each))
            for each in (engine.describe("x"), engine.end("x"), engine.describe(successor))
        ]
        await until(lambda: engine._runner.live["x"].on_durable and engine._runner.live[successor].on_durable)
        store.open.set()

        assert isinstance(await rerun, Conflict)
        seen = await asyncio.gather(*others)
        assert seen[:2] == ["failed", "failed"]
        assert isinstance(seen[2], NotFound)


async def test_a_request_that_meets_a_rerun_under_way_is_judged_by_what_comes_of_it() -> None:
    store = Slow()
    async with engine_on(store) as engine:
        rerun = await refused_rerun(engine, store)
        compensate = asyncio.ensure_future(outcome(engine.compensate("x")))
        await until(lambda: engine._runner.live["x"].on_durable)
        store.open.set()

        assert isinstance(await rerun, Conflict)
        assert await compensate is None
        assert (await engine.end("x"))["status"] == "compensated"


async def test_a_rerun_that_meets_another_one_under_way_is_judged_by_what_comes_of_it() -> None:
    store = Slow()
    async with engine_on(store) as engine:
        rerun = await refused_rerun(engine, store)
        await engine.put(mg.workflow("w", mg.call("a", "s.do"), error_handling="fail_fast", business_key="null"))
        other = asyncio.ensure_future(outcome(engine.rerun("x", "a", version=3)))
        await until(lambda: engine._runner.live["x"].on_durable)
        store.open.set()

        assert isinstance(await rerun, Conflict)
        # Refused for the same reason, and not because `x` had been rerun already.
        assert getattr(await other, "code", None) == "business_key_taken"


async def test_a_request_behind_a_rerun_that_is_accepted_is_refused_once_that_is_durable() -> None:
    store = Slow()
    async with engine_on(store) as engine:
        await engine.start(BAD, id="x")
        await engine.end("x")
        store.open.clear()
        rerun = asyncio.ensure_future(engine.rerun("x", "a"))
        await until(lambda: engine._runner.live and store.waiting.is_set())
        compensate = asyncio.ensure_future(outcome(engine.compensate("x")))
        await until(lambda: engine._runner.live["x"].on_durable)
        assert not compensate.done()
        store.open.set()

        successor = (await rerun).id
        refused = await compensate
        assert isinstance(refused, Refused)
        assert successor in str(refused)
