"""All services of one process by name: the `Invoker` port over local objects and HTTP endpoints.

Here: names, those found by their names alone, and the promise that an invocation ends in a reply. Whether
one may begin is its gate's business, how a request travels the adapters', what a reply leads to the engine's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from makegood.core.outcome import Reply
from makegood.errors import ConfigurationError, NotFound, nearest
from makegood.ports import Invocation, Slot
from makegood.services.callbacks import Callbacks
from makegood.services.circuit import POLICY, Policy
from makegood.services.config import ServiceConfig
from makegood.services.deadline import Deadline
from makegood.services.discovery.by_name import ByName
from makegood.services.discovery.following import Following
from makegood.services.discovery.following import Standing as DiscoveryStanding
from makegood.services.discovery.local import Local
from makegood.services.discovery.port import Asked, Discovery
from makegood.services.endpoint import Endpoint
from makegood.services.gate import Gate, Later, later
from makegood.services.local import LocalService
from makegood.services.pool import SOURCES, Pool

_log = logging.getLogger("makegood.services")


class Adapter(Protocol):
    """A way to reach one service."""

    async def call(self, invocation: Invocation, deadline: Deadline) -> Reply:
        """Send one request."""
        ...

    async def look(self, url: str, deadline: Deadline) -> str:
        """Why an endpoint is not well; empty when it is."""
        ...

    def retire(self) -> None:
        """Take no new calls; open ones go on."""
        ...

    def close(self) -> None:
        """Abandon open calls."""
        ...


@dataclass(slots=True)
class _Service:
    config: ServiceConfig
    adapter: Adapter


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Registry:
    """Services that are registered by hand or by configuration. Implements `ports.Invoker`.

    Args:
        now_ms: The wall clock.
        zone: Where this process is: endpoints with that label `zone` are preferred.
        callbacks: The addresses that services call back, or None.
        policy: When circuits open, and for how long.
        ticks_s: Seconds of a clock that does not go back.
        later: Calls back after so many of its seconds; None: the running loop does.
        discovery: Where services are found that are not at an URL; None: nowhere. Closed with the registry.
    """

    def __init__(
        self,
        now_ms: Callable[[], int] = _wall_clock_ms,
        *,
        zone: str | None = None,
        callbacks: Callbacks | None = None,
        policy: Policy = POLICY,
        ticks_s: Callable[[], float] = time.monotonic,
        later: Later = later,
        discovery: Discovery | None = None,
    ) -> None:
        self.callbacks = callbacks
        self.on_free: Callable[[str], None] | None = None
        self._now_ms = now_ms
        self._zone = zone
        self._policy = policy
        self._ticks_s = ticks_s
        self._later = later
        self._replicas = 1
        self._following = Following(discovery or Local(), self._discovered, now_ms=now_ms)
        self._by_name = ByName(self._following, ticks_s)
        self._services: dict[str, _Service] = {}
        self._gates: dict[str, Gate] = {}
        self._checks: dict[str, Mapping[str, Callable[[Any], str | None]]] = {}

    def register(self, name: str, service: Any, config: ServiceConfig | None = None) -> None:
        """Add a service, or replace the one of that name; its open calls go on, and its pool is kept.

        Args:
            name: letters, digits, `_` and `-`, at most 63.
            service: An URL, a `ServiceConfig` with urls, an object whose public methods are called,
                a function, or a dict of functions.
            config: Limits for a service that is no `ServiceConfig` itself.

        Raises:
            ConfigurationError: The name, URL or object does not fit.
        """
        gate = self._gates.get(name) or self._new_gate(name)
        added = _built(name, service, config, gate.pool, self.callbacks)
        asked = self._asked(added)
        self._checks.pop(name, None)
        replaced = self._services.get(name)
        self._services[name] = added
        self._gates[name] = gate
        gate.fit(added.config, remote=not isinstance(added.adapter, LocalService))
        gate.pool.set("config", added.config.endpoints)
        self._by_name.forget(name)
        if asked is not None:
            self._following.follow(asked)
        elif self._following.standing(name) is not None:
            self._following.forget(name)
            gate.pool.set("discovery", ())
        if replaced is not None:
            replaced.adapter.retire()
        gate.tell()

    def _new_gate(self, name: str) -> Gate:
        pool = Pool(name, zone=self._zone, policy=self._policy, ticks_s=self._ticks_s, now_ms=self._now_ms)
        gate = Gate(pool, tell=lambda: self._tell(name), ticks_s=self._ticks_s, later=self._later)
        gate.share(self._replicas)
        return gate

    def check(self, config: ServiceConfig) -> None:
        """Raises ConfigurationError when discovery cannot be asked for what a service asks it."""
        if config.discover is not None:
            self._following.check(_asked_by(config))

    def unregister(self, name: str) -> None:
        """Forget a service; its open calls go on.

        Raises:
            NotFound: There is none of that name.
        """
        removed = self._services.pop(name, None)
        if removed is None:
            raise NotFound(f"there is no service {name!r}.{nearest(name, self._services)}")
        removed.adapter.retire()
        self._by_name.forget(name)
        self._following.forget(name)
        self._checks.pop(name, None)
        gate = self._gates[name]
        # Whoever comes back under this name is somewhere else.
        for source in SOURCES:
            gate.pool.set(source, ())
        if not gate.taken:
            del self._gates[name]
        # Whoever waits for a place must learn that there is none.
        gate.tell()

    def config(self, name: str) -> ServiceConfig:
        """What is known of one service.

        Raises:
            NotFound: There is none of that name.
        """
        found = self._services.get(name)
        if found is None:
            raise NotFound(f"there is no service {name!r}.{nearest(name, self._services)}")
        return found.config

    def in_flight(self, name: str) -> int:
        """How many places are held."""
        gate = self._gates.get(name)
        return gate.taken if gate else 0

    def pool(self, name: str) -> Pool:
        """The endpoints of one service; none of a local one.

        Raises:
            NotFound: There is none of that name.
        """
        self.config(name)
        return self._gates[name].pool

    def is_local(self, name: str) -> bool:
        """Whether a service is a part of this process. Raises as `pool`."""
        self.config(name)
        return isinstance(self._services[name].adapter, LocalService)

    async def look(self, name: str, url: str, most_ms: int | None = None) -> str:
        """Ask an endpoint of a service whether it is well: why not, or empty. Raises as `pool`.

        Args:
            most_ms: It may take; less than the service's own bound, if that is more.
        """
        bound_ms = min(self.config(name).health_timeout_ms, most_ms or math.inf)
        deadline = Deadline(self._now_ms() + round(bound_ms), self._now_ms)
        return await self._services[name].adapter.look(url, deadline)

    def set_share(self, replicas: int) -> None:
        """Take the part of every service's limits that falls to one of so many processes that share them.

        Args:
            replicas: How many there are; less than 1 counts as 1.
        """
        replicas = max(1, replicas)
        if replicas != self._replicas:
            self._replicas = replicas
            for gate in list(self._gates.values()):
                gate.share(replicas)

    def begin(self) -> None:
        """Look for services that are discovered, on the running loop. Until then nothing is connected to."""
        self._following.begin()

    @property
    def discovers(self) -> bool:
        """Whether services that are not registered may be found by their names."""
        return self._by_name.any

    def discovery(self, name: str) -> DiscoveryStanding | None:
        """How the discovery of a service stands; None for one that is not discovered."""
        return self._following.standing(name)

    def knows(self, service: str) -> bool:
        """Whether there is such a service; one that was found by its name alone is not known."""
        return service in self._services and service not in self._by_name

    def names(self) -> Collection[str]:
        """The names of all services, in order of registration, and of those that were found by their names."""
        return tuple(self._services)

    def offers(self, service: str) -> bool:
        """Whether it may be called here: it is known, or it may be found when it is asked for."""
        return service in self._services or self._by_name.fits(service)

    def offered(self) -> Collection[str] | None:
        """All services that may be called here; None: any may be found."""
        return None if self.discovers else self.names()

    def strict_idempotent(self, service: str) -> bool:
        """Whether a rejection after an unknown attempt clears it (rule 3)."""
        found = self._services.get(service)
        return found is not None and found.config.strict_idempotent

    def default_timeout_ms(self, service: str) -> int | None:
        """The service's own bound of an attempt, if it has one."""
        found = self._services.get(service)
        return found.config.timeout_ms if found else None

    def wait_ms(self, service: str) -> int:
        """How long a step may wait for an endpoint of it that is well."""
        found = self._services.get(service)
        return found.config.wait_ms if found else 0

    def reserve(self, service: str) -> Slot:
        """Take a place for one call, without waiting."""
        if service not in self._services and not self._look_for(service):
            return Slot.MISSING
        return self._gates[service].enter()

    def release(self, service: str) -> None:
        """Give back a place that will not be used."""
        gate = self._gates.get(service)
        if gate is not None:
            gate.give_back()

    async def invoke(self, invocation: Invocation) -> Reply:
        """Send one request under a place taken before, and give the place back."""
        deadline = Deadline(invocation.deadline_ms, self._now_ms)
        found, gate = self._services.get(invocation.service), self._gates.get(invocation.service)
        if found is None or gate is None:
            self.release(invocation.service)
            message = f"there is no service {invocation.service!r}.{nearest(invocation.service, self._services)}"
            return Reply("not_sent", code="service_not_found", message=message)
        if deadline.passed:
            gate.give_back()
            message = "the attempt's deadline passed before anything was sent"
            return Reply("not_sent", code="service_unavailable", message=message)
        try:
            return self._held(invocation, await found.adapter.call(invocation, deadline))
        except Exception as error:  # noqa: BLE001 - the port promises a reply, whatever goes wrong
            # A mistake of ours. Perhaps the request left: nothing better can be said.
            _log.exception("calling %s.%s went wrong", invocation.service, invocation.method)
            return Reply("unknown", code="service_error", message=f"internal error: {type(error).__name__}")
        finally:
            gate.leave()

    def hold_to(self, service: str, checks: Mapping[str, Callable[[Any], str | None]]) -> None:
        """Hold the replies of a service to what it describes.

        Args:
            service: Its name.
            checks: By method: what is wrong with an answer's body, or None.
        """
        self._checks[service] = checks

    def _held(self, invocation: Invocation, reply: Reply) -> Reply:
        check = self._checks.get(invocation.service, {}).get(invocation.method)
        if check is None or reply.outcome != "ok" or (wrong := check(reply.output)) is None:
            return reply
        # It may well have done what it was asked: that it answers otherwise than it says is all that is known.
        message = f"the answer is not what the service describes: {wrong}"
        return Reply("unknown", code="invalid_reply", message=message, status=reply.status)

    async def aclose(self) -> None:
        """Close connections. Open calls are abandoned."""
        await self._following.aclose()
        for service in self._services.values():
            service.adapter.close()
        for gate in self._gates.values():
            gate.close()

    # --- discovery ---

    def _asked(self, added: _Service) -> Asked | None:
        """What discovery is asked for; None for a service that is not discovered.

        Raises:
            ConfigurationError: It cannot be asked for that.
        """
        config = added.config
        if isinstance(added.adapter, LocalService) or (config.discover is None and config.urls):
            return None
        asked = _asked_by(config)
        return asked if self._following.check(asked) else None

    def _look_for(self, service: str) -> bool:
        """Begin to look for a service by its name alone; False when it cannot be, or was not found just now."""
        if not self._by_name.may_look(service):
            return False
        self.register(service, ServiceConfig(name=service))
        self._by_name.begin(service)
        self._following.begin()
        return True

    def _discovered(self, service: str, endpoints: Sequence[Endpoint] | None) -> None:
        if self._by_name.answered(service, there=endpoints is not None):
            self._gates[service].pool.set("discovery", endpoints or ())
        else:
            # Nobody ever knew it: who asks for it is told so, and not to wait.
            self.unregister(service)

    def _tell(self, service: str) -> None:
        if self.on_free is not None:
            self.on_free(service)


