"""What requests about services carry and what is answered: the bodies of `/v1/services`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from makegood.api.shapes import Body, Count, Moment, Text


class PutEndpoint(Body):
    """An endpoint of a service, and what is said about it."""

    url: Text
    labels: dict[str, Text] | None = None


class PutService(Body):
    """A service, as `[services.NAME]` of the configuration describes one."""

    url: Text | None = None
    urls: Annotated[list[Text | PutEndpoint], Meta(max_length=100)] | None = None
    timeout_seconds: float | None = None
    health: Text | None = None
    health_timeout_seconds: float | None = None
    healthy_after: int | None = None
    unhealthy_after: int | None = None
    openapi: Text | None = None
    validate: bool | None = None
    headers: dict[str, Text] | None = None
    max_concurrent: int | None = None
    rate: float | None = None
    wait_seconds: float | None = None
    strict_idempotent: bool | None = None
    discover: Text | None = None
    allow_link_local: bool | None = None
    auth: dict[str, Text] | None = None
    tls: dict[str, Text] | None = None
    methods: dict[str, dict[str, Any]] | None = None


class PutInstance(Body):
    """An endpoint that registers itself, for so long; it does so again before that is over."""

    url: Text
    labels: dict[Text, Text] = field(default_factory=dict)
    ttl_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 30.0


class Endpoint(Struct, kw_only=True):
    """One place where a service is, as this replica sees it. `source`: who named it."""

    url: str
    labels: dict[str, str]
    source: Literal["config", "instances", "discovery"]
    healthy: bool
    reason: str
    since: Moment
    circuit: Literal["closed", "open", "half_open"]
    in_flight: Count
    p50_ms: float | None
    p99_ms: float | None


class WaitingExecution(Struct, kw_only=True):
    """An execution that waits for a service, and the step in it that has waited longest."""

    id: str
    step: str
    since: Moment


class WaitingList(Struct, kw_only=True):
    """How many executions wait for a service, and the first 100, the longest first."""

    count: Count
    executions: list[WaitingExecution]


class Discovery(Struct, kw_only=True):
    """How the discovery of a service stands. `reason`: why it is not found; `answered`: when the last answer came."""

    state: Literal["asking", "found", "absent", "unreachable"]
    reason: str
    since: Moment
    answered: Moment | None


class Service(Struct, kw_only=True):
    """A service. `local`: it is a part of this process. `fault`: why one that the database keeps is not used."""

    name: str
    source: Literal["process", "configuration", "database", "discovery"]
    fault: str | None
    local: bool
    endpoints: list[Endpoint]
    in_flight: Count
    timeout_seconds: float | None
    health: str | None
    health_timeout_seconds: float
    healthy_after: int
    unhealthy_after: int
    openapi: str | None
    openapi_fault: str | None
    validate: bool
    headers: dict[str, str]
    max_concurrent: int
    rate: float | None
    wait_seconds: float
    strict_idempotent: bool
    allow_link_local: bool
    discover: str | None
    discovery: Discovery | None
    auth: dict[str, str] | None
    tls: dict[str, str] | None
    methods: dict[str, dict[str, Any]]
    waiting: WaitingList | UnsetType = UNSET


class ServiceList(Struct, kw_only=True):
    """All services, those that the database keeps included."""

    services: list[Service]


class LookedAt(Struct, kw_only=True):
    """What one endpoint answered just now."""

    url: str
    asked: str
    healthy: bool
    reason: str
    took_ms: float


class ServiceCheck(Struct, kw_only=True):
    """What the endpoints of a service answered just now."""

    name: str
    fault: str | None
    endpoints: list[LookedAt]


class Instance(Struct, kw_only=True):
    """An endpoint that registered itself."""

    service: str
    id: str
    url: str
    labels: dict[str, str]
    ttl_seconds: float
