"""Many executions that come at once: taken in one after another, while the next ones are being claimed.

Strangers keep out: how one is taken in, and how many there is room for, is the intake's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from makegood.engine.live import Live
from makegood.engine.log import log, names
from makegood.ports import Stored

TURN = 25
"""So many are taken in before others get their turn: about 2 ms."""
CROWD = 20
"""More than so many that are resumed at once are told of in one line of the log."""


class Crowds:
    """Takes in what was claimed.

    Args:
        take: Takes in one, and holds it; told whether the log has a line of this one.
        release: Lets go of one that is in.
        on_taken: Called when a crowd is in: those that could not be taken in have made room.

    Attributes:
        tasks: The crowds that are being taken in.
    """

    def __init__(
        self,
        take: Callable[[Stored, bool], Awaitable[Live]],
        release: Callable[[Live], None],
        on_taken: Callable[[], None],
    ) -> None:
        self._take = take
        self._release = release
        self._on_taken = on_taken
        self.tasks: set[asyncio.Task[int]] = set()

    def begin(self, found: Collection[Stored]) -> None:
        """Take them in from now on."""
        task = asyncio.get_running_loop().create_task(self.take(found), name="makegood-intake")
        self.tasks.add(task)
        task.add_done_callback(self._taken)

    async def taken(self) -> None:
        """Return when all that have begun are in."""
        await asyncio.gather(*self.tasks)

    async def take(self, found: Collection[Stored]) -> int:
        """Take them in; how many it was possible with."""
        if len(found) > CROWD:
            log.info(names.EXECUTIONS_RESUMED, count=len(found))
        count = 0
        for number, stored in enumerate(found, 1):
            with suppress(Exception):  # It is logged, and stays where it is.
                self._release(await self._take(stored, len(found) <= CROWD))
                count += 1
            if number % TURN == 0:
                await asyncio.sleep(0)
        return count

    def _taken(self, task: asyncio.Task[int]) -> None:
        self.tasks.discard(task)
        self._on_taken()