def _asked_by(config: ServiceConfig) -> Asked:
    return Asked(service=config.name, discover=config.discover, url=next(iter(config.urls), None))


def _built(name: str, service: Any, config: ServiceConfig | None, pool: Pool, callbacks: Callbacks | None) -> _Service:
    if isinstance(service, ServiceConfig):
        if service.name != name:
            raise ConfigurationError(f"service {name!r}: its configuration is named {service.name!r}")
        if config is not None:
            raise ConfigurationError(f"service {name!r}: give one configuration, not two")
        config = service
    if isinstance(service, str):
        config = _with_url(name, service, config)
    config = config or ServiceConfig(name=name)
    if config.name != name:
        raise ConfigurationError(f"service {name!r}: its configuration is named {config.name!r}")
    if isinstance(service, str | ServiceConfig):
        # Imported here: `import makegood` need not pay for it.
        from makegood.services.http import HttpService  # noqa: PLC0415

        if callbacks is None and (telling := [each for each, how in config.templates.items() if how.callback]):
            raise ConfigurationError(
                f"service {name!r}: method {telling[0]!r} has callback = true, and there is no [callbacks] with url "
                "and secret: where the service is to call back, and what the address is made with"
            )
        return _Service(config, HttpService(config, pool, callbacks))
    if config.urls:
        raise ConfigurationError(f"service {name!r}: a local service has no urls")
    return _Service(config, LocalService(name, service))


def _with_url(name: str, url: str, config: ServiceConfig | None) -> ServiceConfig:
    if config is None:
        return ServiceConfig(name=name, urls=(url,))
    if config.urls:
        raise ConfigurationError(f"service {name!r}: its URL is given twice")
    return replace(config, urls=(url,))
