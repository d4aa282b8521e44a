"""The work that every measurement does: five no-op steps, each result durable before the next begins."""

from __future__ import annotations

import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

STEPS = 5
IN_FLIGHT = 200
ANSWER = {
    "step": "charge",
    "status": "completed",
    "result": {"order": "o-123456", "amount": 129.95, "items": [{"sku": f"sku-{n}", "qty": n} for n in range(6)]},
    "note": "x" * 60,
}
"""What every step answers: about 300 bytes of JSON."""
INPUT = {"order": "o-123456", "customer": "Ada", "amount": 129.95}


def five_steps(service: str) -> dict[str, Any]:
    """The workflow, with a mapping of two paths in each step."""
    mapping = {"order": "${input.order}", "amount": "${input.amount}"}
    steps = [{"id": f"step{number}", "call": f"{service}.noop", "input": mapping} for number in range(STEPS)]
    return {"name": "bench", "steps": steps}


@dataclass(frozen=True, slots=True)
class Taken:
    """What one stretch of work took.

    Attributes:
        wall_s: Real time.
        cpu_s: Of this process, all threads.
        workflows: How many were done.
    """

    wall_s: float
    cpu_s: float
    workflows: int

    @property
    def steps_per_s(self) -> float:
        """Steps in a second of real time."""
        return self.workflows * STEPS / self.wall_s

    @property
    def cpu_us_per_step(self) -> float:
        """Microseconds of this process's CPU for each step."""
        return self.cpu_s / (self.workflows * STEPS) * 1e6


async def many(one: Callable[[], Awaitable[Any]], workflows: int, in_flight: int = IN_FLIGHT) -> Taken:
    """Do so many, so many at once."""
    import asyncio

    left = workflows

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await one()

    cpu_s, wall_s = cpu_now_s(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return Taken(time.perf_counter() - wall_s, cpu_now_s() - cpu_s, workflows)


def cpu_now_s() -> float:
    """CPU that this process has used so far, user and system, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def share(values: list[float], part: float) -> float:
    """What that part of them does not exceed: 0.99 for the 99th of a hundred."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def median(values: list[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]
