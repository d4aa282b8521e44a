"""The port to a service's own connection, and its form for each driver we know. Imports none of them.

`native` is what a service's function works with. The barrier alone begins and ends transactions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from makegood.participant.statements import Dialect, placed


@runtime_checkable
class Connection(Protocol):
    """A connection that is in no transaction yet. Every method may return an awaitable of what it promises.

    Attributes:
        dialect: Which SQL it speaks: `sqlite` or `postgres`.
        native: What functions are given.
    """

    dialect: Dialect
    native: Any

    def begin(self) -> Any:
        """Begin a transaction, in SQLite a writing one; False if the database is busy, else True."""

    def run(self, statement: str, values: Sequence[Any]) -> Any:
        """Run one statement with its values in the places $1, $2, ...; its rows, each a sequence."""

    def commit(self) -> Any:
        """Make it durable."""

    def rollback(self) -> Any:
        """Leave nothing of it."""


class Sqlite:
    """A connection of `sqlite3` or `apsw`."""

    dialect: Dialect = "sqlite"

    def __init__(self, native: Any) -> None:
        if getattr(native, "autocommit", -1) is False:
            raise TypeError(
                "sqlite3.connect(autocommit=False) begins transactions of its own: leave `autocommit` out, or say True"
            )
        self.native = native

    def begin(self) -> bool:
        """Fails at once where the database is busy, so that nobody is held up: the caller waits."""
        timeout_ms = self.run("PRAGMA busy_timeout", ())[0][0]
        self.run("PRAGMA busy_timeout = 0", ())
        try:
            self.run("BEGIN IMMEDIATE", ())
        except Exception as error:
            if _is_busy(error):
                return False
            raise
        finally:
            self.run(f"PRAGMA busy_timeout = {int(timeout_ms)}", ())
        return True

    def run(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Rows are tuples, whatever the connection makes of them for others."""
        cursor = self.native.cursor()
        if hasattr(cursor, "row_factory"):
            cursor.row_factory = None
        return list(cursor.execute(placed(statement, "?"), tuple(values)))

    def commit(self) -> None:
        """Make it durable."""
        self.run("COMMIT", ())

    def rollback(self) -> None:
        """Also where SQLite has rolled back by itself."""
        if self.native.in_transaction:
            self.run("ROLLBACK", ())


def _is_busy(error: Exception) -> bool:
    """SQLITE_BUSY or SQLITE_LOCKED, in the form of either driver."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (5, 6) or type(error).__name__ in _BUSY


_BUSY = ("BusyError", "LockedError")


class Asyncpg:
    """A connection of `asyncpg`, of its own or from a pool."""

    dialect: Dialect = "postgres"

    def __init__(self, native: Any) -> None:
        self.native = native
        self._transaction: Any = None

    async def begin(self) -> bool:
        """Through asyncpg's own word for it, so that `connection.transaction()` inside makes a savepoint."""
        if self.native.is_in_transaction():
            raise RuntimeError(_OPEN)
        self._transaction = self.native.transaction()
        await self._transaction.start()
        return True

    async def run(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Without values it is one message to the server."""
        if not values:
            await self.native.execute(statement)
            return []
        rows: list[Any] = await self.native.fetch(statement, *values)
        return rows

    async def commit(self) -> None:
        """Make it durable."""
        await self._transaction.commit()

    async def rollback(self) -> None:
        """Leave nothing of it."""
        if not self.native.is_closed():
            await self._transaction.rollback()


class Psycopg:
    """A `psycopg.Connection`. Inside, its `commit()` raises, and its `transaction()` makes a savepoint."""

    dialect: Dialect = "postgres"

    def __init__(self, native: Any) -> None:
        self.native = native
        self._transaction: Any = None

    def begin(self) -> bool:
        """Refuses a connection that is in a transaction: ours would be a savepoint of that, and never committed."""
        _be_idle(self.native)
        self._transaction = self.native.transaction()
        self._transaction.__enter__()
        return True

    def run(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Rows are tuples, whatever the connection makes of them for others."""
        with self.native.cursor(row_factory=_tuple_row()) as cursor:
            cursor.execute(placed(statement, "%s"), tuple(values))
            return list(cursor.fetchall()) if cursor.description else []

    def commit(self) -> None:
        """Make it durable."""
        self._transaction.__exit__(None, None, None)

    def rollback(self) -> None:
        """Leave nothing of it."""
        error = _rolled_back(self._transaction)
        self._transaction.__exit__(type(error), error, None)


class PsycopgAsync:
    """A `psycopg.AsyncConnection`; as `Psycopg`."""

    dialect: Dialect = "postgres"

    def __init__(self, native: Any) -> None:
        self.native = native
        self._transaction: Any = None

    async def begin(self) -> bool:
        """As `Psycopg.begin`."""
        _be_idle(self.native)
        self._transaction = self.native.transaction()
        await self._transaction.__aenter__()
        return True

    async def run(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """As `Psycopg.run`."""
        async with self.native.cursor(row_factory=_tuple_row()) as cursor:
            await cursor.execute(placed(statement, "%s"), tuple(values))
            return list(await cursor.fetchall()) if cursor.description else []

    async def commit(self) -> None:
        """Make it durable."""
        await self._transaction.__aexit__(None, None, None)

    async def rollback(self) -> None:
        """Leave nothing of it."""
        error = _rolled_back(self._transaction)
        await self._transaction.__aexit__(type(error), error, None)


def _be_idle(native: Any) -> None:
    if native.info.transaction_status != 0:
        raise RuntimeError(_OPEN)


def _tuple_row() -> Any:
    return sys.modules["psycopg.rows"].tuple_row


def _rolled_back(transaction: Any) -> BaseException:
    error: BaseException = sys.modules["psycopg"].Rollback(transaction)
    return error


_OPEN = "the connection is in a transaction already: give the barrier one that is in none, so that it can commit"

_KNOWN: dict[str, Callable[[Any], Connection]] = {
    "sqlite3.Connection": Sqlite,
    "apsw.Connection": Sqlite,
    "asyncpg.Connection": Asyncpg,
    "asyncpg.PoolConnectionProxy": Asyncpg,
    "psycopg.Connection": Psycopg,
    "psycopg.AsyncConnection": PsycopgAsync,
}


def connection_of(given: Any) -> Connection | None:
    """The form of a connection for the barrier; None if it is none that we know."""
    for each in type(given).__mro__:
        known = _KNOWN.get(f"{each.__module__.partition('.')[0]}.{each.__name__}")
        if known is not None:
            return known(given)
    return given if isinstance(given, Connection) else None


def unknown_connection(given: Any) -> TypeError:
    """What to raise where there is none."""
    return TypeError(
        f"`connect` gave {type(given).__module__}.{type(given).__qualname__}; what is known are connections of "
        "sqlite3, apsw, asyncpg and psycopg 3, and objects with the attributes of makegood.participant.Connection"
    )
