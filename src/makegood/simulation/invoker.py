"""Scripted services behind the `Invoker` port, in real time: an engine can be played without a network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from makegood.core.outcome import Reply
from makegood.ports import Invocation, Slot
from makegood.simulation.replies import as_reply
from makegood.simulation.script import ENDLESS_MS, Call, Scripted, ScriptedServices


class ScriptedInvoker:
    """Answers by script. Every service is known that is not listed as unregistered."""

    def __init__(self, services: ScriptedServices, names: Collection[str]) -> None:
        self.services = services
        self.on_free: Callable[[str], None] | None = None
        self._names = frozenset(names)
        self._began_ms = _now_ms()
        self._told: set[str] = set()

    def offers(self, service: str) -> bool:
        """Whether there is such a service."""
        return service in self._names

    def begin(self) -> None:
        """There is nothing to look for."""

    def names(self) -> Collection[str]:
        """All services."""
        return self._names

    def offered(self) -> Collection[str] | None:
        """The names of all services."""
        return self._names

    def strict_idempotent(self, service: str) -> bool:  # noqa: ARG002 - the port's signature
        """None is."""
        return False

    def default_timeout_ms(self, service: str) -> int | None:  # noqa: ARG002 - the port's signature
        """None has one of its own."""
        return None

    def wait_ms(self, service: str) -> int:  # noqa: ARG002 - the port's signature
        """As long as the script says."""
        return self.services.wait_ms

    def reserve(self, service: str) -> Slot:
        """There is always a place where the service is well."""
        if service not in self._names:
            return Slot.MISSING
        after_ms = _now_ms() - self._began_ms
        until_ms = self.services.unwell_until(service, after_ms)
        if until_ms is None:
            return Slot.GRANTED
        if until_ms != ENDLESS_MS and service not in self._told:
            self._told.add(service)
            asyncio.get_running_loop().call_later((until_ms - after_ms) / 1000, self._may_be_well, service)
        return Slot.UNWELL

    def _may_be_well(self, service: str) -> None:
        self._told.discard(service)
        if self.on_free is not None:
            self.on_free(service)

    def release(self, service: str) -> None:
        """Nothing is held."""

    def set_share(self, replicas: int) -> None:
        """There are no limits to be shared."""

    async def invoke(self, invocation: Invocation) -> Reply:
        """One request, read, booked and answered as the script says."""
        if invocation.service in self.services.down:
            message = f"{invocation.service}.{invocation.method} refuses connections"
            return Reply("not_sent", code="service_unavailable", message=message)
        call, scripted = self.services.read(invocation, _now_ms())
        book_in_time(self.services, call, scripted)
        rest_s = (invocation.deadline_ms - _now_ms()) / 1000
        if scripted.kind == "hang" or scripted.delay_ms / 1000 > rest_s:
            await asyncio.sleep(max(0.0, rest_s))
            self.services.hung_up(call, _now_ms())
            return Reply("unknown", code="call_timeout", message="no answer in time", answered=False)
        await asyncio.sleep(scripted.delay_ms / 1000)
        self.services.answered(call, scripted, _now_ms())
        return as_reply(scripted, _now_ms())

    async def aclose(self) -> None:
        """Nothing is open."""


def book_in_time(services: ScriptedServices, call: Call, scripted: Scripted) -> None:
    """Let happen what a request leads to, now or after the real time that the script says."""
    if not scripted.effect:
        return
    if scripted.booked_after_ms:
        asyncio.get_running_loop().call_later(scripted.booked_after_ms / 1000, services.book, call)
    else:
        services.book(call)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
