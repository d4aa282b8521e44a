"""How many requests are under way, and whether any more are taken. Counts only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from makegood.api.problems import Unacceptable, busy

T = TypeVar("T")

WRITES_MAX = 4_000
"""Writes under way at once. Each may hold a body; more would be kept waiting for nothing."""
QUEUED_MAX = 20_000
"""Records that wait to be written: ten full transactions."""


class Traffic:
    """Requests under way.

    Attributes:
        draining: Set when nothing new is taken any more.
    """

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        self.requests = 0
        self.writes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """One more, for as long as it lasts."""
        self.requests += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.requests -= 1
            if not self.requests:
                self._idle.set()

    @contextmanager
    def write(self, queued: int) -> Iterator[None]:
        """One that changes something.

        Args:
            queued: How many records wait to be written.

        Raises:
            Unacceptable: Nothing new is taken, or too much is under way.
        """
        if self.draining.is_set():
            raise Unacceptable(
                503, "draining", "This server is stopping. Ask another one, or this one when it is back."
            )
        if self.writes >= WRITES_MAX or queued >= QUEUED_MAX:
            raise busy("More is asked than can be written at the moment. Nothing was begun; try again in a second.")
        self.writes += 1
        try:
            yield
        finally:
            self.writes -= 1

    async def or_draining(self, awaited: Awaitable[T], timeout_s: float | None) -> T | None:
        """What is awaited; None when the time is over or the server stops before."""
        waiting = asyncio.ensure_future(awaited)
        draining = asyncio.ensure_future(self.draining.wait())
        try:
            await asyncio.wait([waiting, draining], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            for each in (waiting, draining):
                each.cancel()
            await asyncio.gather(waiting, draining, return_exceptions=True)

    async def idle(self, timeout_s: float) -> None:
        """Return when no request is under way, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            pass
