"""The directory of services in memory. See `ports.Directory`.

Everything happens between two awaits, so that each method is atomic.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from makegood.ports import Check, Claimed, Description, EndpointHealth, Instance, Listing, StoredService

Key = tuple[str, str]


@dataclass(slots=True)
class Kept:
    """What a file would keep. Instances and endpoints by their service and id or URL, with when their time comes."""

    revision: int = 1
    services: dict[str, StoredService] = field(default_factory=dict)
    instances: dict[Key, tuple[Instance, int]] = field(default_factory=dict)
    health: dict[Key, tuple[EndpointHealth, int]] = field(default_factory=dict)
    descriptions: dict[str, Description] = field(default_factory=dict)


class Checked(Protocol):
    """Raises when the store is closed, or is another's."""

    def __call__(self, *, reading: bool = ...) -> None:
        """See above."""
        ...


class MemoryDirectory:
    """The port `Directory`.

    Args:
        kept: What is kept.
        check_open: Raises when it must not be touched.
    """

    def __init__(self, kept: Kept, check_open: Checked) -> None:
        self._kept = kept
        self._check_open = check_open

    async def listing(self, known: int | None = None) -> Listing | None:
        """See `Directory.listing`."""
        self._check_open(reading=True)
        kept, now_ms = self._kept, _now_ms()
        if kept.revision == known:
            return None
        return Listing(
            revision=kept.revision,
            services=tuple(
                replace(kept.services[name], keys=_copy(kept.services[name].keys)) for name in sorted(kept.services)
            ),
            instances=tuple(
                replace(each, labels=dict(each.labels), left_ms=until_ms - now_ms)
                for _, (each, until_ms) in sorted(kept.instances.items())
                if until_ms > now_ms
            ),
            health=tuple(each for _, (each, _) in sorted(kept.health.items())),
        )

    async def put_service(self, name: str, keys: dict[str, Any]) -> bool:
        """See `Directory.put_service`."""
        self._check_open()
        kept, before = self._kept, self._kept.services.get(name)
        if before is not None and before.keys == keys:
            return False
        kept.revision += 1
        kept.services[name] = StoredService(name=name, keys=_copy(keys), revision=kept.revision)
        self._drop(kept.health, name)
        return before is None

    async def remove_service(self, name: str) -> bool:
        """See `Directory.remove_service`."""
        self._check_open()
        kept = self._kept
        if kept.services.pop(name, None) is None:
            return False
        kept.revision += 1
        self._drop(kept.instances, name)
        self._drop(kept.health, name)
        return True

    async def put_instance(self, service: str, instance_id: str, url: str, labels: dict[str, str], ttl_ms: int) -> bool:
        """See `Directory.put_instance`."""
        self._check_open()
        kept, now_ms = self._kept, _now_ms()
        before = self._held(service, instance_id)
        if before is None or (before.url, before.labels) != (url, labels):
            kept.revision += 1
        made = Instance(service=service, id=instance_id, url=url, labels=dict(labels), left_ms=ttl_ms)
        kept.instances[service, instance_id] = (made, now_ms + ttl_ms)
        return before is None

    async def remove_instance(self, service: str, instance_id: str) -> bool:
        """See `Directory.remove_instance`."""
        self._check_open()
        held = self._held(service, instance_id) is not None
        self._kept.instances.pop((service, instance_id), None)
        self._kept.revision += held
        return held

    async def description(self, service: str) -> Description | None:
        """See `Directory.description`."""
        self._check_open(reading=True)
        return self._kept.descriptions.get(service)

    async def keep_description(self, service: str, described: Description) -> None:
        """See `Directory.keep_description`."""
        self._check_open()
        self._kept.descriptions[service] = described

    async def claim_checks(self, asked: Sequence[Check], by: str) -> Claimed:
        """See `Directory.claim_checks`."""
        self._check_open()
        now_ms, health = _now_ms(), self._kept.health
        due: list[EndpointHealth] = []
        waits_ms: list[int] = []
        for each in asked:
            before, due_ms = health.get((each.service, each.url), (None, now_ms))
            if due_ms > now_ms:
                waits_ms.append(due_ms - now_ms)
                continue
            before = before or EndpointHealth(service=each.service, url=each.url, since_ms=now_ms)
            claimed = replace(before, turn=before.turn + 1, by=by)
            health[each.service, each.url] = (claimed, now_ms + each.again_ms)
            due.append(claimed)
            waits_ms.append(each.again_ms)
        return Claimed(due=tuple(due), next_ms=min(waits_ms, default=None))

    async def put_health(self, found: Sequence[EndpointHealth]) -> None:
        """See `Directory.put_health`."""
        self._check_open()
        now_ms, health = _now_ms(), self._kept.health
        news = False
        for each in found:
            before, due_ms = health.get((each.service, each.url), (None, 0))
            if before is None or before.turn != each.turn:
                continue
            since_ms = before.since_ms if before.well == each.well else now_ms
            told = replace(each, since_ms=since_ms, checked_at_ms=now_ms, by=before.by)
            health[each.service, each.url] = (told, due_ms)
            news = news or (before.well, before.reason) != (each.well, each.reason)
        self._kept.revision += news

    def _held(self, service: str, instance_id: str) -> Instance | None:
        found = self._kept.instances.get((service, instance_id))
        return found[0] if found is not None and found[1] > _now_ms() else None

    @staticmethod
    def _drop(kept: dict[Key, Any], service: str) -> None:
        for key in [each for each in kept if each[0] == service]:
            del kept[key]


def _copy(keys: dict[str, Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(keys))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
