"""PostgreSQL beyond what every store promises: the fence, lost answers, races of several workers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.postgres_cluster import cluster, database, statement
from tests.postgres_proxy import Proxy, proxied
from tests.storage.appends import first, then

from makegood.errors import Conflict, Fenced, MakegoodError, StorageError, StorageUnavailable, StorageVersion
from makegood.ports import Append, KeyedRequest, Standing
from makegood.storage import codec, rules
from makegood.storage.migrate import Migration
from makegood.storage.postgres import PostgresStore, claims, keeping, reader, schema, writer
from makegood.storage.postgres.batches import parts, values_of
from makegood.storage.postgres.dsn import shown_dsn, target_of
from makegood.storage.postgres.failures import Lost, RecordRefused, sorted_out
from makegood.storage.postgres.links import Link
from makegood.storage.postgres.sql import QUERIES

pytestmark = pytest.mark.anyio

Sql = Callable[..., list[Any]]
JOURNAL = "INSERT INTO makegood.journal"
LATER = 1_000


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    async with opened(dsn) as made:
        yield made


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(dsn)
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[Any]:
    """Another session, in a transaction of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def until_blocked(connection: Any, count: int = 1) -> None:
    """Return when so many sessions of this database wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'"
    )
    while await connection.fetchval(waiting) < count:
        # Within a transaction the first look is kept for the next ones.
        await connection.fetchval("SELECT pg_stat_clear_snapshot()")


def parked(wake_at_ms: int | None = 5) -> Standing:
    return Standing(status="running", phase="forward", parked=True, wake_at_ms=wake_at_ms)


DEAD = "UPDATE makegood.worker SET state = 'dead', ended_at = clock_timestamp() WHERE id = $1"

# --- the fence ---------------------------------------------------------------------------------


async def test_a_worker_that_was_declared_dead_writes_nothing(store: PostgresStore, dsn: str) -> None:
    await store.append([first("a")])
    statement(dsn)(DEAD, await store.join(10_000))

    for batch in ([then("a", 1)], [first("b")], [Append(execution_id="a", position=1, record=None, standing=parked())]):
        with pytest.raises(Fenced, match="declared dead"):
            await store.append(batch)
    with pytest.raises(Fenced):
        await store.renew(bury=False)
    with pytest.raises(Fenced):
        await store.claim(LATER, limit=1)
    found = await store.find("a")
    assert found is not None
    assert (found.positions, found.standing.parked) == (1, False)
    assert await store.find("b") is None


async def test_a_batch_that_waits_for_its_worker_to_be_declared_dead_writes_nothing(
    store: PostgresStore, dsn: str
) -> None:
    await store.append([first("a")])
    async with session(dsn) as other:
        burying = other.transaction()
        await burying.start()
        await other.execute(DEAD, await store.join(10_000))
        batches = [
            asyncio.ensure_future(store.append(each)) for each in ([then("a", 1, standing=parked())], [first("b")])
        ]
        await until_blocked(other, 2)
        await burying.commit()

        for each in batches:
            with pytest.raises(Fenced):
                await each
    assert [each.events for each in await store.load("a", start=1)] == []
    found = await store.find("a")
    assert found is not None
    assert not found.standing.parked
    assert await store.find("b") is None


async def test_who_is_nearly_declared_dead_goes_on(store: PostgresStore, dsn: str) -> None:
    await store.append([first("a")])
    async with session(dsn) as other:
        burying = other.transaction()
        await burying.start()
        await other.execute(DEAD, await store.join(10_000))
        batch = asyncio.ensure_future(store.append([then("a", 1)]))
        await until_blocked(other)
        await burying.rollback()

        assert await batch == [None]


async def test_a_worker_is_not_declared_dead_in_the_middle_of_a_batch(store: PostgresStore, dsn: str) -> None:
    await store.append([first("a"), first("b")])
    async with session(dsn) as other, session(dsn) as undertaker:
        holding = other.transaction()
        await holding.start()
        await other.execute("INSERT INTO makegood.journal VALUES ('a', 1, '{}')")
        batch = asyncio.ensure_future(store.append([then("b", 1), then("a", 1)]))
        await until_blocked(other)
        burying = asyncio.ensure_future(undertaker.execute(DEAD, await store.join(10_000)))
        await until_blocked(other, 2)
        await holding.rollback()

        assert await batch == [None, None]
        await burying
    with pytest.raises(Fenced):
        await store.append([then("a", 2)])
    assert len(await store.load("a")) == 2


async def test_a_lease_that_ran_out_allows_burying_and_refuses_nothing_by_itself(
    store: PostgresStore, dsn: str
) -> None:
    await store.join(10_000)
    statement(dsn)("UPDATE makegood.lease SET expires_at = clock_timestamp() - interval '1 second'")

    assert await store.append([first("a")]) == [None]
    await store.renew(bury=False)
    async with opened(dsn) as other:
        assert await other.renew(bury=True) == 0
        statement(dsn)("UPDATE makegood.lease SET expires_at = clock_timestamp() - interval '1 second'")
        assert await other.renew(bury=True) == 1
    with pytest.raises(Fenced):
        await store.append([then("a", 1)])


async def test_workers_that_are_alive_are_counted_as_they_come_and_go(store: PostgresStore, dsn: str) -> None:
    await store.join(10_000)
    async with opened(dsn) as other:
        await other.join(10_000)
        await store.renew(bury=True)
        assert (store.workers, other.workers) == (2, 2)

        mine = await store.join(10_000)
        statement(dsn)(
            f"UPDATE makegood.lease SET expires_at = clock_timestamp() - interval '1 second' WHERE worker_id <> {mine}"
        )
        assert await store.renew(bury=True) == 1

    assert store.workers == 1


async def test_a_renewal_waits_for_no_batch(store: PostgresStore, dsn: str) -> None:
    await store.append([first("a")])
    async with session(dsn) as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("INSERT INTO makegood.journal VALUES ('a', 1, '{}')")
        batch = asyncio.ensure_future(store.append([then("a", 1)]))
        await until_blocked(other)

        await store.renew(bury=False)
        assert not batch.done()
        await holding.rollback()
        assert await batch == [None]


async def test_a_batch_of_an_earlier_epoch_that_comes_late_writes_nothing(store: PostgresStore, dsn: str) -> None:
    await store.append([first("a")])
    me, epoch = store._worker.id, store._worker.epoch
    late = [then("a", 1)]
    part = next(parts(late, [(0,)]))
    values = values_of(late, rules.encode(late)[0], part).for_append

    await store._worker.bump(epoch)
    async with session(dsn) as other:
        (row,) = await other.fetch(QUERIES["append"], me, epoch, *values)

    assert row[0] == 0
    assert len(await store.load("a")) == 1
    assert await store.append(late) == [None]


async def test_a_process_that_stops_in_the_middle_of_a_transaction_keeps_no_lock(
    store: PostgresStore, dsn: str
) -> None:
    freed = False
    await store.append([first("a")])

    async def stops(ask: Any) -> None:
        nonlocal freed
        await ask("SELECT 1 FROM makegood.execution WHERE id = 'a' FOR UPDATE")
        async with session(dsn) as other, asyncio.timeout(10):
            await other.execute("SELECT 1 FROM makegood.execution WHERE id = 'a' FOR UPDATE")
            freed = True
        await ask("UPDATE makegood.execution SET version = 2 WHERE id = 'a'")

    with pytest.raises((Lost, StorageError)):
        await store._begin.together(stops, 50)
    assert freed
    found = await store.find("a")
    assert found is not None
    assert found.start.version == 1


async def test_a_warning_on_a_commit_is_no_answer(store: PostgresStore) -> None:
    await store.join(10_000)

    with pytest.raises(Lost, match="may not hold"):
        await store._write.ask("DO $$ BEGIN RAISE WARNING 'it may not hold on the standby'; END $$")

    assert (await store._write.ask("SELECT 1"))[0][0] == 1


async def test_a_write_whose_asker_is_gone_is_not_called_back(store: PostgresStore, dsn: str) -> None:
    await store.append([first("a")])
    kept = KeyedRequest(key="k", content="c", at_ms=1)
    async with session(dsn) as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("LOCK TABLE makegood.keyed_request")
        asked = asyncio.ensure_future(store.keep(kept))
        await until_blocked(other)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await holding.rollback()

    async with asyncio.timeout(10):
        while await store.request("k") is None:
            await asyncio.sleep(0)


async def test_nothing_is_ever_left_idle_in_a_transaction(store: PostgresStore, dsn: str) -> None:
    seen: list[str] = []
    async with session(dsn) as other:
        busy = asyncio.gather(*(store.append([first(f"e{number}"), then(f"e{number}", 1)]) for number in range(50)))
        while not busy.done():
            rows = await other.fetch("SELECT state FROM pg_stat_activity WHERE datname = current_database()")
            seen += [row[0] for row in rows]
        assert await busy == [[None, None]] * 50
    assert "idle" in seen
    assert not [each for each in seen if each and "transaction" in each]


# --- lost answers ------------------------------------------------------------------------------


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[tuple[Proxy, PostgresStore]]:
    async with proxied(dsn) as (between, through), opened(through) as store:
        await store.append([first("a"), first("b")])
        yield between, store


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_lost_answer_is_looked_up_and_nothing_is_written_twice(
    proxy: tuple[Proxy, PostgresStore], dsn: str, when: Any, times: int
) -> None:
    between, store = proxy
    between.lose(JOURNAL, when, times if when == "before" else 1)

    assert await store.append([then("a", 1, "x"), then("b", 1, standing=parked())]) == [None, None]

    assert await store.append([then("a", 2), then("b", 2)]) == [None, None]
    assert [len(await store.load(each)) for each in "ab"] == [3, 3]
    assert between.lost >= 1
    assert statement(dsn)("SELECT epoch FROM makegood.worker")[0][0] >= 2


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_start_whose_answer_was_lost_knows_its_own_rows_from_anothers(
    proxy: tuple[Proxy, PostgresStore], dsn: str, when: Any
) -> None:
    between, store = proxy
    async with opened(dsn) as rival:
        await rival.append([first("taken", "theirs")])
    between.lose(JOURNAL, when)

    verdicts = await store.append([first("new"), first("taken", "ours"), then("new", 1)])

    assert [type(each) for each in verdicts] == [type(None), Conflict, type(None)]
    assert len(await store.load("new")) == 2
    assert between.lost == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_parking_whose_answer_was_lost_is_done_once_and_never_over_what_came_later(
    proxy: tuple[Proxy, PostgresStore], when: Any
) -> None:
    between, store = proxy
    between.lose(JOURNAL, when)

    park = Append(execution_id="a", position=1, record=None, standing=parked(7))
    assert await store.append([park]) == [None]
    assert [each.execution_id for each in await store.claim(LATER, limit=9)] == ["a"]
    await store.append([then("a", 1)])

    late = await store.append([park])
    assert isinstance(late[0], Fenced)
    found = await store.find("a")
    assert found is not None
    assert not found.standing.parked


async def test_who_is_declared_dead_while_an_answer_is_lost_learns_that(
    proxy: tuple[Proxy, PostgresStore], dsn: str
) -> None:
    between, store = proxy
    statement(dsn)(DEAD, await store.join(10_000))
    between.lose(JOURNAL, "after")

    with pytest.raises(Fenced):
        await store.append([then("a", 1)])


async def test_what_cannot_be_learned_is_not_tried_again(
    proxy: tuple[Proxy, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    between, store = proxy
    monkeypatch.setattr(writer, "PATIENCE_S", 0.0)
    between.lose(JOURNAL, "after")
    between.lose("SET epoch", "before", 50)

    with pytest.raises(StorageUnavailable, match="was lost") as caught:
        await store.append([then("a", 1)])
    assert not caught.value.retriable


async def test_a_claim_whose_answer_was_lost_is_told_by_the_next_one(proxy: tuple[Proxy, PostgresStore]) -> None:
    between, store = proxy
    await store.append([first("c", standing=parked()), first("d", standing=parked(2 * LATER))])
    between.lose("chosen", "after")

    with pytest.raises(StorageUnavailable):
        await store.claim(LATER, limit=9)
    assert [each.execution_id for each in await store.claim(LATER, limit=9)] == ["c"]
    assert await store.append([then("c", 1)]) == [None]
    assert await store.claim(LATER, limit=9) == []


async def test_a_cancelled_append_is_not_called_back(store: PostgresStore, dsn: str) -> None:
    await store.append([first("a")])
    async with session(dsn) as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("INSERT INTO makegood.journal VALUES ('a', 1, '{}')")
        batch = asyncio.ensure_future(store.append([then("a", 1)]))
        await until_blocked(other)
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)
        await holding.rollback()

    assert await store.append([then("a", 2)]) == [None]
    assert len(await store.load("a")) == 3


async def test_a_restart_of_the_server_is_survived(store: PostgresStore) -> None:
    import signal

    await store.append([first("a")])
    cluster().stop(signal.SIGQUIT)
    with pytest.raises(StorageUnavailable) as caught:
        await store.find("a")
    assert caught.value.retriable
    cluster().start()

    assert await store.append([then("a", 1)]) == [None]
    assert len(await store.load("a")) == 2
    await store.renew(bury=False)


# --- one record spoils no other ----------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 3, 7])
async def test_a_batch_that_fails_because_of_one_record_is_split(store: PostgresStore, place: int) -> None:
    await store.append([first(f"e{number}") for number in range(8)])
    batch = [then(f"e{number}", 1) for number in range(8)]
    batch[place] = first("spoilt", business_key="a\0b")

    verdicts = await store.append([*batch, then("e7", 2) if place != 7 else then("e6", 2)])

    assert [number for number, each in enumerate(verdicts) if each is not None] == [place]
    assert isinstance(verdicts[place], StorageError)


async def test_a_position_that_somebody_else_took_is_fenced_alone(store: PostgresStore, dsn: str) -> None:
    await store.append([first("a"), first("b")])
    statement(dsn)("INSERT INTO makegood.journal VALUES ('a', 1, '{}')")

    verdicts = await store.append([then("b", 1), then("a", 1), then("b", 2)])

    assert [type(each) for each in verdicts] == [type(None), Fenced, type(None)]


async def test_what_another_worker_advances_is_not_changed(store: PostgresStore, dsn: str) -> None:
    async with opened(dsn) as rival:
        await rival.append([first("a")])

        verdicts = await store.append([then("a", 1, standing=parked())])

        assert isinstance(verdicts[0], Fenced)
        assert "another worker" in str(verdicts[0])
        assert await rival.append([then("a", 1)]) == [None]
        seen = await store.find("a"), await rival.find("a")
        assert [each is not None and each.elsewhere for each in seen] == [True, False]


async def test_a_code_that_a_column_of_text_cannot_hold_stops_nobody(store: PostgresStore) -> None:
    await store.append([first("a")])
    failed = Standing(status="failed", ended_at_ms=9, error_code="no\0way")

    assert await store.append([then("a", 1, standing=failed)]) == [None]
    found = await store.find("a")
    assert found is not None
    assert found.standing.error_code == "no\ufffdway"


async def test_a_transaction_that_the_server_gave_up_is_tried_again(store: PostgresStore, dsn: str) -> None:
    await store.join(10_000)
    insert = (
        "INSERT INTO makegood.execution (id, workflow, version, start_hash, started_at_ms, started_by, root, search, "
        "format_min, status, pivoted, parked, overdue) VALUES ($1, 'w', 1, 'h', 1, 0, $1, '{}', 1, 'running', false, "
        "true, false)"
    )
    async with session(dsn) as other:
        rival = other.transaction()
        await rival.start()
        await other.execute(insert, "b")
        batch = asyncio.ensure_future(store.append([first("a"), first("b"), first("c")]))
        async with session(dsn) as onlooker:
            await until_blocked(onlooker)
        try:
            await other.execute(insert, "a")
            await rival.commit()
        except asyncpg.DeadlockDetectedError:
            await rival.rollback()
        verdicts = await batch

    assert verdicts[2] is None
    assert {type(each) for each in verdicts[:2]} in ({Conflict}, {type(None)})


# --- several workers at once -------------------------------------------------------------------


async def test_of_racing_starts_one_wins_each_id_and_everybody_agrees_which(dsn: str) -> None:
    ids = [f"e{number:03}" for number in range(120)]
    async with opened(dsn) as one, opened(dsn) as two, opened(dsn) as three:
        stores = [one, two, three]

        async def race(number: int) -> dict[str, bool]:
            chosen = random.Random(number)
            mine = chosen.sample(ids, len(ids))
            won: dict[str, bool] = {}
            for at in range(0, len(mine), 30):
                part = mine[at : at + 30]
                starts = [first(each, number, business_key=each) for each in part]
                found = await stores[number].append(starts)
                assert all(each is None or isinstance(each, Conflict) for each in found)
                won |= {each: verdict is None for each, verdict in zip(part, found, strict=True)}
            return won

        won = await asyncio.gather(*(race(number) for number in range(3)))

        for each in ids:
            winners = [number for number in range(3) if won[number][each]]
            assert len(winners) == 1
            kept: Any = (await one.load(each))[0].events[0]
            assert kept.input == winners[0]


async def test_starts_are_made_in_one_order_so_that_two_batches_do_not_wait_for_each_other(
    store: PostgresStore, dsn: str
) -> None:
    copy = (
        "INSERT INTO makegood.execution SELECT (jsonb_populate_record(e, jsonb_build_object('id', $1::text, "
        "'root', $1::text))).* FROM makegood.execution AS e WHERE e.id = 'x'"
    )
    await store.append([first("x")])
    async with session(dsn) as other:
        holding = other.transaction()
        await holding.start()
        await other.execute(copy, "b")
        batch = asyncio.ensure_future(store.append([first("b"), first("a")]))
        await until_blocked(other)
        await other.execute("SET LOCAL lock_timeout = 1")
        # It waits for b, and has made a before.
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.execute(copy, "a")
        await holding.rollback()

    assert await batch == [None, None]


async def test_of_racing_claims_each_execution_goes_to_one(dsn: str) -> None:
    async with opened(dsn) as one, opened(dsn) as two:
        await one.append([first(f"e{number}", standing=parked()) for number in range(400)])
        taken: list[list[str]] = [[], []]

        async def take(number: int, store: PostgresStore) -> None:
            while found := await store.claim(LATER, limit=25):
                taken[number] += [each.execution_id for each in found]

        await asyncio.gather(take(0, one), take(1, two), take(0, one), take(1, two))

        assert sorted(taken[0] + taken[1]) == sorted(f"e{number}" for number in range(400))
        for number, store in enumerate((one, two)):
            for each in taken[number][:3]:
                assert await store.append([then(each, 1)]) == [None]


async def test_short_journals_come_with_their_claims_and_long_ones_are_loaded(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    load = reader.load

    async def counted(links: Any, execution_id: str, start: int, limit: int | None) -> Any:
        asked.append(execution_id)
        return await load(links, execution_id, start, limit)

    monkeypatch.setattr(reader, "load", counted)
    lengths = {"one": 1, "two": claims.AHEAD_EACH, "long": claims.AHEAD_EACH + 1, "big": 1}
    for each, length in lengths.items():
        await store.append([first(each, "x" * 5_000 if each == "big" else 0, standing=parked())])
        await store.append([then(each, number, number) for number in range(1, length)])
    monkeypatch.setattr(claims, "AHEAD_BYTES", 4_000)

    for each in lengths:
        # Each by a claim of its own: a claim does not take away what an earlier one brought.
        assert len(await store.claim(LATER, limit=1, only=[each])) == 1
    loaded = {each: await store.load(each) for each in lengths}

    assert {each: len(records) for each, records in loaded.items()} == lengths
    assert sorted(asked) == ["big", "long"]


async def test_a_journal_that_came_with_a_claim_is_not_shown_when_others_went_on_with_it(dsn: str) -> None:
    async with opened(dsn) as store, opened(dsn) as other:
        await store.append([first("x", standing=parked())])
        await store.claim(LATER, limit=1)
        back = Append(execution_id="x", position=1, record=None, standing=parked())
        assert await store.append([back]) == [None]
        await other.claim(LATER, limit=1)
        assert await other.append([then("x", 1)]) == [None]

        assert len(await store.load("x")) == 2


async def test_what_a_dead_worker_left_is_shared_by_the_living(dsn: str) -> None:
    async with opened(dsn) as dead, opened(dsn) as one, opened(dsn) as two:
        await dead.append([first(f"e{number}") for number in range(600)])
        for each in (one, two):
            await each.join(10_000)
        statement(dsn)(DEAD, await dead.join(10_000))

        mine = await one.claim(LATER, limit=1_000)
        theirs = await two.claim(LATER, limit=1_000)

        assert len(mine) == 300
        assert len(theirs) >= 100
        assert not {each.execution_id for each in mine} & {each.execution_id for each in theirs}
        assert {each.crashes for each in mine} == {1}


async def test_a_worker_claims_only_what_it_can_fold_and_serve(dsn: str) -> None:
    async with opened(dsn) as store, opened(dsn) as old:
        await old.put_definition("trip", {"a": 1}, None, 1, ["hotels", "flights"])
        await old.append([first(each, standing=parked()) for each in ("plain", "newer")])
        statement(dsn)("UPDATE makegood.execution SET format_min = $1 WHERE id = 'newer'", codec.FORMAT + 1)

        assert await store.claim(LATER, limit=9, offered=["hotels"]) == []
        assert await store.next_wake_ms() is None
        assert await store.claim(LATER, limit=9, only=["newer"], early=True) == []
        served = await store.claim(LATER, limit=9, offered=["flights", "hotels", "more"])
        assert [each.execution_id for each in served] == ["plain"]
        newer = await store.find("newer")
        assert newer is not None
        assert newer.standing.parked


async def test_a_record_of_a_newer_format_marks_its_execution(
    store: PostgresStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.append([first("a")])
    monkeypatch.setattr(codec, "FORMATS", {type(then("a", 1).record.events[0]): 7})  # type: ignore[union-attr]

    await store.append([then("a", 1), first("b"), then("b", 1)])

    formats = dict(statement(dsn)("SELECT id, format_min FROM makegood.execution"))
    assert formats == {"a": 7, "b": 7}


async def test_what_is_set_aside_is_claimed_only_by_its_name(dsn: str) -> None:
    async with opened(dsn) as store, opened(dsn) as other:
        await store.append([first("a")])
        await store.set_aside("a", "event 'x' is not known")

        assert await other.claim(LATER, limit=9) == []
        assert [each.execution_id for each in await other.claim(LATER, limit=9, only=["a"], early=True)] == ["a"]


# --- schema and connecting ---------------------------------------------------------------------


@pytest.fixture
def empty() -> Iterator[str]:
    name = cluster().create_empty()
    yield cluster().dsn(name)
    cluster().drop(name)


async def test_replicas_that_start_at_once_on_an_empty_database_make_its_schema_once(empty: str) -> None:
    stores = [PostgresStore(empty) for _ in range(4)]

    numbers = await asyncio.gather(*(each.join(10_000) for each in stores))

    assert len(set(numbers)) == 4
    assert statement(empty)("SELECT version FROM makegood.schema_version") == [(schema.SCHEMA,)]
    for each in stores:
        await each.aclose()


async def test_a_newer_schema_is_used_as_long_as_it_serves_this_code_and_refused_with_a_remedy_then(empty: str) -> None:
    async with opened(empty) as store:
        await store.join(10_000)
    newer = "UPDATE makegood.schema_version SET version = $1, serves = $2"
    statement(empty)(newer, schema.SCHEMA + 1, schema.SCHEMA)
    async with opened(empty) as store:
        assert await store.find("a") is None
    assert await keeping.upgrade(empty) == []

    statement(empty)(newer, schema.SCHEMA + 1, schema.SCHEMA + 1)
    refused = PostgresStore(empty)
    with pytest.raises(StorageVersion, match="Upgrade makegood"):
        await refused.find("a")
    await refused.aclose()
    with pytest.raises(StorageVersion, match="Upgrade makegood"):
        await keeping.upgrade(empty)


async def test_a_migration_that_removes_says_which_code_is_served_from_then_on(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = schema.SCHEMA
    adds = Migration(number + 1, "adds", "ALTER TABLE makegood.worker ADD COLUMN mood text;")
    sql = "ALTER TABLE makegood.worker DROP COLUMN mood;"
    removes = Migration(number + 2, "removes", f"-- serves: {number + 1}\n{sql}")
    async with opened(empty) as store:
        await store.join(10_000)
    statement(empty)("ALTER TABLE makegood.schema_version DROP COLUMN serves")  # As it was before databases said so.
    served = []
    for added in ((), (adds,), (adds, removes)):
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS[:number], *added))
        monkeypatch.setattr(schema, "SCHEMA", number + len(added))
        assert await keeping.upgrade(empty) == [f"{each.number:04} {each.name}" for each in added[-1:]]
        served.append(tuple((await said_of(empty)) or ()))
    assert served == [(number, number), (number + 1, 1), (number + 2, number + 1)]


async def said_of(dsn: str) -> schema.Found | None:
    link = Link(target_of(dsn))
    try:
        return await schema.look(link)
    finally:
        await link.aclose()


async def test_who_only_reads_makes_nothing(empty: str, dsn: str) -> None:
    reading = PostgresStore(empty, exclusive=False)
    with pytest.raises(StorageError, match="holds nothing of makegood"):
        await reading.find("a")
    await reading.aclose()
    reading = PostgresStore(dsn, exclusive=False)
    assert await reading.find("a") is None
    with pytest.raises(StorageUnavailable, match="for reading only"):
        await reading.append([first("a")])
    await reading.aclose()
    assert statement(dsn)("SELECT count(*) FROM makegood.worker") == [(0,)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"/test": "/nowhere"}, "no such database"),
        ({"127.0.0.1": "127.0.0.1:1,127.0.0.1"}, "cannot be reached"),
        ({"makegood@": "nobody:secret@"}, "refuses this user|cannot be reached"),
    ],
)
async def test_what_cannot_be_reached_says_why_without_its_password(
    dsn: str, change: dict[str, str], words: str
) -> None:
    for old, new in change.items():
        dsn = dsn.replace(old, new)
    if "127.0.0.1:1" in dsn:
        dsn = dsn.rpartition(",")[0] + "/x"
    store = PostgresStore(dsn)
    with pytest.raises(MakegoodError, match=words) as caught:
        await store.join(10_000)
    await store.aclose()
    assert "secret" not in str(caught.value)


async def test_of_several_hosts_the_one_that_takes_writes_is_used(dsn: str) -> None:
    several = dsn.replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1")
    async with opened(several) as store:
        assert await store.append([first("a")]) == [None]


@pytest.mark.parametrize(
    ("dsn", "kept", "options"),
    [
        ("postgres://h/d", "postgresql://h/d?application_name=makegood", {"timeout": 10.0}),
        ("postgresql://h/d?sslmode=verify-full&sslrootcert=/ca.pem&channel_binding=require", "sslmode=verify-full", {}),
        ("postgresql://h/d?sslrootcert=/ca.pem", "sslrootcert=%2Fca.pem", {}),
        ("postgresql://a,b:6/d", "target_session_attrs=read-write", {}),
        ("postgresql://a,b/d?target_session_attrs=any", "target_session_attrs=any", {}),
        ("postgresql://h/d?connect_timeout=3", "postgresql://h/d?", {"timeout": 3.0}),
        ("postgresql://h/d?pgbouncer=true", "postgresql://h/d?", {"statement_cache_size": 0}),
    ],
)
def test_connection_strings_are_read_as_libpq_reads_them(dsn: str, kept: str, options: dict[str, Any]) -> None:
    target = target_of(dsn)

    assert kept in target.dsn
    assert not [each for each in ("channel_binding", "connect_timeout", "pgbouncer") if each in target.dsn]
    assert {name: target.options[name] for name in options} == options


def test_a_connection_string_is_shown_without_its_password() -> None:
    assert shown_dsn("postgresql://ada:s%40cret@h:5,i/d?password=x") == "postgresql://ada@h:5,i/d"
    assert shown_dsn("postgresql://h/d") == "postgresql://h/d"


def test_values_that_the_driver_itself_refuses_are_the_records_fault() -> None:
    assert isinstance(sorted_out(asyncpg.DataError("no")), RecordRefused)


def test_every_statement_says_why_it_is_safe_and_fits_the_drivers_cache() -> None:
    assert len(QUERIES) > 30
    assert max(len(each) for each in QUERIES.values()) < 15_000
