"""What is known of one service, checked at birth. Nothing here connects or resolves anything."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from makegood.errors import ConfigurationError
from makegood.services.credentials import Auth, auth_from
from makegood.services.endpoint import Endpoint
from makegood.services.secrets import is_reference
from makegood.services.templates import Method, methods_from
from makegood.services.tls import Tls, tls_from

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
TCP = "tcp"
"""As `health`: whether it can be connected to."""
_ZONE = re.compile(r"%25[^\]]*")
_OURS = frozenset(
    {
        "connection", "content-length", "content-type", "expect", "host", "idempotency-key", "keep-alive",
        "makegood-attempt", "makegood-callback", "makegood-deadline", "makegood-execution", "makegood-step",
        "te", "trailer",
        "traceparent", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers that the adapter sets itself, or that would change how the message is framed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """One service, as `[services.NAME]` describes it.

    Attributes:
        name: What definitions call it: letters, digits, `_` and `-`, at most 63.
        urls: Its endpoints; empty for a local service. Each an URL, an `Endpoint` or `{url, labels}`.
        labels: Of its endpoints, by their URLs; those given in `urls` are added.
        timeout_ms: Bound of one attempt where the call gives none.
        headers: Sent with every request; a value may be `env:NAME` or `file:/path`.
        max_concurrent: Calls in flight at once.
        rate: Calls that begin in a second; None: any number.
        wait_ms: How long a step may wait for a healthy endpoint.
        strict_idempotent: Whether a rejection after an unknown attempt clears it (rule 3).
        openapi: Its OpenAPI description: a file's path or an URL, or None.
        validate: Whether replies are held to the description.
        health: Path that is asked whether an endpoint is well, `tcp` to connect only, or None.
        health_timeout_ms: Bound of one check.
        healthy_after: So many checks in a row that find an endpoint well make it well again.
        unhealthy_after: So many that do not make it unwell.
        discover: What `service_registry` is asked for to find its endpoints; one of `urls` is then their form. None: by
            its name, if it has no `urls` and the registry finds services so.
        allow_link_local: Whether its addresses may be link-local or a cloud's metadata service.
        auth: Who we say we are: `{bearer}` or `{user, password}`; secrets are `env:NAME` or `file:/path`.
        tls: Paths of PEM files, `{ca, certificate, key}`: whom to trust instead of the system's authorities,
            and what to show.
        methods: How methods become ordinary requests, by name: `{verb, path, query, body, output, outcomes,
            callback}`.
        credentials: `auth`, checked.
        pem_files: `tls`, checked.
        templates: `methods`, compiled.
    """

    name: str
    urls: tuple[str, ...] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    timeout_ms: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    max_concurrent: int = 100
    rate: float | None = None
    wait_ms: int = 60_000
    strict_idempotent: bool = False
    health: str | None = None
    openapi: str | None = None
    validate: bool = False
    health_timeout_ms: int = 5_000
    healthy_after: int = 1
    unhealthy_after: int = 2
    allow_link_local: bool = False
    auth: Mapping[str, str] | None = None
    tls: Mapping[str, str] | None = None
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    credentials: Auth | None = field(init=False, compare=False, default=None)
    pem_files: Tls | None = field(init=False, compare=False, default=None)
    templates: Mapping[str, Method] = field(init=False, compare=False, default_factory=dict)
    discover: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        endpoints = tuple(_endpoint(self.name, each, self.labels) for each in self.urls)
        object.__setattr__(self, "urls", tuple(each.url for each in endpoints))
        object.__setattr__(
            self, "labels", MappingProxyType({each.url: each.labels for each in endpoints if each.labels})
        )
        if self.discover is not None and len(self.urls) > 1:
            raise ConfigurationError(
                f"service {self.name!r}: discover gives its endpoints, and takes their scheme and path from one url. "
                "Keep url or none."
            )
        object.__setattr__(self, "headers", MappingProxyType(dict(self.headers)))
        for name, value in self.headers.items():
            _check_header(self.name, name, value)
        if self.openapi is not None and self.openapi.startswith(("http://", "https://")):
            _check_document_url(self.name, self.openapi)
        if self.validate and self.openapi is None:
            raise ConfigurationError(f"service {self.name!r}: `validate` needs `openapi`: what replies are held to")
        for setting, least in _LEAST:
            value_ = getattr(self, setting)
            if value_ is not None and (not isinstance(value_, int) or value_ < least):
                raise ConfigurationError(f"service {self.name!r}: {setting} must be at least {least}, not {value_!r}")
        if self.auth is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ConfigurationError(
                f"service {self.name!r} has auth and a header Authorization. Keep one of them.", at=("auth",)
            )
        if self.tls is not None and (plain := [url for url in self.urls if url.startswith("http:")]):
            raise ConfigurationError(f"service {self.name!r} has tls, and {plain[0]!r} is not https://", at=("tls",))
        try:
            object.__setattr__(self, "credentials", None if self.auth is None else auth_from(self.auth))
            object.__setattr__(self, "pem_files", None if self.tls is None else tls_from(self.tls))
            object.__setattr__(self, "templates", methods_from(self.methods))
        except ConfigurationError as error:
            raise ConfigurationError(f"service {self.name!r}: {error}", at=error.at) from None

        if self.health is not None and self.health != TCP and not _is_path(self.health):
            raise ConfigurationError(f'service {self.name!r}: health is a path such as "/healthz", or "tcp"')
        if self.rate is not None and not (_is_number(self.rate) and self.rate > 0):
            raise ConfigurationError(f"service {self.name!r}: rate must be above 0, not {self.rate!r}")

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its endpoints with their labels; none if they are discovered."""
        if self.discover is not None:
            return ()
        return tuple(Endpoint(url, self.labels.get(url, {})) for url in self.urls)

    def __repr__(self) -> str:
        headers = "{" + ", ".join(f"{name!r}: '***'" for name in self.headers) + "}"
        return (
            f"ServiceConfig(name={self.name!r}, urls={self.urls!r}, labels={dict(self.labels)!r}, "
            f"timeout_ms={self.timeout_ms!r}, headers={headers}, "
            f"max_concurrent={self.max_concurrent!r}, rate={self.rate!r}, wait_ms={self.wait_ms!r}, "
            f"strict_idempotent={self.strict_idempotent!r}, health={self.health!r}, "
            f"openapi={self.openapi!r}, validate={self.validate!r}, "
            f"health_timeout_ms={self.health_timeout_ms!r}, healthy_after={self.healthy_after!r}, "
            f"unhealthy_after={self.unhealthy_after!r}, "
            f"allow_link_local={self.allow_link_local!r}, auth={self.auth!r}, tls={self.tls!r}, "
            f"methods={dict(self.methods)!r}, discover={self.discover!r})"
        )


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


