"""Requests that another process leaves beside the database, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from engines import Counting, EngineOn, events, one, parked, waiting

import makegood as mg
from makegood.core.events import SignalReceived
from makegood.storage.memory import MemoryStore
from makegood.storage.sqlite import SqliteInbox

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "required": ["ok"]}
SIGNALLED = mg.workflow("signalled", mg.signal("a", "go", schema=SCHEMA), output="${steps.a}")
UNDOABLE = mg.workflow(
    "undoable",
    mg.call("a", "s.do", compensation={"call": "s.refuse", "retry": {"max_attempts": 1}}),
    mg.call("b", "s.refuse"),
    error_handling="fail_fast",
)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[mg.Engine]:
    async with mg.Engine(tmp_path / "w.db") as engine:
        engine.register("s", Counting())
        yield engine


async def asked(engine: mg.Engine, execution_id: str, kind: str, body: Any) -> str:
    """What another process is told."""
    inbox = SqliteInbox(engine._database)
    number = await asyncio.to_thread(inbox.put, execution_id, kind, body)
    told = await asyncio.to_thread(inbox.wait, number, 10.0)
    assert told is not None
    return told


async def test_requests_are_decided_while_the_engine_runs(engine: mg.Engine) -> None:
    await engine.start(SIGNALLED, 1, id="x")
    await engine.start(waiting(None), 1, id="y")

    assert await asked(engine, "x", "suspend", {"by": "op"}) == ""
    assert (await engine.end("x"))["status"] == "suspended"
    assert await asked(engine, "x", "resume", {"by": "op"}) == ""
    assert await asked(engine, "x", "signal", {"name": "go", "payload": {"ok": 1}}) == ""
    assert await engine.result("x") == {"ok": 1}
    assert await asked(engine, "y", "cancel", {"by": "op", "note": "enough"}) == ""
    assert (await engine.end("y"))["error"]["message"] == "enough"


async def test_a_repair_is_decided_by_the_running_engine(engine: mg.Engine) -> None:
    execution = await engine.start(UNDOABLE, 1, id="x")
    assert (await execution.end())["status"] == "failed"

    assert await asked(engine, "x", "compensate", {}) == ""
    assert (await execution.end())["status"] == "compensation_failed"
    assert await asked(engine, "x", "retry", {}) == ""
    assert (await execution.end())["status"] == "compensation_failed"
    assert await asked(engine, "x", "resolve", {"step": "a", "note": "by hand"}) == ""
    assert (await execution.end())["status"] == "compensated"


async def test_a_refusal_says_why_and_changes_nothing(engine: mg.Engine) -> None:
    await (await engine.start(one(), 1, id="ended")).result()
    await engine.start(SIGNALLED, 1, id="x")
    before = list(await engine.history("x"))

    assert "there is no execution 'nobody'" in await asked(engine, "nobody", "cancel", {})
    assert "completed" in await asked(engine, "ended", "cancel", {})
    assert "no such" in await asked(engine, "x", "signal", {"name": "no such", "payload": 1})
    assert "schema" in await asked(engine, "x", "signal", {"name": "go", "payload": {}})
    assert "compensation_failed" in await asked(engine, "x", "retry", {})
    assert list(await engine.history("x")) == before


@pytest.mark.parametrize(
    ("kind", "body"),
    [("dance", {}), ("signal", {}), ("signal", {"name": 1}), ("resolve", {"note": "n"}), ("cancel", [1])],
)
async def test_a_request_that_makes_no_sense_is_refused_and_the_next_one_is_heard(
    engine: mg.Engine, kind: str, body: Any
) -> None:
    await engine.start(SIGNALLED, 1, id="x")

    assert await asked(engine, "x", kind, body) != ""
    assert await asked(engine, "x", "cancel", {}) == ""


async def test_the_same_request_again_is_accepted_and_leads_to_nothing_more(engine: mg.Engine) -> None:
    service = Counting()
    engine.register("s", service)
    await engine.start(one("s.wait", error_handling="fail_fast"), 1, id="x")
    await service.called.wait()

    told = await asyncio.gather(*(asked(engine, "x", "cancel", {}) for _ in range(5)))
    assert told == [""] * 5
    service.gate.set()
    await engine.end("x")
    assert events(await engine.history("x")).count("AbortDecided") == 1


async def test_requests_wait_for_an_engine_and_are_heard_once(tmp_path: Path) -> None:
    database = str(tmp_path / "w.db")
    async with mg.Engine(database) as engine:
        engine.register("s", Counting())
        await engine.start(SIGNALLED, 1, id="x")
        await asyncio.gather(parked(engine, "x"))
    number = SqliteInbox(database).put("x", "signal", {"name": "go", "payload": {"ok": 1}})
    assert SqliteInbox(database).verdict(number) is None
    async with mg.Engine(database) as engine:
        engine.register("s", Counting())
        await engine.resume()
        assert await engine.result("x") == {"ok": 1}
        received = [each for record in await engine.history("x") for each in record.events]
        assert sum(isinstance(each, SignalReceived) for each in received) == 1
    assert SqliteInbox(database).verdict(number) == ""


async def test_an_engine_with_only_some_executions_leaves_the_requests_of_others() -> None:
    store = MemoryStore()
    async with EngineOn(store) as engine:
        for each in "xy":
            await engine.start(SIGNALLED, 1, id=each)
    store = MemoryStore(after=store)
    numbers = {each: await store.put_request(each, "cancel", {}) for each in "xy"}
    async with EngineOn(store, only=("x",)) as engine:
        await engine.resume()
        await engine.end("x")
        assert (await store.verdict(numbers["x"]), await store.verdict(numbers["y"])) == ("", None)
        assert (await engine.describe("y"))["status"] == "running"


async def test_a_request_meets_no_verdict_while_the_database_is_in_trouble() -> None:
    store = MemoryStore()
    async with EngineOn(store) as engine:
        await engine.start(SIGNALLED, 1, id="x")
        await parked(engine, "x")
        engine._committer.fail(mg.StorageUnavailable("gone"))
        number = await store.put_request("x", "cancel", {})
    store = MemoryStore(after=store)
    async with EngineOn(store) as engine:
        assert await store.verdict(number) is None
        await engine.resume()
        assert (await engine.end("x"))["error"]["code"] == "cancelled"
    assert await store.verdict(number) == ""
