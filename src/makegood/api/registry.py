"""What is asked about services: list, show, put, remove, check; and what instances say of themselves."""

from __future__ import annotations

import re
from typing import Any

from makegood.api.answers import Answer
from makegood.api.asked import Asked
from makegood.api.bodies import shaped
from makegood.api.service_shapes import PutInstance, PutService
from makegood.app.contracts import Contracts
from makegood.app.directory import SharedServices
from makegood.app.health_checks import looked_at
from makegood.app.reading import waiting_view
from makegood.core.view import time_text
from makegood.errors import InputError
from makegood.services import Registry, ServiceConfig
from makegood.services.discovery.following import Standing as DiscoveryStanding
from makegood.services.member import Standing
from makegood.services.secrets import is_reference

INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


async def list_(asked: Asked) -> Answer:
    """All of them."""
    registry, services, contracts = asked.server.registry, asked.server.services, asked.server.contracts
    return Answer(200, {"services": [view(registry, services, contracts, name) for name in services.names()]})


async def show(asked: Asked) -> Answer:
    """One of them, with who waits for it."""
    told = await _shown(asked)
    waiting = await asked.server.engine.observer.waiting(asked.path["name"])
    return Answer(200, {**told, "waiting": waiting_view(waiting)})


async def put(asked: Asked) -> Answer:
    """Keep a service for all replicas, instead of the one of that name; its open calls go on."""
    name, services = asked.path["name"], asked.server.services
    shaped(asked.body, PutService)
    once = asked.once(asked.body)
    if once is not None and await asked.server.engine.repeats.done(once) is not None:
        return Answer(200, await _shown(asked))
    given = {key: value for key, value in asked.body.items() if value is not None}
    new = await services.put(name, given)
    await asked.server.contracts.follow()
    if once is not None:
        await asked.server.engine.repeats.keep(once)
    return Answer(201 if new else 200, await _shown(asked))


async def remove(asked: Asked) -> Answer:
    """Have all replicas forget a service; its open calls go on."""
    once = asked.once(None)
    if once is None or await asked.server.engine.repeats.done(once) is None:
        await asked.server.services.remove(asked.path["name"])
        if once is not None:
            await asked.server.engine.repeats.keep(once)
    return Answer(204)


async def check(asked: Asked) -> Answer:
    """Ask its endpoints now whether they are well; nothing is kept of it."""
    name, registry, services = asked.path["name"], asked.server.registry, asked.server.services
    await _found(asked)
    found = await looked_at(registry, name) if registry.knows(name) else []
    return Answer(200, {"name": name, "fault": services.fault(name), "endpoints": found})


async def put_instance(asked: Asked) -> Answer:
    """Register an instance, or renew its lease. Doing it again is what it is for, with or without a key."""
    body = shaped(asked.body, PutInstance)
    name, instance_id = asked.path["name"], _instance_id(asked)
    ttl_ms = round(body.ttl_seconds * 1000)
    new = await asked.server.services.put_instance(name, instance_id, body.url, body.labels, ttl_ms)
    told = {"service": name, "id": instance_id, "url": body.url.rstrip("/"), "labels": body.labels}
    return Answer(201 if new else 200, {**told, "ttl_seconds": body.ttl_seconds})


async def remove_instance(asked: Asked) -> Answer:
    """Have an instance leave."""
    once = asked.once(None)
    if once is None or await asked.server.engine.repeats.done(once) is None:
        await asked.server.services.remove_instance(asked.path["name"], _instance_id(asked))
        if once is not None:
            await asked.server.engine.repeats.keep(once)
    return Answer(204)


def _instance_id(asked: Asked) -> str:
    instance_id = asked.path["id"]
    if INSTANCE_ID.fullmatch(instance_id) is None:
        raise InputError(
            f"{instance_id[:100]!r} cannot be an instance's id: use at most 100 letters, digits, '.', '_', ':', '-', "
            "the first of them a letter or a digit"
        )
    return instance_id


async def _found(asked: Asked) -> None:
    """See that there is such a service, perhaps put at another replica a moment ago."""
    name, services = asked.path["name"], asked.server.services
    if name not in services.names():
        await services.refresh()
        services.check_known(name)


async def _shown(asked: Asked) -> dict[str, Any]:
    await _found(asked)
    return view(asked.server.registry, asked.server.services, asked.server.contracts, asked.path["name"])


def view(registry: Registry, services: SharedServices, contracts: Contracts, name: str) -> dict[str, Any]:
    """A service as it is told: secrets are masked. Of one that does not work, its name and why."""
    here = name in registry.names()
    config = registry.config(name) if here else ServiceConfig(name="_")
    return {
        "name": name,
        "source": services.source(name),
        "fault": services.fault(name),
        "local": here and registry.is_local(name),
        "endpoints": [_endpoint(each) for each in registry.pool(name).standing()] if here else [],
        "in_flight": registry.in_flight(name),
        "timeout_seconds": None if config.timeout_ms is None else config.timeout_ms / 1000,
        "health": config.health,
        "health_timeout_seconds": config.health_timeout_ms / 1000,
        "healthy_after": config.healthy_after,
        "unhealthy_after": config.unhealthy_after,
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
        # References, checked to be some.
        "auth": None if config.auth is None else dict(config.auth),
        "tls": None if config.tls is None else dict(config.tls),
        "methods": {method: dict(given) for method, given in config.methods.items()},
        "discover": config.discover,
        "discovery": _discovery(registry.discovery(name)),
    }


def _discovery(standing: DiscoveryStanding | None) -> dict[str, Any] | None:
    if standing is None:
        return None
    return {
        "state": standing.state,
        "reason": standing.reason,
        "since": time_text(standing.since_ms),
        "answered": None if standing.answered_ms is None else time_text(standing.answered_ms),
    }


def _endpoint(standing: Standing) -> dict[str, Any]:
    return {
        "url": standing.url,
        "labels": dict(standing.labels),
        "source": standing.source,
        "healthy": standing.healthy,
        "reason": standing.reason,
        "since": time_text(standing.since_ms),
        "circuit": standing.circuit,
        "in_flight": standing.in_flight,
        "p50_ms": standing.p50_ms,
        "p99_ms": standing.p99_ms,
    }
