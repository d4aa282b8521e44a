"""What is asked of the process itself: is it there, can it take work, what was measured, what it offers."""

from __future__ import annotations

from makegood.api.answers import Answer
from makegood.api.asked import Asked
from makegood.api.measures import MEDIA
from makegood.errors import MakegoodError


async def healthz(asked: Asked) -> Answer:
    """The process is there."""
    return Answer(200, {"status": "ok", "node": asked.server.node})


async def readyz(asked: Asked) -> Answer:
    """It can take work: it is not stopping, and its database can be asked."""
    server = asked.server
    if server.traffic.draining.is_set():
        return Answer(503, {"status": "draining", "node": server.node})
    try:
        await server.engine.observer.definition("readyz")
    except MakegoodError:
        return Answer(503, {"status": "unavailable", "node": server.node})
    return Answer(200, {"status": "ok", "node": server.node})


async def metrics(asked: Asked) -> Answer:
    """What was measured, for Prometheus."""
    measures = asked.server.measures
    await measures.look(asked.server.engine)
    return Answer(200, measures.text(), MEDIA)
