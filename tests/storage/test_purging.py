"""Purging: what ended long ago goes with its family, what lives stays, and ids are free again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.postgres_cluster import database, statement
from tests.storage.appends import first, then

from makegood.errors import StorageHeld, StorageUnavailable
from makegood.ports import Query, Standing
from makegood.storage import open_store
from makegood.storage.postgres import keeping
from makegood.storage.sqlite import purge

pytestmark = pytest.mark.anyio

Purge = Callable[[int], Awaitable[int]]


@pytest.fixture(params=["postgres", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Purge]]:
    if request.param == "sqlite":
        path = str(tmp_path / "makegood.db")
        yield path, lambda before_ms: asyncio.to_thread(purge, path, before_ms)
        return
    with database() as dsn:
        yield dsn, lambda before_ms: keeping.purge(dsn, before_ms)


def over(at_ms: int) -> Standing:
    return Standing(status="completed", ended_at_ms=at_ms)


async def kept(dsn: str) -> list[str]:
    store = open_store(dsn, exclusive=False)
    found = sorted(each.execution_id for each in await store.query(Query(limit=9_999)))
    await store.aclose()
    return found


async def test_what_ended_before_goes_and_its_id_is_free(place: tuple[str, Purge]) -> None:
    dsn, purge_before = place
    store = open_store(dsn)
    await store.append([first("old", search={"a": 1}), first("new"), first("live")])
    await store.append([then("old", 1, standing=over(100)), then("new", 1, standing=over(200))])
    await store.aclose()

    assert await purge_before(200) == 1
    assert await kept(dsn) == ["live", "new"]
    store = open_store(dsn)
    assert await store.load("old") == []
    assert await store.append([first("old", search={"a": 1})]) == [None]
    await store.aclose()


async def test_a_child_goes_with_its_root_and_not_before(place: tuple[str, Purge]) -> None:
    dsn, purge_before = place
    store = open_store(dsn)
    await store.append([first("gone"), first("live"), first("half")])
    await store.append([first(f"{root}-child", parent=root, root=root) for root in ("gone", "live", "half")])
    await store.append([first("gone-detached", parent="gone", root="gone-detached")])
    ended = ["gone", "gone-child", "live-child", "half"]
    await store.append([then(each, 1, standing=over(5)) for each in ended])
    await store.aclose()

    assert await purge_before(100) == 2
    assert await kept(dsn) == ["gone-detached", "half", "half-child", "live", "live-child"]


async def test_much_goes_in_parts(place: tuple[str, Purge]) -> None:
    dsn, purge_before = place
    store = open_store(dsn)
    await store.append([first(f"e{number}", standing=over(number)) for number in range(1_203)])
    await store.aclose()

    assert await purge_before(1_200) == 1_200
    assert await kept(dsn) == ["e1200", "e1201", "e1202"]
    assert await purge_before(1_200) == 0


async def test_a_file_is_purged_while_no_engine_holds_it(tmp_path: Path) -> None:
    path = str(tmp_path / "makegood.db")
    with pytest.raises(StorageUnavailable, match="no database"):
        purge(path, 5)
    store = open_store(path)
    with pytest.raises(StorageHeld):
        purge(path, 5)
    await store.aclose()


async def test_a_shared_database_is_purged_beside_its_engines_and_what_is_brought_back_stays() -> None:
    with database() as dsn:
        store: Any = open_store(dsn)
        await store.append([first("a", standing=over(5)), first("b", standing=over(5))])
        await store.append([then("a", 1, standing=Standing(status="compensating"))])

        assert await keeping.purge(dsn, 100) == 1
        assert await store.append([then("a", 2)]) == [None]
        assert [row[0] for row in statement(dsn)("SELECT id FROM makegood.execution")] == ["a"]
        await store.aclose()


async def test_what_there_is_can_be_told_and_brought_up_to_date() -> None:
    with database() as dsn:
        store: Any = open_store(dsn)
        await store.append([first("a")])

        found = await keeping.state(dsn)

        assert (found.version, found.statuses, len(found.workers)) == (found.newest, {"running": 1}, 1)
        assert await keeping.upgrade(dsn) == []
        await store.aclose()
