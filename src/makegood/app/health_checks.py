"""Asking endpoints whether they are well: each by one replica at a time, and what was found is kept for all.

Strangers keep out: what an answer means and how many it takes (`services.health`), and what follows for calls.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from makegood.app.contracts import FRESH_S, Contracts
from makegood.app.directory import SharedServices
from makegood.engine.client import Engine
from makegood.engine.log import log, names
from makegood.errors import MakegoodError, NotFound
from makegood.ports import Check, Directory, EndpointHealth
from makegood.services import Registry
from makegood.services.health import judged, shown

AT_ONCE = 50
"""Endpoints asked at the same time."""
JITTER = 0.1
"""By such a part of it an interval is longer or shorter, so that checks spread."""
TURN_PART = 0.8
"""At most such a part of an interval a check may take."""
REST_S_MIN = 0.05
REST_PART = 6
"""At most so many claims are made in one interval, when nothing changes."""


class HealthChecks:
    """Checks the endpoints whose turn has come.

    Args:
        directory: Gives the store's, or raises when the engine is closed.
        registry: Whose endpoints.
        services: Told to look when something was found.
        node: What this process is called.
        chance: At least 0, less than 1.
    """

    def __init__(
        self,
        directory: Callable[[], Directory],
        registry: Registry,
        services: SharedServices,
        node: str,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._directory = directory
        self._registry = registry
        self._services = services
        self._node = node
        self._chance = chance
        self._interval_s = services.interval_s
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Services or endpoints have come or gone: some may never have been checked."""
        self._changed.set()

    def start(self) -> None:
        """Check from now on."""
        self._task = asyncio.get_running_loop().create_task(self._check_forever(), name="makegood-health")

    async def stop(self) -> None:
        """Check no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _check_forever(self) -> None:
        while True:
            rest_s = self._interval_s
            try:
                next_ms = await self.check_due()
                if next_ms is not None:
                    rest_s = min(rest_s, max(next_ms / 1000, self._interval_s / REST_PART))
            except MakegoodError as error:
                log.warning(names.HEALTH_UNCHECKED, error=str(error), again_in_s=rest_s)
            except Exception as error:  # noqa: BLE001 - whatever it was, endpoints are to be checked again
                log.error(names.HEALTH_UNCHECKED, error=repr(error), again_in_s=rest_s)
            self._changed.clear()
            # All replicas wait for the same moment: a little apart, the first has claimed what is due by then.
            rest_s = max(rest_s, REST_S_MIN) * (1 + JITTER * self._chance() / 2)
            try:
                async with asyncio.timeout(rest_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def check_due(self) -> int | None:
        """Check the endpoints whose turn has come; in how long the next one is due, None without any.

        Raises:
            StorageError: The directory cannot be used.
        """
        asked, due_ms = self._asked(), []
        # Few at a time: what was claimed is checked and told at once, before its next turn comes.
        for begin in range(0, len(asked), AT_ONCE):
            claimed = await self._directory().claim_checks(asked[begin : begin + AT_ONCE], self._node)
            if claimed.next_ms is not None:
                due_ms.append(claimed.next_ms)
            if claimed.due:
                await self._check_all(claimed.due)
        return min(due_ms, default=None)

    async def _check_all(self, due: Sequence[EndpointHealth]) -> None:
        found = await asyncio.gather(*(self._check(each) for each in due))
        news = [each for each in found if each is not None]
        await self._directory().put_health(news)
        before = {(each.service, each.url): each for each in due}
        if any(each.well != before[each.service, each.url].well for each in news):
            await self._services.refresh()

    def _asked(self) -> list[Check]:
        asked = []
        for name in self._registry.names():
            config = self._registry.config(name)
            if config.health is None or self._registry.is_local(name):
                continue
            for endpoint in self._registry.pool(name).endpoints():
                again_ms = round(self._interval_s * 1000 * (1 + JITTER * (2 * self._chance() - 1)))
                asked.append(Check(service=name, url=endpoint.url, again_ms=again_ms))
        return asked

    async def _check(self, before: EndpointHealth) -> EndpointHealth | None:
        try:
            # What takes as long as it may is heard before the next turn.
            most_ms = round(self._interval_s * 1000 * TURN_PART)
            why = await self._registry.look(before.service, before.url, most_ms)
            config = self._registry.config(before.service)
        except NotFound:
            return None
        return judged(before, why, healthy_after=config.healthy_after, unhealthy_after=config.unhealthy_after)


@asynccontextmanager
async def following(
    engine: Engine, registry: Registry, services: SharedServices, contracts: Contracts, node: str
) -> AsyncIterator[None]:
    """Follow the directory of an engine's database, and take part in its health checks."""
    checks = HealthChecks(lambda: engine.directory, registry, services, node)
    changed = asyncio.Event()

    async def describe() -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(FRESH_S):
                    await changed.wait()
            changed.clear()
            try:
                await contracts.follow()
            except Exception as error:  # noqa: BLE001 - the next one is not to wait for a restart
                log.error(names.DESCRIPTION_UNREAD, error=repr(error))

    describing = asyncio.get_running_loop().create_task(describe(), name="makegood-descriptions")
    services.on_change += [engine.services_changed, checks.look, changed.set]
    services.start()
    checks.start()
    try:
        yield
    finally:
        describing.cancel()
        await asyncio.gather(describing, return_exceptions=True)
        await services.stop()
        await checks.stop()


async def looked_at(registry: Registry, name: str) -> list[dict[str, Any]]:
    """Ask all endpoints of a service now; nothing is kept of it. `{url, asked, healthy, reason, took_ms}` of each.

    Raises:
        NotFound: There is no such service.
    """
    room = asyncio.Semaphore(AT_ONCE)
    asks = shown(registry.config(name).health)

    async def look(url: str) -> dict[str, Any]:
        async with room:
            began_s = time.monotonic()
            why = await registry.look(name, url)
            took_ms = round((time.monotonic() - began_s) * 1000, 1)
        return {"url": url, "asked": asks, "healthy": not why, "reason": why, "took_ms": took_ms}

    return list(await asyncio.gather(*(look(each.url) for each in registry.pool(name).endpoints())))
