"""When to look for executions that nobody advances: as the next of them is due, and now and then besides.

Strangers keep out: nothing is claimed here; this is only about time.
"""

from __future__ import annotations

import asyncio
import random

from makegood.ports import Clock

LOOK_S = 2.0
"""Where others share the database: what they left for anyone, or died over, is found by looking."""
REST_S = 60.0
"""Where nobody does: the clock may have been set."""
JITTER_S = 0.05
"""Workers that wait for one moment do not all ask in it."""


class Due:
    """The next moment at which it is worth looking.

    Args:
        shared: Whether other workers park and leave executions too.
    """

    def __init__(self, clock: Clock, *, shared: bool) -> None:
        self._clock = clock
        self._shared = shared
        self._now = asyncio.Event()
        self._next_ms: int | None = None

    def look(self) -> None:
        """Look now."""
        self._now.set()

    def is_due(self) -> bool:
        """Whether somebody has said to look."""
        return self._now.is_set()

    def at(self, wake_ms: int | None) -> None:
        """Some execution is due then."""
        if wake_ms is not None and (self._next_ms is None or wake_ms < self._next_ms):
            self._next_ms = wake_ms
            self._now.set()

    def forget(self) -> None:
        """Unknown from here on: what is parked during a look says so itself."""
        self._now.clear()
        self._next_ms = None

    def known(self, wake_ms: int | None) -> None:
        """What the look found to be the next moment; one that was told meanwhile may come before."""
        moments = [each for each in (wake_ms, self._next_ms) if each is not None]
        self._next_ms = min(moments, default=None)

    async def wait(self) -> None:
        """Return when it is worth looking."""
        while not self._now.is_set():
            try:
                # Not wait_for: up to Python 3.11 it swallows a cancellation that comes with the event.
                async with asyncio.timeout(self._rest_s()):
                    await self._now.wait()
            except TimeoutError:
                if self._shared or (self._next_ms is not None and self._next_ms <= self._clock.now_ms()):
                    return

    def _rest_s(self) -> float | None:
        jitter_s = random.random() * JITTER_S if self._shared else 0.0  # noqa: S311 - no secret
        if self._next_ms is None:
            return LOOK_S + jitter_s if self._shared else None
        rest_s = max(0.0, (self._next_ms - self._clock.now_ms()) / 1000)
        return min(rest_s, LOOK_S if self._shared else REST_S) + jitter_s
