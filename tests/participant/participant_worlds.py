"""A service's database behind every connection that the barrier knows, and one that it is told of.

The service keeps `effect(step, what)`: a row for everything it has done and for everything it has undone.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import psycopg
import sqlalchemy
from tests import postgres_cluster

from makegood.participant import Barrier

EFFECT = "CREATE TABLE effect (step text NOT NULL, what text NOT NULL)"
INSERT = "INSERT INTO effect (step, what) VALUES ({}, {})"


PAGE = Path(__file__).parents[2] / "docs/howto/participants.md"


def of_the_page(name: str) -> Any:
    """A class that the how-to page shows, run as it stands there."""
    block = re.search(
        rf"^```python\n((?:(?!^```).)*^class {name}\b.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert block is not None
    found: dict[str, Any] = {"__name__": "page"}
    exec(compile(block[1], str(PAGE), "exec"), found)
    return found[name]


@dataclass
class World:
    """One service's database.

    Attributes:
        connect: What a `Barrier` is given.
        effect: Writes a row of `effect` through a connection as functions get it; perhaps an awaitable.
        rows: All rows of a table, from outside.
    """

    kind: str
    connect: Callable[[], Any]
    effect: Callable[[Any, str, str], Any]
    ask: Callable[[str], list[tuple[Any, ...]]]

    @property
    def is_async(self) -> bool:
        return self.kind in ("asyncpg", "asyncpg_pool", "psycopg_async")

    @property
    def dialect(self) -> str:
        return "sqlite" if self.kind in ("sqlite3", "apsw") else "postgres"

    def effects(self, step: str | None = None) -> list[tuple[Any, ...]]:
        return sorted(row for row in self.ask("SELECT step, what FROM effect") if step in (None, row[0]))

    def barrier(self, **given: Any) -> Barrier:
        return Barrier(self.connect, **given)


KINDS = ("sqlite3", "apsw", "asyncpg", "psycopg", "psycopg_async", "sqlalchemy")


@contextlib.contextmanager
def world_of(kind: str, folder: Path) -> Iterator[World]:
    if kind in ("sqlite3", "apsw"):
        file = str(folder / "service.db")
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(EFFECT)

        def ask(statement: str) -> list[tuple[Any, ...]]:
            with contextlib.closing(sqlite3.connect(file)) as connection:
                return connection.execute(statement).fetchall()

        connect = (lambda: sqlite3.connect(file)) if kind == "sqlite3" else (lambda: apsw.Connection(file))
        yield World(kind, connect, lambda db, *row: db.execute(INSERT.format("?", "?"), row), ask)
        return
    server = postgres_cluster.cluster()
    name = server.create_empty()
    try:
        server.ask(name, EFFECT)
        dsn = server.dsn(name)
        rows = {
            "asyncpg": lambda db, *row: db.execute(INSERT.format("$1", "$2"), *row),
            "sqlalchemy": lambda db, *row: db.exec_driver_sql(INSERT.format("%s", "%s"), row),
        }
        insert = rows.get(kind, lambda db, *row: db.execute(INSERT.format("%s", "%s"), row))
        engine = sqlalchemy.create_engine(
            dsn.replace("postgresql:", "postgresql+psycopg:"), poolclass=sqlalchemy.NullPool
        )
        connects: dict[str, Callable[[], Any]] = {
            "asyncpg": lambda: asyncpg.connect(dsn),
            "psycopg": lambda: psycopg.connect(dsn),
            "psycopg_async": lambda: psycopg.AsyncConnection.connect(dsn),
            "sqlalchemy": lambda: of_the_page("Alchemy")(engine.connect()),
        }
        yield World(kind, connects[kind], insert, lambda statement: [tuple(row) for row in server.ask(name, statement)])
    finally:
        server.drop(name)


async def finished(value: Any) -> Any:
    """What it is, or comes to."""
    return await value if inspect.isawaitable(value) else value
