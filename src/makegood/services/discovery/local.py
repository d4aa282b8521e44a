"""Discovery of what is written down: no network, no change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from makegood.errors import ConfigurationError
from makegood.services.discovery.port import Absent, Asked
from makegood.services.endpoint import Endpoint


class Local:
    """Knows the services that it is given, and no others.

    Args:
        services: Their endpoints, by name; with none, services are where `[services.NAME]` says.
    """

    def __init__(self, services: Mapping[str, Sequence[Endpoint]] | None = None) -> None:
        self._services = dict(services or {})

    def check(self, asked: Asked) -> bool:
        """Whether it is one of those given."""
        name = asked.service if asked.discover is None else asked.discover
        if asked.discover is not None and name not in self._services:
            raise ConfigurationError(
                f"service {asked.service!r}: discover = {asked.discover!r} needs a registry that discovers. "
                'Set type = "dns" or "kubernetes" in [service_registry], or give the service a url.'
            )
        return name in self._services

    async def watch(self, asked: Asked) -> AsyncGenerator[Sequence[Endpoint], None]:
        """The endpoints that were given."""
        found = self._services.get(asked.discover or asked.service)
        if found is None:
            raise Absent(f"no service {asked.discover or asked.service!r} is written down")
        yield found
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        """Nothing is open."""
