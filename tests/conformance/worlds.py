"""Every store behind the ports `Journal` and `Leases`, each in a world where processes come and go.

A new adapter is one class more in `WORLDS`; the tests do not change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.postgres_cluster import cluster, statement

from makegood.storage import MemoryStore
from makegood.storage.postgres import PostgresStore
from makegood.storage.sqlite import SqliteInbox, SqliteStore


class MemoryWorld:
    """Stores that follow one another on the same contents."""

    def __init__(self, folder: Path) -> None:
        self._last: MemoryStore | None = None

    def open(self) -> MemoryStore:
        self._last = MemoryStore(self._last)
        return self._last

    async def crash(self, store: Any) -> None:
        """The process dies: what was not committed is lost, and nothing is said to anybody."""

    async def put(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        assert self._last is not None
        return await self._last.put_request(execution_id, kind, body)

    async def verdict(self, inbox_id: int) -> str | None:
        assert self._last is not None
        return await self._last.verdict(inbox_id)

    def close(self) -> None:
        """Everything goes."""


class SqliteWorld:
    """Engines that open one file in turn."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "makegood.db")

    def open(self) -> SqliteStore:
        return SqliteStore.open(self._path)

    async def crash(self, store: SqliteStore) -> None:
        # As if killed: the graceful end is not noted, the lock goes with the descriptor.
        assert store._writer is not None
        store._writer._broken = Exception("killed")  # type: ignore[assignment]
        store.close()

    async def put(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        return SqliteInbox(self._path).put(execution_id, kind, body)

    async def verdict(self, inbox_id: int) -> str | None:
        return SqliteInbox(self._path).verdict(inbox_id)

    def close(self) -> None:
        """The folder goes with the test."""


class PostgresWorld:
    """Workers that share one database; one that crashes is found dead at once, as if its lease had run out."""

    def __init__(self, folder: Path) -> None:
        self._name = cluster().create()
        self.dsn = cluster().dsn(self._name)

    def open(self) -> PostgresStore:
        return PostgresStore(self.dsn)

    async def crash(self, store: PostgresStore) -> None:
        store._closed = True
        for each in (store._write, store._begin, store._ask, store._lease, store._reads):
            each.drop()
        buried = "UPDATE makegood.worker SET state = 'dead', ended_at = clock_timestamp() WHERE id = $1"
        statement(self.dsn)(buried, store._worker.id)

    async def put(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        asker = PostgresStore(self.dsn, exclusive=False)
        try:
            return await asker.put_request(execution_id, kind, body)
        finally:
            await asker.aclose()

    async def verdict(self, inbox_id: int) -> str | None:
        asker = PostgresStore(self.dsn, exclusive=False)
        try:
            return await asker.verdict(inbox_id)
        finally:
            await asker.aclose()

    def close(self) -> None:
        cluster().give_back(self._name)


WORLDS = {"memory": MemoryWorld, "sqlite": SqliteWorld, "postgres": PostgresWorld}
