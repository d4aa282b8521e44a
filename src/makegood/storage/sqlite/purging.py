"""Deleting what ended long ago from a SQLite file.

Strangers keep out: nothing of executions that live. It is done under the engine's lock: an engine that
brings an ended execution back to life must not find it half gone.
"""

from __future__ import annotations

import os

import apsw

from makegood.errors import StorageUnavailable
from makegood.storage.sqlite import files
from makegood.storage.sqlite.failures import translating
from makegood.storage.sqlite.lock import EngineLock
from makegood.storage.sqlite.sql import QUERIES, chunks

FAMILIES = 500
"""Executions with their children that one transaction deletes."""


def purge(path: str, before_ms: int) -> int:
    """Delete executions that ended before then, with all that belongs to them; how many.

    A child goes with its root, and no family goes of which somebody lives. Their ids are free afterwards.

    Raises:
        StorageHeld: An engine is alive.
        StorageError: It cannot be opened or written; what was deleted stays deleted.
    """
    path = os.path.realpath(path)
    if not files.exists(path):
        raise StorageUnavailable(f"there is no database at {path}. See that the path is right.")
    lock = EngineLock(path)
    lock.take()
    try:
        files.verify(path)
        with translating(path):
            connection = apsw.Connection(path)
            try:
                connection.set_busy_timeout(5_000)
                connection.execute("PRAGMA synchronous = FULL")
                deleted = 0
                while (part := _purge_part(connection, before_ms)) is not None:
                    deleted += part
                return deleted
            finally:
                connection.close()
    finally:
        lock.release()


def _purge_part(connection: apsw.Connection, before_ms: int) -> int | None:
    """How many executions one transaction has deleted; None when there was nothing left."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        roots = connection.execute(QUERIES["purge_roots"], (before_ms, FAMILIES)).fetchall()
        found = [*roots]
        for statement, values, _ in chunks("purge_children", roots):
            found += connection.execute(statement, values).fetchall()
        for name in ("purge_journal", "purge_search", "purge_executions"):
            for statement, values, _ in chunks(name, found):
                connection.execute(statement, values)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(found) if roots else None
