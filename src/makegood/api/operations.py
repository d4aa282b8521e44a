"""What is asked of the process itself: is it there, can it take work, what was measured, what it offers."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from makegood.api.answers import Answer
from makegood.api.asked import Asked
from makegood.api.measures import MEDIA
from makegood.errors import MakegoodError

READY_S = 2.0
"""A probe that waits longer is counted as failed by whoever sends it."""


async def healthz(asked: Asked) -> Answer:
    """The process is there."""
    return Answer(200, {"status": "ok", "node": asked.server.node})


async def readyz(asked: Asked) -> Answer:
    """It can take work: it is not stopping, its lease holds, and its database answers soon."""
    server = asked.server
    if server.traffic.draining.is_set():
        return Answer(503, {"status": "draining", "node": server.node})
    try:
        acts = server.engine.acts
        async with asyncio.timeout(READY_S):
            await server.engine.observer.definition("readyz")
    except (MakegoodError, TimeoutError):
        acts = False
    return Answer(200 if acts else 503, {"status": "ok" if acts else "unavailable", "node": server.node})


async def metrics(asked: Asked) -> Answer:
    """What was measured, for Prometheus."""
    measures = asked.server.measures
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            await measures.look(asked.server.engine)
    return Answer(200, measures.text(), MEDIA)
