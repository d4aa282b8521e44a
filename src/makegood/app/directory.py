"""The services of one process: those of its own, and those that the database keeps for all replicas.

What this process is given itself (a file, `--service`, `register`) wins over what the database has under
that name. A stored service that does not fit this release is told with its fault, and the others work.
Strangers keep out: who asks endpoints whether they are well (`health_checks`), and all SQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from makegood.app.config import service_from
from makegood.engine.log import log, names
from makegood.errors import ConfigurationError, Conflict, MakegoodError, NotFound, nearest
from makegood.ports import Directory, Listing
from makegood.services import Registry
from makegood.services.config import checked_url
from makegood.services.endpoint import Endpoint
from makegood.services.pool import ENDPOINTS_MAX

LOOK_S_MAX, LOOK_S_MIN = 10.0, 0.2
"""Between two looks at the directory, a third of a check interval within these bounds."""
LOOKS = 3
"""In one check interval."""
INSTANCES = "instances"
"""The source of endpoints that registered themselves, as a pool names it."""


class SharedServices:
    """Keeps a registry as the directory says.

    Args:
        directory: Gives the store's, or raises when the engine is closed.
        registry: Of this process. What is in it and did not come from here is its own.
        interval_s: Within so long what is put anywhere is known here.

    Attributes:
        on_change: Called after services or endpoints have come or gone.
    """

    def __init__(
        self,
        directory: Callable[[], Directory],
        registry: Registry,
        interval_s: float,
    ) -> None:
        self._directory = directory
        self._registry = registry
        self.interval_s = interval_s
        self.on_change: list[Callable[[], None]] = []
        self._look_s = min(max(interval_s / LOOKS, LOOK_S_MIN), LOOK_S_MAX)
        self._listing = Listing(revision=0, services=(), instances=(), health=())
        self._kept: dict[str, Mapping[str, Any]] = {}
        self._faults: dict[str, str] = {}
        self._with_instances: set[str] = set()
        self._unwell: dict[tuple[str, str], int] = {}
        self._ends_s = float("inf")
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # --- what there is ---

    def names(self) -> list[str]:
        """All services, and those that the database keeps and that do not work here."""
        return sorted({*self._registry.names(), *self._faults})

    def source(self, name: str) -> str:
        """Where a service comes from: `process`, `configuration`, `database`, or by its name alone `discovery`."""
        if name not in self._faults and name in self._registry.names() and not self._registry.knows(name):
            return "discovery"
        if name in self._kept or not self._registry.knows(name):
            return "database"
        return "process" if self._registry.is_local(name) else "configuration"

    def fault(self, name: str) -> str | None:
        """What is wrong with a service that the database keeps; None when nothing is."""
        return self._faults.get(name)

    def check_known(self, name: str) -> None:
        """Raises NotFound, with the nearest name, when there is no such service."""
        if not self._registry.knows(name) and name not in self._faults:
            raise NotFound(f"there is no service {name!r}.{nearest(name, self.names())}")

    def _is_own(self, name: str) -> bool:
        return self._registry.knows(name) and name not in self._kept

    # --- changing it ---

    async def put(self, name: str, keys: Mapping[str, Any]) -> bool:
        """Keep a service for all replicas; whether it is new.

        Args:
            keys: Those of `[services.NAME]`.

        Raises:
            ConfigurationError: A key is unknown, or a value does not fit.
            Conflict: This process has one of that name of its own.
        """
        self._registry.check(service_from(name, keys, discovers=self._registry.discovers))
        if self._is_own(name):
            raise Conflict(
                f"service {name!r} is part of this process's configuration, which wins over what is put. "
                "Change it there, or take it out of there first.",
                existing=name,
            )
        new = await self._directory().put_service(name, dict(keys))
        await self.refresh()
        return new

    async def remove(self, name: str) -> None:
        """Have all replicas forget a service; its open calls go on.

        Raises:
            NotFound: There is none.
            Conflict: It is this process's own, and the database has none of that name.
        """
        await self.refresh()
        removed = await self._directory().remove_service(name)
        await self.refresh()
        if removed:
            return
        if self._is_own(name):
            raise Conflict(
                f"service {name!r} is part of this process's configuration. Take it out of there, and start it anew.",
                existing=name,
            )
        self.check_known(name)

    async def put_instance(self, name: str, instance_id: str, url: str, labels: Mapping[str, str], ttl_ms: int) -> bool:
        """Register an instance of a service for all replicas, or renew its lease; whether it is new.

        Raises:
            NotFound: There is no such service.
            Conflict: It is a part of this process: it has no endpoints.
            ConfigurationError: The URL or a label is none.
        """
        endpoint = Endpoint(checked_url(name, url), labels)
        await self._reachable(name)
        there = {each.id for each in self._listing.instances if each.service == name}
        if instance_id not in there and len(there) >= ENDPOINTS_MAX:
            raise ConfigurationError(f"service {name!r} has {len(there)} instances; at most {ENDPOINTS_MAX} are called")
        new = await self._directory().put_instance(name, instance_id, endpoint.url, dict(labels), ttl_ms)
        if new or not self._has(name, endpoint):
            await self.refresh()
        return new

    async def remove_instance(self, name: str, instance_id: str) -> None:
        """Have an instance leave. Raises NotFound: there is no such service or instance; Conflict as above."""
        await self._reachable(name)
        if not await self._directory().remove_instance(name, instance_id):
            known = [each.id for each in self._listing.instances if each.service == name]
            raise NotFound(f"service {name!r} has no instance {instance_id!r}.{nearest(instance_id, known)}")
        await self.refresh()

    async def _reachable(self, name: str) -> None:
        if not self._registry.knows(name):
            await self.refresh()
            self.check_known(name)
        if self._registry.knows(name) and self._registry.is_local(name):
            raise Conflict(f"service {name!r} is a part of this process: it has no endpoints.", existing=name)

    def _has(self, name: str, endpoint: Endpoint) -> bool:
        return any((each.service, each.url) == (name, endpoint.url) for each in self._listing.instances)

    # --- following it ---

    async def load(self) -> None:
        """Look once, before work is taken in. A directory that cannot be read is looked at again later."""
        try:
            await self.refresh()
        except MakegoodError as error:
            log.warning(names.DIRECTORY_UNREAD, error=str(error), again_in_s=self._look_s)
        except Exception as error:  # noqa: BLE001 - whatever it was, changes are to be heard of again
            log.error(names.DIRECTORY_UNREAD, error=repr(error), again_in_s=self._look_s)

    def start(self) -> None:
        """Follow the directory from now on."""
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="makegood-directory")

    async def stop(self) -> None:
        """Follow it no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            # A lease that runs out is looked at then, unless many follow one another.
            await asyncio.sleep(max(min(self._look_s, self._ends_s - time.monotonic()), LOOK_S_MIN))
            await self.load()

    async def refresh(self) -> None:
        """Be as the directory is now.

        Raises:
            StorageError: It cannot be read; everything stays as it is.
        """
        async with self._turn:
            # Leases that ran out are no change of the directory: they are only seen by reading it.
            ended = time.monotonic() >= self._ends_s
            asked_s = time.monotonic()
            listing = await self._directory().listing(None if ended else self._listing.revision)
            if listing is None:
                self._tell_health()
                return
            news = _differ(self._listing, listing)
            self._listing = listing
            self._ends_s = asked_s + min((each.left_ms for each in listing.instances), default=float("inf")) / 1000
            self._fit_services()
            self._fit_instances()
            self._tell_health()
            if news:
                for each in self.on_change:
                    each()

    def _fit_services(self) -> None:
        stored = {each.name: each.keys for each in self._listing.services}
        self._faults = {name: why for name, why in self._faults.items() if name in stored}
        for name in [each for each in self._kept if each not in stored]:
            del self._kept[name]
            if self._registry.knows(name):
                self._registry.unregister(name)
        for name, keys in stored.items():
            if self._is_own(name):
                self._faults[name] = (
                    "the database keeps one of that name too: that of this process's configuration wins"
                )
            elif self._kept.get(name) != keys or name in self._faults:
                self._take(name, keys)

    def _take(self, name: str, keys: Mapping[str, Any]) -> None:
        try:
            config = service_from(name, keys, discovers=self._registry.discovers)
            # Beforehand: whoever is told that it is there must find that it is not this process's own.
            before, self._kept[name] = self._kept.get(name), keys
            try:
                self._registry.register(name, config)
            except ConfigurationError:
                self._kept.pop(name) if before is None else self._kept.update({name: before})
                raise
        except Exception as error:  # noqa: BLE001 - whatever somebody wrote there, this process starts
            why = str(error) if isinstance(error, MakegoodError) else f"{type(error).__name__}: {error}"
            if self._faults.get(name) != why:
                log.warning(names.SERVICE_FAULTY, service=name, why=why)
            self._faults[name] = why
        else:
            self._faults.pop(name, None)

    def _fit_instances(self) -> None:
        found: dict[str, list[Endpoint]] = {}
        for each in self._listing.instances:
            found.setdefault(each.service, []).append(Endpoint(each.url, each.labels))
        for name in {*found, *self._with_instances}:
            if not self._registry.knows(name) or self._registry.is_local(name):
                continue
            try:
                self._registry.pool(name).set(INSTANCES, found.get(name, ()))
            except ConfigurationError as error:
                log.warning(names.SERVICE_FAULTY, service=name, why=str(error))
        self._with_instances = set(found)

    def _tell_health(self) -> None:
        """What checks found. Told at every look: an endpoint may have come after what was found of it."""
        found = {}
        for each in self._listing.health:
            if self._registry.knows(each.service) and self._registry.config(each.service).health is not None:
                found[each.service, each.url] = each.since_ms
                self._registry.pool(each.service).heard(each.url, each.well, each.reason, each.since_ms)
        for (service, url), since_ms in self._unwell.items():
            # Nobody checks it any more: it is as well as one that was never checked.
            if (service, url) not in found and self._registry.knows(service):
                self._registry.pool(service).heard(url, True, "", since_ms)  # noqa: FBT003 - the verdict itself
        # Of services that are gone for now what was told is kept: their calls under way may keep their endpoints.
        self._unwell = {pair: at_ms for pair, at_ms in self._unwell.items() if not self._registry.knows(pair[0])} | {
            (each.service, each.url): each.since_ms
            for each in self._listing.health
            if not each.well and (each.service, each.url) in found
        }


def _differ(before: Listing, after: Listing) -> bool:
    """Whether more has happened than that time went by."""
    there = [{(each.service, each.id, each.url) for each in listing.instances} for listing in (before, after)]
    return before.revision != after.revision or there[0] != there[1]
