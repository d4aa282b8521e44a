"""What the ports `Journal` and `Leases` promise, asked of every adapter."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from makegood.core.events import (
    AttemptStarted,
    ExecutionStarted,
    Record,
    Reference,
    SignalReceived,
    StepScheduled,
    StepSucceeded,
)
from makegood.errors import Conflict, MakegoodError, StorageError, StorageUnavailable
from makegood.ports import Append, KeyedRequest, Query, Standing, Start, Wait, Waiting

pytestmark = pytest.mark.anyio

RUNNING = Standing(status="running", phase="forward")
NOW = 1_764_028_800_000


def record(value: Any = None, at: int = NOW) -> Record:
    return Record(at, (SignalReceived("go", value),))


def start(
    execution_id: str, *, at: int = NOW, standing: Standing | None = None, value: Any = None, **given: Any
) -> Append:
    given.setdefault("workflow", "trip")
    row = Start(version=1, start_hash="hash", started_at_ms=at, **given)
    first = Record(at, (ExecutionStarted(execution_id, given["workflow"], 1, value),))
    return Append(execution_id=execution_id, position=0, record=first, start=row, standing=standing)


def then(execution_id: str, position: int, value: Any = None, **given: Any) -> Append:
    return Append(execution_id=execution_id, position=position, record=record(value), **given)


def row_only(execution_id: str, position: int, standing: Standing) -> Append:
    return Append(execution_id=execution_id, position=position, record=None, standing=standing)


def ended(status: str = "completed") -> Standing:
    return Standing(status=status, ended_at_ms=NOW + 9)


def parked(wake_at_ms: int | None) -> Standing:
    return Standing(status="running", phase="forward", parked=True, wake_at_ms=wake_at_ms)


def kinds(verdicts: list[Exception | None]) -> list[str | None]:
    return [None if each is None else type(each).__name__ for each in verdicts]


async def ids(store: Any, **query: Any) -> list[str]:
    return [each.execution_id for each in await store.query(Query(**query))]


async def claimed(store: Any, now_ms: int = NOW, limit: int = 100, **given: Any) -> list[str]:
    return [each.execution_id for each in await store.claim(now_ms, limit=limit, **given)]


# --- appending ---------------------------------------------------------------------------------


async def test_what_was_appended_is_read_back_in_order(store: Any) -> None:
    events = (
        StepSucceeded("hotel", (1, 2), {"id": 7}),
        StepScheduled("car", (), Reference(("steps", "hotel", 0)), "cars.cancel"),
        AttemptStarted("car", (), 1, NOW + 5),
    )
    await store.append([start("a"), Append(execution_id="a", position=1, record=Record(NOW, events, more=True))])
    await store.append([then("a", 2), then("a", 3)])

    assert await store.load("a", start=1, limit=1) == [Record(NOW, events, more=True)]
    assert await store.load("a", start=2) == [record(), record()]
    assert await store.load("a", start=4) == []
    assert await store.load("a", limit=0) == []
    assert await store.load("nobody") == []


async def test_a_start_makes_the_row(store: Any) -> None:
    given: dict[str, Any] = {
        "business_key": "k-1",
        "parent": "p",
        "root": "r",
        "search": {"city": "Rome", "big": 2**70, "list": [1.0, None]},
    }
    assert await store.append([start("a", **given)]) == [None]

    found = await store.find("a")

    assert found.start == Start(workflow="trip", version=1, start_hash="hash", started_at_ms=NOW, **given)
    assert (found.standing, found.positions, found.crashes) == (RUNNING, 1, 0)
    assert await store.find("b") is None


async def test_a_start_without_a_root_is_its_own(store: Any) -> None:
    await store.append([start("a")])

    assert (await store.find("a")).start.root == "a"


async def test_an_empty_batch_is_nothing(store: Any) -> None:
    assert await store.append([]) == []


async def test_a_taken_id_is_refused_and_the_others_are_committed(store: Any) -> None:
    await store.append([start("a", value=1)])

    verdicts = await store.append([start("b"), start("a", value=2), then("a", 1), start("c")])

    assert kinds(verdicts) == [None, "Conflict", None, None]
    assert (verdicts[1].existing, verdicts[1].code) == ("a", "execution_exists")
    assert (await store.load("a"))[0].events[0].input == 1
    assert await ids(store) == ["c", "b", "a"]


async def test_of_two_starts_of_one_id_in_a_batch_the_first_wins(store: Any) -> None:
    verdicts = await store.append([start("a", value=1), start("a", value=2)])

    assert kinds(verdicts) == [None, "Conflict"]
    assert (await store.load("a"))[0].events[0].input == 1


@pytest.mark.parametrize("position", [0, 1, 3, 40])
async def test_a_position_that_is_not_the_next_is_fenced_alone(store: Any, position: int) -> None:
    await store.append([start("a"), then("a", 1, "first")])

    verdicts = await store.append([start("b"), then("a", position, "stray"), then("b", 1)])

    assert kinds(verdicts) == [None, "Fenced", None]
    assert len(await store.load("a")) == 2
    assert (await store.find("b")).positions == 2


async def test_what_follows_a_refused_append_is_refused_with_it(store: Any) -> None:
    await store.append([start("a")])

    assert kinds(await store.append([then("a", 2), then("a", 3), then("a", 1)])) == ["Fenced", "Fenced", None]
    assert kinds(await store.append([start("a"), then("a", 1), then("a", 2)])) == ["Conflict", "Fenced", None]


async def test_nothing_is_appended_to_an_execution_that_is_not(store: Any) -> None:
    assert (
        kinds(await store.append([then("nobody", 0), then("nobody", 1), row_only("nobody", 0, RUNNING)]))
        == ["Fenced"] * 3
    )
    assert await store.load("nobody") == []


async def test_a_refused_append_leaves_no_trace(store: Any, world: Any) -> None:
    await store.append([start("a", business_key="k")])
    inbox_id = await world.put("b", "cancel", {})

    refused = start("b", business_key="k", search={"x": 1}, standing=RUNNING)
    verdicts = await store.append([Append(**{**_given(refused), "inbox_ids": (inbox_id,)})])

    assert kinds(verdicts) == ["Conflict"]
    assert (await store.find("b"), await store.load("b")) == (None, [])
    assert [each.id for each in await store.inbox(limit=9)] == [inbox_id]


def _given(append: Append) -> dict[str, Any]:
    return {name: getattr(append, name) for name in ("execution_id", "position", "record", "start", "standing")}


async def test_the_row_changes_with_the_record_or_alone(store: Any) -> None:
    await store.append([start("a")])
    halting = Standing(status="running", phase="halting", pivoted=True, error_code="sold_out", overdue=True)

    await store.append([then("a", 1, standing=halting)])
    first = (await store.find("a")).standing
    await store.append([row_only("a", 2, parked(NOW + 5))])

    assert first == halting
    assert (await store.find("a")).standing == parked(NOW + 5)
    assert (await store.find("a")).positions == 2


async def test_the_last_standing_of_a_batch_stays(store: Any) -> None:
    await store.append([start("a"), then("a", 1, standing=parked(5)), then("a", 2, standing=ended())])

    assert (await store.find("a")).standing == ended()


@pytest.mark.parametrize(
    "standing",
    [
        Standing(status="lost"),
        Standing(status="running", ended_at_ms=5),
        Standing(status="failed"),
        Standing(status="running", phase="back"),
    ],
)
async def test_a_row_that_contradicts_itself_is_refused_alone(store: Any, standing: Standing) -> None:
    verdicts = await store.append([start("a"), start("b", standing=standing), then("a", 1)])

    assert [verdicts[0], verdicts[2]] == [None, None]
    assert isinstance(verdicts[1], StorageError)
    assert await store.find("b") is None


@pytest.mark.parametrize("value", ["\ud800", object()])
async def test_a_record_that_is_no_json_is_refused_alone(store: Any, value: Any) -> None:
    await store.append([start("a")])

    verdicts = await store.append([start("b", value=value), then("a", 1)])

    assert isinstance(verdicts[0], StorageError)
    assert (verdicts[1], await store.find("b")) == (None, None)


@pytest.mark.parametrize("name", ["a\ud800", ""])
async def test_an_odd_id_harms_nobody_else(store: Any, name: str) -> None:
    verdicts = await store.append([start("b"), then(name, 3), then("b", 1)])

    assert (verdicts[0], verdicts[2]) == (None, None)
    assert isinstance(verdicts[1], MakegoodError)


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        10**60,
        "a\u0000b",
        "\u2028",
        0.1,
        1e308,
        5e-324,
        {"": {"": []}},
        [[[]]],
        {"a\u0000": 1},
        True,
        "é\U0001f600",
    ],
)
async def test_values_are_exact(store: Any, value: Any) -> None:
    await store.append([start("a", value=value, search={"x": value})])

    assert (await store.load("a"))[0].events[0].input == value
    assert (await store.find("a")).start.search == {"x": value}


async def test_a_payload_of_two_mebibytes(store: Any) -> None:
    value = {"text": "x" * (2 * 1024 * 1024), "nuls": "\u0000" * 1000}

    assert await store.append([start("a", value=value), then("a", 1, value)]) == [None, None]
    assert (await store.load("a"))[1].events[0].payload == value


async def test_a_batch_of_a_thousand_and_a_long_journal(store: Any) -> None:
    await store.append([start(f"e{number:03}") for number in range(500)])
    batch = [then(f"e{number:03}", 1, number) for number in range(500)] + [
        then("e000", 2 + each, each) for each in range(500)
    ]

    assert await store.append(batch) == [None] * 1000
    loaded = await store.load("e000")
    assert [each.events[0].payload for each in loaded[2:]] == list(range(500))
    assert await store.load("e000", start=100, limit=300) == loaded[100:400]


async def test_appends_at_once_each_get_their_own_answer(store: Any) -> None:
    await store.append([start(f"e{number}") for number in range(20)])

    answers = await asyncio.gather(
        *(store.append([then(f"e{number}", 1), then(f"e{number}", 5)]) for number in range(20))
    )

    assert [kinds(each) for each in answers] == [[None, "Fenced"]] * 20


# --- all or none -------------------------------------------------------------------------------


def rerun(old: str, position: int, new: str, **given: Any) -> list[Append]:
    """The last record of an execution that has failed, and the first one of what goes on in its place."""
    last = then(old, position, standing=Standing(status="superseded", ended_at_ms=NOW, superseded_by=new))
    return [replace(each, together=old) for each in (start(new, rerun_of=old, **given), last)]


async def failed(store: Any, *names: str, **given: Any) -> None:
    await store.append([start(each, **given) for each in names])
    await store.append([then(each, 1, standing=ended("failed")) for each in names])


async def test_what_belongs_together_is_written_together_and_says_so(store: Any) -> None:
    await failed(store, "a")

    assert await store.append(rerun("a", 2, "b")) == [None, None]
    old, new = await store.find("a"), await store.find("b")
    assert (old.standing.status, old.standing.superseded_by, old.start.rerun_of) == ("superseded", "b", None)
    assert (new.standing.status, new.standing.superseded_by, new.start.rerun_of) == ("running", None, "a")
    assert (old.positions, new.positions) == (3, 1)
    assert await ids(store, status="superseded") == ["a"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["new first", "old first"])
@pytest.mark.parametrize("why", ["id", "key", "position", "value", "row"])
async def test_what_refuses_one_of_them_refuses_the_other(store: Any, world: Any, why: str, order: Any) -> None:
    await failed(store, "a")
    await store.append([start("taken", business_key="k")])
    request = await world.put("a", "rerun", {})
    new, last = rerun("a", 3 if why == "position" else 2, "taken" if why == "id" else "b",
                      business_key="k" if why == "key" else None, value="\ud800" if why == "value" else 1)  # fmt: skip
    if why == "row":
        last = replace(last, standing=Standing(status="superseded", superseded_by="b"))
    pair = [new, replace(last, inbox_ids=(request,))]
    pair = [pair[each] for each in order]
    wanted = {"id": "Conflict", "key": "Conflict", "position": "Fenced"}.get(why)

    verdicts = await store.append([start("c"), *pair, then("taken", 1), start("d")])

    assert kinds(verdicts)[0] is kinds(verdicts)[3] is kinds(verdicts)[4] is None
    assert verdicts[1] is verdicts[2] is not None
    assert wanted in (None, kinds(verdicts)[1])
    assert await store.find("b") is None
    old = await store.find("a")
    assert (old.standing.status, old.standing.superseded_by, old.positions) == ("failed", None, 2)
    assert [each.id for each in await store.inbox(limit=9)] == [request]
    # And it left nothing behind that would be in the way of the same without what was wrong.
    assert await store.append(rerun("a", 2, "b")) == [None, None]
    assert await store.append([then("a", 3), then("b", 1)]) == [None, None]


async def test_a_key_is_not_given_back_by_what_was_refused(store: Any) -> None:
    await store.append([start("a", business_key="k")])
    end = replace(then("a", 1, standing=ended()), together="x")

    verdicts = await store.append([end, replace(then("b", 1), together="x"), start("c", business_key="k")])

    assert kinds(verdicts) == ["Fenced", "Fenced", "Conflict"]
    assert (await store.find("a")).standing.status == "running"


async def test_two_pairs_in_one_batch_do_not_harm_each_other(store: Any) -> None:
    await failed(store, "a", "b")

    verdicts = await store.append([*rerun("a", 7, "x"), *rerun("b", 2, "y")])

    assert kinds(verdicts) == ["Fenced", "Fenced", None, None]
    assert await ids(store, status="superseded") == ["b"]


async def test_two_of_one_unit_that_begin_the_same_execution_are_refused_for_its_id(store: Any) -> None:
    twice = [replace(start("a"), together="x")] * 2

    assert [type(each) for each in await store.append(twice)] == [Conflict] * 2
    assert await store.find("a") is None


async def test_what_was_written_together_outlives_the_engine_together(world: Any) -> None:
    store = world.open()
    await failed(store, "a")
    await store.append(rerun("a", 2, "b"))
    await world.crash(store)

    store = world.open()
    assert (await store.find("a")).standing.superseded_by == "b"
    assert await claimed(store) == ["b"]
    await store.aclose()


# --- business keys -----------------------------------------------------------------------------


async def test_a_business_key_is_held_until_the_end(store: Any) -> None:
    await store.append([start("a", business_key="k"), start("other", business_key="k", workflow="visit")])

    refused = (await store.append([start("b", business_key="k")]))[0]
    await store.append([then("a", 1, standing=ended())])

    assert (type(refused), refused.existing, refused.code) == (Conflict, "a", "business_key_taken")
    assert await store.append([start("b", business_key="k")]) == [None]


async def test_a_key_passes_on_within_one_batch(store: Any) -> None:
    await store.append([start("a", business_key="k")])

    assert await store.append([then("a", 1, standing=ended()), start("b", business_key="k")]) == [None, None]
    assert kinds(await store.append([start("c", business_key="k"), then("b", 1, standing=ended())])) == [
        "Conflict",
        None,
    ]


async def test_a_taken_id_is_judged_before_the_key(store: Any) -> None:
    await store.append([start("a", business_key="k")])

    assert (await store.append([start("a", business_key="k")]))[0].code == "execution_exists"


async def test_an_execution_that_an_operator_brings_back_does_not_need_its_key(store: Any) -> None:
    await store.append([start("a", business_key="k"), then("a", 1, standing=ended("failed"))])
    await store.append([start("b", business_key="k")])

    assert await store.append([then("a", 2, standing=Standing(status="compensating"))]) == [None]
    assert await store.append([then("a", 3, standing=ended("compensated"))]) == [None]
    assert kinds(await store.append([start("c", business_key="k")])) == ["Conflict"]


async def test_an_end_and_a_return_in_one_batch_give_the_key_back(store: Any) -> None:
    batch = [then("a", 1, standing=ended("failed")), then("a", 2, standing=Standing(status="compensating"))]
    await store.append([start("a", business_key="k")])

    assert await store.append(batch) == [None, None]
    assert await store.append([start("b", business_key="k")]) == [None]


async def test_an_execution_that_ends_in_its_first_record_holds_no_key(store: Any) -> None:
    batch = [start("a", business_key="k", standing=ended()), start("b", business_key="k")]

    assert await store.append(batch) == [None, None]


def child(execution_id: str, root: str, key: str | None, **given: Any) -> Append:
    return start(execution_id, parent=root, root=root, business_key=key, workflow="visit", **given)


async def test_the_key_of_a_child_is_held_until_its_root_has_ended(store: Any) -> None:
    await store.append([start("root", business_key="r"), child("a", "root", "k"), child("b", "root", None)])
    await store.append([start("c", parent="a", root="root", business_key="g"), then("c", 1, standing=ended())])
    await store.append([then("a", 1, standing=ended("compensation_failed"))])

    refused = await store.append([child("x", "x", "k"), start("y", business_key="g")])
    assert [each.existing for each in refused] == ["a", "c"]
    await store.append([then("root", 1, standing=ended())])
    assert await store.append([child("x", "x", "k"), start("y", business_key="g")]) == [None, None]
    # Who is brought back needs it no more, and takes it from nobody.
    back = [then(each, 2, standing=Standing(status="compensating")) for each in ("root", "a")]
    assert await store.append(back) == [None, None]
    await store.append([then(each, 3, standing=ended("compensated")) for each in ("root", "a")])
    assert kinds(await store.append([child("z", "z", "k")])) == ["Conflict"]


async def test_a_child_that_ends_after_its_root_or_with_it_gives_its_key_back_then(store: Any) -> None:
    await store.append([start("root"), child("a", "root", "k"), child("b", "root", "l"), child("c", "root", "m")])

    both = [then("a", 1, standing=ended()), then("root", 1, standing=ended())]
    assert await store.append(both) == [None, None]
    assert kinds(await store.append([child("x", "x", "k"), child("y", "y", "l")])) == [None, "Conflict"]
    assert await store.append([then("b", 1, standing=ended()), then("c", 1, standing=ended())]) == [None, None]
    assert await store.append([child("y", "y", "l"), child("z", "z", "m")]) == [None, None]


async def test_a_child_that_ends_in_its_first_record_holds_its_key_for_as_long_as_its_root_lives(store: Any) -> None:
    await store.append([start("root"), child("a", "root", "k", standing=ended())])

    assert kinds(await store.append([child("x", "x", "k")])) == ["Conflict"]
    await store.append([then("root", 1, standing=ended("failed"))])
    assert await store.append([child("x", "x", "k")]) == [None]


async def test_a_detached_child_is_its_own_root(store: Any) -> None:
    await store.append([start("root"), start("a", parent="root", root="a", business_key="k")])

    await store.append([then("root", 1, standing=ended())])
    assert kinds(await store.append([start("x", business_key="k")])) == ["Conflict"]
    await store.append([then("a", 1, standing=ended())])
    assert await store.append([start("x", business_key="k")]) == [None]


# --- opening again -----------------------------------------------------------------------------


async def test_the_next_process_finds_everything(world: Any) -> None:
    first = world.open()
    await first.append([start("a", business_key="k", search={"x": 1}), then("a", 1, {"big": 2**80})])
    await first.append([row_only("a", 2, parked(NOW))])
    await first.put_definition("trip", {"steps": [{"b": 1, "a": 2}]}, None, NOW)
    seen = (await first.find("a"), await first.load("a"), await first.definitions())
    await first.aclose()

    second = world.open()

    assert (await second.find("a"), await second.load("a"), await second.definitions()) == seen
    assert kinds(await second.append([start("b", business_key="k"), then("a", 2)])) == ["Conflict", None]
    await second.aclose()


async def test_closed_means_closed(world: Any) -> None:
    store = world.open()
    await store.aclose()
    await store.aclose()

    for ask in (store.append([start("a")]), store.find("a"), store.claim(NOW, limit=1), store.inbox(limit=1)):
        with pytest.raises(StorageUnavailable):
            await ask


# --- claims ------------------------------------------------------------------------------------


async def test_nobody_claims_what_is_being_advanced(store: Any) -> None:
    await store.append([start("a"), start("b")])

    assert await claimed(store, NOW * 2) == []


async def test_what_a_dead_process_left_is_claimed_once_and_counted(world: Any) -> None:
    first = world.open()
    await first.append(
        [start("a"), start("b"), start("asleep", standing=parked(NOW + 50)), start("over", standing=ended())]
    )
    await world.crash(first)

    second = world.open()
    taken = await second.claim(NOW, limit=10)

    assert {each.execution_id: each.crashes for each in taken} == {"a": 1, "b": 1}
    assert [each.positions for each in taken] == [1, 1]
    assert (await second.find("a")).crashes == 1
    assert await claimed(second) == []
    await second.aclose()


async def test_the_counter_grows_with_each_death_and_can_be_cleared(world: Any) -> None:
    store = world.open()
    await store.append([start("a"), start("b")])
    for number in range(1, 4):
        await world.crash(store)
        store = world.open()
        assert [each.crashes for each in await store.claim(NOW, limit=10)] == [number, number]

    await store.clear_crashes(["a", "nobody"])

    assert [(await store.find(each)).crashes for each in ("a", "b")] == [0, 3]
    await store.aclose()


async def test_what_was_not_claimed_yet_is_not_counted_again(world: Any) -> None:
    store = world.open()
    await store.append([start("a"), start("b")])
    await world.crash(store)
    store = world.open()
    first = await claimed(store, limit=1)
    await world.crash(store)
    store = world.open()

    crashes = {each.execution_id: each.crashes for each in await store.claim(NOW, limit=10)}

    assert crashes[first[0]] == 2
    assert sorted(crashes.values()) == [1, 2]
    await store.aclose()


async def test_a_graceful_end_counts_nothing_and_clears(world: Any) -> None:
    store = world.open()
    await store.append([start("a")])
    await world.crash(store)
    store = world.open()
    await store.claim(NOW, limit=1)
    await store.aclose()
    store = world.open()

    assert [each.crashes for each in await store.claim(NOW, limit=1)] == [0]
    await store.aclose()


async def test_sleepers_are_claimed_when_due_in_order(store: Any) -> None:
    await store.append([start(f"e{wake}", standing=parked(NOW + wake)) for wake in (3, 1, 2, 9)])
    await store.append([start("for ever", standing=parked(None))])

    assert await store.next_wake_ms() == NOW + 1
    assert await claimed(store, NOW) == []
    assert await claimed(store, NOW + 3, limit=2) == ["e1", "e2"]
    assert await claimed(store, NOW + 3) == ["e3"]
    assert await store.next_wake_ms() == NOW + 9
    assert (await store.find("e1")).standing == RUNNING
    assert (await store.find("e1")).crashes == 0


async def test_a_claimed_sleeper_counts_when_its_process_dies(world: Any) -> None:
    store = world.open()
    await store.append([start("a", standing=parked(NOW)), start("b", standing=parked(NOW + 9))])
    await store.claim(NOW, limit=10)
    await world.crash(store)
    store = world.open()

    assert [(each.execution_id, each.crashes) for each in await store.claim(NOW + 9, limit=10)] == [("a", 1), ("b", 0)]
    await store.aclose()


async def test_no_sleeper_no_next_wake(store: Any) -> None:
    await store.append([start("a"), start("b", standing=parked(None))])

    assert await store.next_wake_ms() is None


async def test_left_over_ones_come_before_sleepers(world: Any) -> None:
    store = world.open()
    await store.append([start("sleeper", standing=parked(NOW)), start("left")])
    await world.crash(store)
    store = world.open()

    assert await claimed(store, limit=1) == ["left"]
    assert await claimed(store, limit=1) == ["sleeper"]
    await store.aclose()


async def test_only_takes_none_but_the_named(world: Any) -> None:
    store = world.open()
    await store.append([start("a"), start("b"), start("c", standing=parked(NOW)), start("d", standing=parked(NOW + 9))])
    await world.crash(store)
    store = world.open()

    assert await claimed(store, only=[]) == []
    assert await claimed(store, only=["a", "c", "d", "nobody"]) == ["a", "c"]
    assert await claimed(store) == ["b"]
    await store.aclose()


async def test_a_named_sleeper_can_be_taken_early(store: Any) -> None:
    await store.append(
        [start("a", standing=parked(NOW + 9)), start("b", standing=parked(None)), start("c", standing=parked(NOW + 9))]
    )

    assert sorted(await claimed(store, only=["a", "b"], early=True)) == ["a", "b"]
    assert (await store.find("b")).standing == RUNNING
    assert (await store.find("c")).standing.parked


# --- lists -------------------------------------------------------------------------------------


async def test_lists_are_newest_first_with_filters(store: Any) -> None:
    await store.append(
        [
            start("a", at=10, business_key="k1"),
            start("b", at=20, workflow="visit", business_key="k1"),
            start("c", at=30, standing=ended("failed")),
            start("d", at=30, workflow="visit", standing=ended()),
        ]
    )

    assert await ids(store) == ["d", "c", "b", "a"]
    assert await ids(store, workflow="visit") == ["d", "b"]
    assert await ids(store, status="running") == ["b", "a"]
    assert await ids(store, status="running", workflow="trip") == ["a"]
    assert await ids(store, status="completed", workflow="visit") == ["d"]
    assert await ids(store, business_key="k1") == ["b", "a"]
    assert await ids(store, business_key="k1", workflow="trip", status="running") == ["a"]
    assert await ids(store, started_after_ms=20) == ["d", "c"]
    assert await ids(store, limit=1) == ["d"]
    assert await ids(store, workflow="nobody's") == []


@pytest.mark.parametrize(
    "given", [{}, {"workflow": "trip"}, {"status": "running"}, {"business_key": None, "started_after_ms": 1}]
)
async def test_a_cursor_pages_through_all_of_them_once(store: Any, given: dict[str, Any]) -> None:
    await store.append([start(f"e{number:02}", at=100 + number // 4) for number in range(30)])
    seen: list[str] = []
    cursor = None

    while page := await store.query(Query(limit=7, before=cursor, **given)):
        seen += [each.execution_id for each in page]
        cursor = (page[-1].start.started_at_ms, page[-1].execution_id)

    assert seen == [f"e{number:02}" for number in reversed(range(30))]


# --- definitions -------------------------------------------------------------------------------


async def test_content_is_compared_with_the_newest_version_only(store: Any) -> None:
    first, again, second = {"a": 1, "b": [1.0, None]}, {"b": [1.0, None], "a": 1}, {"a": 2}

    answers = [await store.put_definition("trip", tree, None, NOW) for tree in (first, again, second, first)]

    assert [(each.version, new) for each, new in answers] == [(1, True), (1, False), (2, True), (3, True)]
    assert (await store.definition("trip")).tree == first
    assert (await store.definition("trip", 2)).tree == second
    assert (await store.definition("trip", 9), await store.definition("visit")) == (None, None)


async def test_an_explicit_version_is_kept_or_conflicts(store: Any) -> None:
    assert (await store.put_definition("trip", {"a": 1}, 5, NOW))[1]
    assert not (await store.put_definition("trip", {"a": 1}, 5, NOW + 1))[1]
    assert (await store.put_definition("trip", {"a": 1}, 7, NOW))[0].version == 7
    assert (await store.put_definition("trip", {"a": 2}, None, NOW))[0].version == 8

    with pytest.raises(Conflict, match="version 5"):
        await store.put_definition("trip", {"a": 2}, 5, NOW)
    with pytest.raises(Conflict, match="at least 1"):
        await store.put_definition("trip", {"a": 2}, 0, NOW)


async def test_definitions_keep_their_order_of_keys_and_kinds_of_numbers(store: Any) -> None:
    tree = {"z": 1, "a": 1.0, "big": 2**70, "nul": "\u0000"}
    await store.put_definition("trip", tree, None, NOW)

    found = (await store.definition("trip")).tree

    assert (list(found), found, type(found["a"])) == (list(tree), tree, float)
    assert (await store.put_definition("trip", {**tree, "z": 1.0}, None, NOW))[0].version == 2


async def test_the_newest_of_every_workflow_by_name(store: Any) -> None:
    for name in ("b", "a", "b"):
        await store.put_definition(name, {"n": len(await store.definitions())}, None, NOW)

    assert [(each.name, each.version) for each in await store.definitions()] == [("a", 1), ("b", 2)]


# --- inbox -------------------------------------------------------------------------------------


async def test_requests_wait_in_order_until_a_record_settles_them(store: Any, world: Any) -> None:
    await store.append([start("a")])
    body = {"payload": {"big": 2**70, "nul": "\u0000"}}
    first, second, third = [await world.put("a", kind, body) for kind in ("cancel", "signal", "resume")]

    waiting = await store.inbox(limit=9)
    verdicts = await store.append([then("a", 1, inbox_ids=(first, third))])

    oldest = waiting[0]
    assert (oldest.id, oldest.execution_id, oldest.kind, oldest.body) == (first, "a", "cancel", body)
    assert [each.id for each in waiting] == [first, second, third]
    assert verdicts == [None]
    assert [each.id for each in await store.inbox(limit=9)] == [second]
    assert first < second < third


async def test_the_asker_learns_the_verdict(store: Any, world: Any) -> None:
    await store.append([start("a")])
    accepted, refused, open_still = [await world.put("a", "cancel", {}) for _ in range(3)]
    await store.append([then("a", 1, inbox_ids=(accepted,))])
    await store.drop_inbox([refused], "a pivot has succeeded")

    await store.inbox(limit=1)

    assert [await world.verdict(each) for each in (accepted, refused, open_still)] == [
        "",
        "a pivot has succeeded",
        None,
    ]


async def test_an_inbox_gives_no_more_than_asked(store: Any, world: Any) -> None:
    assert await store.inbox(limit=2) == []
    given = [await world.put("a", "signal", {}) for _ in range(3)]

    assert [each.id for each in await store.inbox(limit=2)] == given[:2]
    await store.drop_inbox(given[:2])
    assert [each.id for each in await store.inbox(limit=2)] == given[2:]


async def test_requests_outlive_the_engine(world: Any) -> None:
    store = world.open()
    await store.append([start("a")])
    settled, waiting = await world.put("a", "cancel", {}), await world.put("a", "resume", {})
    await store.append([then("a", 1, inbox_ids=(settled,))])
    await world.crash(store)
    store = world.open()

    assert [each.id for each in await store.inbox(limit=9)] == [waiting]
    await store.aclose()


# --- search attributes, counts, keyed requests --------------------------------------------------


async def test_a_list_is_filtered_by_search_attributes(store: Any) -> None:
    await store.append(
        [
            start("a", at=NOW, search={"city": "Rome", "nights": 7, "paid": True}),
            start("b", at=NOW + 1, search={"city": "Rome", "nights": "7", "paid": None}),
            start("c", at=NOW + 2, search={"city": "Oslo", "tags": ["x"]}),
            start("d", at=NOW + 3, search={"city": 'R"\u0000ö'}),
            start("e", at=NOW + 4),
        ]
    )

    assert await ids(store, search={"city": "Rome"}) == ["b", "a"]
    assert await ids(store, search={"nights": "7"}) == ["b", "a"]
    assert await ids(store, search={"city": "Rome", "paid": "true"}) == ["a"]
    assert await ids(store, search={"paid": "null"}) == ["b"]
    assert await ids(store, search={"tags": '["x"]'}) == ["c"]
    assert await ids(store, search={"city": 'R"\u0000ö'}) == ["d"]
    assert await ids(store, search={"city": "Rome"}, before=(NOW + 1, "b"), limit=1) == ["a"]
    assert await ids(store, search={"city": "Rome"}, status="completed") == []
    assert await ids(store, search={"city": "Rome"}, started_after_ms=NOW) == ["b"]
    assert await ids(store, search={"city": "' OR 1=1 --"}) == []
    assert await ids(store, search={"town": "Rome"}) == []


async def test_executions_are_counted_by_state_up_to_a_bound(store: Any) -> None:
    done = [start(f"done-{number}", standing=ended()) for number in range(5)]
    await store.append([start("a"), start("b"), *done, start("other", workflow="else")])

    assert await store.counts("trip", most=100) == {"running": 2, "completed": 5}
    assert await store.counts("trip", most=3) == {"running": 2, "completed": 3}
    assert await store.counts("nothing", most=3) == {}


async def test_a_keyed_request_is_kept_with_its_record_and_the_first_stays(store: Any, world: Any) -> None:
    first = KeyedRequest(key="k", content="one", at_ms=NOW)
    await store.append([start("a", standing=RUNNING)])

    verdicts = await store.append([replace(then("a", 1), requests=(first,)), replace(then("a", 9), requests=(other,))])
    await store.keep(KeyedRequest(key="k", content="two", at_ms=NOW + 1))
    await store.append([replace(then("a", 2), requests=(KeyedRequest(key="k", content="three", at_ms=NOW),))])

    assert kinds(verdicts) == [None, "Fenced"]
    assert await store.request("k") == first
    assert await store.request("l") is None
    await world.crash(store)
    again = world.open()
    assert await again.request("k") == first
    await again.aclose()


async def test_a_keyed_request_travels_with_a_start(store: Any) -> None:
    request = KeyedRequest(key="k", content="one", at_ms=NOW)

    await store.append([replace(start("a"), requests=(request,))])
    verdicts = await store.append([replace(start("a"), requests=(other,))])

    assert kinds(verdicts) == ["Conflict"]
    assert (await store.request("k"), await store.request("l")) == (request, None)


async def test_a_request_without_a_record_keeps_its_answer_until_it_is_forgotten(store: Any) -> None:
    answered = KeyedRequest(key="k", content="one", at_ms=NOW, answer={"version": 3, "list": [1.5, None]})

    await store.keep(answered)
    assert await store.request("k") == answered
    assert await store.forget(NOW, limit=9) == 0
    assert await store.request("k") == answered
    assert await store.forget(NOW + 1, limit=9) == 1
    assert await store.request("k") is None
    await store.keep(replace(answered, content="two"))
    assert (await store.request("k")).content == "two"


async def test_requests_are_forgotten_a_piece_at_a_time_and_the_oldest_first(store: Any) -> None:
    for number in (3, 1, 4, 0, 2):
        await store.keep(KeyedRequest(key=str(number), content="one", at_ms=NOW + number))

    assert await store.forget(NOW + 4, limit=3) == 3
    assert [await store.request(str(number)) is None for number in range(5)] == [True] * 3 + [False] * 2
    assert await store.forget(NOW + 4, limit=3) == 1
    assert await store.forget(NOW + 4, limit=3) == 0


other = KeyedRequest(key="l", content="one", at_ms=NOW)


# --- waiting for services -------------------------------------------------------------------------


def wait(service: str = "hotels", since_ms: int = NOW, step: str = "book") -> Wait:
    return Wait(service=service, since_ms=since_ms, step=step)


async def waiting(store: Any, *given: tuple[str, tuple[Wait, ...]], standing: Standing | None = None) -> None:
    """Executions that wait, each for what is given with it, and are parked for an hour."""
    for execution_id, waits in given:
        await store.append([start(execution_id), then(execution_id, 1, waits=waits)])
        await store.append([row_only(execution_id, 2, standing or parked(NOW + 3_600_000))])


async def test_who_waits_for_a_service_is_found_the_longest_first(store: Any) -> None:
    await waiting(store, ("a", (wait(since_ms=NOW + 2),)), ("b", (wait("cars", NOW), wait(since_ms=NOW + 1, step="x"))))

    assert await store.waiting("hotels", limit=5) == Waiting(
        count=2, longest=(("b", wait(since_ms=NOW + 1, step="x")), ("a", wait(since_ms=NOW + 2)))
    )
    assert await store.waiting("hotels", limit=1) == Waiting(
        count=2, longest=(("b", wait(since_ms=NOW + 1, step="x")),)
    )
    assert await store.waiting("planes", limit=5) == Waiting(count=0, longest=())
    assert await store.waited_for(["hotels", "planes", "cars"]) == {"hotels": NOW + 1, "cars": NOW}
    assert await store.waited_for(None) == {"hotels": NOW + 1, "cars": NOW}
    assert await ids(store, waiting_for="cars") == ["b"]
    assert await ids(store, waiting_for="hotels") == ["b", "a"]
    assert await ids(store, waiting_for="hotels", workflow="trip", limit=1) == ["b"]
    assert await ids(store, waiting_for="hotels", before=(NOW, "b")) == ["a"]
    assert await ids(store, waiting_for="hotels", status="completed") == []


async def test_what_is_waited_for_is_replaced_and_kept_where_nothing_is_said(store: Any) -> None:
    await store.append([start("a"), then("a", 1, waits=(wait(), wait("cars")))])
    await store.append([then("a", 2), then("a", 3, waits=(wait("cars", NOW + 5),))])

    assert (await store.waiting("hotels", limit=5)).count == 0
    assert (await store.waiting("cars", limit=5)).longest == (("a", wait("cars", NOW + 5)),)

    await store.append([then("a", 4, waits=(wait(),)), then("a", 5, waits=(), standing=ended())])

    assert (await store.waiting("cars", limit=5)).count == 0
    assert (await store.waiting("hotels", limit=5)).count == 0


async def test_a_start_may_wait_at_once_and_one_that_is_refused_does_not(store: Any) -> None:
    await store.append([replace(start("a"), waits=(wait(),)), start("b", business_key="k")])

    verdicts = await store.append(
        [replace(start("a"), waits=(wait("cars"),)), replace(start("c", business_key="k"), waits=(wait("cars"),))]
    )

    assert kinds(verdicts) == ["Conflict", "Conflict"]
    assert (await store.waiting("hotels", limit=5)).longest == (("a", wait()),)
    assert (await store.waiting("cars", limit=5)).count == 0


async def test_who_is_refused_waits_as_before(store: Any) -> None:
    await store.append([replace(start("a"), waits=(wait(),)), start("b")])

    verdicts = await store.append([then("a", 7, waits=(wait("cars"),)), then("b", 1, waits=(wait("cars"),))])

    assert kinds(verdicts) == ["Fenced", None]
    assert (await store.waiting("hotels", limit=5)).longest == (("a", wait()),)
    assert (await store.waiting("cars", limit=5)).longest == (("b", wait("cars")),)


async def test_those_that_wait_are_claimed_by_service_in_order_and_in_batches(store: Any) -> None:
    given = [(f"e{number}", (wait(since_ms=NOW + number), wait("cars", NOW))) for number in (3, 1, 2, 0)]
    await waiting(store, *given, ("other", (wait("planes"),)))

    assert await claimed(store, waits=("hotels", NOW + 2), limit=2) == ["e0", "e1"]
    assert await claimed(store, waits=("hotels", NOW + 2), limit=2) == ["e2"]
    assert await claimed(store, waits=("hotels", NOW + 2)) == []
    assert await store.waited_for(["hotels"]) == {"hotels": NOW + 3}
    assert await claimed(store, waits=("cars", NOW)) == ["e3"]
    assert await store.waited_for(["hotels", "cars"]) == {}
    assert (await store.waiting("hotels", limit=9)).count == 4
    assert (await store.find("e0")).standing == RUNNING


async def test_those_that_wait_in_memory_are_not_claimed(store: Any) -> None:
    await store.append([replace(start("a"), waits=(wait(),))])

    assert await claimed(store, waits=("hotels", NOW)) == []
    assert await store.waited_for(["hotels"]) == {}


async def test_of_those_that_wait_only_the_ones_asked_for_are_claimed(store: Any) -> None:
    await waiting(store, ("a", (wait(),)), ("b", (wait(),)))

    assert await claimed(store, waits=("hotels", NOW), only=["b", "nobody"]) == ["b"]


async def test_those_whose_time_is_over_are_claimed_like_all_that_are_due(store: Any) -> None:
    await waiting(store, ("a", (wait(),)), standing=parked(NOW + 60_000))

    assert await claimed(store, NOW + 60_000) == ["a"]
