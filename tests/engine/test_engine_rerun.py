"""Rerun from a step, by an engine: both records or none, the same request once, and whoever asks hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from engines import Counting, EngineOn, Slow, events, until

import makegood as mg
from makegood.core.rerunning import rerun_id
from makegood.engine import committer
from makegood.ports import Append
from makegood.storage.memory import MemoryStore
from makegood.storage.sqlite import SqliteInbox

pytestmark = pytest.mark.anyio

FULL = mg.StorageUnavailable("the disk is full")


class Shop(Counting):
    """Refuses `pay` until it has money."""

    def __init__(self, *, money: bool = False) -> None:
        super().__init__()
        self.money = money

    async def pay(self, input: Any, call: mg.Call) -> Any:  # noqa: A002
        self.calls.append(("pay", call.key, call.attempt))
        if not self.money:
            raise mg.Rejected("no_money", "not today")
        return "paid"

    async def tell(self, input: Any, call: mg.Call) -> None:  # noqa: A002
        self.calls.append((f"{call.execution_id} {call.step}", call.key, call.attempt))


def order(*more: Any, **keys: Any) -> Any:
    return mg.workflow(
        "order",
        mg.call("ship", "s.do", compensation="s.tell"),
        mg.call("pay", "s.pay", compensation="s.undo"),
        *more,
        **{"error_handling": "fail_fast", "output": "${steps.pay}", **keys},
    )


UNDOES = order(error_handling="compensation", version=2)


def engine_on(store: Any, service: Any, **options: Any) -> EngineOn:
    engine = EngineOn(store, **options)
    engine.register("s", service)
    return engine


async def fail(engine: mg.Engine, execution_id: str = "x", flow: Any = None, **given: Any) -> None:
    await engine.start(flow or order(), {"n": 1}, id=execution_id, **given)
    assert (await engine.end(execution_id))["status"] == "failed"


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return ":memory:" if request.param == "memory" else str(tmp_path / "w.db")


# --- going on --------------------------------------------------------------------------------------


async def test_it_goes_on_as_a_new_execution_and_both_say_so(database: str) -> None:
    service = Shop()
    async with mg.Engine(database) as engine:
        engine.register("s", service)
        await fail(engine, business_key="k", search={"who": "ada"})
        service.money = True

        again = await engine.rerun("x", "pay", by="ada", note="paid in")

        assert again.id == rerun_id("x", 1, "pay")
        assert not again.resumed
        assert await again.result() == "paid"
        old, new = await engine.describe("x"), await engine.describe(again.id)
        assert (old["status"], old["superseded_by"]) == ("superseded", again.id)
        assert (new["rerun_of"], new["rerun_from"], new["business_key"]) == ("x", "pay", "k")
        assert events(await engine.history("x"))[-1] == "ExecutionSuperseded"
        rows = {each.execution_id: each for each in await engine.list()}
        assert (rows["x"].standing.superseded_by, rows[again.id].start.rerun_of) == (again.id, "x")
        assert rows[again.id].start.search == {"who": "ada"}
    assert service.calls == [("do", "x:ship:do", 1), ("pay", "x:pay:do", 1), ("pay", f"{again.id}:pay:do", 1)]


async def test_a_service_knows_what_it_undoes_by_the_execution_that_asked_for_it(database: str) -> None:
    service = Shop()
    async with mg.Engine(database) as engine:
        engine.register("s", service)
        await fail(engine)
        await engine.put(UNDOES)

        again = await engine.rerun("x", "pay", version=2)

        assert (await again.end())["status"] == "compensated"
        assert [row["effect"] for row in await again.effects()] == ["undone"]
    assert service.calls[-1] == ("x ship", "x:ship:undo", 1)


async def test_who_waits_for_the_old_one_hears_where_it_goes_on() -> None:
    service = Shop()
    async with engine_on(MemoryStore(), service) as engine:
        await fail(engine)
        service.money = True
        again = await engine.rerun("x", "pay")

        with pytest.raises(mg.ExecutionSuperseded, match=again.id) as told:
            await engine.result("x")
        with pytest.raises(mg.Refused, match=again.id) as refused:
            await engine.compensate("x")

    assert told.value.view["superseded_by"] == again.id
    assert refused.value.code == "superseded"


async def test_the_same_again_is_the_same_execution_however_often_and_at_once() -> None:
    service, store = Shop(), MemoryStore()
    async with engine_on(store, service) as engine:
        await fail(engine)
        service.money = True

        found = await asyncio.gather(*(engine.rerun("x", "pay", by=str(number)) for number in range(5)))
        await found[0].end()
        later = await engine.rerun("x", "pay", version=1)

    assert {each.id for each in (*found, later)} == {found[0].id}
    assert sorted(each.resumed for each in found) == [False, True, True, True, True]
    assert later.resumed
    assert service.calls.count(("pay", f"{later.id}:pay:do", 1)) == 1


async def test_another_rerun_of_what_was_rerun_is_refused_with_the_one_there_is() -> None:
    service = Shop()
    async with engine_on(MemoryStore(), service) as engine:
        await fail(engine)
        service.money = True
        await engine.put(UNDOES)
        both = await asyncio.gather(
            engine.rerun("x", "pay"), engine.rerun("x", "pay", version=2), return_exceptions=True
        )
        again, refused = both

        assert isinstance(again, mg.Execution)
        assert isinstance(refused, mg.Refused)
        assert refused.code == "superseded"
        assert again.id in str(refused)


async def test_without_room_it_waits_for_its_turn() -> None:
    service = Shop()
    async with engine_on(MemoryStore(), service, max_concurrent_executions=1) as engine:
        await fail(engine)
        service.money = True

        again = await engine.rerun("x", "pay")

        assert await again.result() == "paid"


async def test_a_called_workflow_that_was_taken_over_is_undone_by_the_new_one() -> None:
    service = Shop()
    child = mg.workflow("child", mg.call("c", "s.do", compensation="s.undo"))
    steps = (mg.child("k", "child", input="${input}"), mg.call("pay", "s.pay"))
    async with engine_on(MemoryStore(), service) as engine:
        await engine.put(child)
        await engine.put(mg.workflow("parent", *steps, error_handling="fail_fast"))
        await engine.put(mg.workflow("parent", *steps, version=2))
        await engine.start("parent", {"n": 1}, id="x", version=1)
        assert (await engine.end("x"))["status"] == "failed"

        again = await engine.rerun("x", "pay", version=2)

        # The child's end is told to the one whose child it is now: nobody waits for the next look.
        assert (await again.end())["status"] == "compensated"
        row = (await again.effects())[0]
        assert (row["effect"], row["origin"]) == ("undone", "x")
        assert (await engine.describe(row["execution"]))["status"] == "compensated"


# --- refused ---------------------------------------------------------------------------------------


async def test_a_business_key_that_another_one_holds_refuses_it_and_changes_nothing(database: str) -> None:
    service = Shop()
    async with mg.Engine(database) as engine:
        engine.register("s", service)
        await fail(engine, business_key="k")
        service.money = True
        await engine.start(mg.workflow("order", mg.call("ship", "s.wait"), version=9), id="y", business_key="k")

        with pytest.raises(mg.Conflict, match="'y'") as told:
            await engine.rerun("x", "pay")

        assert told.value.code == "business_key_taken"
        assert (await engine.describe("x"))["status"] == "failed"
        service.gate.set()
        await engine.result("y")
        assert await (await engine.rerun("x", "pay")).result() == "paid"


async def test_what_cannot_be_is_said_and_changes_nothing() -> None:
    schema = {"type": "object", "required": ["vat"]}
    service = Shop()
    async with engine_on(MemoryStore(), service) as engine:
        await fail(engine)
        await engine.put(order(version=2, input_schema=schema))
        engine.register("mail", Counting())
        await engine.put(order(mg.call("mail", "mail.do"), version=3))
        before = await engine.history("x")

        for given, error in [
            ({"execution_id": "nobody"}, mg.NotFound),
            ({"from_step": "nowhere"}, mg.NotFound),
            ({"from_step": "ship"}, mg.Refused),
            ({"version": 0}, mg.NotFound),
            ({"version": 7}, mg.NotFound),
            ({"version": 2}, mg.InputError),
        ]:
            with pytest.raises(error):
                await engine.rerun(**{"execution_id": "x", "from_step": "pay", **given})

        assert await engine.history("x") == before
        assert len(await engine.list()) == 1
    async with engine_on(MemoryStore(after=engine.given), service) as engine:
        with pytest.raises(mg.Refused, match="mail") as told:
            await engine.rerun("x", "pay", version=3)
        assert told.value.code == "unserved"


async def test_a_called_execution_is_rerun_in_its_caller_alone() -> None:
    service = Shop()
    async with engine_on(MemoryStore(), service) as engine:
        await engine.put(order())
        await engine.start(mg.workflow("parent", mg.child("k", "order"), error_handling="fail_fast"), id="x")
        await engine.end("x")
        child = (await engine.describe("x"))["steps"][0]["execution"]

        with pytest.raises(mg.Refused, match="called by execution x") as told:
            await engine.rerun(child, "pay")

    assert told.value.code == "rerun_child"


async def test_a_detached_execution_is_nobodys_and_can_be_rerun() -> None:
    service = Shop()
    async with engine_on(MemoryStore(), service) as engine:
        await engine.put(order())
        parent = await engine.start(mg.workflow("parent", mg.child("k", "order", detached=True), output="${steps.k}"))
        child = (await parent.result())["id"]
        await engine.end(child)
        service.money = True

        assert await (await engine.rerun(child, "pay")).result() == "paid"


async def test_a_mended_workflow_is_rerun_where_the_services_of_the_old_one_are_gone() -> None:
    service, store = Shop(), MemoryStore()
    async with engine_on(store, service) as engine:
        engine.register("old", service)
        await fail(engine, flow=mg.workflow("order", mg.call("pay", "old.pay"), error_handling="fail_fast"))
    service.money = True
    async with engine_on(MemoryStore(after=store), service) as engine:
        await engine.put(mg.workflow("order", mg.call("pay", "s.pay"), error_handling="fail_fast", version=2))
        with pytest.raises(mg.Refused, match="does not have: old"):
            await engine.compensate("x")
        with pytest.raises(mg.Refused, match="does not have: old"):
            await engine.rerun("x", "pay")

        assert (await (await engine.rerun("x", "pay", version=2)).end())["status"] == "completed"


# --- crashes ---------------------------------------------------------------------------------------


async def test_both_records_are_one_transaction_or_neither_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "BATCH_MAX", 1)
    service, store = Shop(), Slow()
    async with engine_on(store, service) as engine:
        await fail(engine)
        store.open.clear()
        starts = [asyncio.ensure_future(engine.start(order(), 1, id=f"y{number}")) for number in range(3)]
        rerun = asyncio.ensure_future(engine.rerun("x", "pay"))
        await until(lambda: len(engine._committer._queue) >= 4)
        store.open.set()
        again = await rerun
        await asyncio.gather(*starts, *(engine.end(f"y{number}") for number in range(3)))

    pair = next(batch for batch in store.batches if batch[0].execution_id == again.id and batch[0].start)
    assert [each.execution_id for each in pair] == [again.id, "x"]
    assert {each.together for each in pair} == {"x"}


async def test_a_database_that_fails_over_it_leaves_the_old_one_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "RETRY_S", (31.0,))
    service, store = Shop(money=False), Slow()

    def together(batch: Sequence[Append]) -> Exception | None:
        return FULL if any(each.together for each in batch) else None

    engine = await engine_on(store, service).open()
    await fail(engine)
    store.fail = together
    with pytest.raises(mg.StorageUnavailable):
        await engine.rerun("x", "pay")
    await engine.aclose()

    service.money = True
    async with engine_on(MemoryStore(after=store.store), service) as engine:
        assert (await engine.describe("x"))["status"] == "failed"
        assert len(await engine.list()) == 1
        assert await (await engine.rerun("x", "pay")).result() == "paid"


async def test_a_crash_behind_it_leaves_an_execution_that_the_next_engine_goes_on_with(tmp_path: Path) -> None:
    service = Shop()
    async with mg.Engine(tmp_path / "w.db") as engine:
        engine.register("s", service)
        await fail(engine)
    async with mg.Engine(tmp_path / "w.db", only=()) as engine:
        # One that advances nothing: the pair is durable, and nothing is sent.
        engine.register("s", service)
        again = await engine.rerun("x", "pay")
    assert len(service.calls) == 2
    service.money = True
    async with mg.Engine(tmp_path / "w.db") as engine:
        engine.register("s", service)
        await engine.resume()
        assert await engine.result(again.id) == "paid"
        assert (await engine.rerun("x", "pay")).id == again.id


# --- the inbox -------------------------------------------------------------------------------------


async def asked(engine: mg.Engine, body: Any) -> str | None:
    inbox = SqliteInbox(engine._database)
    number = await asyncio.to_thread(inbox.put, "x", "rerun", body)
    return await asyncio.to_thread(inbox.wait, number, 10.0)


async def test_another_process_asks_and_hears_the_verdict(tmp_path: Path) -> None:
    service = Shop()
    async with mg.Engine(tmp_path / "w.db") as engine:
        engine.register("s", service)
        await fail(engine)
        service.money = True

        assert "needs 'from'" in (await asked(engine, {}) or "")
        assert "a number" in (await asked(engine, {"from": "pay", "version": "2"}) or "")
        assert "'ship' has succeeded" in (await asked(engine, {"from": "ship"}) or "")
        assert await asked(engine, {"from": "pay", "by": "ada", "note": "paid in"}) == ""
        assert await asked(engine, {"from": "pay", "by": "ada"}) == ""

        successor = (await engine.describe("x"))["superseded_by"]
        assert await engine.result(successor) == "paid"
        began = (await engine.history(successor))[0].events[1]
        assert (began.by, began.note) == ("ada", "paid in")  # type: ignore[union-attr]
