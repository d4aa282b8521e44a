"""The directory of services in a SQLite file. See `ports.Directory`.

Strangers keep out: nothing of executions, no thread. One process has the file, so that its turn always comes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, Protocol, TypeVar

import apsw

from makegood.ports import Check, Claimed, Description, EndpointHealth, Listing
from makegood.storage import listed
from makegood.storage.statements import named

T = TypeVar("T")

QUERIES = named(resources.files(__package__).joinpath("directory.sql").read_text("utf-8"))
"""Name to statement."""
FORGET_MS = 3_600_000
"""So long after its time a row is forgotten that nobody asked for any more."""


class Asked(Protocol):
    """Does work with a connection: reading, or in one transaction."""

    def __call__(self, work: Callable[[apsw.Connection], T], /) -> Awaitable[T]:
        """What the work returns."""
        ...


class SqliteDirectory:
    """The port `Directory`.

    Args:
        reading: Does work that reads.
        writing: Does work in a transaction.
    """

    def __init__(self, reading: Asked, writing: Asked) -> None:
        self._reading = reading
        self._writing = writing

    async def listing(self, known: int | None = None) -> Listing | None:
        """See `Directory.listing`."""

        def work(connection: apsw.Connection) -> Listing | None:
            # The revision first: what changes meanwhile is read again for it.
            revision = _rows(connection, "revision")[0][0]
            if revision == known:
                return None
            services, instances = _rows(connection, "services"), _rows(connection, "instances", _now_ms())
            return listed.listing(revision, services, instances, _rows(connection, "health"))

        return await self._reading(work)

    async def put_service(self, name: str, keys: dict[str, Any]) -> bool:
        """See `Directory.put_service`."""
        text = listed.text(keys)

        def work(connection: apsw.Connection) -> bool:
            before = _rows(connection, "service", name)
            if before and before[0][0] == text:
                return False
            _rows(connection, "bump")
            _rows(connection, "remove_health", name)
            _rows(connection, "put_service", name, text)
            return not before

        return await self._writing(work)

    async def remove_service(self, name: str) -> bool:
        """See `Directory.remove_service`."""

        def work(connection: apsw.Connection) -> bool:
            _rows(connection, "remove_service", name)
            if not connection.changes():
                return False
            for each in ("remove_instances", "remove_health"):
                _rows(connection, each, name)
            _rows(connection, "bump")
            return True

        return await self._writing(work)

    async def put_instance(self, service: str, instance_id: str, url: str, labels: dict[str, str], ttl_ms: int) -> bool:
        """See `Directory.put_instance`."""
        text = listed.text(labels)

        def work(connection: apsw.Connection) -> bool:
            now_ms = _now_ms()
            before = _rows(connection, "instance", service, instance_id, now_ms)
            _rows(connection, "forget_instances", now_ms - FORGET_MS)
            _rows(connection, "put_instance", service, instance_id, url, text, now_ms + ttl_ms)
            if not before or tuple(before[0]) != (url, text):
                _rows(connection, "bump")
            return not before

        return await self._writing(work)

    async def remove_instance(self, service: str, instance_id: str) -> bool:
        """See `Directory.remove_instance`."""

        def work(connection: apsw.Connection) -> bool:
            held = bool(_rows(connection, "instance", service, instance_id, _now_ms()))
            _rows(connection, "remove_instance", service, instance_id)
            if held:
                _rows(connection, "bump")
            return held

        return await self._writing(work)

    async def description(self, service: str) -> Description | None:
        """See `Directory.description`."""
        found = await self._reading(lambda connection: _rows(connection, "description", service))
        return None if not found else Description(source=found[0][0], content=found[0][1], read_ms=found[0][2])

    async def keep_description(self, service: str, described: Description) -> None:
        """See `Directory.keep_description`."""
        values = (service, described.source, described.content, described.read_ms)
        await self._writing(lambda connection: _rows(connection, "keep_description", *values))

    async def claim_checks(self, asked: Sequence[Check], by: str) -> Claimed:
        """See `Directory.claim_checks`."""

        def work(connection: apsw.Connection) -> Claimed:
            now_ms = _now_ms()
            due, waits_ms = [], []
            for each in asked:
                found = _rows(connection, "due_at", each.service, each.url)
                if found and found[0][0] > now_ms:
                    waits_ms.append(found[0][0] - now_ms)
                    continue
                due_at_ms = now_ms + each.again_ms
                _rows(connection, "claim_check", each.service, each.url, now_ms, by, due_at_ms)
                due.append(listed.endpoint_health(_rows(connection, "health_of", each.service, each.url)[0]))
                waits_ms.append(each.again_ms)
            _rows(connection, "forget_health", now_ms - FORGET_MS)
            return Claimed(due=tuple(due), next_ms=min(waits_ms, default=None))

        return await self._writing(work)

    async def put_health(self, found: Sequence[EndpointHealth]) -> None:
        """See `Directory.put_health`."""

        def work(connection: apsw.Connection) -> None:
            now_ms, news = _now_ms(), False
            for each in found:
                before = _rows(connection, "health_of", each.service, each.url)
                values = (each.well, each.reason, each.in_a_row, now_ms, each.service, each.url, each.turn)
                _rows(connection, "put_health", *values)
                if connection.changes():
                    news = news or (bool(before[0][2]), before[0][3]) != (each.well, each.reason)
            if news:
                _rows(connection, "bump")

        await self._writing(work)


def _rows(connection: apsw.Connection, name: str, *values: Any) -> list[Any]:
    return connection.execute(QUERIES[name], values).fetchall()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
