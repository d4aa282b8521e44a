"""A lease: from when it counts, and whom its holder may declare dead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from makegood.engine.tenure import Tenure

pytestmark = pytest.mark.anyio


class Renewals:
    """A database that several workers share; it takes a turn of the loop to answer."""

    shared = True

    def __init__(self) -> None:
        self.asked_s: list[float] = []
        self.buries: list[bool] = []

    @property
    def workers(self) -> int:
        return 2

    async def renew(self, *, bury: bool) -> int:
        self.asked_s.append(asyncio.get_running_loop().time())
        self.buries.append(bury)
        await asyncio.sleep(0)
        return 0


def tenure_on(leases: Any, lease_ms: int = 1_000_000) -> Tenure:
    return Tenure(leases, lease_ms, on_dead=lambda _: None, on_left_over=lambda: None, on_workers=lambda _: None)


async def test_a_lease_counts_from_before_it_was_asked_for() -> None:
    leases = Renewals()
    tenure = tenure_on(leases)

    await tenure._renew()

    assert tenure._proven_s <= leases.asked_s[0]


async def test_who_just_came_declares_nobody_dead_for_one_lease() -> None:
    leases = Renewals()
    tenure = tenure_on(leases)

    await tenure._renew()
    tenure._bury_from_s -= 1_000
    await tenure._renew()

    assert leases.buries == [False, True]
