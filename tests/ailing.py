"""A registry whose services fall ill and get well when the test says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from makegood.ports import Slot
from makegood.services import Registry


class Ailing(Registry):
    """As a registry whose every endpoint of some services is unhealthy.

    Attributes:
        unwell: Which services.
        trying: Those that let one call in at a time, to see whether they are well again.
        asked: How often each of them was asked for a place in vain.
    """

    def __init__(self, *unwell: str) -> None:
        super().__init__()
        self.unwell = set(unwell)
        self.trying: set[str] = set()
        self.asked: Counter[str] = Counter()

    def live_by(self, now_ms: Callable[[], int]) -> None:
        """Measure deadlines by that clock."""
        self._now_ms = now_ms

    def reserve(self, service: str) -> Slot:
        if service in self.unwell or (service in self.trying and self.in_flight(service)):
            self.asked[service] += 1
            return Slot.UNWELL
        return super().reserve(service)

    def recover(self, service: str = "s") -> None:
        """It is well again, and whoever asked in vain is told so, once."""
        self.unwell.discard(service)
        if self.asked.pop(service, 0) and self.on_free is not None:
            self.on_free(service)


def journaled(records: Any, kind: type) -> list[Any]:
    """The events of one kind in a journal."""
    return [event for record in records for event in record.events if isinstance(event, kind)]
