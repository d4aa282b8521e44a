"""Closing: in all situations it is graceful, nobody who waits is left waiting, and nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from engines import Counting, EngineOn, Slow, one, parked, until, waiting

import makegood as mg
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """In asyncio's debug mode: no task is left, and no error went unheard."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    unheard: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: unheard.append(context))
    yield
    for _ in range(3):
        await asyncio.sleep(0)
    left = {task.get_name() for task in asyncio.all_tasks() if "TestRunner" not in repr(task)}
    loop.set_debug(False)
    loop.set_exception_handler(None)
    assert (left, unheard) == (set(), [])


def engine_with(service: Any, store: Any = None, **options: Any) -> EngineOn:
    engine = EngineOn(store or MemoryStore(), **options)
    engine.register("s", service)
    return engine


async def test_an_engine_that_was_never_opened_says_so_and_closes() -> None:
    engine = mg.Engine(":memory:")
    await engine.aclose()
    asked: list[Any] = [
        engine.start(one(), 1), engine.start(one(), 1, id="x"), engine.resume(), engine.put(one()), engine.list(),
        engine.describe("x"), engine.result("x"), engine.end("x"), engine.cancel("x"), engine.history("x"),
        engine.signal("x", "go"),
    ]  # fmt: skip
    for each in asked:
        with pytest.raises(mg.StorageError, match="closed"):
            await each


async def test_a_closed_engine_says_so_and_is_not_opened_again() -> None:
    engine = engine_with(Counting())
    async with engine:
        execution = await engine.start(one(), 1)
        await execution.result()
        with pytest.raises(mg.StorageError, match="opened before"):
            await engine.open()
    await engine.aclose()

    for each in (engine.start(one(), 1), execution.result(), execution.describe(), execution.cancel(), engine.resume()):
        with pytest.raises(mg.StorageError, match="closed"):
            await each
    with pytest.raises(mg.StorageError, match="opened before"):
        await engine.open()


async def test_open_calls_have_time_to_end_and_the_next_steps_wait_for_the_next_process() -> None:
    service, store = Counting(), MemoryStore()
    flow = mg.workflow("w", mg.call("a", "s.wait", input="${input}"), mg.call("b", "s.do"), output="${steps.a}")
    async with engine_with(service, store, drain_seconds=30.0) as engine:
        await engine.start(flow, 1, id="x")
        await service.called.wait()
        asyncio.get_running_loop().call_soon(service.gate.set)
    assert service.calls == [("wait", "x:a:do", 1)]
    async with engine_with(service, MemoryStore(after=store)) as engine:
        await engine.resume()
        assert await engine.result("x") == 1
    assert service.calls == [("wait", "x:a:do", 1), ("do", "x:b:do", 1)]


async def test_calls_that_do_not_end_are_left_and_sent_again_by_the_next_process() -> None:
    service, store = Counting(), MemoryStore()
    async with engine_with(service, store, drain_seconds=0.0) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
    row = store._kept.rows["x"]
    assert row.standing.parked
    service.gate.set()
    async with engine_with(service, MemoryStore(after=store)) as engine:
        await engine.resume()
        assert await engine.result("x") == 1
    assert service.calls == [("wait", "x:a:do", 1), ("wait", "x:a:do", 2)]
    assert row.crashes == 0


async def test_whoever_waits_when_it_closes_is_told() -> None:
    service = Counting()
    async with engine_with(service, drain_seconds=0.0) as engine:
        execution = await engine.start(one("s.wait"), 1, id="x")
        await engine.start(waiting(None), 1, id="parked")
        await parked(engine, "parked")
        asked = [asyncio.ensure_future(each) for each in (execution.result(), execution.end(), engine.end("parked"))]
        asked.append(asyncio.ensure_future(_all(engine.watch("x"))))
        await until(lambda: len(engine._listeners.ends) == 2 and engine._listeners.watchers)

    told = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in told] == [mg.StorageError] * 4
    assert (engine._listeners.ends, engine._listeners.watchers) == ({}, {})


async def test_closing_in_the_middle_of_a_commit_waits_for_it_and_sends_nothing_more() -> None:
    service, store = Counting(), Slow()
    engine = await engine_with(service, store).open()
    await engine.put(one())
    store.open.clear()
    starting = asyncio.ensure_future(engine.start("one", 1, id="x"))
    await store.waiting.wait()
    closing = asyncio.ensure_future(engine.aclose())
    await until(lambda: engine._runner.stopping)
    store.open.set()
    await closing

    assert (await starting).id == "x"
    assert service.calls == []
    async with engine_with(service, MemoryStore(after=store.store)) as engine:
        await engine.resume()
        assert await engine.result("x") == 1


@pytest.mark.parametrize("turns", range(12))
async def test_a_start_that_races_with_closing_is_durable_or_refused(turns: int) -> None:
    service, store = Counting(), MemoryStore()
    engine = await engine_with(service, store, drain_seconds=0.0).open()
    starting = [asyncio.ensure_future(engine.start(one(), n, id=f"x{n}")) for n in range(3)]
    asked = [asyncio.ensure_future(each) for each in (engine.describe("x0"), engine.cancel("x1"), engine.result("x2"))]
    for _ in range(turns):
        await asyncio.sleep(0)
    await engine.aclose()

    started = await asyncio.gather(*starting, return_exceptions=True)
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in started} <= {mg.Execution, mg.StorageError}
    assert all(not isinstance(each, BaseException) or isinstance(each, mg.MakegoodError) for each in told)
    for number, each in enumerate(started):
        if isinstance(each, mg.Execution):
            assert f"x{number}" in store._kept.rows


async def test_closing_twice_at_once_and_inside_an_error() -> None:
    service = Counting()
    engine = engine_with(service, drain_seconds=0.0)

    async def fails() -> None:
        async with engine:
            await engine.start(one("s.wait"), 1)
            await service.called.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    await asyncio.gather(engine.aclose(), engine.aclose())


async def test_closing_that_is_cancelled_lets_go_of_everything_all_the_same() -> None:
    service, store = Counting(), MemoryStore()
    engine = await engine_with(service, store, drain_seconds=60.0).open()
    await engine.start(one("s.wait"), 1, id="x")
    await service.called.wait()
    result = asyncio.ensure_future(engine.result("x"))
    closing = asyncio.ensure_future(engine.aclose())
    await until(lambda: engine._runner.stopping)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    assert store._closed
    with pytest.raises(mg.StorageError, match="closed"):
        await result


async def test_an_asker_that_is_cancelled_leaves_the_execution_alone() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        for turns in range(8):
            starting = asyncio.ensure_future(engine.start(one("s.wait"), turns, id=f"x{turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        execution = await engine.start(one("s.wait"), 0, id="y")
        result = asyncio.ensure_future(execution.result())
        await until(lambda: "y" in engine._listeners.ends)
        result.cancel()
        await asyncio.gather(result, return_exceptions=True)
        service.gate.set()

        assert await execution.result() == 0
        for turns in range(8):
            assert await (await engine.start(one("s.wait"), turns, id=f"x{turns}")).result() == turns
        assert engine._listeners.ends == {}
        assert engine._starter._turns._taken == {}
    assert len({key for _, key, _ in service.calls}) == len(service.calls) == 9


async def test_a_broken_engine_closes_at_once() -> None:
    service, store = Counting(), Slow()
    async with engine_with(service, store, drain_seconds=0.0) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
        store.fail = lambda _batch: mg.Fenced("gone")
        service.gate.set()
        with pytest.raises(mg.Fenced):
            await engine.result("x")


async def _all(records: Any) -> list[Any]:
    return [each async for each in records]
