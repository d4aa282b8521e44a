"""Time under a test's hand: whoever sleeps is woken when the test says so."""

from __future__ import annotations

import asyncio


class Naps:
    """Stands in for `asyncio.sleep`.

    Attributes:
        asked_s: For how long was slept, in order.
    """

    def __init__(self) -> None:
        self.asked_s: list[float] = []
        self._asleep: list[asyncio.Future[None]] = []
        self._changed = asyncio.Event()

    async def sleep(self, delay_s: float) -> None:
        """Sleep until woken."""
        self.asked_s.append(delay_s)
        nap = asyncio.get_running_loop().create_future()
        self._asleep.append(nap)
        self._changed.set()
        await nap

    async def until_asleep(self) -> None:
        """Return when somebody sleeps."""
        async with asyncio.timeout(10):
            while all(each.done() for each in self._asleep):
                self._changed.clear()
                await self._changed.wait()

    async def wake(self) -> None:
        """Wake whoever sleeps, once somebody does."""
        await self.until_asleep()
        asleep, self._asleep = self._asleep, []
        for each in asleep:
            if not each.done():
                each.set_result(None)
