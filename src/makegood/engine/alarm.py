"""One alarm clock for all executions of a process: calls back at the earliest moment that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from makegood.ports import Clock

REST_MS_MAX = 60_000
"""The wall clock is looked at again at least this often: it may have been set."""
STALE_MAX = 1_000
"""Entries of moments that nobody wants any more, on top of as many as there are wanted ones."""


class Alarm:
    """Wakes names at their moments, each at most once for the last moment it was set to."""

    def __init__(self, clock: Clock, ring: Callable[[str], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._at: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._handle_ms = 0

    def set(self, name: str, at_ms: int | None) -> None:
        """Wake the name then; None forgets it."""
        if at_ms is None:
            self._at.pop(name, None)
            return
        if self._at.get(name) == at_ms:
            return
        self._at[name] = at_ms
        heappush(self._heap, (at_ms, name))
        if len(self._heap) > 2 * len(self._at) + STALE_MAX:
            # Most executions end long before their timeout: their entries would stay until then.
            self._heap = [(each_ms, each) for each, each_ms in self._at.items()]
            heapify(self._heap)
        if self._handle is None or at_ms < self._handle_ms:
            self._arm()

    def look(self) -> None:
        """The clock was set: look at it now."""
        self._go_off()

    def close(self) -> None:
        """Wake nobody any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._at.clear()
        self._heap.clear()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        if not self._heap:
            return
        self._handle_ms = self._heap[0][0]
        rest_ms = min(max(0, self._handle_ms - self._clock.now_ms()), REST_MS_MAX)
        # Half a millisecond late rather than early: a moment that has not come leads to nothing.
        self._handle = asyncio.get_running_loop().call_later(rest_ms / 1000 + 0.0005, self._go_off)

    def _go_off(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        now_ms = self._clock.now_ms()
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now_ms:
            at_ms, name = heappop(self._heap)
            if self._at.get(name) == at_ms:
                del self._at[name]
                due.append(name)
        self._arm()
        for name in due:
            self._ring(name)
