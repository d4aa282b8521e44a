"""All services of one process by name: the `Invoker` port over local objects and HTTP endpoints.

Here: names, places (how many calls at once) and the promise that an invocation ends in a reply. How a
request travels is the adapters' business, what a reply leads to the engine's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from makegood.core.outcome import Reply
from makegood.errors import ConfigurationError, NotFound, nearest
from makegood.ports import Invocation, Slot
from makegood.services.callbacks import Callbacks
from makegood.services.config import ServiceConfig
from makegood.services.deadline import Deadline
from makegood.services.local import LocalService

_log = logging.getLogger("makegood.services")


class Adapter(Protocol):
    """A way to reach one service."""

    async def call(self, invocation: Invocation, deadline: Deadline) -> Reply:
        """Send one request."""
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


@dataclass(slots=True)
class _Places:
    """Who is inside. Outlives a service's replacement, so that its calls are still counted.

    Attributes:
        taken: Places held.
        owed: How often BUSY was answered and not yet made good by a call of `on_free`.
    """

    taken: int = 0
    owed: int = 0


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Registry:
    """Services that are registered by hand or by configuration. Implements `ports.Invoker`.

    Args:
        now_ms: The wall clock.
        callbacks: The addresses that services call back, or None.
    """

    def __init__(self, now_ms: Callable[[], int] = _wall_clock_ms, *, callbacks: Callbacks | None = None) -> None:
        self.callbacks = callbacks
        self.on_free: Callable[[str], None] | None = None
        self._now_ms = now_ms
        self._services: dict[str, _Service] = {}
        self._places: dict[str, _Places] = {}
        self._checks: dict[str, Mapping[str, Callable[[Any], str | None]]] = {}

    def register(self, name: str, service: Any, config: ServiceConfig | None = None) -> None:
        """Add a service, or replace the one of that name; its open calls go on.

        Args:
            name: letters, digits, `_` and `-`, at most 63.
            service: An URL, a `ServiceConfig` with urls, an object whose public methods are called,
                a function, or a dict of functions.
            config: Limits for a service that is no `ServiceConfig` itself.

        Raises:
            ConfigurationError: The name, URL or object does not fit.
        """
        added = _built(name, service, config, self.callbacks)
        self._checks.pop(name, None)
        replaced = self._services.get(name)
        self._services[name] = added
        self._places.setdefault(name, _Places())
        if replaced is not None:
            replaced.adapter.retire()
        self._tell_all(name)

    def unregister(self, name: str) -> None:
        """Forget a service; its open calls go on.

        Raises:
            NotFound: There is none of that name.
        """
        removed = self._services.pop(name, None)
        if removed is None:
            raise NotFound(f"there is no service {name!r}.{nearest(name, self._services)}")
        removed.adapter.retire()
        # Whoever waits for a place must learn that there is none.
        self._tell_all(name)

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
        places = self._places.get(name)
        return places.taken if places else 0

    def knows(self, service: str) -> bool:
        """Whether there is such a service."""
        return service in self._services

    def names(self) -> Collection[str]:
        """The names of all services, in order of registration."""
        return tuple(self._services)

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
        found = self._services.get(service)
        if found is None:
            return Slot.MISSING
        places = self._places[service]
        if places.taken >= found.config.max_concurrent:
            places.owed += 1
            return Slot.BUSY
        places.taken += 1
        return Slot.GRANTED

    def release(self, service: str) -> None:
        """Give back a place that will not be used."""
        places = self._places.get(service)
        if places is None or places.taken <= 0:
            return
        places.taken -= 1
        if places.owed:
            self._tell(service)

    async def invoke(self, invocation: Invocation) -> Reply:
        """Send one request under a place taken before, and give the place back."""
        deadline = Deadline(invocation.deadline_ms, self._now_ms)
        try:
            found = self._services.get(invocation.service)
            if found is None:
                message = f"there is no service {invocation.service!r}.{nearest(invocation.service, self._services)}"
                return Reply("not_sent", code="service_not_found", message=message)
            if deadline.passed:
                message = "the attempt's deadline passed before anything was sent"
                return Reply("not_sent", code="service_unavailable", message=message)
            return self._held(invocation, await found.adapter.call(invocation, deadline))
        except Exception as error:  # noqa: BLE001 - the port promises a reply, whatever goes wrong
            # A mistake of ours. Perhaps the request left: nothing better can be said.
            _log.exception("calling %s.%s went wrong", invocation.service, invocation.method)
            return Reply("unknown", code="service_error", message=f"internal error: {type(error).__name__}")
        finally:
            self.release(invocation.service)

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
        for service in self._services.values():
            service.adapter.close()

    def _tell_all(self, service: str) -> None:
        # Counted beforehand: who is told may ask again at once, and be told BUSY again.
        for _ in range(self._places[service].owed if service in self._places else 0):
            self._tell(service)

    def _tell(self, service: str) -> None:
        places = self._places.get(service)
        if places is None or not places.owed:
            return
        places.owed -= 1
        if self.on_free is not None:
            self.on_free(service)


def _built(name: str, service: Any, config: ServiceConfig | None, callbacks: Callbacks | None) -> _Service:
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
        if not config.urls:
            raise ConfigurationError(f"service {name!r} has no url")
        # Imported here: `import makegood` need not pay for it.
        from makegood.services.http import HttpService  # noqa: PLC0415

        if callbacks is None and (telling := [each for each, how in config.templates.items() if how.callback]):
            raise ConfigurationError(
                f"service {name!r}: method {telling[0]!r} has callback = true, and there is no [callbacks] with url "
                "and secret: where the service is to call back, and what the address is made with"
            )
        return _Service(config, HttpService(config, callbacks))
    if config.urls:
        raise ConfigurationError(f"service {name!r}: a local service has no urls")
    return _Service(config, LocalService(name, service))


def _with_url(name: str, url: str, config: ServiceConfig | None) -> ServiceConfig:
    if config is None:
        return ServiceConfig(name=name, urls=(url,))
    if config.urls:
        raise ConfigurationError(f"service {name!r}: its URL is given twice")
    return replace(config, urls=(url,))
