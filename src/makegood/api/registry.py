"""What is asked of the services of this process: list, show, put, remove."""

from __future__ import annotations

from typing import Any

from makegood.api.answers import Answer
from makegood.api.asked import Asked
from makegood.api.bodies import shaped
from makegood.api.shapes import PutService
from makegood.app.config import service_from
from makegood.app.contracts import Contracts
from makegood.services import Registry
from makegood.services.secrets import is_reference


async def list_(asked: Asked) -> Answer:
    """All of them."""
    registry = asked.server.registry
    return Answer(
        200, {"services": [view(registry, asked.server.contracts, name) for name in sorted(registry.names())]}
    )


async def show(asked: Asked) -> Answer:
    """One of them."""
    return Answer(200, view(asked.server.registry, asked.server.contracts, asked.path["name"]))


async def put(asked: Asked) -> Answer:
    """Add a service, or replace the one of that name; its open calls go on."""
    name, registry = asked.path["name"], asked.server.registry
    shaped(asked.body, PutService)
    once = asked.once(asked.body)
    if once is not None and await asked.server.engine.repeats.done(once) is not None:
        return Answer(200, view(registry, asked.server.contracts, name))
    there = registry.knows(name)
    given = {key: value for key, value in asked.body.items() if value is not None}
    registry.register(name, service_from(name, given))
    await asked.server.contracts.follow()
    if once is not None:
        await asked.server.engine.repeats.keep(once)
    return Answer(200 if there else 201, view(registry, asked.server.contracts, name))


async def remove(asked: Asked) -> Answer:
    """Forget a service; its open calls go on."""
    once = asked.once(None)
    if once is None or await asked.server.engine.repeats.done(once) is None:
        asked.server.registry.unregister(asked.path["name"])
        if once is not None:
            await asked.server.engine.repeats.keep(once)
    return Answer(204)


def view(registry: Registry, contracts: Contracts, name: str) -> dict[str, Any]:
    """A service as it is told: secrets are masked."""
    config = registry.config(name)
    return {
        "name": name,
        "local": not config.urls,
        "endpoints": [{"url": url} for url in config.urls],
        "in_flight": registry.in_flight(name),
        "timeout_seconds": None if config.timeout_ms is None else config.timeout_ms / 1000,
        "health": config.health,
        "openapi": config.openapi,
        "openapi_fault": contracts.fault(name),
        "validate": config.validate,
        # What is no reference is a secret written in the wrong place.
        "headers": {key: value if is_reference(value) else "***" for key, value in config.headers.items()},
        "max_concurrent": config.max_concurrent,
        "rate": config.rate,
        "wait_seconds": config.wait_ms / 1000,
        "strict_idempotent": config.strict_idempotent,
        "allow_link_local": config.allow_link_local,
    }
