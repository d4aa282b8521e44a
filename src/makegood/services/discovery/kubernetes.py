"""Discovery in Kubernetes: the EndpointSlices of a Service, listed and then watched."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from makegood.errors import ConfigurationError
from makegood.services.discovery.cluster import Cluster, Gone
from makegood.services.discovery.port import Absent, Asked, Settings, Unreachable
from makegood.services.discovery.slices import Slice, endpoints
from makegood.services.endpoint import Endpoint

ABSENT_S = 5.0
"""How long until a service that is not there is asked for again."""
PAUSE_S = 1.0
"""Between two watches of which the first said nothing, so that a server that ends each at once is not hammered."""

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_ASKED = re.compile(rf"(?:(?P<namespace>{_LABEL})/)?(?P<service>{_LABEL})(?::(?P<port>[a-z0-9-]{{1,63}}))?")
_NAMESPACE = re.compile(_LABEL)


@dataclass(frozen=True, slots=True)
class _Service:
    """What `namespace/service:port` says; None where it says nothing."""

    namespace: str | None
    name: str
    port: str | None


class Kubernetes:
    """Finds Services of a cluster by its API.

    Args:
        settings: See `Cluster`.
        sleep: Waits for so many seconds.

    Raises:
        ConfigurationError: A setting does not fit.
    """

    def __init__(self, settings: Settings, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        if settings.namespace is not None and _NAMESPACE.fullmatch(settings.namespace) is None:
            raise ConfigurationError(
                f"service_registry.namespace = {settings.namespace!r} cannot be a namespace's name"
            )
        self._cluster = Cluster(settings)
        self._sleep = sleep

    def check(self, asked: Asked) -> bool:
        """Whether it is `namespace/service:port`, or a name that a Service can have."""
        if asked.discover is None:
            return _NAMESPACE.fullmatch(asked.service) is not None
        _read(asked)
        return True

    async def watch(self, asked: Asked) -> AsyncGenerator[Sequence[Endpoint], None]:
        """The endpoints that the Service's slices name, whenever they have changed."""
        service = _read(asked)
        namespace = service.namespace or self._cluster.namespace()
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        query = {"labelSelector": f"kubernetes.io/service-name={service.name}"}
        before: list[Endpoint] | None = None
        async with aclosing(self._slices(path, query)) as changes:
            async for slices in changes:
                if not slices:
                    raise Absent(
                        f"there is no EndpointSlice of a service {service.name!r} in the namespace {namespace!r}",
                        again_s=ABSENT_S,
                    )
                found = endpoints(slices, asked, host=f"{service.name}.{namespace}.svc", port=service.port)
                if found != before:
                    before = found
                    yield found

    async def aclose(self) -> None:
        """Close all connections."""
        self._cluster.close()

    async def _slices(self, path: str, query: dict[str, str]) -> AsyncGenerator[Sequence[Slice], None]:
        """All slices that the selector chooses, whenever one has changed."""
        while True:
            listed = await self._cluster.list(path, query)
            version = _version(listed)
            slices = {_name(each): each for each in listed.get("items") or ()}
            yield tuple(slices.values())
            try:
                while True:
                    said = False
                    async with aclosing(self._cluster.watch(path, query, version)) as events:
                        async for event in events:
                            said = True
                            version = _version(event.get("object"))
                            if _apply(event, slices):
                                yield tuple(slices.values())
                    if not said:
                        await self._sleep(PAUSE_S)
            except Gone:
                continue


def _apply(event: dict[str, Any], slices: dict[str, Slice]) -> bool:
    """Whether the event changed something."""
    described = event.get("object") or {}
    match event.get("type"):
        case "ADDED" | "MODIFIED":
            slices[_name(described)] = described
            return True
        case "DELETED":
            slices.pop(_name(described), None)
            return True
        case "BOOKMARK":
            return False
        case other:
            raise Unreachable(f"the API of Kubernetes tells of an event {other!r}, which is none")


def _read(asked: Asked) -> _Service:
    text = asked.service if asked.discover is None else asked.discover
    found = _ASKED.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"service {asked.service!r}: discover = {text!r} is not namespace/service:port, of which namespace "
            "and port may be left out"
        )
    if found["port"] is not None and found["port"].isdecimal():
        raise ConfigurationError(
            f"service {asked.service!r}: discover = {text!r} gives the port by its number; give the name that it has "
            "in the Service"
        )
    return _Service(found["namespace"], found["service"], found["port"])


def _name(described: Slice) -> str:
    name = (described.get("metadata") or {}).get("name")
    if not isinstance(name, str):
        raise Unreachable("the API of Kubernetes gives an EndpointSlice without a name")
    return name


def _version(described: Any) -> str:
    version = ((described or {}).get("metadata") or {}).get("resourceVersion")
    if not isinstance(version, str):
        raise Unreachable("the API of Kubernetes gives an object without a resourceVersion")
    return version
