"""Starts: idempotent by id, refused with a reason, private copies, business keys, versions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from engines import Counting, EngineOn, events, one, parked, until, waiting

import makegood as mg
from makegood.ports import Query
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

KEYED = {"business_key": "input.order", "output": "${steps.a}"}


def engine_with(service: Any, store: MemoryStore | None = None, **options: Any) -> EngineOn:
    engine = EngineOn(store or MemoryStore(), **options)
    engine.register("s", service)
    return engine


# --- the id --------------------------------------------------------------------------------------


async def test_the_same_start_again_is_the_same_execution_while_it_runs_and_after_its_end() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        first = await engine.start(one("s.wait"), {"n": 1}, id="x")
        again = await engine.start(one("s.wait"), {"n": 1}, id="x")
        service.gate.set()
        assert await again.result() == {"n": 1}
        late = await engine.start(one("s.wait"), {"n": 1}, id="x")

        assert (first.resumed, again.resumed, late.resumed) == (False, True, True)
        assert await late.result() == {"n": 1}
        assert len(service.calls) == 1


async def test_the_same_start_again_finds_a_parked_execution_and_leaves_it_parked() -> None:
    async with engine_with(Counting()) as engine:
        await engine.start(waiting(None), 1, id="x")
        await parked(engine, "x")

        assert (await engine.start(waiting(None), 1, id="x")).resumed
        assert "x" not in engine._runner.live


async def test_the_same_start_again_goes_on_after_a_restart() -> None:
    service, store = Counting(), MemoryStore()
    async with engine_with(service, store) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        await service.called.wait()
    service.gate.set()
    async with engine_with(service, MemoryStore(after=store)) as engine:
        execution = await engine.start(one("s.wait"), 1, id="x")

        assert execution.resumed
        assert await execution.result() == 1
    assert service.calls == [("wait", "x:a:do", 1), ("wait", "x:a:do", 2)]


@pytest.mark.parametrize(
    "other",
    [{"input": 2}, {"business_key": "k"}, {"search": {"a": 1}}, {"workflow": one(name="two")}],
    ids=lambda other: next(iter(other)),
)
async def test_an_id_with_other_content_is_refused_and_names_the_execution(other: dict[str, Any]) -> None:
    async with engine_with(Counting()) as engine:
        await (await engine.start(one(), 1, id="x")).result()

        with pytest.raises(mg.Conflict) as caught:
            await engine.start(**{"workflow": one(), "input": 1, "id": "x", **other})
        assert (caught.value.code, caught.value.existing) == ("id_taken", "x")


async def test_racing_starts_of_one_id_are_one_execution() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        found = await asyncio.gather(*(engine.start(waiting("100ms"), {"n": 1}, id="x") for _ in range(20)))

        assert sorted(each.resumed for each in found) == [False] + [True] * 19
        assert await asyncio.gather(*(each.result() for each in found)) == [{"n": 1}] * 20
    assert service.calls == [("do", "x:a:do", 1)]


async def test_of_racing_starts_with_one_id_and_other_contents_one_wins() -> None:
    async with engine_with(Counting()) as engine:
        found = await asyncio.gather(*(engine.start(one(), n, id="x") for n in range(5)), return_exceptions=True)

        assert [type(each) for each in found] == [mg.Execution] + [mg.Conflict] * 4
        assert await engine.result("x") == 0


async def test_racing_starts_without_room_are_one_execution_too() -> None:
    service = Counting()
    async with engine_with(service, max_concurrent_executions=1) as engine:
        await engine.start(one("s.wait"), 0, id="first")
        found = await asyncio.gather(*(engine.start(one(), 1, id="x") for _ in range(5)))
        service.gate.set()

        assert await asyncio.gather(*(each.result() for each in found)) == [1] * 5
    assert [each for each in service.calls if each[1] == "x:a:do"] == [("do", "x:a:do", 1)]


@pytest.mark.parametrize("bad", ["", "-a", ".a", "a b", "a/b", "ä", "a" * 101, "a\n"])
async def test_a_malformed_id_is_refused_and_nothing_is_started(bad: str) -> None:
    async with engine_with(Counting()) as engine:
        with pytest.raises(mg.InputError, match="cannot be an id"):
            await engine.start(one(), 1, id=bad)
        assert await engine.list() == []


async def test_ids_are_made_that_sort_by_time() -> None:
    async with engine_with(Counting()) as engine:
        ids = [(await engine.start(one(), n)).id for n in range(5)]

        assert ids == sorted(ids)
        assert len(set(ids)) == 5


# --- the input -----------------------------------------------------------------------------------


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        ({"a": object()}, "/a"),
        ({"a": [1, float("nan")]}, "/a/1"),
        ({"a": float("inf")}, "/a"),
        ({"a/b": "\ud800"}, "/a~1b"),
        ({1: 2}, None),
        ("x" * (2 * 1024 * 1024), ""),
        (deep(201), None),
    ],
    ids=["object", "nan", "inf", "surrogate", "key", "large", "deep"],
)
async def test_an_input_that_is_no_plain_json_is_refused(bad: Any, pointer: str | None) -> None:
    async with engine_with(Counting()) as engine:
        with pytest.raises(mg.InputError) as caught:
            await engine.start(one(), bad, id="x")
        assert pointer in (None, caught.value.pointer)
        with pytest.raises(mg.NotFound):
            await engine.describe("x")


async def test_numbers_and_texts_at_the_edges_come_back_as_they_were() -> None:
    value = {"big": 10**40, "small": 5e-324, "text": "\u0000 é \U0001f600", "deep": deep(198)}
    async with engine_with(Counting()) as engine:
        execution = await engine.start(one(), value, id="x")

        assert await execution.result() == value
        assert (await engine.start(one(), value, id="x")).resumed


async def test_what_the_caller_or_a_service_does_to_a_value_afterwards_changes_nothing() -> None:
    async def spoil(input: dict[str, Any]) -> Any:  # noqa: A002
        seen.append(dict(input))
        input.clear()
        return answer

    seen: list[Any] = []
    answer, given, attributes = {"v": [1]}, {"n": [1]}, {"tag": "a"}
    flow = mg.workflow(
        "w", mg.call("a", "s.spoil", input="${input}"), mg.call("b", "s.spoil", input="${input}"), output="${steps.b}"
    )
    async with engine_with({"spoil": spoil}) as engine:
        starting = asyncio.ensure_future(engine.start(flow, given, id="x", search=attributes))
        await asyncio.sleep(0)
        given.clear()
        attributes.clear()
        result = await (await starting).result()
        answer.clear()

        assert (seen, result) == ([{"n": [1]}, {"n": [1]}], {"v": [1]})
        view = await engine.describe("x")
        assert (view["input"], view["output"]) == ({"n": [1]}, {"v": [1]})
        assert (await engine.list())[0].start.search == {"tag": "a"}


async def test_an_input_that_does_not_fit_the_schema_is_refused_with_its_place() -> None:
    schema = {"type": "object", "properties": {"days": {"type": "array", "items": {"type": "integer"}}}}
    async with engine_with(Counting()) as engine:
        with pytest.raises(mg.InputError, match=r"'one'.*schema") as caught:
            await engine.start(one(input_schema=schema), {"days": [1, "two"]})
        assert caught.value.pointer == "/days/1"
        assert await engine.list() == []


# --- business keys -------------------------------------------------------------------------------


async def test_a_business_key_is_held_by_one_live_execution_and_released_at_its_end() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        first = await engine.start(one("s.wait", **KEYED), {"order": "o-1"})
        with pytest.raises(mg.Conflict) as caught:
            await engine.start(one("s.wait", **KEYED), {"order": "o-1"})
        other = await engine.start(one("s.wait", **KEYED), {"order": "o-2"})
        service.gate.set()
        await first.result()
        await other.result()
        again = await engine.start(one("s.wait", **KEYED), {"order": "o-1"})

        assert (caught.value.code, caught.value.existing) == ("business_key_taken", first.id)
        assert await again.result() == {"order": "o-1"}
        assert len(await engine.list(Query(business_key="o-1"))) == 2


async def test_racing_starts_with_one_business_key_have_one_winner() -> None:
    async with engine_with(Counting()) as engine:
        found = await asyncio.gather(
            *(engine.start(waiting(None, **KEYED), {"order": 7}) for _ in range(10)), return_exceptions=True
        )

        won = [each for each in found if isinstance(each, mg.Execution)]
        lost = [each for each in found if isinstance(each, mg.Conflict)]
        assert (len(won), len(lost)) == (1, 9)
        assert {each.existing for each in lost} == {won[0].id}
        assert (await won[0].describe())["business_key"] == "7"


async def test_a_start_that_its_business_key_refused_may_be_repeated_with_its_id() -> None:
    async with engine_with(Counting()) as engine:
        await engine.start(waiting(None, **KEYED), {"order": "o"}, id="first")
        with pytest.raises(mg.Conflict):
            await engine.start(waiting(None, **KEYED), {"order": "o"}, id="second")
        await engine.signal("first", "go")
        await engine.result("first")
        second = await engine.start(waiting(None, **KEYED), {"order": "o"}, id="second")

        await second.signal("go")
        assert await second.result() == {"order": "o"}


async def test_a_key_in_the_start_wins_and_null_is_no_key() -> None:
    async with engine_with(Counting()) as engine:
        given = await engine.start(waiting(None, **KEYED), {"order": "o"}, business_key="mine")
        none = [await engine.start(waiting(None, **KEYED), {"order": None}) for _ in range(2)]

        assert (await given.describe())["business_key"] == "mine"
        assert [(await each.describe())["business_key"] for each in none] == [None, None]


@pytest.mark.parametrize("given", [{}, {"order": [1]}, {"order": True}, {"order": 1.5}])
async def test_a_business_key_without_a_value_refuses_the_start(given: Any) -> None:
    async with engine_with(Counting()) as engine:
        with pytest.raises(mg.InputError, match="business key"):
            await engine.start(one(**KEYED), given)
        assert await engine.list() == []


async def test_a_business_key_that_is_no_text_is_refused() -> None:
    async with engine_with(Counting()) as engine:
        with pytest.raises(mg.InputError, match="business key"):
            await engine.start(one(), 1, business_key=5)  # type: ignore[arg-type]


async def test_an_old_execution_is_compensated_while_a_new_one_holds_its_key() -> None:
    service = Counting()
    flow = mg.workflow(
        "w", mg.call("a", "s.do", compensation="s.undo"), mg.call("b", "s.refuse", when="input.fail"),
        mg.signal("c", "go"), error_handling="fail_fast", business_key="input.order",
    )  # fmt: skip
    async with engine_with(service) as engine:
        old = await engine.start(flow, {"order": "o", "fail": True}, id="old")
        with pytest.raises(mg.ExecutionFailed):
            await old.result()
        new = await engine.start(flow, {"order": "o", "fail": False}, id="new")
        await engine.compensate("old")

        assert (await old.end())["status"] == "compensated"
        with pytest.raises(mg.Conflict) as caught:
            await engine.start(flow, {"order": "o", "fail": False})
        assert caught.value.existing == new.id


# --- search attributes, versions, services -------------------------------------------------------


async def test_search_attributes_come_from_the_definition_and_the_start() -> None:
    flow = one(search={"who": "input.who", "n": "input.n"})
    async with engine_with(Counting()) as engine:
        await engine.start(flow, {"who": "Ada", "n": 1}, id="x", search={"n": 2, "tag": "t"})

        assert (await engine.list())[0].start.search == {"who": "Ada", "n": 2, "tag": "t"}
        with pytest.raises(mg.InputError, match="'who'"):
            await engine.start(flow, {"n": 1})
        with pytest.raises(mg.InputError, match="search"):
            await engine.start(flow, {"who": 1, "n": 1}, search={"a": object()})


async def test_the_same_content_is_the_same_version_and_other_content_the_next() -> None:
    async with engine_with(Counting()) as engine:
        versions = [(await engine.put(each)).version for each in (one(), one(), one(description="new"), one())]

        assert versions == [1, 1, 2, 3]


async def test_an_execution_stays_with_its_version_across_a_restart() -> None:
    service, store = Counting(), MemoryStore()
    async with engine_with(service, store) as engine:
        await engine.start(waiting(None, output="first"), 1, id="old")
    async with engine_with(service, MemoryStore(after=store)) as engine:
        await engine.start(waiting(None, output="second"), 1, id="new")
        for each in ("old", "new"):
            await engine.signal(each, "go")

        assert [await engine.result(each) for each in ("old", "new")] == ["first", "second"]
        assert [(await engine.describe(each))["version"] for each in ("old", "new")] == [1, 2]


async def test_a_workflow_is_started_by_its_name_newest_or_by_version() -> None:
    async with engine_with(Counting()) as engine:
        await engine.put(one(output="first"))
        await engine.put(one(output="second"))

        assert await (await engine.start("one", 1)).result() == "second"
        assert await (await engine.start("one", 1, version=1)).result() == "first"
        with pytest.raises(mg.NotFound, match=r"no version 3\. There is 1 and 2\."):
            await engine.start("one", 1, version=3)
        with pytest.raises(mg.NotFound, match="Did you mean 'one'"):
            await engine.start("onee", 1)


async def test_a_service_that_is_not_registered_is_a_mistake_in_the_definition() -> None:
    async with engine_with(Counting()) as engine:
        engine.register("hotels", Counting())
        flow = mg.workflow("w", mg.call("a", "hotel.do", compensation="spa.undo"))
        with pytest.raises(mg.DefinitionError) as caught:
            await engine.start(flow, 1)

        assert "Did you mean 'hotels'" in str(caught.value)
        assert [problem.code for problem in caught.value.problems] == ["unknown_service"] * 2
        assert await engine.list() == []


async def test_a_start_returns_when_it_is_durable_and_its_first_call_follows_at_once() -> None:
    service = Counting()
    async with engine_with(service) as engine:
        await engine.start(one("s.wait"), 1, id="x")
        await until(lambda: service.calls)

        assert events(await engine.history("x"))[:1] == ["ExecutionStarted"]
        assert "AttemptStarted" in events(await engine.history("x"))


async def test_an_engine_that_only_advances_others_leaves_a_start_for_them() -> None:
    service, store = Counting(), MemoryStore()
    async with engine_with(service, store, only=()) as engine:
        await engine.start(one(), 1, id="x")
        stored = await parked(engine, "x")
        assert (stored.standing.parked, service.calls) == (True, [])
    async with engine_with(service, MemoryStore(after=store)) as engine:
        await engine.resume()
        assert await engine.result("x") == 1


async def test_what_ends_with_its_first_record_is_started_where_there_is_no_room(tmp_path: Path) -> None:
    async with mg.Engine(tmp_path / "w.db", only=()) as engine:
        await engine.start(mg.workflow("short", mg.set_("a", 5)), id="x")

        assert (await engine.end("x"))["output"] == 5
