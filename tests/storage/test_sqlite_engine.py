"""One engine on one file: durability, the lock, readers beside it, and what a full disk does."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.storage.appends import first, then

from makegood.errors import Fenced, StorageHeld, StorageUnavailable
from makegood.ports import Query, Standing
from makegood.storage.sqlite import SqliteInbox, SqliteStore, inbox, lock_holder, reader
from makegood.storage.sqlite.sql import QUERIES, SIZES, chunks, named, repeated
from makegood.storage.sqlite.writer import Writer

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]

# --- durability --------------------------------------------------------------------------------

APPENDING = """
import asyncio, sys
from tests.storage.appends import first, then
from makegood.storage.sqlite import SqliteStore

async def main():
    store = SqliteStore.open(sys.argv[1])
    base = sys.argv[2]
    ids = [f"{base}-{number}" for number in range(20)]
    assert not any(await store.append([first(each) for each in ids]))
    for position in range(1, 1_000_000):
        assert not any(await store.append([then(each, position, {"at": position}) for each in ids]))
        print(position, flush=True)

asyncio.run(main())
"""


async def test_every_acknowledged_append_survives_a_kill(path: str, process: Start) -> None:
    for round_number, lines in enumerate((1, 7, 40, 150)):
        child = process(APPENDING, path, f"r{round_number}")
        assert child.stdout is not None
        for _ in range(lines):
            assert child.stdout.readline(), child.stderr and child.stderr.read()
        child.send_signal(signal.SIGKILL)
        # Not `communicate`: it passes over what has been read from the pipe and not been asked for.
        acknowledged = lines + len(child.stdout.read().splitlines())
        child.wait()

        store = SqliteStore.open(path)
        lengths = set()
        for number in range(20):
            records = await store.load(f"r{round_number}-{number}")
            assert [each.events[0].payload["at"] for each in records[1:]] == list(range(1, len(records)))  # type: ignore[union-attr]
            lengths.add(len(records) - 1)
        assert len(lengths) == 1, "a batch was written in part"
        assert lengths.pop() in (acknowledged, acknowledged + 1)
        assert (await store.query(Query(limit=1)))[0].standing.status == "running"
        await store.aclose()


async def test_a_full_disk_writes_nothing_and_is_over_when_there_is_room(path: str) -> None:
    store = SqliteStore.open(path)
    await store.append([first("a")])
    assert store._writer is not None
    connection = store._writer._connection
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", pages + 2)

    with pytest.raises(StorageUnavailable, match=r"full\. Make room"):
        await store.append([first("b"), then("a", 1, "x" * 100_000)])
    assert (await store.find("b"), len(await store.load("a"))) == (None, 1)

    connection.pragma("max_page_count", 1_000_000)
    assert await store.append([first("b"), then("a", 1, "x" * 100_000)]) == [None, None]
    await store.aclose()


FILLING = """
import asyncio, sys
from tests.storage.appends import first, then
from makegood.errors import StorageError
from makegood.storage.sqlite import SqliteStore

async def main():
    store = SqliteStore.open(sys.argv[1])
    await store.append([first("a")])
    for position in range(1, 1000):
        try:
            await store.append([then("a", position, "x" * 10_000)])
        except StorageError as error:
            print(position, type(error).__name__, error, flush=True)
            break
    try:
        await store.append([then("a", position)])
    except StorageError as error:
        print("again", error, flush=True)
    await store.aclose()

