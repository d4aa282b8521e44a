"""The directory of services in PostgreSQL, shared by every replica. See `ports.Directory`.

Strangers keep out: nothing of executions, and no judgement about health. Who may only read the
database's executions may change the directory: it has no owner.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from importlib import resources
from typing import Any

from makegood.ports import Check, Claimed, Description, EndpointHealth, Listing
from makegood.storage import listed
from makegood.storage.postgres.links import Links, Rows
from makegood.storage.statements import named

QUERIES = named(resources.files(__package__).joinpath("directory.sql").read_text("utf-8"))
"""Name to statement."""

Guard = Callable[[Coroutine[Any, Any, Rows]], Awaitable[Rows]]


class PostgresDirectory:
    """The port `Directory`.

    Args:
        links: Connections to ask on.
        guard: Awaits what is asked of a database that is ready, with its errors in our words.
    """

    def __init__(self, links: Links, guard: Guard) -> None:
        self._links = links
        self._guard = guard

    async def listing(self, known: int | None = None) -> Listing | None:
        """See `Directory.listing`."""
        # The revision first: what changes meanwhile is read again for it.
        revision = (await self._ask("revision"))[0][0]
        if revision == known:
            return None
        services, instances = await self._ask("services"), await self._ask("instances")
        return listed.listing(revision, services, instances, await self._ask("health"))

    async def put_service(self, name: str, keys: dict[str, Any]) -> bool:
        """See `Directory.put_service`."""
        rows = await self._ask("put_service", name, listed.text(keys))
        return bool(rows and rows[0][0])

    async def remove_service(self, name: str) -> bool:
        """See `Directory.remove_service`."""
        return bool((await self._ask("remove_service", name))[0][0])

    async def put_instance(self, service: str, instance_id: str, url: str, labels: dict[str, str], ttl_ms: int) -> bool:
        """See `Directory.put_instance`."""
        values = (service, instance_id, url, listed.text(labels), ttl_ms)
        return bool((await self._ask("put_instance", *values))[0][0])

    async def remove_instance(self, service: str, instance_id: str) -> bool:
        """See `Directory.remove_instance`."""
        return bool((await self._ask("remove_instance", service, instance_id))[0][0])

    async def description(self, service: str) -> Description | None:
        """See `Directory.description`."""
        found = await self._ask("description", service)
        return None if not found else Description(source=found[0][0], content=found[0][1], read_ms=found[0][2])

    async def keep_description(self, service: str, described: Description) -> None:
        """See `Directory.keep_description`."""
        await self._ask("keep_description", service, described.source, described.content, described.read_ms)

    async def claim_checks(self, asked: Sequence[Check], by: str) -> Claimed:
        """See `Directory.claim_checks`."""
        columns = ([each.service for each in asked], [each.url for each in asked], [each.again_ms for each in asked])
        rows = await self._ask("claim_checks", *columns, by)
        waits_ms = [row[9] for row in rows if row[9] is not None]
        return Claimed(
            due=tuple(listed.endpoint_health(row[:9]) for row in rows if row[0] is not None),
            next_ms=max(min(waits_ms), 0) if waits_ms else None,
        )

    async def put_health(self, found: Sequence[EndpointHealth]) -> None:
        """See `Directory.put_health`."""
        columns: list[list[Any]] = [
            [each.service for each in found],
            [each.url for each in found],
            [each.turn for each in found],
            [each.well for each in found],
            [each.reason.replace("\0", "\ufffd") for each in found],
            [each.in_a_row for each in found],
        ]
        await self._ask("put_health", *columns)

    async def _ask(self, name: str, *values: Any) -> Rows:
        return await self._guard(self._links.ask(QUERIES[name], *values))
