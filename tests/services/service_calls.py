"""Invocations for tests, and sending them as the engine does."""

from __future__ import annotations

import time
from typing import Any

from makegood.core.outcome import Reply
from makegood.ports import Invocation, Slot
from makegood.services import Registry


def invocation(
    service: str = "svc", method: str = "do", body: Any = None, *, timeout_ms: int = 5000, **more: Any
) -> Invocation:
    """An invocation with what most tests do not care about."""
    given: dict[str, Any] = {
        "execution_id": "01JX",
        "workflow": "trip",
        "step": "ship[3]",
        "key": "01JX:ship[3]:do",
        "attempt": 1,
        "deadline_ms": time.time_ns() // 1_000_000 + timeout_ms,
    }
    return Invocation(service=service, method=method, body=body, **(given | more))


async def send(registry: Registry, given: Invocation) -> Reply:
    """Reserve a place and invoke, as the engine does."""
    assert registry.reserve(given.service) is Slot.GRANTED
    reply = await registry.invoke(given)
    assert registry.in_flight(given.service) == 0
    return reply