asyncio.run(main())
"""


async def test_a_write_that_fails_closes_the_store_for_writing_and_keeps_what_was_committed(
    path: str, process: Start
) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    SqliteStore.open(path).close()
    output, errors = process(FILLING, path, preexec_fn=limit).communicate()
    assert "StorageUnavailable" in output, errors
    failed = int(output.split()[0])

    store = SqliteStore.open(path)
    assert len(await store.load("a")) == failed
    assert "open it again" in output
    await store.aclose()


# --- the lock ----------------------------------------------------------------------------------

HOLDING = """
import sys
from makegood.storage.sqlite import SqliteStore
store = SqliteStore.open(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
store.close()
"""


async def test_a_second_engine_is_refused_and_told_who_holds_it(path: str, process: Start, tmp_path: Path) -> None:
    child = process(HOLDING, path)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    (tmp_path / "other").symlink_to(path)

    for name in (path, str(tmp_path / "other"), os.path.relpath(path)):
        with pytest.raises(StorageHeld, match=f"held by process {child.pid} ") as caught:
            SqliteStore.open(name)
        assert str(child.pid) in caught.value.holder
        holder = lock_holder(name)
        assert holder is not None
        assert (holder.pid, holder.host) == (child.pid, socket.gethostname())
    with pytest.raises(StorageHeld):
        SqliteStore.upgrade(path)

    child.communicate("end\n")
    assert lock_holder(path) is None
    SqliteStore.open(path).close()


async def test_the_lock_dies_with_its_process(path: str, process: Start) -> None:
    child = process(HOLDING, path)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    child.send_signal(signal.SIGKILL)
    child.wait()

    assert lock_holder(path) is None
    SqliteStore.open(path).close()


async def test_one_process_cannot_open_it_twice_either(path: str) -> None:
    store = SqliteStore.open(path)

    with pytest.raises(StorageHeld, match=f"process {os.getpid()}"):
        SqliteStore.open(path)

    await store.append([first("a")])
    await store.aclose()
    assert os.path.exists(path + ".lock")


async def test_an_engine_whose_lock_file_was_removed_writes_nothing_more(path: str) -> None:
    old = SqliteStore.open(path)
    await old.append([first("a")])
    os.unlink(path + ".lock")
    new = SqliteStore.open(path)

    for ask in (old.append([then("a", 1)]), old.claim(5, limit=9), old.put_definition("trip", {}, None, 5)):
        with pytest.raises(Fenced, match="another engine"):
            await ask
    assert await new.append([then("a", 1)]) == [None]
    await old.aclose()
    await new.aclose()


# --- readers -----------------------------------------------------------------------------------


async def test_a_reader_works_beside_an_engine_and_without_one(path: str, process: Start) -> None:
    store = SqliteStore.open(path)
    await store.append([first("a", search={"x": 1})])
    beside = SqliteStore.open(path, exclusive=False)
    await store.append([then("a", 1)])

    assert len(await beside.load("a")) == 2
    assert (await beside.find("a")) == (await store.find("a"))
    for ask in (
        beside.append([then("a", 2)]),
        beside.claim(1, limit=1),
        beside.put_definition("a", {}, None, 1),
        beside.inbox(limit=1),
    ):
        with pytest.raises(StorageUnavailable, match="for reading only"):
            await ask

    await store.aclose()
    assert len(await beside.load("a")) == 2
    await beside.aclose()
    alone = SqliteStore.open(path, exclusive=False)
    assert [each.execution_id for each in await alone.query(Query())] == ["a"]
    await alone.aclose()


async def test_a_reader_after_a_kill_sees_what_was_committed(path: str, process: Start) -> None:
    child = process(APPENDING, path, "r")
    assert child.stdout is not None
    for _ in range(3):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    acknowledged = 3 + len(child.stdout.read().splitlines())

    alone = SqliteStore.open(path, exclusive=False)

    assert len(await alone.load("r-0")) > acknowledged
    await alone.aclose()


async def test_an_open_reader_does_not_keep_the_log_from_being_folded_in(path: str) -> None:
    store = SqliteStore.open(path)
    await store.append([first("a")])
    beside = SqliteStore.open(path, exclusive=False)
    assert len(await beside.load("a")) == 1
    await store.append([then("a", 1, "x" * 100_000)])

    assert store._writer is not None
    busy, logged, folded = store._writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]

    assert (busy, logged, folded) == (0, 0, 0)
    await beside.aclose()
    await store.aclose()


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="needs to see the locks")
async def test_opening_and_closing_a_reader_keeps_the_locks_of_this_process(path: str) -> None:
    def locks() -> list[str]:
        number = f":{os.stat(path).st_ino} "
        return [line.split(": ", 1)[1] for line in Path("/proc/locks").read_text().splitlines() if number in line]

    store = SqliteStore.open(path)
    await store.append([first("a")])
    before = locks()

    SqliteStore.open(path, exclusive=False).close()

    assert before
    assert locks() == before
    await store.aclose()


# --- lanes -------------------------------------------------------------------------------------


async def test_a_cancelled_caller_and_a_closed_loop_harm_nobody(path: str) -> None:
    store = await asyncio.to_thread(_left_by_a_loop, path)
    waiting = asyncio.ensure_future(store.append([then("a", 2)]))
    await asyncio.sleep(0)
    waiting.cancel()

    assert kinds(await store.append([then("a", 2), then("a", 3)])) == ["Fenced", None]
    assert len(await store.load("a")) == 4
    await store.aclose()


def _left_by_a_loop(path: str) -> SqliteStore:
    left: list[Any] = []

    async def leave() -> SqliteStore:
        store = SqliteStore.open(path)
        await store.append([first("a")])
        left.append(asyncio.ensure_future(store.append([then("a", 1)])))
        await asyncio.sleep(0)
        return store

    return asyncio.run(leave())


def kinds(verdicts: list[Any]) -> list[str | None]:
    return [None if each is None else type(each).__name__ for each in verdicts]


async def test_a_list_does_not_wait_for_a_commit(path: str) -> None:
    store = SqliteStore.open(path)
    await store.append([first("a")])
    other = apsw.Connection(path)
    other.execute("BEGIN IMMEDIATE")

    blocked = asyncio.ensure_future(store.append([then("a", 1)]))
    assert len(await asyncio.wait_for(store.load("a"), 2)) == 1
    assert not blocked.done()
    other.execute("ROLLBACK")

    assert await blocked == [None]
    other.close()
    await store.aclose()


# --- inbox -------------------------------------------------------------------------------------


async def test_a_request_that_is_delivered_again_after_a_crash_is_dropped(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore.open(path)
    await store.append([first("a")])
    asker = SqliteInbox(path)
    settled, waiting = asker.put("a", "cancel", {}), asker.put("a", "resume", {})
    monkeypatch.setattr(store, "_settle", lambda: None)  # The process dies between the two files.
    await store.append([then("a", 1, inbox_ids=(settled,))])
    store._inbox._noted.clear()  # type: ignore[union-attr]
    store.close()
    assert asker.verdict(settled) is None

    store = SqliteStore.open(path)

    assert [each.id for each in await store.inbox(limit=9)] == [waiting]
    assert asker.verdict(settled) == ""
    await store.append([then("a", 2)])
    assert store._writer is not None
    assert store._writer.inbox_done() == []
    await store.aclose()


PUTTING = """
import sys
from makegood.storage.sqlite import SqliteInbox
asker = SqliteInbox(sys.argv[1])
number = asker.put("a", "signal", {"payload": 7})
print(number, flush=True)
print(repr(asker.wait(number, 20)), flush=True)
"""


async def test_another_process_asks_and_hears_the_verdict(path: str, process: Start) -> None:
    store = SqliteStore.open(path)
    await store.append([first("a")])
    child = process(PUTTING, path)
    assert child.stdout is not None
    number = int(child.stdout.readline())

    waiting = await store.inbox(limit=9)
    await store.drop_inbox([number], "it has ended")

    assert [(each.id, each.body) for each in waiting] == [(number, {"payload": 7})]
    assert child.communicate()[0] == "'it has ended'\n"
    await store.aclose()


async def test_an_idle_inbox_costs_no_look_into_the_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore.open(path)
    asker = SqliteInbox(path)
    number = asker.put("a", "signal", {})
    await store.drop_inbox([number])
    old = os.stat(path + ".inbox").st_mtime_ns - 10**9
    os.utime(path + ".inbox", ns=(old, old))
    assert await store.inbox(limit=9) == []

    monkeypatch.setattr(store, "_look", lambda limit: pytest.fail("looked"))
    assert await store.inbox(limit=9) == []
    monkeypatch.undo()

    again = asker.put("a", "signal", {})
    assert [each.id for each in await store.inbox(limit=9)] == [again]
    await store.aclose()


async def test_a_change_within_one_tick_of_the_files_clock_is_seen(path: str) -> None:
    store = SqliteStore.open(path)
    asker = SqliteInbox(path)
    for _ in range(20):
        number = asker.put("a", "signal", {})
        assert [each.id for each in await store.inbox(limit=9)] == [number]
        await store.drop_inbox([number])
        assert await store.inbox(limit=9) == []
    await store.aclose()


async def test_a_foreign_inbox_file_stops_requests_and_nothing_else(path: str) -> None:
    store = SqliteStore.open(path)
    await store.append([first("a")])
    Path(path + ".inbox").write_text("not a database " * 20)

    with pytest.raises(Exception, match="inbox"):
        await store.inbox(limit=9)

    assert await store.append([then("a", 1, inbox_ids=(5,))]) == [None]
    await store.aclose()
    with pytest.raises(StorageUnavailable, match="there is no database"):
        SqliteInbox(path + ".typo")


# --- statements --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 5, 7, 200, 256, 257, 1000])
def test_batches_are_few_statements_with_all_rows_in_order(count: int) -> None:
    rows = [(f"e{number}", number, "{}") for number in range(count)]
    made = list(chunks("insert_record", rows))

    assert [value for _, values, _ in made for value in values] == [value for row in rows for value in row]
    assert sum(size for _, _, size in made) == count
    assert all(statement.count("?") == len(values) and size in SIZES for statement, values, size in made)
    assert len(made) <= count // 256 + 4


def test_statements_without_a_reason_are_refused() -> None:
    assert named("-- name: a\n-- safe: yes.\nSELECT 1\n\n-- name: b\n-- safe: too.\nSELECT 2\n") == {
        "a": "SELECT 1",
        "b": "SELECT 2",
    }
    with pytest.raises(ValueError, match="why it is safe"):
        named("-- name: a\nSELECT 1\n")
    assert all(";" not in each for each in QUERIES.values())
    assert set(inbox.QUERIES) >= {"put", "settle"}


PLANS = {
    "list": reader.query_statement(Query(before=(5, "a"))),
    "list of a workflow": reader.query_statement(Query(workflow="w", before=(5, "a"), started_after_ms=1)),
    "list of a state": reader.query_statement(Query(status="running")),
    "list of a workflow and state": reader.query_statement(Query(workflow="w", status="failed")),
    "list of a workflow's completed": reader.query_statement(Query(workflow="w", status="completed")),
    "list of a key": reader.query_statement(Query(business_key="k", workflow="w", before=(5, "a"))),
    "list by search": reader.query_statement(Query(search={"city": "Rome", "paid": "true"}, before=(5, "a"))),
    "count": (QUERIES["count"], ["w", "running", 10]),
    "request": (QUERIES["request"], ["k"]),
    "forget requests": (QUERIES["forget_requests"], [5, 9]),
    "one": (QUERIES["stored"] + " WHERE e.id = ?", ["a"]),
    "page": (QUERIES["load_page"], ["a", 0, 5]),
    "next position": (QUERIES["next_position"], ["a"]),
    "left over": (QUERIES["left_over"], [3, 5]),
    "left over of some": (QUERIES["left_over_of"], ['["a"]', 5, 9]),
    "due": (QUERIES["due"], [3, 5]),
    "due of some": (QUERIES["due_of"], ['["a"]', 5, 0, 9]),
    "take": (QUERIES["take"], [1, "a"]),
    "next wake": (QUERIES["next_wake"], []),
    "key holder": (QUERIES["key_holder"], ["w", "k"]),
    "fence": (QUERIES["fence"], []),
    "newest definition": (QUERIES["newest_definition"], ["a"]),
    "standing": (repeated("update_standing", 3), [None] * 33),
}


@pytest.mark.parametrize("name", PLANS)
def test_no_statement_scans_a_table_or_sorts(path: str, name: str) -> None:
    SqliteStore.open(path).close()
    connection = apsw.Connection(path)
    statement, values = PLANS[name]

    steps = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()]
    connection.close()

    bounded = (
        "SCAN e USING INDEX execution_started",
        "SCAN 3-ROW VALUES CLAUSE",
        "SCAN (subquery-1)",
        "SCAN these VIRTUAL",
    )
    scans = [each for each in steps if each.startswith("SCAN") and not each.startswith(bounded)]
    assert steps
    assert scans == [], steps
    # Those that were asked for by id are few, and are all that is put in order.
    assert name.endswith("of some") or not any("TEMP B-TREE" in each for each in steps), steps


async def test_a_clean_batch_is_one_try(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writer, "_append_unit", lambda *given: pytest.fail("one by one"))
    store = SqliteStore.open(path)
    ended = Standing(status="completed", ended_at_ms=9)

    await store.append([first(f"e{number}") for number in range(300)])
    assert not any(await store.append([then(f"e{number}", 1, standing=ended) for number in range(300)]))
    assert not any(await store.append([first("z"), then("z", 1), then("z", 2, standing=ended)]))
    await store.aclose()
