"""Every store behind the ports `Journal` and `Leases`, each in a world where processes come and go.

A new adapter is one class more in `WORLDS`; the tests do not change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from makegood.storage import MemoryStore
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

    def put(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        assert self._last is not None
        return self._last.put(execution_id, kind, body)

    def verdict(self, inbox_id: int) -> str | None:
        assert self._last is not None
        return self._last.verdict(inbox_id)


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

    def put(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        return SqliteInbox(self._path).put(execution_id, kind, body)

    def verdict(self, inbox_id: int) -> str | None:
        return SqliteInbox(self._path).verdict(inbox_id)


WORLDS = {"memory": MemoryWorld, "sqlite": SqliteWorld}
