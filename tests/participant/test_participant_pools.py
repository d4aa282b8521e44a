"""Connections that are lent: from a pool, or from whoever keeps one. They come back in no transaction."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from tests import postgres_cluster

from makegood.participant import Barrier, NotDone, effect_key

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pool() -> AsyncIterator[asyncpg.Pool]:
    server = postgres_cluster.cluster()
    name = server.create_empty()
    async with asyncpg.create_pool(server.dsn(name), min_size=1, max_size=1) as made:
        await made.execute("CREATE TABLE effect (step text)")
        yield made
    server.drop(name)


async def test_a_pool_lends_a_connection_and_has_it_back(pool: asyncpg.Pool) -> None:
    @Barrier(pool.acquire)
    async def reserve(db: Any, call: Any) -> str:
        async with db.transaction():
            await db.execute("INSERT INTO effect VALUES ($1)", effect_key(call))
        return "kept"

    answers = await asyncio.gather(*(reserve(None, f"x:ship[{number % 3}]:do") for number in range(12)))

    assert answers == ["kept"] * 12
    assert await pool.fetchval("SELECT count(*) FROM effect") == 3


async def test_a_call_that_is_cut_off_leaves_nothing_and_no_transaction(pool: asyncpg.Pool) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    @Barrier(pool.acquire)
    async def reserve(db: Any, input: bool) -> str:  # noqa: A002
        await db.execute("INSERT INTO effect VALUES ('x')")
        if input:
            begun.set()
            await never.wait()
        return "kept"

    cut_off = asyncio.ensure_future(reserve(True, "x:a:do"))
    await begun.wait()
    cut_off.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut_off

    assert await pool.fetchval("SELECT count(*) FROM effect") == 0
    assert await reserve(False, "x:a:do") == "kept"


async def test_a_connection_that_is_lost_in_the_middle_is_an_unknown_outcome(pool: asyncpg.Pool) -> None:
    lose = [True, False]

    @Barrier(pool.acquire)
    async def reserve(db: Any) -> str:
        await db.execute("INSERT INTO effect VALUES ('x')")
        if lose.pop(0):
            await db.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return "kept"

    with pytest.raises(asyncpg.PostgresError) as lost:
        await reserve(None, "x:a:do")

    assert not isinstance(lost.value, NotDone)
    assert await reserve(None, "x:a:do") == "kept"
    assert await pool.fetchval("SELECT count(*) FROM effect") == 1


def test_a_connection_that_is_kept_is_not_closed(tmp_path: Path) -> None:
    kept = sqlite3.connect(tmp_path / "x.db")
    decorated = Barrier(lambda: contextlib.nullcontext(kept))(lambda db: "kept")

    assert decorated(None, "x:a:do") == decorated(None, "x:a:do") == "kept"
    assert kept.execute("SELECT state FROM makegood_barrier").fetchall() == [("done",)]
    kept.close()


def test_a_connection_that_is_in_a_transaction_is_refused() -> None:
    server = postgres_cluster.cluster()
    name = server.create_empty()
    with psycopg.connect(server.dsn(name)) as kept:
        kept.execute("SELECT 1")
        decorated = Barrier(lambda: contextlib.nullcontext(kept))(lambda db: "kept")

        with pytest.raises(NotDone) as refused:
            decorated(None, "x:a:do")

        assert "in a transaction already" in str(refused.value.__cause__)
    server.drop(name)


def test_rows_are_read_whatever_the_connection_makes_of_them(tmp_path: Path) -> None:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "x.db")
        connection.row_factory = lambda cursor, row: {"row": row}
        return connection

    decorated = Barrier(connect)(lambda db: "kept")

    assert decorated(None, "x:a:do") == decorated(None, "x:a:do") == "kept"
