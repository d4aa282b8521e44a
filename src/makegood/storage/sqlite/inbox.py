"""Requests from other processes, in a SQLite file of their own beside the database.

Strangers keep out: no journal. Two files cannot commit as one across a power failure, so a request
that a record settles is first noted in the record's own transaction (`inbox_done` there) and then
marked here; one that is delivered again meanwhile is recognised by that note and dropped. A settled
request stays for an hour with its verdict, so that the asker can read it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import apsw
import msgspec

from makegood.errors import StorageCorrupt, StorageUnavailable
from makegood.ports import InboxRow
from makegood.storage.sqlite.failures import translating
from makegood.storage.statements import named

QUERIES = named(resources.files(__package__).joinpath("inbox.sql").read_text("utf-8"))
APPLICATION_ID = 0x4D4B4749
"""`MKGI`."""

_BUSY_MS = 10_000
_KEPT_MS = 3_600_000
_SETTLED_NS = 100_000_000
_WAIT_S = 0.02


def inbox_path(path: str) -> str:
    """The inbox file of a database; all names of one file have the same."""
    return os.path.realpath(path) + ".inbox"


class SqliteInbox:
    """The asker's side: leaves requests for the engine that holds the database.

    Args:
        path: The database's path.
    """

    def __init__(self, path: str) -> None:
        if not os.path.isfile(path):
            raise StorageUnavailable(f"there is no database at {path}, so that nobody would read its inbox.")
        self._path = inbox_path(path)

    def put(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        """Leave a request; returns its id once it is durable."""
        text = msgspec.json.encode(body).decode()
        with _connected(self._path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(QUERIES["create"]).fetchall()
                values = (time.time_ns() // 1_000, execution_id, kind, text)
                number = connection.execute(QUERIES["put"], values).get
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        return int(number)

    def verdict(self, inbox_id: int) -> str | None:
        """None while nothing is decided, "" when accepted, else why it was refused."""
        with _connected(self._path) as connection:
            found = connection.execute(QUERIES["verdict"], (inbox_id,)).fetchone()
        # A row that is gone was settled more than an hour ago.
        return "" if found is None else found[0]

    def wait(self, inbox_id: int, timeout_s: float, pause: Callable[[float], None] = time.sleep) -> str | None:
        """The verdict as soon as there is one, or None after `timeout_s`."""
        until = time.monotonic() + timeout_s
        while (verdict := self.verdict(inbox_id)) is None and time.monotonic() < until:
            pause(_WAIT_S)
        return verdict


class InboxReader:
    """The engine's side. Called from one lane, `unchanged` from anywhere."""

    def __init__(self, path: str, done: Collection[int]) -> None:
        self._path = inbox_path(path)
        self._done = set(done)
        self._connection: apsw.Connection | None = None
        self._seen: tuple[int, ...] | None = None
        self._open = dict.fromkeys(done, "")
        # Filled by the writer's thread, emptied by this one's: a deque needs no lock for that.
        self._noted: deque[int] = deque()

    def unchanged(self) -> bool:
        """Whether nothing lies there, as far as a look at the file can tell: cheap and never wrong."""
        if self._open or self._noted:
            return False
        found = self._signature()
        return found is None or found == self._seen

    def waiting(self, limit: int) -> list[InboxRow]:
        """The requests that wait, oldest first, without those that a record has settled."""
        signature, looked_ns = self._signature(), time.time_ns()
        if signature is None:
            return []
        with translating(self._path):
            found: list[Any] = self._connect().execute(QUERIES["waiting"], (limit + len(self._done),)).fetchall()
        kept = [
            InboxRow(id=each, execution_id=execution_id, kind=kind, body=msgspec.json.decode(body))
            for each, execution_id, kind, body in found
            if each not in self._done
        ]
        # A file's time moves in ticks of some milliseconds: what changed just now may change again unseen.
        quiet = not found and looked_ns - signature[0] > _SETTLED_NS
        self._seen = signature if quiet else None
        return kept[:limit]

    def note(self, ids: Sequence[int]) -> None:
        """A record has settled these: they are accepted. From any thread."""
        self._noted.extend(ids)

    def settle(self, ids: Sequence[int], verdict: str) -> None:
        """Remember what is to be told about these; `flush` writes it."""
        self._done.update(ids)
        for each in ids:
            self._open.setdefault(each, verdict)

    def flush(self) -> list[int]:
        """Write the verdicts; returns the ids that are durably settled in this file now."""
        while self._noted:
            self.settle([self._noted.popleft()], "")
        if not self._open or self._signature() is None:
            settled, self._open = list(self._open), {}
            return settled
        now_ms = time.time_ns() // 1_000_000
        with translating(self._path):
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            try:
                settled = list(self._open)
                rows = [(self._open[each], now_ms, each) for each in settled]
                connection.executemany(QUERIES["settle"], rows)
                connection.execute(QUERIES["purge"], (now_ms - _KEPT_MS,))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        self._open = {}
        self._done.difference_update(settled)
        return settled

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = _connect(self._path)
            self._connection.execute(QUERIES["create"]).fetchall()
        return self._connection

    def _signature(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)


@contextmanager
def _connected(path: str) -> Iterator[apsw.Connection]:
    with translating(path):
        connection = _connect(path)
        try:
            yield connection
        finally:
            connection.close()


def _connect(path: str) -> apsw.Connection:
    connection = apsw.Connection(path)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        connection.execute("PRAGMA synchronous = FULL")
        if connection.pragma("application_id") != APPLICATION_ID:
            _sign(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _sign(connection: apsw.Connection, path: str) -> None:
    """Make a new file ours. Under its lock: several askers may find it new at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.pragma("application_id")
        if found == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
            connection.pragma("application_id", APPLICATION_ID)
        elif found != APPLICATION_ID:
            raise StorageCorrupt(f"{path} is another program's database. Move it away; makegood keeps requests there.")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
