"""Crashes and a database in trouble: nothing recorded is done again, nothing hangs, one poison stops alone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from engines import Counting, EngineOn, HandClock, Slow, events, one, parked, until, waiting

import makegood as mg
from makegood.core.events import Record
from makegood.engine import committer
from makegood.ports import Append
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

FULL = mg.StorageUnavailable("the disk is full")


def engine_with(service: Any, store: Any = None, **options: Any) -> EngineOn:
    engine = EngineOn(store or MemoryStore(), **options)
    engine.register("s", service)
    return engine


async def abandon(engine: EngineOn) -> None:
    """As a crash leaves it: nothing is written any more, and nothing runs."""
    engine._intake.halt()
    ours = {"Calls._call", "Committer._run"}
    running = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ in ours]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    engine._runner.alarm.close()


# --- after a crash -------------------------------------------------------------------------------


async def test_a_lost_attempt_is_sent_again_with_the_same_key_and_a_settled_step_never() -> None:
    service, store = Counting(), MemoryStore()
    flow = mg.workflow("w", mg.call("a", "s.do"), mg.call("b", "s.wait", input=1), output="${steps.b}")
    dead = await engine_with(service, store).open()
    await dead.start(flow, 1, id="x")
    await service.called.wait()
    await abandon(dead)
    service.gate.set()
    async with engine_with(service, MemoryStore(after=store)) as engine:
        await engine.resume()

        assert await engine.result("x") == 1
    assert service.calls == [("do", "x:a:do", 1), ("wait", "x:b:do", 1), ("wait", "x:b:do", 2)]


async def test_what_was_not_durable_was_not_sent_and_is_sent_once_afterwards() -> None:
    service, store = Counting(), Slow()
    flow = mg.workflow("w", mg.call("a", "s.do"), mg.call("b", "s.do"))
    dead = await engine_with(service, store).open()
    store.fail = lambda batch: store.open.clear() if batch[0].position == 0 else None  # type: ignore[func-returns-value]
    await dead.start(flow, 1, id="x")
    await until(lambda: store.waiting.is_set() and service.calls)
    await abandon(dead)
    async with engine_with(service, MemoryStore(after=store.store)) as engine:
        await engine.resume()
        await engine.result("x")

    assert service.calls == [("do", "x:a:do", 1), ("do", "x:a:do", 2), ("do", "x:b:do", 1)]


def live(database: str, ready: Any) -> None:
    """An engine process that is killed from outside while a call is under way."""

    async def run() -> None:
        async def hang(input: Any) -> None:  # noqa: A002
            ready.set()
            await asyncio.Event().wait()

        async with mg.Engine(database) as engine:
            engine.register("s", {"do": lambda value: value, "wait": hang})
            await engine.start(waiting("1h"), 1, id="parked")
            await engine.start(mg.workflow("w", mg.call("a", "s.do"), mg.call("b", "s.wait", input=2)), 1, id="open")
            await asyncio.Event().wait()

    asyncio.run(run())


async def test_a_killed_process_leaves_its_executions_to_the_next_one(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("spawn")
    ready = processes.Event()
    database = str(tmp_path / "w.db")
    process = processes.Process(target=live, args=(database, ready))
    process.start()
    assert await asyncio.to_thread(ready.wait, 60)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.join)
    service = Counting()
    service.gate.set()
    async with mg.Engine(database) as engine:
        engine.register("s", service)
        await engine.resume()
        assert (await engine.end("open"))["status"] == "completed"
        assert service.calls == [("wait", "open:b:do", 2)]
        await engine.cancel("parked")
        assert (await engine.end("parked"))["status"] == "compensated"


# --- the database in trouble ---------------------------------------------------------------------


async def test_a_commit_that_fails_for_a_moment_is_written_again_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(committer, "RETRY_S", (0.0,))
    service, store = Counting(), Slow()
    failed: list[int] = []

    def fail(batch: Sequence[Append]) -> Exception | None:
        if all(each.start is None for each in batch) and len(failed) % 4 < 3:
            failed.append(1)
            return FULL
        failed.append(0)
        return None

    store.fail = fail
    async with engine_with(service, store) as engine:
        found = [await engine.start(mg.workflow("w", mg.call("a", "s.do"), mg.call("b", "s.do")), n) for n in range(10)]
        for each in found:
            await each.result()
        views = [await each.describe() for each in found]

    assert 1 in failed
    assert {view["status"] for view in views} == {"completed"}
    assert sorted({attempt for _, _, attempt in service.calls}) == [1]
    assert len(service.calls) == 20


@pytest.mark.parametrize(
    "error",
    [FULL, mg.StorageCorrupt("damaged"), mg.StorageUnavailable("open it again", retriable=False), mg.Fenced("gone")],
    ids=["patience", "corrupt", "reopen", "fenced"],
)
async def test_an_engine_that_can_write_no_more_tells_everybody_and_sends_nothing(error: Exception) -> None:
    service, store = Counting(), Slow()
    async with engine_with(service, store) as engine:
        engine._committer._patience_s = 0.0
        await engine.start(one("s.wait"), 1, id="x")
        await engine.start(waiting(None), 1, id="parked")
        await parked(engine, "parked")
        await service.called.wait()
        asked = [asyncio.ensure_future(each) for each in (engine.result("x"), engine.end("x"), engine.result("parked"))]
        asked.append(asyncio.ensure_future(_all(engine.watch("parked"))))
        await until(lambda: len(engine._listeners.ends) == 2 and engine._listeners.watchers)
        store.fail = lambda _batch: error
        signalled = asyncio.ensure_future(engine.signal("parked", "go"))
        service.gate.set()

        told = await asyncio.gather(*asked, signalled, return_exceptions=True)
        assert [type(each) for each in told] == [type(error)] * 5
        store.fail = lambda _batch: None
        for late in (engine.start(one(), 1), engine.cancel("x"), engine.result("x"), engine.resume()):
            with pytest.raises(type(error)):
                await late
        # What is durable can still be read.
        assert (await engine.describe("parked"))["status"] == "running"
    assert [call[0] for call in service.calls] == ["wait"]


async def test_an_error_that_only_opening_anew_mends_is_not_tried_again() -> None:
    store = Slow()
    tried: list[int] = []

    def fail(batch: Sequence[Append]) -> Exception:
        tried.append(len(batch))
        return mg.StorageUnavailable("open it again", retriable=False)

    async with engine_with(Counting(), store) as engine:
        store.fail = fail
        for _ in range(2):
            with pytest.raises(mg.StorageUnavailable):
                await engine.start(one(), 1)
    assert tried == [1]


async def test_a_start_on_a_full_disk_is_refused_and_the_engine_goes_on() -> None:
    service, store = Counting(), Slow()
    async with engine_with(service, store) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
        store.fail = lambda batch: FULL if any(each.start for each in batch) else None
        with pytest.raises(mg.StorageUnavailable, match="full"):
            await engine.start(one(), 2, id="y")
        service.gate.set()
        assert await engine.result("x") == 1
        store.fail = lambda _batch: None

        assert await (await engine.start(one(), 2, id="y")).result() == 2
        assert not engine._runner.live


async def test_a_refused_start_does_not_harm_the_others_of_its_batch() -> None:
    async with engine_with(Counting()) as engine:
        flow = waiting(None, business_key="input")
        await engine.put(flow)
        found = await asyncio.gather(*(engine.start(flow, n % 5) for n in range(10)), return_exceptions=True)

        assert sum(isinstance(each, mg.Execution) for each in found) == 5
        assert sum(isinstance(each, mg.Conflict) for each in found) == 5


async def test_an_engine_whose_database_was_taken_over_stops_though_it_has_nothing_to_write() -> None:
    store = MemoryStore()
    async with engine_with(Counting(), store) as engine:
        await engine.start(waiting(None), 1, id="x")
        await parked(engine, "x")
        result = asyncio.ensure_future(engine.result("x"))
        await until(lambda: engine._listeners.ends)
        MemoryStore(after=store)

        with pytest.raises(mg.Fenced):
            await result


async def test_an_append_that_the_store_refuses_alone_is_told_to_whoever_waits_for_that_execution() -> None:
    service, store = Counting(), MemoryStore()
    async with engine_with(service, store) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        other = await engine.start(one("s.wait"), 2, id="y")
        await until(lambda: len(service.calls) == 2)
        result = asyncio.ensure_future(engine.result("x"))
        await until(lambda: engine._listeners.ends)
        engine._runner.live["x"].position += 1
        service.gate.set()

        with pytest.raises(mg.Fenced):
            await result
        assert await other.result() == 2


# --- poison --------------------------------------------------------------------------------------


def spoil_text(store: MemoryStore, execution_id: str) -> None:
    store._kept.rows[execution_id].records[0] = "this is no record"


def spoil_event(store: MemoryStore, execution_id: str) -> None:
    records = store._kept.rows[execution_id].records
    records[0] = records[0].replace('"execution_started"', '"execution_begun"')


def spoil_step(store: MemoryStore, execution_id: str) -> None:
    records = store._kept.rows[execution_id].records
    records[0] = records[0].replace('"step":"pause"', '"step":"pauze"')


def spoil_definition(store: MemoryStore, execution_id: str) -> None:
    del store._kept.definitions["poison"]


def spoil_tree(store: MemoryStore, execution_id: str) -> None:
    store._kept.definitions["poison"][1].tree["steps"] = [{"id": 1}]


@pytest.mark.parametrize("spoil", [spoil_text, spoil_event, spoil_step, spoil_definition, spoil_tree])
async def test_one_execution_that_is_not_understood_stops_alone_and_stays_as_it_is(spoil: Any) -> None:
    clock, service, store = HandClock(), Counting(), MemoryStore()
    async with clock.engine(store) as engine:
        engine.register("s", service)
        await engine.start(waiting("1m", name="poison"), 1, id="poison")
        for number in range(3):
            await engine.start(waiting("1m"), number, id=f"x{number}")
    spoil(store, "poison")
    kept = list(store._kept.rows["poison"].records)
    clock.ms += 60_000
    store = MemoryStore(after=store)
    async with clock.engine(store) as engine:
        engine.register("s", service)
        await engine.resume()

        assert [await engine.result(f"x{number}") for number in range(3)] == [0, 1, 2]
        for request in (engine.cancel("poison"), engine.describe("poison")):
            with pytest.raises((mg.MakegoodError, KeyError)):
                await request
        assert await (await engine.start(one(), 1)).result() == 1
    assert store._kept.rows["poison"].records == kept
    assert len(service.calls) == 4


async def test_a_bug_in_judging_stops_one_execution_and_tells_its_waiters(monkeypatch: pytest.MonkeyPatch) -> None:
    from makegood.engine import runner

    judge = runner.decide

    def decide(state: Any, *rest: Any) -> Record | None:
        if state.execution_id == "bad":
            raise ZeroDivisionError("a bug")
        return judge(state, *rest)

    service = Counting()
    async with engine_with(service) as engine:
        flow = mg.workflow("w", mg.call("a", "s.wait", input="${input}"), mg.call("b", "s.do"), output="${steps.a}")
        bad = await engine.start(flow, 1, id="bad")
        good = await engine.start(flow, 2, id="good")
        await until(lambda: len(service.calls) == 2)
        monkeypatch.setattr(runner, "decide", decide)
        service.gate.set()

        with pytest.raises(mg.MakegoodError, match="a bug"):
            await bad.result()
        assert await good.result() == 2
        assert "AttemptStarted" in events(await engine.history("bad"))


async def _all(records: Any) -> list[Any]:
    return [each async for each in records]
