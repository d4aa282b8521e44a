"""Scripted services behind the `Invoker` port, in real time: an engine can be played without a network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from makegood.core.outcome import Reply
from makegood.ports import Invocation, Slot
from makegood.simulation.replies import as_reply
from makegood.simulation.script import Call, Scripted, ScriptedServices


class ScriptedInvoker:
    """Answers by script. Every service is known that is not listed as unregistered."""

    def __init__(self, services: ScriptedServices, names: Collection[str]) -> None:
        self.services = services
        self.on_free: Callable[[str], None] | None = None
        self._names = frozenset(names)

    def offers(self, service: str) -> bool:
        """Whether there is such a service."""
        return service in self._names

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
        """None is ever unwell."""
        return 0

    def reserve(self, service: str) -> Slot:
        """There is always a place."""
        return Slot.GRANTED if service in self._names else Slot.MISSING

    def release(self, service: str) -> None:
        """Nothing is held."""

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
