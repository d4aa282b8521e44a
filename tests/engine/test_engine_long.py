"""One execution of very many steps: what it costs is counted in calls, not time; what is seen of it comes in pages."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from engines import Counting, EngineOn, until

import makegood as mg
from makegood.core import events as ev
from makegood.core.events import Record
from makegood.engine import looking
from makegood.model import LIMITS
from makegood.services import ServiceConfig
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

OURS = str(Path(mg.__file__).parent)
RATIO_MAX = 2.2
N = 150
MANY = 900


def engine_on(store: MemoryStore, service: Any, places: int = 1_000) -> EngineOn:
    engine = EngineOn(store, drain_seconds=0.0)
    engine._registry.register("s", service, ServiceConfig(name="s", max_concurrent=places))
    return engine


def loop(method: str = "s.do", at_once: int = 1, **call: Any) -> Any:
    step = mg.call("a", method, input="${item}", **call)
    return mg.foreach("f", "${input}", step, max_concurrency=at_once)


async def whole(flow: Any, value: Any, places: int = 1_000) -> MemoryStore:
    store = MemoryStore()
    async with engine_on(store, Counting(), places) as engine:
        await (await engine.start(flow, value, id="x")).end()
    return MemoryStore(after=store)


async def in_order(n: int) -> object:
    return await whole(mg.workflow("w", loop()), list(range(n)))


async def all_at_once(n: int) -> object:
    return await whole(mg.workflow("w", loop(at_once=n)), list(range(n)))


async def more_than_places(n: int) -> object:
    return await whole(mg.workflow("w", loop(at_once=n)), list(range(n)), places=10)


async def collected(n: int) -> object:
    return await whole(mg.workflow("w", loop(at_once=10), output="${steps.a}"), list(range(n)))


async def undone(n: int) -> object:
    flow = mg.workflow("w", loop(at_once=10, compensation="s.undo"), mg.call("z", "s.refuse"))
    return await whole(flow, list(range(n)))


async def inside_a_parallel(n: int) -> object:
    return await whole(mg.workflow("w", mg.parallel("p", loop(at_once=5), mg.call("b", "s.do"))), list(range(n)))


async def rounds(n: int) -> object:
    flow = mg.workflow("w", mg.repeat("r", mg.call("a", "s.do"), until="false", max_iterations=n))
    return await whole(flow, 1)


async def resumed(n: int) -> object:
    store, service = await left_in_the_middle(n)
    service.gate.set()
    async with engine_on(store, service) as engine:
        await engine.resume()
        return await engine.result("x")


async def left_in_the_middle(n: int) -> tuple[MemoryStore, Counting]:
    """All items are under way and no answer has been recorded when the engine closes."""
    store, service = MemoryStore(), Counting()
    async with engine_on(store, service) as engine:
        await engine.start(mg.workflow("w", loop("s.wait", at_once=n)), list(range(n)), id="x")
        await until(lambda: service.inside == n)
    return MemoryStore(after=store), service


async def calls_of(act: Callable[[], Awaitable[object]]) -> int:
    """How many functions of ours were called in this thread."""
    count = 0

    def on_call(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(OURS)

    before = sys.getprofile()
    sys.setprofile(on_call)
    try:
        await act()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    "of",
    [in_order, all_at_once, more_than_places, collected, undone, inside_a_parallel, rounds, resumed],
    ids=lambda of: of.__name__,
)
async def test_twice_the_steps_cost_twice_as_much(of: Callable[[int], Awaitable[object]]) -> None:
    few, many = await calls_of(lambda: of(N)), await calls_of(lambda: of(2 * N))

    assert many / few <= RATIO_MAX, f"{few} calls for {N}, {many} for {2 * N}"


# --- records ---------------------------------------------------------------------------------------


def most_of(records: list[Record], kind: type) -> int:
    return max(Counter(type(event) for event in record.events)[kind] for record in records)


async def test_however_many_items_start_at_once_a_record_holds_so_many_of_them_at_most() -> None:
    store = await whole(mg.workflow("w", loop(at_once=MANY)), list(range(MANY)))

    records = await store.load("x")
    assert most_of(records, ev.IterationStarted) == LIMITS.starts_per_record
    assert most_of(records, ev.AttemptStarted) <= 2 * LIMITS.starts_per_record


async def test_a_resumed_engine_sends_all_that_was_lost_in_records_as_small() -> None:
    store, service = await left_in_the_middle(MANY)
    service.gate.set()
    async with engine_on(store, service) as engine:
        before = len(await engine.history("x"))
        await engine.resume()
        await engine.result("x")
        records = list(await engine.history("x", start=before))

    assert sum(isinstance(event, ev.AttemptStarted) for record in records for event in record.events) == MANY
    assert most_of(records, ev.AttemptStarted) <= 4 * LIMITS.starts_per_record


# --- pages -----------------------------------------------------------------------------------------

LONG = 1_100


async def long_one() -> MemoryStore:
    body = mg.set_("v", "${item}")
    return await whole(mg.workflow("w", mg.foreach("f", "${input}", body)), list(range(LONG)))


async def test_a_description_shows_the_first_thousand_steps_and_where_the_next_page_begins() -> None:
    async with engine_on(await long_one(), Counting()) as engine:
        view = await engine.describe("x")
        second = await engine.steps("x", cursor=view["steps_cursor"])

    seen = [each["iteration"] for each in view["steps"] + second["steps"]]
    assert len(view["steps"]) == 1_000
    assert seen == [[], *([number] for number in range(LONG))]
    assert second["cursor"] is None


async def test_pages_are_as_long_as_wished_and_end_behind_the_last_step() -> None:
    async with engine_on(await long_one(), Counting()) as engine:
        first = await engine.steps("x", limit=LONG)
        last = await engine.steps("x", cursor=first["cursor"], limit=LONG)
        behind = await engine.steps("x", cursor="5000")

    assert (len(first["steps"]), len(last["steps"])) == (LONG, 1)
    assert behind == {"steps": [], "cursor": None}


async def undone_one() -> MemoryStore:
    steps = loop(compensation="s.undo"), mg.fail("stop", error="enough")
    return await whole(mg.workflow("w", *steps), list(range(LONG)))


@pytest.mark.parametrize(("rows", "first"), [("compensations", LONG - 1), ("effects", 0)])
async def test_long_lists_of_undos_and_effects_come_by_pages_too(rows: str, first: int) -> None:
    async with engine_on(await undone_one(), Counting()) as engine:
        view = await engine.observer.whole("x")
        second = await engine.observer.page("x", rows, view[f"{rows}_cursor"], 1_000)
        parts = [await engine.observer.page("x", rows, None, LONG - 1)]
        parts.append(await engine.observer.page("x", rows, parts[0]["cursor"], 1))
        ledger = await engine.effects("x")

    assert view["status"] == "compensated"
    assert len(view[rows]) == 1_000
    assert second["cursor"] is None
    order = [each["iteration"][0] for each in view[rows] + second[rows]]
    assert order == sorted(range(LONG), reverse=first != 0)
    assert parts[0][rows] + parts[1][rows] == view[rows] + second[rows]
    assert parts[1]["cursor"] is None
    assert rows != "effects" or ledger == view[rows] + second[rows]


async def test_a_page_of_undos_is_where_it_was_though_more_have_come() -> None:
    loops = [mg.foreach(f"f{a}", "${input}", mg.call(a, "s.do", compensation="s.undo")) for a in ("a", "b")]
    flow = mg.workflow("w", loops[0], mg.signal("go", "more"), loops[1], mg.signal("stay", "end"))
    async with engine_on(MemoryStore(), Counting()) as engine:
        execution = await engine.start(flow, list(range(5)), id="x")
        await until(lambda: len(engine._parts.runner.live["x"].state.entries) == 5)
        first = await engine.compensations("x", limit=2)
        await execution.signal("more")
        await until(lambda: len(engine._parts.runner.live["x"].state.entries) == 10)
        second = await engine.compensations("x", cursor=first["cursor"], limit=2)

    assert [each["iteration"] for each in first["compensations"]] == [[4], [3]]
    assert [(each["step"], each["iteration"]) for each in second["compensations"]] == [("a", [2]), ("a", [1])]


async def test_of_what_nothing_undoes_a_description_names_the_first_thousand_and_counts_all() -> None:
    flow = mg.workflow("w", loop(), mg.fail("stop", error="enough"))
    async with engine_on(await whole(flow, list(range(LONG))), Counting()) as engine:
        view = await engine.describe("x")

    assert (len(view["uncompensated_steps"]), view["uncompensated_total"]) == (1_000, LONG)


async def test_pages_of_one_execution_are_turned_without_reading_its_journal_again() -> None:
    async with engine_on(await long_one(), Counting()) as engine:
        first = await engine.steps("x", limit=10)
        calls = await calls_of(lambda: engine.steps("x", cursor=first["cursor"], limit=10))
        engine._parts.onlooker._forget()
        anew = await calls_of(lambda: engine.steps("x", cursor=first["cursor"], limit=10))

    assert calls < LONG < anew


async def test_what_is_kept_of_an_execution_is_not_shown_for_another_one_of_its_id() -> None:
    other = await whole(mg.workflow("w", loop()), [7])
    async with engine_on(await long_one(), Counting()) as engine:
        await engine.steps("x")
        kept = engine._parts.onlooker._kept
    stored = await other.find("x")

    assert kept is not None
    assert not looking._is_of(kept, stored)


@pytest.mark.parametrize("cursor", ["", "-1", "x", "1.5", "9" * 20])
async def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    async with engine_on(await whole(mg.workflow("w", loop()), [1]), Counting()) as engine:
        with pytest.raises(mg.InputError, match="no cursor"):
            await engine.steps("x", cursor=cursor)


async def test_a_page_has_at_least_one_step() -> None:
    async with engine_on(MemoryStore(), Counting()) as engine:
        with pytest.raises(mg.InputError, match="at least 1"):
            await engine.steps("x", limit=0)


async def test_a_journal_is_read_by_pages() -> None:
    async with engine_on(await whole(mg.workflow("w", loop()), [1, 2, 3]), Counting()) as engine:
        every = list(await engine.history("x"))
        pages = [*(await engine.history("x", limit=2)), *(await engine.history("x", start=2))]
        behind = await engine.history("x", start=len(every))

        assert pages == every
        assert list(behind) == []
        with pytest.raises(mg.NotFound):
            await engine.history("nobody", start=3)
