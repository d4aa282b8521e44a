"""Children on the engine: starts that are refused, services that are elsewhere, trouble, and detached ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from engines import Counting, EngineOn, HandClock, events, one, until, waiting
from families import child_of, settled

import makegood as mg
from makegood.engine import children
from makegood.engine.definitions import Definitions
from makegood.engine.intake import Intake
from makegood.ports import Query
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio


def calling(name: str = "one", **keys: Any) -> Any:
    """A workflow that does something, and then calls another one."""
    return mg.workflow(
        "top", mg.call("a", "s.do", compensation="s.undo"), mg.child("b", name, **keys), output="${steps.b}"
    )


def engine_with(service: Any, store: Any = None, **options: Any) -> EngineOn:
    engine = EngineOn(store or MemoryStore(), **options)
    engine.register("s", service)
    return engine


async def ended(engine: Any, *workflows: Any, value: Any = None) -> dict[str, Any]:
    """Register all, start the last one; how it ended."""
    for each in workflows:
        await engine.put(each)
    await engine.start(workflows[-1], value, id="x")
    return await engine.end("x")


# --- starts that are refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("child", "call", "code", "says"),
    [
        (one(input_schema={"type": "object"}), {}, "schema_error", "does not fit its schema"),
        (one(business_key="input.order"), {}, "expression_error", "the business key has no value"),
        (one(business_key="input > 1"), {}, "expression_error", "must be a string, an int or null"),
        (one(search={"order": "input.order"}), {}, "expression_error", "the search attribute 'order'"),
        (one(name="won"), {}, "child_failed", "no workflow 'one' is registered. Did you mean 'won'?"),
    ],
)  # fmt: skip
async def test_a_child_that_cannot_be_called_fails_its_step_before_anything_is_started(
    child: Any, call: dict[str, Any], code: str, says: str
) -> None:
    service = Counting()
    async with engine_with(service) as engine:
        view = await ended(engine, child, calling(**call), value=5)

        assert (view["status"], view["error"]["code"], view["error"]["step"]) == ("compensated", code, "b")
        assert view["error"]["outcome"] == "failed"
        assert says in view["error"]["message"]
        assert len(await engine.list()) == 1
    assert [name for name, _, _ in service.calls] == ["do", "undo"]


async def test_a_business_key_that_somebody_holds_refuses_the_child_and_its_step_fails() -> None:
    async with engine_with(Counting()) as engine:
        await engine.put(waiting(None, name="one", business_key="input"))
        await engine.start("one", "k", id="holder")
        view = await ended(engine, calling(), value="k")

        assert (view["status"], view["error"]["code"], view["error"]["outcome"]) == (
            "compensated",
            "child_failed",
            "rejected",
        )
        assert view["error"]["details"] == {"code": "business_key_taken", "details": "holder"}


async def test_an_id_that_somebody_took_refuses_the_child_and_theirs_is_left_alone() -> None:
    async with engine_with(Counting()) as engine:
        await engine.put(waiting(None, name="one"))
        await engine.start("one", 1, id=child_of("x", "b"))
        view = await ended(engine, calling(), value=1)

        assert (view["status"], view["error"]["code"]) == ("compensated", "child_failed")
        assert view["error"]["details"]["code"] == "id_taken"
        assert (await engine.describe(child_of("x", "b")))["status"] == "running"


async def test_a_refused_child_can_be_caught_as_what_it_is() -> None:
    caught = mg.try_(
        "t", mg.child("b", "one"), catch=[{"errors": ["schema_error"], "steps": [mg.call("h", "s.do", input=7)]}]
    )
    async with engine_with(Counting()) as engine:
        view = await ended(engine, one(input_schema={"type": "object"}), mg.workflow("top", caught), value=5)

        assert (view["status"], view["output"]) == ("completed", 7)


async def test_the_key_of_a_child_is_free_again_when_its_root_has_ended() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        top = mg.workflow("top", mg.child("b", "one"), mg.call("c", "s.wait"))
        for each in (one(business_key="input"), top):
            await engine.put(each)
        await engine.start("top", "k", id="x")
        await service.called.wait()
        assert (await engine.describe(child_of("x", "b")))["status"] == "completed"
        with pytest.raises(mg.Conflict) as caught:
            await engine.start("one", "k")
        assert caught.value.existing == child_of("x", "b")
        service.gate.set()
        await engine.end("x")

        assert await (await engine.start("one", "k")).result() == "k"


# --- services that are elsewhere -------------------------------------------------------------------


async def test_a_child_whose_services_are_not_here_is_parked_and_goes_on_where_they_are() -> None:
    clock, store, service = HandClock(), MemoryStore(), Counting()
    async with clock.engine(store) as engine:
        engine.register("s", service)
        engine.register("t", Counting())
        for each in (one("t.do"), calling()):
            await engine.put(each)
        await engine.start(calling(), 4, id="x")
        await engine.end("x")
    async with clock.engine(MemoryStore(after=store)) as engine:
        engine.register("s", service)
        await engine.start("top", 5, id="y")
        await settled(engine)
        for _ in range(3):
            clock.set(engine, 30_000)
            await settled(engine)

        child = await engine._store_open.find(child_of("y", "b"))
        assert child is not None
        assert (child.standing.status, child.standing.parked, child.positions) == ("running", True, 1)
        assert (await engine.describe("y"))["status"] == "running"
    async with clock.engine(MemoryStore(after=engine.given)) as engine:
        engine.register("s", service)
        engine.register("t", Counting())
        await engine.resume()
        clock.set(engine, 60_000)

        assert await engine.result("y") == 5


async def test_the_undo_of_a_child_waits_for_an_engine_that_has_its_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "AGAIN_S", (0.0,))
    clock, store = HandClock(), MemoryStore()
    service, other = Counting(), Counting()
    inner = mg.workflow("one", mg.call("i", "t.do", compensation="t.undo"))
    top = mg.workflow("top", mg.child("b", "one"), mg.call("c", "s.wait", timeout="1h"))
    async with clock.engine(store) as engine:
        engine.register("s", service)
        engine.register("t", other)
        for each in (inner, top):
            await engine.put(each)
        await engine.start("top", 1, id="x")
        await service.called.wait()
        await engine.cancel("x")
    service.gate.set()
    async with clock.engine(MemoryStore(after=store)) as engine:
        engine.register("s", service)
        await engine.resume()
        clock.set(engine, 60_000)
        while (await engine.describe("x"))["compensations"][0]["status"] != "running":
            clock.set(engine, 1_000_000)
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert (await engine.describe("x"))["status"] == "compensating"
        assert other.calls == [("do", other.calls[0][1], 1)]
        engine.register("t", other)
        end = asyncio.ensure_future(engine.end("x"))
        while not end.done():
            clock.set(engine, 30_000)
            await settled(engine)

        assert (await end)["status"] == "compensated"
    assert [name for name, _, _ in other.calls] == ["do", "undo"]


async def test_children_wait_for_room_as_others_do() -> None:
    service = Counting()
    async with engine_with(service, max_concurrent_executions=2) as engine:
        many = mg.foreach("f", [1, 2, 3, 4, 5, 6], mg.child("b", "one", input="${item}"), max_concurrency=6)
        await engine.put(one("s.wait"))
        await engine.start(mg.workflow("top", many), None, id="x")
        await until(lambda: service.inside)
        service.gate.set()

        assert await engine.result("x") == [1, 2, 3, 4, 5, 6]
        assert service.inside_max <= 2


# --- halting, undoing, and hands -------------------------------------------------------------------


async def test_a_child_whose_start_is_under_way_when_its_parent_aborts_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, reached = asyncio.Event(), asyncio.Event()
    get = Definitions.get

    async def slowly(self: Any, name: str, version: int | None = None) -> Any:
        if name == "one" and version is not None:
            reached.set()
            await held.wait()
        return await get(self, name, version)

    service = Counting()
    async with engine_with(service) as engine:
        for each in (waiting(None, name="one"), calling()):
            await engine.put(each)
        monkeypatch.setattr(Definitions, "get", slowly)
        await engine.start("top", 1, id="x")
        await reached.wait()
        await engine.cancel("x")
        held.set()

        assert (await engine.end("x"))["status"] == "compensated"
        await settled(engine)
        assert [each.execution_id for each in await engine.list()] == ["x"]


async def test_a_child_that_a_person_has_undone_already_is_undone_for_its_parent_too() -> None:
    service = Counting()
    inner = mg.workflow("one", bought_at("s", "i"), mg.call("j", "s.refuse"), error_handling="fail_fast")
    top = mg.workflow("top", mg.child("b", "one"), error_handling="fail_fast")
    async with engine_with(service) as engine:
        assert (await ended(engine, inner, top))["status"] == "failed"
        await engine.compensate(child_of("x", "b"))
        assert (await engine.end(child_of("x", "b")))["status"] == "compensated"
        await engine.compensate("x")

        assert (await engine.end("x"))["status"] == "compensated"
    assert [name for name, _, _ in service.calls].count("undo") == 1


def bought_at(service: str, step: str) -> Any:
    return mg.call(step, f"{service}.do", compensation=f"{service}.undo")


# --- detached --------------------------------------------------------------------------------------


async def test_a_detached_child_is_started_and_nobodys_and_its_call_is_done_once_it_is_durable() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        top = mg.workflow("top", mg.child("b", "one", detached=True), mg.call("c", "s.refuse"))
        view = await ended(engine, waiting(None, name="one", business_key="input"), top, value="k")
        child = child_of("x", "b")

        assert view["status"] == "compensated"
        assert next(each["output"] for each in view["steps"] if each["step"] == "b") == {"id": child}
        assert (await engine.describe(child))["status"] == "running"
        with pytest.raises(mg.Conflict):
            await engine.start("one", "k")
        await engine.signal(child, "go")
        assert await engine.result(child) == "k"
        assert await engine.list(Query(business_key="k"))
        assert events(await engine.history("x")).count("ChildStarted") == 1


async def test_a_detached_child_that_is_refused_behind_a_pivot_waits_for_a_person() -> None:
    async with engine_with(Counting()) as engine:
        await engine.put(waiting(None, name="one", business_key="input"))
        await engine.start("one", "k", id="holder")
        top = mg.workflow("top", mg.call("a", "s.do", pivot=True), mg.child("b", "one", detached=True))
        view = await ended(engine, top, value="k")
        assert (view["status"], view["suspended"]["reason"]) == ("suspended", "after_pivot")
        await engine.cancel("holder")
        await engine.end("holder")
        await engine.resume_execution("x")

        assert (await engine.end("x"))["status"] == "completed"
        assert (await engine.describe(child_of("x", "b")))["status"] == "running"


# --- trouble ---------------------------------------------------------------------------------------


class Flaky:
    """Fails so often with an error, then does what is right."""

    def __init__(self, right: Any, error: Exception, times: int) -> None:
        self.right, self.error, self.times = right, error, times

    async def __call__(self, *given: Any, **named: Any) -> Any:
        if self.times:
            self.times -= 1
            raise self.error
        return await self.right(*given, **named)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), mg.StorageUnavailable("busy")])
async def test_what_goes_wrong_with_a_child_is_tried_again_and_stops_nobody_else(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "AGAIN_S", (0.0, 0.0, 0.0))
    async with engine_with(Counting()) as engine:
        parts = engine._parts
        assert parts is not None
        monkeypatch.setattr(parts.children, "_resolve", Flaky(parts.children._resolve, error, 2))
        monkeypatch.setattr(parts.children, "_start", Flaky(parts.children._start, error, 3))
        view = await ended(engine, one(), calling(), value=1)

        assert (view["status"], view["output"]) == ("completed", 1)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), mg.StorageError("a bug: it cannot be stored")])
async def test_a_child_that_cannot_be_looked_after_stops_its_parent_for_a_person_and_goes_on_afterwards(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "AGAIN_S", (0.0, 0.0))
    async with engine_with(Counting()) as engine:
        run = Flaky(engine._parts.children._start, error, 3)  # type: ignore[union-attr]
        monkeypatch.setattr(engine._parts.children, "_start", run)  # type: ignore[union-attr]
        view = await ended(engine, one(), calling(), value=1)

        assert (view["status"], view["suspended"]["reason"]) == ("suspended", "quarantine")
        assert "a bug" in view["suspended"]["note"]
        assert await (await engine.start("one", 2)).result() == 2
        await engine.resume_execution("x")
        assert await engine.result("x") == 1


async def test_a_request_to_a_parent_that_only_waits_for_its_child_reaches_it() -> None:
    store = MemoryStore()
    async with engine_with(Counting(), store) as engine:
        for each in (waiting(None, name="one"), calling()):
            await engine.put(each)
        await engine.start("top", 1, id="x")
        await settled(engine)
        assert "x" not in engine._runner.live
        await engine.cancel("x")

        assert (await engine.end("x"))["status"] == "compensated"
        assert (await engine.end(child_of("x", "b")))["status"] == "compensated"


async def test_an_end_that_could_not_be_told_is_found_by_the_parent_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    holding = Intake.holding

    def deaf(self: Any, execution_id: str) -> Any:
        if execution_id == "x":
            raise ZeroDivisionError("a bug")
        return holding(self, execution_id)

    async with clock.engine(MemoryStore()) as engine:
        engine.register("s", Counting())
        for each in (waiting(None, name="one"), calling()):
            await engine.put(each)
        await engine.start("top", 1, id="x")
        await settled(engine)
        with monkeypatch.context() as patch:
            patch.setattr(Intake, "holding", deaf)
            await engine.signal(child_of("x", "b"), "go")
            await engine.end(child_of("x", "b"))
            await settled(engine)
        assert (await engine.describe("x"))["status"] == "running"
        clock.set(engine, 30_000)

        assert await engine.result("x") == 1


# --- an engine that advances one execution ---------------------------------------------------------


class Claimed:
    """A store that notes which executions it was asked for by id."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.asked: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def claim(self, now_ms: int, *, only: Any = None, **options: Any) -> Any:
        self.asked.append(list(only))
        return await self.store.claim(now_ms, only=only, **options)


