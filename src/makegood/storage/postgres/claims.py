"""Taking executions that nobody advances: what dead workers left, and sleepers that are due.

Strangers keep out: nothing is loaded or judged. What a claim took and could not tell of, because its
answer or the look at its rows was lost, is told by the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from makegood.core.events import Record
from makegood.ports import Stored
from makegood.storage import codec
from makegood.storage.codec import UnknownEvent, decode_record
from makegood.storage.postgres import reader
from makegood.storage.postgres.failures import Lost
from makegood.storage.postgres.links import Link, Links
from makegood.storage.postgres.sql import QUERIES
from makegood.storage.postgres.worker import Worker
from makegood.storage.postgres.writer import Writer

AHEAD = 1_000
AHEAD_EACH = 20
AHEAD_BYTES = 16 * 1024 * 1024
"""Journals that are read with a claim at most, records of one, and bytes of all."""


class Claims:
    """Claims for the worker that this process is.

    Attributes:
        read_ahead: The journals of what was claimed last, each until it is loaded.
        offered: The services that the last claim offered; None is all.
    """

    def __init__(self, worker: Worker, writer: Writer, link: Link, reads: Links, shown: str) -> None:
        self._worker = worker
        self._writer = writer
        self._link = link
        self._reads = reads
        self._shown = shown
        self._turn = asyncio.Lock()
        self._untold: list[str] = []
        self._look_for_lost = False
        self.read_ahead: dict[str, list[Record]] = {}
        self.offered: list[str] | None = None

    def forget(self) -> None:
        """What was taken belongs to an earlier incarnation."""
        self._untold.clear()
        self.read_ahead.clear()
        self._look_for_lost = False

    async def claim(
        self,
        now_ms: int,
        limit: int,
        only: Collection[str] | None,
        *,
        early: bool,
        offered: Collection[str] | None,
        waits: tuple[str, int] | None = None,
    ) -> list[Stored]:
        """See `Leases.claim`."""
        async with self._turn:
            return await self._claim(now_ms, limit, only, early=early, offered=offered, waits=waits)

    async def _claim(
        self,
        now_ms: int,
        limit: int,
        only: Collection[str] | None,
        *,
        early: bool,
        offered: Collection[str] | None,
        waits: tuple[str, int] | None,
    ) -> list[Stored]:
        me = await self._worker.join()
        services = None if offered is None else sorted(offered)
        if self._look_for_lost:
            await self._find_lost(me)
        asked: tuple[Any, ...]
        if waits is not None:
            ids = None if only is None else list(only)
            asked = ("claim_waiting", *waits, limit, codec.FORMAT, services, ids)
        elif only is None:
            self.offered = services
            asked = ("claim", now_ms, limit, codec.FORMAT, services)
        else:
            asked = ("claim_these", now_ms, limit, list(only), early, codec.FORMAT)
        self._untold += await self._take(me, *asked)
        # Looked at anew: what was read while the rows were taken may be older than the rows.
        ids = list(self._untold)
        found, ahead = await asyncio.gather(reader.find_all(self._reads, me, ids), self._read(ids))
        self._untold.clear()
        for each in found:
            self._writer.positions[each.execution_id] = each.positions
            self.read_ahead.pop(each.execution_id, None)
        self.read_ahead.update(ahead)
        for each_id in list(self.read_ahead)[:-AHEAD]:
            del self.read_ahead[each_id]
        return found

    def journal_of(self, execution_id: str) -> list[Record] | None:
        """What was read with a claim, once, unless there may be more by now or it is somebody else's."""
        ahead = self.read_ahead.pop(execution_id, None)
        # The number of records is known only for as long as this worker advances it.
        return ahead if ahead is not None and self._writer.positions.get(execution_id) == len(ahead) else None

    async def _read(self, ids: list[str]) -> dict[str, list[Record]]:
        """The journals of what was taken, as far as they are short: one statement instead of one for each.

        What cannot be decoded is left to whoever loads it.
        """
        texts: dict[str, list[str]] = {}
        asked = (ids[:AHEAD], AHEAD_EACH, AHEAD_BYTES)
        for execution_id, body in await self._reads.ask(QUERIES["load_ahead"], *asked) if ids else ():
            texts.setdefault(execution_id, []).append(body)
        read: dict[str, list[Record]] = {}
        for execution_id, bodies in texts.items():
            with suppress(UnknownEvent):
                read[execution_id] = [decode_record(body) for body in bodies]
        return read

    async def _take(self, me: int, name: str, *values: Any) -> list[str]:
        while True:
            epoch = self._worker.epoch
            try:
                alive, ids, _ = (await self._link.ask(QUERIES[name], me, epoch, *values))[0]
            except Lost:
                self._look_for_lost = True
                raise
            if alive:
                return list(ids or ())
            await self._writer.check_alive(me, epoch)

    async def _find_lost(self, me: int) -> None:
        """What is this worker's without its knowing: taken by a claim whose answer was lost."""
        await self._worker.bump(self._worker.epoch)
        owned = [row[0] for row in await self._reads.ask(QUERIES["owned"], me)]
        self._untold = [each for each in owned if each not in self._writer.positions]
        self._look_for_lost = False

    async def set_aside(self, execution_id: str, why: str) -> None:
        """See `Leases.set_aside`."""
        me = await self._worker.join()
        self._writer.positions.pop(execution_id, None)
        told = why.replace("\0", "\ufffd")[:1000]
        await self._link.ask(QUERIES["set_aside"], me, self._worker.epoch, execution_id, told)
