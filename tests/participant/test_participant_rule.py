"""What a decorated function does, over every kind of connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from participant_worlds import KINDS, World, finished, world_of

from makegood.participant import NotDone, Ongoing, Rejected, effect_key

pytestmark = pytest.mark.anyio


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(request.param, tmp_path) as made:
        yield made


class Service:
    """`reserve` and `cancel`, plain or asynchronous as the connection is; it counts what reaches it."""

    def __init__(self, world: World, **given: Any) -> None:
        self.called: list[tuple[str, Any]] = []
        self.barrier = world.barrier(**given)

        async def reserve_async(db: Any, input: Any, call: Any) -> Any:  # noqa: A002
            self.called.append(("reserve", call))
            await world.effect(db, effect_key(call), "reserved")
            return self.answer(input)

        def reserve(db: Any, input: Any, call: Any) -> Any:  # noqa: A002
            self.called.append(("reserve", call))
            world.effect(db, effect_key(call), "reserved")
            return self.answer(input)

        async def cancel_async(db: Any, call: Any, input: Any, done: Any) -> Any:  # noqa: A002
            self.called.append(("cancel", done))
            await world.effect(db, effect_key(call), "cancelled")
            return self.answer(input)

        def cancel(db: Any, call: Any, input: Any, done: Any) -> Any:  # noqa: A002
            self.called.append(("cancel", done))
            world.effect(db, effect_key(call), "cancelled")
            return self.answer(input)

        self._reserve = self.barrier(reserve_async if world.is_async else reserve)
        self._cancel = self.barrier(cancel_async if world.is_async else cancel)

    @staticmethod
    def answer(asked: Any) -> Any:
        match asked:
            case {"reject": code}:
                raise Rejected(code, "no", {"left": 0})
            case {"break": words}:
                raise RuntimeError(words)
            case {"poll": seconds}:
                return Ongoing(seconds)
        return {"room": 12, "guest": asked}

    async def reserve(self, asked: Any, key: str) -> Any:
        return await told(self._reserve, asked, key)

    async def cancel(self, asked: Any, key: str) -> Any:
        return await told(self._cancel, asked, key)


async def told(function: Any, *given: Any) -> Any:
    """What it returns; of a rejection its code, message and details."""
    try:
        return await finished(function(*given))
    except Rejected as error:
        return error.code, error.message, error.details


async def test_the_same_key_has_one_effect_and_one_answer(world: World) -> None:
    service = Service(world)

    answers = [await service.reserve("Ada", "x:hotel:do") for _ in range(3)]

    assert answers == [{"room": 12, "guest": "Ada"}] * 3
    assert world.effects() == [("x:hotel", "reserved")]
    assert len(service.called) == 1


async def test_an_undo_undoes_once_and_is_told_what_its_call_answered(world: World) -> None:
    service = Service(world)
    await service.reserve("Ada", "x:hotel:do")

    answers = [await service.cancel(None, "x:hotel:undo") for _ in range(2)]

    assert answers == [{"room": 12, "guest": None}] * 2
    assert service.called[1:] == [("cancel", {"room": 12, "guest": "Ada"})]
    assert world.effects() == [("x:hotel", "cancelled"), ("x:hotel", "reserved")]


async def test_a_call_that_comes_after_its_undo_is_answered_as_before_and_has_no_effect(world: World) -> None:
    service = Service(world)
    first = await service.reserve("Ada", "x:hotel:do")
    await service.cancel(None, "x:hotel:undo")

    assert await service.reserve("Ada", "x:hotel:do") == first
    assert world.effects() == [("x:hotel", "cancelled"), ("x:hotel", "reserved")]


async def test_an_undo_before_its_call_succeeds_and_bars_it(world: World) -> None:
    service = Service(world)

    assert await service.cancel(None, "x:hotel:undo") is None
    assert await service.cancel(None, "x:hotel:undo") is None
    assert (await service.reserve("Ada", "x:hotel:do"))[0] == "undone"
    assert (await service.reserve("Ada", "x:hotel:do"))[0] == "undone"
    assert world.effects() == []
    assert service.called == []


async def test_a_rejection_is_kept_and_nothing_of_it_remains(world: World) -> None:
    service = Service(world)

    answers = [await service.reserve({"reject": "sold_out"}, "x:hotel:do") for _ in range(2)]

    assert answers == [("sold_out", "no", {"left": 0})] * 2
    assert len(service.called) == 1
    assert world.effects() == []
    assert await service.cancel(None, "x:hotel:undo") is None
    assert len(service.called) == 1


async def test_a_rejection_of_an_undo_is_not_kept(world: World) -> None:
    service = Service(world)
    await service.reserve("Ada", "x:hotel:do")

    assert (await service.cancel({"reject": "closed"}, "x:hotel:undo"))[0] == "closed"
    assert world.effects() == [("x:hotel", "reserved")]
    assert await service.cancel(None, "x:hotel:undo") == {"room": 12, "guest": None}
    assert world.effects() == [("x:hotel", "cancelled"), ("x:hotel", "reserved")]


@pytest.mark.parametrize("end", ["do", "undo"])
async def test_an_exception_leaves_nothing(world: World, end: str) -> None:
    service = Service(world)
    if end == "undo":
        await service.reserve("Ada", "x:hotel:do")
    before = world.effects(), world.ask("SELECT key FROM makegood_barrier") if end == "undo" else []
    ask = service.reserve if end == "do" else service.cancel

    with pytest.raises(RuntimeError, match="fire"):
        await ask({"break": "fire"}, f"x:hotel:{end}")

    assert (world.effects(), world.ask("SELECT key FROM makegood_barrier")) == before
    assert (await ask("Ada", f"x:hotel:{end}")) == {"room": 12, "guest": "Ada"}


async def test_another_request_under_the_same_key_is_refused(world: World) -> None:
    service = Service(world)
    await service.reserve({"guest": "Ada", "days": 9}, "x:hotel:do")

    assert (await service.reserve({"guest": "Eve", "days": 9}, "x:hotel:do"))[0] == "key_reused"
    assert (await service.reserve({"days": 9, "guest": "Ada"}, "x:hotel:do"))["room"] == 12
    assert len(service.called) == 1


async def test_what_is_ongoing_is_let_through_again_until_it_is_done(world: World) -> None:
    service = Service(world)
    asked = {"poll": 2.5}

    first = await service.reserve(asked, "x:hotel:do")
    second = await service.reserve(asked, "x:hotel:do")

    assert (first.poll_after_s, second.poll_after_s) == (2.5, 2.5)
    assert world.effects() == [("x:hotel", "reserved")] * 2  # each answer says what was done is to stay
    assert await service.cancel(None, "x:hotel:undo") == {"room": 12, "guest": None}
    assert (await service.reserve(asked, "x:hotel:do"))[0] == "undone"


async def test_an_undo_may_be_ongoing_itself(world: World) -> None:
    service = Service(world)
    await service.reserve("Ada", "x:hotel:do")

    for _ in range(2):
        assert (await service.cancel({"poll": 1}, "x:hotel:undo")).poll_after_s == 1

    assert [name for name, _ in service.called] == ["reserve", "cancel", "cancel"]
    assert service.called[2][1] == {"room": 12, "guest": "Ada"}


async def test_iterations_are_calls_of_their_own(world: World) -> None:
    service = Service(world)
    for number in range(3):
        await service.reserve("Ada", f"x:ship[{number}]:do")

    await service.cancel(None, "x:ship[1]:undo")

    assert [row for row in world.effects() if row[1] == "cancelled"] == [("x:ship[1]", "cancelled")]
    assert len(world.effects()) == 4


async def test_a_key_without_an_end_is_a_call(world: World) -> None:
    service = Service(world)

    assert await service.reserve("Ada", "order-7") == await service.reserve("Ada", "order-7")
    assert world.effects() == [("order-7", "reserved")]


async def test_deliveries_at_once_have_one_effect_and_one_answer(world: World) -> None:
    service = Service(world, wait_s=60)
    calls = [lambda: service.reserve("Ada", "x:hotel:do")] * 6 + [lambda: service.cancel(None, "x:hotel:undo")] * 6
    if world.is_async:
        answers = await asyncio.gather(*(each() for each in calls))
    else:
        with ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(lambda each: asyncio.run(each()), calls))

    done, undone = answers[:6], answers[6:]
    assert all(each == done[0] for each in done)
    assert all(each == undone[0] for each in undone)
    expected = [] if done[0] != {"room": 12, "guest": "Ada"} else [("x:hotel", "cancelled"), ("x:hotel", "reserved")]
    assert world.effects() == expected


async def test_who_waits_too_long_hears_that_nothing_was_done(world: World) -> None:
    patient, hasty = Service(world, wait_s=60), Service(world, wait_s=0)
    await patient.reserve("Ada", "x:other:do")  # the table is there
    heard: list[Any] = []

    if world.is_async:

        async def slow(db: Any, call: Any) -> None:
            await world.effect(db, effect_key(call), "slow")
            with pytest.raises(NotDone):
                await hasty.reserve("Ada", call)
            heard.append("not done")
    else:

        def slow(db: Any, call: Any) -> None:  # type: ignore[misc]
            world.effect(db, effect_key(call), "slow")
            with ThreadPoolExecutor(1) as thread, pytest.raises(NotDone):
                thread.submit(asyncio.run, hasty.reserve("Ada", call)).result()
            heard.append("not done")

    await finished(patient.barrier(slow)(None, "x:hotel:do"))

    assert heard == ["not done"]
    assert world.effects("x:hotel") == [("x:hotel", "slow")]
    assert hasty.called == []


async def test_a_function_that_commits_is_found_out(world: World) -> None:
    if world.is_async:

        async def commits(db: Any, call: Any) -> None:
            await world.effect(db, effect_key(call), "half")
            await db.execute("COMMIT")
    else:

        def commits(db: Any, call: Any) -> None:  # type: ignore[misc]
            world.effect(db, effect_key(call), "half")
            db.exec_driver_sql("COMMIT") if world.kind == "sqlalchemy" else db.execute("COMMIT")

    decorated = world.barrier()(commits)

    with pytest.raises(RuntimeError, match="barrier commits"):
        await finished(decorated(None, "x:hotel:do"))
    with pytest.raises(RuntimeError, match="begun and has no answer"):
        await finished(decorated(None, "x:hotel:do"))
    assert world.effects() == [("x:hotel", "half")]


async def test_what_is_old_is_forgotten(world: World) -> None:
    service = Service(world)
    for number in range(5):
        await service.reserve("Ada", f"x:ship[{number}]:do")
    forget = service.barrier.forget_async if world.is_async else service.barrier.forget

    assert await finished(forget(timedelta(days=90))) == 0

    old = "UPDATE makegood_barrier SET at_ms = at_ms - 8640000000 WHERE key < 'x:ship[3]'"
    change(world, old)
    assert await finished(forget(timedelta(days=90))) == 3
    assert len(world.ask("SELECT key FROM makegood_barrier")) == 2
    with pytest.raises(ValueError, match="too short"):
        await finished(forget(timedelta(hours=23)))


def change(world: World, statement: str) -> None:
    """From outside, and durable."""
    connection = world.connect()
    if world.is_async:

        async def run() -> None:
            opened = await connection
            await opened.execute(statement)
            await finished(opened.commit()) if world.kind == "psycopg_async" else None
            await opened.close()

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, run()).result()
        return
    with contextlib.closing(connection):
        if world.kind == "sqlalchemy":
            connection.native.exec_driver_sql(statement)
        else:
            connection.execute(statement)
        if world.kind != "apsw":
            connection.commit()


async def test_the_patience_of_the_barrier_is_not_that_of_the_function(world: World) -> None:
    if world.dialect == "sqlite":
        pytest.skip("a setting of PostgreSQL")
    seen: list[str] = []
    ask = "SELECT current_setting('lock_timeout')"

    if world.is_async:

        async def look(db: Any) -> None:
            seen.append(
                await db.fetchval(ask) if world.kind == "asyncpg" else (await (await db.execute(ask)).fetchone())[0]
            )
    else:

        def look(db: Any) -> None:  # type: ignore[misc]
            seen.append((db.exec_driver_sql(ask) if world.kind == "sqlalchemy" else db.execute(ask)).fetchone()[0])

    await finished(world.barrier(wait_s=7)(look)(None, "x:hotel:do"))

    assert seen == ["0"]


async def test_tables_may_be_made_by_migrations(world: World) -> None:
    service = Service(world, create=False)

    with pytest.raises(NotDone):
        await service.reserve("Ada", "x:hotel:do")

    assert world.effects() == []
    assert service.called == []


async def test_barriers_that_begin_at_once_make_one_table(world: World) -> None:
    services = [Service(world, wait_s=60) for _ in range(6)]
    if world.is_async:
        await asyncio.gather(*(each.reserve("Ada", "x:hotel:do") for each in services))
    else:
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda each: asyncio.run(each.reserve("Ada", "x:hotel:do")), services))

    assert world.effects() == [("x:hotel", "reserved")]
