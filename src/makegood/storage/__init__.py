"""The database behind the ports `Journal` and `Leases`: memory and SQLite, one codec for both.

Strangers keep out: no judgement about executions, only what is kept and who may write it. The one
way in is `open_store`; a driver is imported when its store is opened, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makegood.errors import ConfigurationError
from makegood.storage.codec import UnknownEvent
from makegood.storage.memory import MemoryStore

if TYPE_CHECKING:
    from makegood.storage.sqlite import SqliteStore

__all__ = ["MemoryStore", "UnknownEvent", "open_store", "sqlite_path"]


def open_store(dsn: str, *, exclusive: bool = True) -> MemoryStore | SqliteStore:
    """Open the database that `dsn` names, and create it when there is none.

    Args:
        dsn: `:memory:`, a path, or `sqlite:///path` (three slashes and a relative path, or four and
            an absolute one).
        exclusive: As an engine, which holds the database alone; False only reads.

    Raises:
        ConfigurationError: There is no such kind of database.
        StorageHeld: Another engine holds it.
        StorageError: It cannot be opened; the message says why and what to do.
    """
    path = sqlite_path(dsn)
    if path is None:
        return MemoryStore()
    from makegood.storage.sqlite import SqliteStore  # noqa: PLC0415  A driver is loaded only for its store.

    return SqliteStore.open(path, exclusive=exclusive)


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
    if scheme in ("postgres", "postgresql"):
        raise ConfigurationError(
            "PostgreSQL is not available in this build of makegood yet. "
            'Use a SQLite file, for example connection_string = "./makegood.db".'
        )
    raise ConfigurationError(f"there is no storage of the kind {scheme!r}. Use a path, sqlite:///path or :memory:.")
