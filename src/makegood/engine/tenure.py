"""How long this process may act as the worker that it is: a lease, renewed, that others may see run out.

By the database's clock others judge it; by this process's own it stops sending before they may. A
lease that cannot be proven holds back what is to be sent, and nothing else: commits are refused by the
database itself once another worker has declared this one dead. Strangers keep out: nothing of executions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from makegood.engine.log import log, names
from makegood.errors import Fenced, MakegoodError
from makegood.ports import Leases

RENEWALS = 3
"""In one lease."""
AGAIN_S = 0.5
"""After so long a renewal that went wrong is tried again, or after a tenth of a lease."""


class Tenure:
    """The lease of one worker.

    Args:
        lease_ms: How long it lasts from each renewal.
        on_dead: Told when this worker was declared dead.
        on_left_over: Told when others were: what they advanced can be claimed.
        on_workers: Told how many workers there are.

    Attributes:
        on_proven: Called whenever the lease holds again after it did not.
    """

    def __init__(
        self,
        leases: Leases,
        lease_ms: int,
        *,
        on_dead: Callable[[Exception], None],
        on_left_over: Callable[[], None],
        on_workers: Callable[[int], None],
    ) -> None:
        self._leases = leases
        self._lease_s = lease_ms / 1000
        self._on_dead = on_dead
        self._on_left_over = on_left_over
        self._on_workers = on_workers
        self._task: asyncio.Task[None] | None = None
        self.on_proven: list[Callable[[], None]] = []
        now_s = time.monotonic()
        # A worker that just came, perhaps with others after the database did, gives them one lease to show up.
        self._proven_s = now_s
        self._bury_from_s = now_s + self._lease_s

    def start(self) -> None:
        """Begin to renew, where there are others who could see it run out."""
        self._on_workers(self._leases.workers)
        if self._leases.shared:
            self._task = asyncio.get_running_loop().create_task(self._renew_forever(), name="makegood-lease")

    def holds(self) -> bool:
        """Whether nobody can have declared this worker dead yet. Asks the clock itself: a loop's time may be of before
        the process was stopped."""
        return not self._leases.shared or time.monotonic() < self._proven_s + self._lease_s

    def halt(self) -> None:
        """Renew no more."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def stop(self) -> None:
        """Renew no more, and have done with it."""
        self.halt()
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.gather(self._task, return_exceptions=True)

    async def _renew_forever(self) -> None:
        again_s = min(AGAIN_S, self._lease_s / 10)
        rest_s = self._lease_s / RENEWALS
        while True:
            await asyncio.sleep(rest_s)
            try:
                await self._renew()
                rest_s = self._lease_s / RENEWALS
            except Fenced as error:
                log.error(names.LEASE_LOST, error=str(error))
                self._on_dead(error)
                return
            except MakegoodError as error:
                log.warning(names.LEASE_UNPROVEN, error=str(error), again_in_s=again_s)
                rest_s = again_s

    async def _renew(self) -> None:
        # From before it is asked: by the time of the answer part of the lease is over.
        asked_s = time.monotonic()
        held = self.holds()
        if not held:
            # This worker was cut off itself; the others may have been too, and get a lease's time to come back.
            self._bury_from_s = asked_s + self._lease_s
        buried = await self._leases.renew(bury=asked_s >= self._bury_from_s)
        self._proven_s = asked_s
        self._on_workers(self._leases.workers)
        if not held:
            for each in self.on_proven:
                each()
        if buried:
            log.warning(names.WORKERS_DEAD, count=buried)
            self._on_left_over()
