"""Executions that are parked because a service was unwell come back when it is well again, and not all at once.

They come back in the order and with the gaps in which they began to wait: to the calls that come by themselves
as many are added as came then, so that a service that has just returned gets twice its usual, and no more. One
that is woken so is always woken before its wait is over. Strangers keep out: whether a service is well its
invoker knows, and what an execution does then is the runner's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from makegood.engine.due import LOOK_S
from makegood.ports import Clock, Invoker, Journal, Slot

TICK_S = 0.1
"""No service is looked at more often."""
BATCH_MAX = 100
"""So many at most are woken in one look."""


@dataclass(slots=True)
class _Return:
    """A service that is well again.

    Attributes:
        at_ms: Since when.
        first_ms: Since when the first had waited for it, then.
        batch: So many at most are woken next: one at first, which may be let in alone, to try; then twice as many.
    """

    at_ms: int
    first_ms: int
    batch: int = 1


class Waking:
    """Looks for what waits for services that are well.

    Args:
        shared: Whether other workers park executions too.
        wake: Takes in so many at most that have waited for a service since a moment or longer; how many that were,
            or None when there is no room.
    """

    def __init__(
        self,
        store: Journal,
        invoker: Invoker,
        clock: Clock,
        *,
        shared: bool,
        wake: Callable[[str, int, int], Awaitable[int | None]],
    ) -> None:
        self._store = store
        self._shared = shared
        self._invoker = invoker
        self._clock = clock
        self._wake = wake
        self._told: set[str] = set()
        # Services that somebody who is parked may wait for: of the others it says nothing that they have a place.
        self._hoped: set[str] = set()
        self._now = asyncio.Event()
        self._everywhere = True
        self._everywhere_at = 0.0
        self._returns: dict[str, _Return] = {}
        self._rest_s: float | None = 0.0

    def well(self, service: str) -> None:
        """A service may be well."""
        if service in self._hoped:
            self._told.add(service)
            self._now.set()

    def parked(self, service: str) -> None:
        """One that waits for a service was parked."""
        self._hoped.add(service)
        self.well(service)

    def look_soon(self) -> None:
        """Look after all services."""
        self._everywhere = True
        self._now.set()

    async def wait(self) -> None:
        """Return when it is worth looking."""
        await asyncio.sleep(TICK_S)
        shared, now = self._shared, asyncio.get_running_loop().time
        # What other workers have parked shows in the database alone.
        rests = [self._rest_s, max(0.0, self._everywhere_at + LOOK_S - now()) if shared else None]
        with suppress(TimeoutError):
            async with asyncio.timeout(min((each for each in rests if each is not None), default=None)):
                await self._now.wait()
        if shared and now() >= self._everywhere_at + LOOK_S:
            self._everywhere = True

    async def look_at_all(self) -> None:
        """Wake what may be woken now."""
        self._now.clear()
        told, self._told = self._told, set()
        names, offered = told | self._returns.keys(), self._invoker.offered()
        if not self._everywhere:
            waited = await self._store.waited_for(names) if names else {}
        else:
            self._everywhere, self._everywhere_at = False, asyncio.get_running_loop().time()
            waited = await self._store.waited_for(offered) if offered is None or offered else {}
            names |= set(offered) if offered is not None else waited.keys()
        # Before any of them is asked: who asks in vain is told of it.
        self._hoped |= waited.keys()
        for service in names - waited.keys():
            self._hoped.discard(service)
            self._returns.pop(service, None)
        rests = [await self._look_at(service, first_ms) for service, first_ms in waited.items()]
        self._rest_s = min((each for each in rests if each is not None), default=None)

    async def _look_at(self, service: str, first_ms: int) -> float | None:
        """Wake those whose turn has come; in how many seconds to look again, or None: `well` will say."""
        slot = self._invoker.reserve(service)
        if slot is Slot.MISSING and self._invoker.offers(service):
            # It was looked for in vain: there is nothing to wait for, which they have to learn.
            woken = await self._wake(service, self._clock.now_ms(), BATCH_MAX)
            return 0.0 if woken else LOOK_S
        if slot is not Slot.GRANTED:
            if slot is not Slot.BUSY:
                self._returns.pop(service, None)
            return None
        self._invoker.release(service)
        now_ms = self._clock.now_ms()
        found = self._returns.setdefault(service, _Return(now_ms, first_ms))
        turn_ms = found.at_ms + (first_ms - found.first_ms)
        if turn_ms > now_ms:
            return (turn_ms - now_ms) / 1000
        woken = await self._wake(service, found.first_ms + (now_ms - found.at_ms), found.batch)
        found.batch = min(2 * found.batch, BATCH_MAX)
        # None of them could be taken: others are at it.
        return LOOK_S if woken == 0 else 0.0
