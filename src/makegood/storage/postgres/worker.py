"""This process among the workers: its row, its epoch, its lease.

Strangers keep out: nothing of executions. What a worker commits is refused from the moment at which
another has declared it dead; a lease that has run out only allows others to do so.
"""

from __future__ import annotations

import asyncio
import os
import socket

from makegood.errors import Fenced, StorageUnavailable
from makegood.storage import codec
from makegood.storage.postgres.failures import Lost
from makegood.storage.postgres.links import Link
from makegood.storage.postgres.sql import QUERIES

LEASE_MS = 10_000
"""Of a worker that was not told otherwise."""

FORGET_S = 600.0
"""How often old workers and old verdicts are looked for."""


class Worker:
    """One incarnation after another of this process."""

    def __init__(self, link: Link, shown: str) -> None:
        self._link = link
        self._shown = shown
        self._joining = asyncio.Lock()
        self.lease_ms = LEASE_MS
        self.id: int | None = None
        self.epoch = 0
        self.workers = 1
        self._forget_at_s = 0.0

    async def join(self) -> int:
        """Become a worker, unless it is one; its id."""
        async with self._joining:
            if self.id is None:
                node = f"{socket.gethostname()}:{os.getpid()}"
                # When the answer is lost, the worker that nobody hears of expires.
                rows = await self._link.ask(QUERIES["join"], node, codec.FORMAT, self.lease_ms)
                self.id, self.epoch, self.workers = rows[0]
            return self.id

    async def renew(self, *, bury: bool) -> int:
        """See `Leases.renew`."""
        mine = await self.join()
        await self._link.ask(QUERIES["renew"], mine, self.lease_ms)
        # Asked after the renewal: who declared it dead while it waited has committed by now.
        buried, alive, self.workers = (await self._link.ask(QUERIES["bury"], mine, bury))[0]
        if not alive:
            raise self.dead()
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._forget_at_s:
            self._forget_at_s = now_s + FORGET_S
            await self._link.ask(QUERIES["forget"])
        return int(buried)

    async def bump(self, old: int) -> None:
        """Begin a new epoch: when this returns, nothing of the old one is under way or can still come.

        Args:
            old: The epoch of whoever asks; when another has begun already, there is nothing to do.

        Raises:
            Fenced: This worker was declared dead.
            Lost: It may or may not have begun.
        """
        assert self.id is not None
        if self.epoch != old:
            return
        lost: Lost | None = None
        try:
            rows = await self._link.ask(QUERIES["bump"], self.id, old)
        except Lost as error:
            rows, lost = [], error
        # None: it is done already, or its answer was lost, or this worker is dead.
        rows = rows or await self._link.ask(QUERIES["still_alive"], self.id)
        if not rows:
            raise self.dead()
        if lost is not None and rows[0][0] == old:
            raise lost
        self.epoch = max(self.epoch, rows[0][0])

    async def leave(self) -> None:
        """Say that this is a graceful end: what is left over did not crash anybody."""
        if self.id is not None:
            try:
                await self._link.ask(QUERIES["leave"], self.id)
            except Exception as error:
                raise StorageUnavailable(f"{self._shown}: {error}") from error

    def forget(self) -> None:
        """The next `join` makes a new worker."""
        self.id = None

    def dead(self) -> Fenced:
        """This worker was declared dead."""
        return Fenced(
            f"worker {self.id} on {self._shown} was declared dead: its lease ran out. "
            "What it had not committed was not written; others go on with its executions"
        )
