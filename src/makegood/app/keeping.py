"""A database as a whole, whichever kind it is: who is running on it, its schema, what is kept in it.

Strangers keep out: single executions.
"""

from __future__ import annotations

import asyncio
import time

from makegood.app.reading import path_of
from makegood.storage import is_postgres
from makegood.storage.sqlite import SqliteStore, lock_holder
from makegood.storage.sqlite import purge as purge_file


async def engines_on(database: str) -> list[str]:
    """The engines that are alive on a database, as people call them.

    Raises:
        ConfigurationError: It is in memory.
        StorageError: It cannot be reached.
    """
    if is_postgres(database):
        from makegood.storage.postgres import keeping  # noqa: PLC0415 - a driver is loaded only for its store

        return list((await keeping.state(database)).workers)
    holder = lock_holder(path_of(database))
    return [] if holder is None else [str(holder)]


async def upgrade(database: str) -> list[str]:
    """Bring the schema up to date; the names of what was applied. Raises StorageError."""
    if is_postgres(database):
        from makegood.storage.postgres import keeping  # noqa: PLC0415 - likewise

        return await keeping.upgrade(database)
    return await asyncio.to_thread(SqliteStore.upgrade, path_of(database))


async def purge(database: str, older_than_s: float) -> int:
    """Delete executions that ended longer ago than that; how many. Raises StorageError."""
    before_ms = time.time_ns() // 1_000_000 - round(older_than_s * 1000)
    if is_postgres(database):
        from makegood.storage.postgres import keeping  # noqa: PLC0415 - likewise

        return await keeping.purge(database, before_ms)
    return await asyncio.to_thread(purge_file, path_of(database), before_ms)
