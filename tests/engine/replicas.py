"""Several engines on one PostgreSQL, in this process or in others, and a service that remembers all calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.postgres_cluster import statement

import makegood as mg

LEASE_S = 1.0


@asynccontextmanager
async def replicas(dsn: str, service: Any, count: int = 2, **options: Any) -> AsyncIterator[list[mg.Engine]]:
    """So many engines that share a database and offer the service `s`."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            engine = await stack.enter_async_context(replica(dsn, service, **options))
            made.append(engine)
        yield made


@asynccontextmanager
async def replica(dsn: str, service: Any, **options: Any) -> AsyncIterator[mg.Engine]:
    """One that takes part at once."""
    engine = mg.Engine(dsn, **{"lease_seconds": LEASE_S, "drain_seconds": 0.0, **options})
    async with engine:
        if service is not None:
            engine.register("s", service)
        await engine.resume()
        yield engine


def worker_of(engine: mg.Engine) -> int | None:
    """Its number among the workers; None while it comes back."""
    store: Any = engine._store_open
    number: int | None = store._worker.id
    return number


async def freeze(engine: mg.Engine) -> Any:
    """As SIGSTOP leaves it: nothing of it happens any more; nothing is said to anybody."""
    parts: Any = engine._parts
    store = parts._store
    for part in (parts.tenure, parts.intake, parts.inbox):
        part.halt()
    return store


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)


async def until_row(dsn: str, text: str, wanted: Any, seconds: float = 20.0) -> None:
    """Ask the database until it answers so."""
    ask = statement(dsn)
    async with asyncio.timeout(seconds):
        while (found := await asyncio.to_thread(ask, text)) != [wanted]:
            assert found is not None