async def test_children_that_begin_or_have_ended_are_not_looked_for() -> None:
    store = Claimed()
    each = mg.foreach("all", "${input}", mg.child("b", "one", input="${item}"), max_concurrency=10)
    async with engine_with(Counting(), store, only=["x"]) as engine:
        view = await ended(engine, one(), mg.workflow("top", each), value=list(range(60)))

        assert view["status"] == "completed"
        assert len(await engine.list(Query(limit=99))) == 61
        assert len(store.asked) < 10
        assert engine._intake._sought == {"x"}


async def test_a_child_that_has_ended_is_found_again_when_a_person_brings_it_back() -> None:
    clock, service = HandClock(), Counting()
    inner = mg.workflow(
        "one",
        mg.call("a", "s.do", compensation="s.undo"),
        mg.call("b", "s.refuse"),
        error_handling="fail_fast",
    )
    store = MemoryStore()
    top = mg.workflow("top", mg.child("b", "one"), error_handling="fail_fast")
    async with clock.engine(store, only=["x"]) as engine:
        engine.register("s", service)
        assert (await ended(engine, inner, top))["status"] == "failed"
        child = child_of("x", "b")
        assert engine._intake._sought == {"x"}
        await engine.compensate(child)

        assert (await engine.end(child))["status"] == "compensated"
        assert ("undo", f"{child}:a:undo", 1) in service.calls
