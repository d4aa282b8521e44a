"""`PostgresStore`: the ports `Journal`, `Requests` and `Leases` over a database that several workers share.

Strangers keep out: this module only brings its parts together. `writer` writes, `claims` takes,
`reader` reads, `worker` keeps the lease; each has connections of its own, so that none waits for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from makegood.core.events import Record
from makegood.errors import MakegoodError, StorageUnavailable
from makegood.ports import Append, InboxRow, KeyedRequest, Query, Stored, StoredDefinition, Waiting
from makegood.storage import codec, rules
from makegood.storage.postgres import reader, rows, schema
from makegood.storage.postgres.claims import Claims
from makegood.storage.postgres.directory import PostgresDirectory
from makegood.storage.postgres.dsn import target_of
from makegood.storage.postgres.failures import translated
from makegood.storage.postgres.links import Link, Links
from makegood.storage.postgres.sql import QUERIES
from makegood.storage.postgres.worker import Worker
from makegood.storage.postgres.writer import Writer

T = TypeVar("T")

READERS = 3
"""Connections for everything that need not wait for a commit."""


class PostgresStore:
    """The storage ports. Connects with the first thing that is asked of it.

    Args:
        dsn: `postgresql://...`, as libpq has it; `pgbouncer=true` for a pooler in transaction mode.
        exclusive: As an engine, which becomes a worker; False only reads.

    Attributes:
        directory: Services, for all replicas; who only reads may change it too.

    Raises:
        ConfigurationError: The connection string is malformed.
    """

    shared = True

    def __init__(self, dsn: str, *, exclusive: bool = True) -> None:
        self._target = target_of(dsn)
        self.shown = self._target.shown
        self._exclusive = exclusive
        self._reads = Links(self._target, READERS)
        self._write, self._begin, self._ask, self._lease = (Link(self._target) for _ in range(4))
        self._worker = Worker(self._lease, self.shown)
        self._writer = Writer(self._worker, self._write, self._begin, self._reads, self.shown)
        self._claims = Claims(self._worker, self._writer, self._ask, self._reads, self.shown)
        self.directory = PostgresDirectory(self._reads, self._read)
        self._preparing = asyncio.Lock()
        self._ready = False
        self._closed = False
        self._writing: set[asyncio.Task[Any]] = set()

    # --- Journal -------------------------------------------------------------------------------

    async def append(self, batch: Sequence[Append]) -> list[Exception | None]:
        """See `Journal.append`. Cancelling the caller does not call the commit back."""
        await self._opened(writing=True)
        work = asyncio.get_running_loop().create_task(self._writer.append(batch))
        self._writing.add(work)
        work.add_done_callback(self._done)
        return await asyncio.shield(work)

    def _done(self, work: asyncio.Task[Any]) -> None:
        self._writing.discard(work)
        if not work.cancelled():
            work.exception()

    async def load(self, execution_id: str, *, start: int = 0, limit: int | None = None) -> list[Record]:
        """See `Journal.load`."""
        if start == 0 and (ahead := self._claims.journal_of(execution_id)) is not None:
            return ahead if limit is None else ahead[:limit]
        return await self._read(reader.load(self._reads, execution_id, start, limit))

    async def find(self, execution_id: str) -> Stored | None:
        """See `Journal.find`."""
        return await self._read(reader.find(self._reads, self._worker.id, execution_id))

    async def query(self, query: Query) -> list[Stored]:
        """See `Journal.query`."""
        return await self._read(reader.query(self._reads, self._worker.id, query))

    async def counts(self, workflow: str, *, most: int) -> dict[str, int]:
        """See `Journal.counts`."""
        return await self._read(reader.counts(self._reads, workflow, most))

    async def waiting(self, service: str, *, limit: int) -> Waiting:
        """See `Journal.waiting`."""
        return await self._read(reader.waiting(self._reads, service, limit))

    async def at_rest(self, execution_ids: Collection[str]) -> list[str]:
        """See `Journal.at_rest`."""
        found = await self._read(self._reads.ask(QUERIES["at_rest"], list(execution_ids)))
        return [row[0] for row in found]

    async def put_definition(
        self, name: str, tree: Any, version: int | None, now_ms: int, services: Collection[str] = ()
    ) -> tuple[StoredDefinition, bool]:
        """See `Journal.put_definition`."""
        if version is not None and version < 1:
            raise rules.version_invalid(name, version)
        canonical, plain = rules.canonical(tree), rules.plain(tree)
        while True:
            row = await self._read(reader.definition_row(self._reads, name, version), writing=True)
            if row is not None and row[4] == canonical:
                return rows.definition(row), False
            if row is not None and version is not None:
                raise rules.version_taken(name, version)
            number = version or (row[1] + 1 if row is not None else 1)
            values = (name, number, plain, canonical, sorted(services), codec.FORMAT, now_ms)
            # Another worker may register at the same time, and an answer may get lost: both show in the next look.
            if await self._read(self._reads.ask(QUERIES["insert_definition"], *values), writing=True):
                return rows.definition((name, number, plain, now_ms)), True

    async def definition(self, name: str, version: int | None = None) -> StoredDefinition | None:
        """See `Journal.definition`."""
        return await self._read(reader.definition(self._reads, name, version))

    async def definitions(self) -> list[StoredDefinition]:
        """See `Journal.definitions`."""
        return await self._read(reader.definitions(self._reads))

    async def statuses(self) -> dict[str, int]:
        """How many executions there are in each state."""
        return {row[0]: row[1] for row in await self._read(self._reads.ask(QUERIES["statuses"]))}

    async def living(self) -> list[str]:
        """The workers that are alive, for people."""
        return [f"{row[1]} (worker {row[0]})" for row in await self._read(self._reads.ask(QUERIES["living"]))]

    async def aclose(self) -> None:
        """See `Journal.aclose`. What was appended before is committed first."""
        if self._closed:
            return
        self._closed = True
        if self._writing:
            await asyncio.wait(self._writing)
        with suppress(MakegoodError):
            await self._worker.leave()
        for each in (self._write, self._begin, self._ask, self._lease):
            await each.aclose()
        await self._reads.aclose()

    # --- Requests ------------------------------------------------------------------------------

    async def request(self, key: str) -> KeyedRequest | None:
        """See `Requests.request`."""
        return await self._read(reader.request(self._reads, key))

    async def keep(self, request: KeyedRequest) -> None:
        """See `Requests.keep`."""
        await self._read(self._reads.ask(QUERIES["insert_request"], *rows.request_row(request)), writing=True)

    async def forget(self, before_ms: int, *, limit: int) -> int:
        """See `Requests.forget`."""
        gone = await self._read(self._reads.ask(QUERIES["forget_requests"], before_ms, limit), writing=True)
        return len(gone)

    # --- Leases --------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """See `Leases.workers`."""
        return self._worker.workers

    async def join(self, lease_ms: int) -> int:
        """See `Leases.join`."""
        self._worker.lease_ms = lease_ms
        await self._opened(writing=True)
        return await self._guarded(self._worker.join())

    async def rejoin(self) -> int:
        """See `Leases.rejoin`."""
        self._writer.positions.clear()
        self._claims.forget()
        self._worker.forget()
        return await self.join(self._worker.lease_ms)

    async def renew(self, *, bury: bool) -> int:
        """See `Leases.renew`."""
        await self._opened(writing=True)
        return await self._guarded(self._worker.renew(bury=bury))

    async def claim(
        self,
        now_ms: int,
        *,
        limit: int,
        only: Collection[str] | None = None,
        early: bool = False,
        offered: Collection[str] | None = None,
        waits: tuple[str, int] | None = None,
    ) -> list[Stored]:
        """See `Leases.claim`."""
        await self._opened(writing=True)
        return await self._guarded(self._claims.claim(now_ms, limit, only, early=early, offered=offered, waits=waits))

    async def set_aside(self, execution_id: str, why: str) -> None:
        """See `Leases.set_aside`."""
        await self._opened(writing=True)
        await self._guarded(self._claims.set_aside(execution_id, why))

    async def clear_crashes(self, execution_ids: Collection[str]) -> None:
        """See `Leases.clear_crashes`."""
        await self._read(self._reads.ask(QUERIES["clear_crashes"], list(execution_ids)), writing=True)

    async def next_wake_ms(self) -> int | None:
        """See `Leases.next_wake_ms`."""
        return await self._read(reader.next_wake_ms(self._reads, codec.FORMAT, self._claims.offered))

    async def waited_for(self, services: Collection[str] | None) -> dict[str, int]:
        """See `Journal.waited_for`."""
        return await self._read(reader.waited_for(self._reads, services, codec.FORMAT, self._claims.offered))

    async def inbox(self, *, limit: int, execution_id: str | None = None) -> list[InboxRow]:
        """See `Leases.inbox`."""
        await self._opened(writing=True)
        me = await self._guarded(self._worker.join())
        name, key = ("requests", me) if execution_id is None else ("requests_for", execution_id)
        found = await self._read(self._reads.ask(QUERIES[name], key, limit))
        return [
            InboxRow(id=each, execution_id=whose, kind=kind, body=msgspec.json.decode(body))
            for each, whose, kind, body in found
        ]

    async def drop_inbox(self, ids: Sequence[int], verdict: str = "") -> None:
        """See `Leases.drop_inbox`."""
        told = verdict.replace("\0", "\ufffd")
        await self._read(self._reads.ask(QUERIES["settle"], list(ids), told), writing=True)

    async def put_request(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        """See `Leases.put_request`."""
        await self._opened()
        text = msgspec.json.encode(body).decode()
        return int((await self._guarded(self._ask.ask(QUERIES["put_request"], execution_id, kind, text)))[0][0])

    async def verdict(self, inbox_id: int) -> str | None:
        """See `Leases.verdict`."""
        found = await self._read(self._reads.ask(QUERIES["verdict"], inbox_id))
        # A row that is gone was settled more than an hour ago.
        return found[0][0] if found else ""

    # --- connecting ----------------------------------------------------------------------------

    async def _opened(self, *, writing: bool = False) -> None:
        if self._closed:
            raise StorageUnavailable(f"{self.shown}: the store is closed")
        if writing and not self._exclusive:
            raise StorageUnavailable(f"{self.shown} was opened for reading only")
        if not self._ready:
            async with self._preparing:
                if not self._ready:
                    await self._guarded(schema.prepare(self._lease, self.shown, create=self._exclusive))
                    self._ready = True

    async def _read(self, work: Coroutine[Any, Any, T], *, writing: bool = False) -> T:
        try:
            await self._opened(writing=writing)
        except BaseException:
            work.close()
            raise
        return await self._guarded(work)

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it, with the driver's errors in our words."""
        try:
            return await work
        except MakegoodError:
            raise
        except Exception as error:
            raise translated(error, self.shown) from error
