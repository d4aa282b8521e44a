"""`SqliteStore`: the ports `Journal`, `Requests` and `Leases` over one SQLite file.

Strangers keep out: this module only hands work to the lanes. `writer` writes, `reader` reads,
`inbox` talks to other processes; each has its connection and its thread, so that a list never waits
for a commit.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import apsw

from makegood.core.events import Record
from makegood.errors import StorageError, StorageUnavailable
from makegood.ports import Append, InboxRow, KeyedRequest, Query, Stored, StoredDefinition, Waiting
from makegood.storage import migrate, rules
from makegood.storage.sqlite import files, reader
from makegood.storage.sqlite.directory import SqliteDirectory
from makegood.storage.sqlite.failures import translated, translating
from makegood.storage.sqlite.inbox import InboxReader, SqliteInbox
from makegood.storage.sqlite.lane import Lane
from makegood.storage.sqlite.lock import EngineLock
from makegood.storage.sqlite.sql import QUERIES
from makegood.storage.sqlite.writer import Texts, Writer

T = TypeVar("T")

_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -32768",
    "PRAGMA temp_store = MEMORY",
)

INBOX_MAX = 10_000
"""Requests looked through for those of one execution."""


class SqliteStore:
    """The storage ports over a file. Made by `open`.

    Attributes:
        directory: Services that are put by hand.
    """

    shared = False
    workers = 1

    def __init__(self, path: str, lock: EngineLock | None, reading: apsw.Connection, writer: Writer | None) -> None:
        self.path = path
        self._lock = lock
        self._reading = reading
        self._writer = writer
        self._inbox = InboxReader(path, writer.inbox_done()) if writer is not None else None
        self._write_lane = Lane("makegood-write")
        self._read_lane = Lane("makegood-read")
        self._inbox_lane = Lane("makegood-inbox")
        self._closed = False
        self.directory = SqliteDirectory(self._reading_with, self._writing_with)

    # --- opening -------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str, *, exclusive: bool = True) -> SqliteStore:
        """Open the database at `path`.

        Args:
            path: Of the file; with `exclusive` it is created when there is none.
            exclusive: As its engine, holding its lock; False only reads, beside an engine or not.

        Raises:
            StorageHeld: Another engine holds it.
            StorageUnavailable: It cannot be reached or written.
            StorageCorrupt: It is damaged, empty, or no database of ours; it was not touched.
            StorageVersion: Its schema is newer, or older and wants `upgrade`.
        """
        path = os.path.realpath(path)
        there = files.exists(path)
        if not exclusive:
            if not there:
                raise StorageUnavailable(
                    f"there is no database at {path}. Start an engine on it first, or see that the path is right."
                )
            files.verify(path)
            return cls(path, None, _open_reading(path), None)
        lock = EngineLock(path)
        lock.take()
        try:
            if not files.exists(path):
                files.create(path)
            return cls._open_engine(path, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _open_engine(cls, path: str, lock: EngineLock) -> SqliteStore:
        files.verify(path)
        if not os.access(path, os.W_OK) or not os.access(os.path.dirname(path), os.W_OK):
            raise StorageUnavailable(f"{path} is read-only. Make the file and its folder writable for this user.")
        with translating(path):
            connection = apsw.Connection(path)
            try:
                connection.set_busy_timeout(5_000)
                if connection.pragma("journal_mode", "wal") != "wal":
                    raise StorageUnavailable(f"{path} cannot use a write-ahead log there. Keep it on a local disk.")
                for each in _PRAGMAS:
                    connection.execute(each)
                values = (time.time_ns() // 1_000_000, os.getpid(), socket.gethostname())
                me = connection.execute(QUERIES["insert_engine"], values).get
                return cls(path, lock, _open_reading(path), Writer(connection, path, me))
            except BaseException:
                connection.close()
                raise

    @staticmethod
    def upgrade(path: str) -> list[str]:
        """Bring the schema up to date, under the engine's lock; returns the names of what was applied.

        Raises:
            StorageHeld: An engine is alive.
            StorageVersion: The database is newer than this code.
            StorageError: It cannot be opened or written; what was not applied left no trace.
        """
        path = os.path.realpath(path)
        if not files.exists(path):
            raise StorageUnavailable(f"there is no database at {path}. See that the path is right.")
        lock = EngineLock(path)
        lock.take()
        try:
            with translating(path):
                connection = apsw.Connection(path)
                try:
                    connection.execute("PRAGMA synchronous = FULL")
                    applied = migrate.upgrade(files.SqliteSchema(connection), files.MIGRATIONS, path)
                finally:
                    connection.close()
        finally:
            lock.release()
        return [f"{each.number:04} {each.name}" for each in applied]

    # --- Journal -------------------------------------------------------------------------------

    async def append(self, batch: Sequence[Append]) -> list[Exception | None]:
        """See `Journal.append`. Cancelling the caller does not call the commit back."""
        writer = self._writing()
        texts, verdicts = rules.encode(batch)
        verdicts = await self._write_lane.run(partial(self._append, writer, batch, texts, verdicts))
        if any(each.inbox_ids for each in batch):
            self._inbox_lane.run(self._settle)
        return verdicts

    async def load(self, execution_id: str, *, start: int = 0, limit: int | None = None) -> list[Record]:
        """See `Journal.load`."""
        return await self._read(partial(reader.load, self._reading, execution_id, start, limit))

    async def find(self, execution_id: str) -> Stored | None:
        """See `Journal.find`."""
        return await self._read(partial(reader.find, self._reading, execution_id))

    async def query(self, query: Query) -> list[Stored]:
        """See `Journal.query`."""
        return await self._read(partial(reader.query, self._reading, query))

    async def counts(self, workflow: str, *, most: int) -> dict[str, int]:
        """See `Journal.counts`."""
        return await self._read(partial(reader.counts, self._reading, workflow, most))

    async def waiting(self, service: str, *, limit: int) -> Waiting:
        """See `Journal.waiting`."""
        return await self._read(partial(reader.waiting, self._reading, service, limit))

    async def at_rest(self, execution_ids: Collection[str]) -> list[str]:
        """See `Journal.at_rest`."""
        return await self._read(partial(reader.at_rest, self._reading, execution_ids))

    async def put_definition(
        self,
        name: str,
        tree: Any,
        version: int | None,
        now_ms: int,
        services: Collection[str] = (),  # noqa: ARG002 - of use to several workers
    ) -> tuple[StoredDefinition, bool]:
        """See `Journal.put_definition`."""
        return await self._write_lane.run(partial(self._writing().put_definition, name, tree, version, now_ms))

    async def definition(self, name: str, version: int | None = None) -> StoredDefinition | None:
        """See `Journal.definition`."""
        return await self._read(partial(reader.definition, self._reading, name, version))

    async def definitions(self) -> list[StoredDefinition]:
        """See `Journal.definitions`."""
        return await self._read(partial(reader.definitions, self._reading))

    async def aclose(self) -> None:
        """See `Journal.aclose`. What was appended before is committed first."""
        self.close()

    def close(self) -> None:
        """As `aclose`, for callers without an event loop. Waits for what was asked before."""
        if self._closed:
            return
        self._closed = True
        for lane in (self._write_lane, self._inbox_lane, self._read_lane):
            lane.close()
        try:
            if self._inbox is not None:
                with suppress(StorageError):
                    self._inbox.flush()
                self._inbox.close()
            self._reading.close()
            if self._writer is not None:
                self._writer.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    # --- Requests ------------------------------------------------------------------------------

    async def request(self, key: str) -> KeyedRequest | None:
        """See `Requests.request`."""
        return await self._read(partial(reader.request, self._reading, key))

    async def keep(self, request: KeyedRequest) -> None:
        """See `Requests.keep`."""
        await self._write_lane.run(partial(self._writing().keep, request))

    async def forget(self, before_ms: int, *, limit: int) -> int:
        """See `Requests.forget`."""
        return await self._write_lane.run(partial(self._writing().forget, before_ms, limit))

    # --- Leases --------------------------------------------------------------------------------

    async def join(self, lease_ms: int) -> int:  # noqa: ARG002 - the file's lock is lease enough
        """See `Leases.join`."""
        return self._writing().me

    async def rejoin(self) -> int:
        """See `Leases.rejoin`. Whoever took over holds the file for good."""
        return self._writing().me

    async def renew(self, *, bury: bool) -> int:  # noqa: ARG002 - there is no other worker
        """See `Leases.renew`. The file's lock lives as long as this process."""
        self._writing()
        return 0

    async def claim(
        self,
        now_ms: int,
        *,
        limit: int,
        only: Collection[str] | None = None,
        early: bool = False,
        offered: Collection[str] | None = None,  # noqa: ARG002 - there is no other worker
        waits: tuple[str, int] | None = None,
    ) -> list[Stored]:
        """See `Leases.claim`. Nobody else is alive under the file's lock, so that whatever another
        engine owned is left over."""
        return await self._write_lane.run(partial(self._writing().claim, now_ms, limit, only, early, waits))

    async def set_aside(self, execution_id: str, why: str) -> None:
        """See `Leases.set_aside`."""

    async def clear_crashes(self, execution_ids: Collection[str]) -> None:
        """See `Leases.clear_crashes`."""
        await self._write_lane.run(partial(self._writing().clear_crashes, execution_ids))

    async def next_wake_ms(self) -> int | None:
        """See `Leases.next_wake_ms`."""
        return await self._read(partial(reader.next_wake_ms, self._reading))

    async def waited_for(self, services: Collection[str] | None) -> dict[str, int]:
        """See `Journal.waited_for`."""
        return await self._read(partial(reader.waited_for, self._reading, services))

    async def inbox(self, *, limit: int, execution_id: str | None = None) -> list[InboxRow]:
        """See `Leases.inbox`. Costs one `stat` when nothing has changed."""
        self._writing()
        assert self._inbox is not None
        if self._inbox.unchanged():
            return []
        if execution_id is None:
            return await self._inbox_lane.run(partial(self._look, limit))
        found = await self._inbox_lane.run(partial(self._look, INBOX_MAX))
        return [each for each in found if each.execution_id == execution_id][:limit]

    async def drop_inbox(self, ids: Sequence[int], verdict: str = "") -> None:
        """See `Leases.drop_inbox`."""
        self._writing()
        await self._inbox_lane.run(partial(self._drop, ids, verdict))

    async def put_request(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        """See `Leases.put_request`."""
        self._writing()
        return await self._inbox_lane.run(partial(SqliteInbox(self.path).put, execution_id, kind, body))

    async def verdict(self, inbox_id: int) -> str | None:
        """See `Leases.verdict`."""
        self._writing()
        return await self._inbox_lane.run(partial(self._verdict, inbox_id))

    # --- lanes ---------------------------------------------------------------------------------

    def _writing(self) -> Writer:
        if self._closed:
            raise StorageUnavailable(f"{self.path}: the store is closed")
        if self._writer is None:
            raise StorageUnavailable(f"{self.path} was opened for reading only")
        return self._writer

    async def _read(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StorageUnavailable(f"{self.path}: the store is closed")
        try:
            return await self._read_lane.run(work)
        except apsw.Error as error:
            raise translated(error, self.path) from error

    async def _reading_with(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._read(partial(work, self._reading))

    async def _writing_with(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._write_lane.run(partial(self._writing().change, work))

    def _append(
        self, writer: Writer, batch: Sequence[Append], texts: Texts, verdicts: list[rules.Verdict]
    ) -> list[rules.Verdict]:
        verdicts = writer.append(batch, texts, verdicts)
        if self._inbox is not None:
            for each, verdict in zip(batch, verdicts, strict=True):
                if each.inbox_ids and verdict is None:
                    self._inbox.note(each.inbox_ids)
        return verdicts

    def _settle(self) -> None:
        # The records are committed, whatever becomes of the file beside them: the next look tries again.
        with suppress(StorageError):
            self._flush()

    def _look(self, limit: int) -> list[InboxRow]:
        assert self._inbox is not None
        self._flush()
        return self._inbox.waiting(limit)

    def _drop(self, ids: Sequence[int], verdict: str) -> None:
        assert self._inbox is not None
        self._inbox.settle(ids, verdict)
        self._flush()

    def _verdict(self, inbox_id: int) -> str | None:
        self._flush()
        return SqliteInbox(self.path).verdict(inbox_id)

    def _flush(self) -> None:
        assert self._inbox is not None
        assert self._writer is not None
        self._writer.forget_settled(self._inbox.flush())


def _open_reading(path: str) -> apsw.Connection:
    with translating(path):
        connection = files.open_reading(path)
        try:
            connection.execute("PRAGMA cache_size = -8192")
            connection.execute("SELECT 1 FROM execution LIMIT 1").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection
