"""The port of discovery: what is asked, what is answered, and the two ways of having no answer.

An adapter knows one protocol and nothing else. It keeps no last answer, waits for no retry and logs
nothing: `following` does all of that once, for every adapter.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Protocol
from urllib.parse import urlsplit

from makegood.services.endpoint import LABEL_MAX, Endpoint

ENDPOINTS_MAX = 1000
"""Of one service. What comes beyond is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where one service is wanted to be found.

    Attributes:
        service: Its name in definitions.
        discover: What the adapter is asked for, in its own words; None: by the service's name, by convention.
        url: The form of the endpoints' URLs: scheme, path, and port where discovery gives none. Its host is not
            looked at. None: the adapter's own choice, `http` and no path unless it knows better.
    """

    service: str
    discover: str | None = None
    url: str | None = None

    def endpoint(
        self, address: str, port: int | None, *, scheme: str = "http", labels: Mapping[str, str] | None = None
    ) -> Endpoint:
        """The endpoint at an address.

        Args:
            address: IPv4 or IPv6, without brackets.
            port: As discovered; None takes that of `url`, or the scheme's own.
            scheme: As discovered; that of `url` wins.
        """
        parts = urlsplit(self.url or f"{scheme}://any")
        port = port or parts.port
        host = f"[{address}]" if isinstance(ip_address(address.partition("%")[0]), IPv6Address) else address
        place = host if port is None else f"{host}:{port}"
        fit = {name: text for name, text in (labels or {}).items() if len(text) <= LABEL_MAX}
        return Endpoint(f"{parts.scheme}://{place}{parts.path.rstrip('/')}", fit)


class Unreachable(Exception):
    """Discovery itself gives no answer. What was found before still holds; the message says why, for a person."""


class Absent(Exception):
    """Discovery answers that there is no such service; the message says what there is not, for a person.

    Attributes:
        again_s: When it is worth asking again; None leaves it to who asks.
    """

    def __init__(self, message: str, *, again_s: float | None = None) -> None:
        super().__init__(message)
        self.again_s = again_s


class Discovery(Protocol):
    """A way to find where services are."""

    def check(self, asked: Asked) -> bool:
        """Whether this can be asked at all. Nothing is connected to, no file is read.

        Returns:
            False when nothing is said of the service (`discover` is None) and its name fits no convention.

        Raises:
            ConfigurationError: `discover` or `url` does not fit; the message says what does.
        """
        ...

    def watch(self, asked: Asked) -> AsyncGenerator[Sequence[Endpoint], None]:
        """Where the service is: once as soon as that is known, then whenever it has changed, without an end.

        An empty answer means that the service is there, and none of it can be called now.

        Raises:
            Absent: There is no such service.
            Unreachable: Discovery gives no answer, or no longer.
        """
        ...

    async def aclose(self) -> None:
        """Close connections. What is watched ends as unreachable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `[service_registry]` says to an adapter; the table of keys says what each means."""

    dns_server: str | None = None
    domain: str | None = None
    ttl_seconds_min: float = 5.0
    ttl_seconds_max: float = 300.0
    namespace: str | None = None
    kubernetes_api: str | None = None
    service_account: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