_LEAST = (
    ("max_concurrent", 1),
    ("wait_ms", 0),
    ("timeout_ms", 1),
    ("health_timeout_ms", 1),
    ("healthy_after", 1),
    ("unhealthy_after", 1),
)


def _endpoint(service: str, given: Any, labels: Mapping[str, Mapping[str, str]]) -> Endpoint:
    """One of `urls`, in any of its forms."""
    if isinstance(given, Mapping):
        unknown = given.keys() - {"url", "labels"}
        if unknown or not isinstance(given.get("url"), str):
            raise ConfigurationError(
                f"service {service!r}: an endpoint is an URL or {{url, labels}}, not one with {sorted(given)}"
            )
        return Endpoint(checked_url(service, given["url"]), given.get("labels") or {})
    if isinstance(given, Endpoint):
        return Endpoint(checked_url(service, given.url), given.labels)
    url = checked_url(service, given)
    return Endpoint(url, labels.get(url, {}))


def _is_path(text: str) -> bool:
    """Whether a request line can hold it."""
    return text.startswith("/") and text.isascii() and text.isprintable() and not set(" #") & set(text)


def check_name(name: str) -> None:
    """Refuse what cannot be a service's name.

    Raises:
        ConfigurationError: It does not fit the pattern.
    """
    if NAME.fullmatch(str(name)) is None:
        raise ConfigurationError(
            f"{name!r} cannot be a service's name: use at most 63 letters, digits, _ and -, not beginning with - "
            "(no dot: what follows the dot in a call is the method)"
        )


def checked_url(service: str, url: str) -> str:
    """An endpoint's URL without the slash at its end.

    Raises:
        ConfigurationError: It is no plain http or https URL.
    """

    def refuse(why: str) -> ConfigurationError:
        return ConfigurationError(f"service {service!r}: {why}")

    if not url.isascii() or not url.isprintable() or " " in url:
        raise refuse("the URL is not printable ASCII; write an international host name in its xn-- form")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refuse(f"the URL cannot be read: {error}") from None
    if parts.username is not None or parts.password is not None:
        # The URL itself is not repeated: it holds a password.
        raise refuse("the URL contains credentials; put them in headers as env:NAME or file:/path")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise refuse(f"{url!r} is not an http:// or https:// URL with a host")
    if parts.query or parts.fragment:
        raise refuse(f"{url!r} has a query or fragment; the method's name is put after its path")
    return url.rstrip("/")


def _check_document_url(service: str, url: str) -> None:
    base = url.partition("#")[0].partition("?")[0]
    checked_url(service, base)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"service {service!r}: the URL of its description is not printable ASCII")


def split_url(url: str) -> tuple[SplitResult, str, int]:
    """A checked URL's parts, host and port. The zone of an IPv6 address, `%25eth0`, is `%eth0` in the host."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts, parts.hostname.replace("%25", "%"), parts.port or (443 if parts.scheme == "https" else 80)


def host_header(parts: SplitResult) -> str:
    """The value of `Host`. A zone means something on this machine only, and is left out."""
    return _ZONE.sub("", parts.netloc)


def _check_header(service: str, name: str, value: str) -> None:
    if _HEADER_NAME.fullmatch(name) is None:
        raise ConfigurationError(f"service {service!r}: {name!r} cannot be a header's name")
    if name.lower() in _OURS:
        raise ConfigurationError(f"service {service!r}: the header {name!r} is set by makegood itself")
    if not is_reference(value) and not sendable(value):
        # The value is not repeated: it may be a secret written in the wrong place.
        raise ConfigurationError(f"service {service!r}: the value of header {name!r} holds what a header cannot")


def sendable(value: str) -> bool:
    """Whether a header can hold it: printable ASCII and tabs, so that it cannot end its own line."""
    return value.isascii() and value.replace("\t", " ").isprintable()
