"""The database behind the ports `Journal`, `Requests` and `Leases`: memory, SQLite and PostgreSQL, one codec for all.

Strangers keep out: no judgement about executions, only what is kept and who may write it. The one
way in is `open_store`; a driver is imported when its store is opened, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makegood.errors import ConfigurationError
from makegood.storage.codec import UnknownEvent
from makegood.storage.memory import MemoryStore

if TYPE_CHECKING:
    from makegood.storage.postgres import PostgresStore
    from makegood.storage.sqlite import SqliteStore

__all__ = ["MemoryStore", "UnknownEvent", "is_postgres", "open_store", "shown", "sqlite_path"]


def open_store(dsn: str, *, exclusive: bool = True) -> MemoryStore | SqliteStore | PostgresStore:
    """Open the database that `dsn` names, and create it when there is none.

    Args:
        dsn: `:memory:`, a path, `sqlite:///path` (three slashes and a relative path, or four and
            an absolute one), or `postgresql://...` as libpq has it.
        exclusive: As an engine, which holds a SQLite file alone; False only reads.

    Raises:
        ConfigurationError: There is no such kind of database.
        StorageHeld: Another engine holds it.
        StorageError: It cannot be opened; the message says why and what to do. PostgreSQL is connected
            to with the first thing that is asked.
    """
    if is_postgres(dsn):
        from makegood.storage.postgres import PostgresStore  # noqa: PLC0415  A driver is loaded only for its store.

        return PostgresStore(dsn, exclusive=exclusive)
    path = sqlite_path(dsn)
    if path is None:
        return MemoryStore()
    from makegood.storage.sqlite import SqliteStore  # noqa: PLC0415  Likewise.

    return SqliteStore.open(path, exclusive=exclusive)


def is_postgres(dsn: str) -> bool:
    """Whether `dsn` names a PostgreSQL database."""
    return dsn.startswith(("postgresql://", "postgres://"))


def shown(dsn: str) -> str:
    """What names a database, without a password."""
    if not is_postgres(dsn):
        return dsn
    from makegood.storage.postgres.dsn import shown_dsn  # noqa: PLC0415  Likewise.

    return shown_dsn(dsn)


def sqlite_path(dsn: str) -> str | None:
    """The path of the SQLite file that `dsn` names, or None for `:memory:`.

    Raises:
        ConfigurationError: It names something else.
    """
    if dsn in (":memory:", "sqlite:///:memory:"):
        return None
    scheme, colon, rest = dsn.partition("://")
    if not colon:
        if not dsn.strip():
            raise ConfigurationError("the connection string is empty. Give a path such as ./makegood.db, or :memory:.")
        return dsn
    if scheme == "sqlite":
        path = rest.removeprefix("/")
        if rest.startswith("/") and path:
            return path
        raise ConfigurationError(
            f"{dsn!r} names no file. Write sqlite:///relative/path.db or sqlite:////absolute/path.db."
        )
    raise ConfigurationError(
        f"there is no storage of the kind {scheme!r}. Use a path, sqlite:///path, postgresql://... or :memory:."
    )
