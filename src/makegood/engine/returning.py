"""Becoming a worker again, for an engine that was declared dead or could not reach its database for long.

A dead incarnation never revives: what it held in memory is void, and it comes back as a new worker.
"""

from __future__ import annotations

import asyncio
import random

from makegood.engine.log import log, names
from makegood.errors import Fenced, StorageError
from makegood.ports import Leases

AGAIN_S = (0.2, 0.5, 1.0, 2.0)
"""Waits between two tries, the last one again and again; each up to half as long again."""


async def rejoined(store: Leases) -> int:
    """The number of the new worker, as soon as the database can be had."""
    tries = 0
    while True:
        try:
            number = await store.rejoin()
        except (StorageError, Fenced) as error:
            wait_s = AGAIN_S[min(tries, len(AGAIN_S) - 1)] * (1 + random.random() / 2)  # noqa: S311 - no secret
            log.warning(names.LEASE_UNPROVEN, error=str(error), again_in_s=wait_s)
            await asyncio.sleep(wait_s)
            tries += 1
        else:
            log.warning(names.WORKER_RETURNED, worker=number)
            return number
