"""The moments at which an execution wants to be looked at again. Numbers only; nobody sleeps here."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Literal

_Key = tuple[int, tuple[int, ...]]
Wish = tuple[Literal["timeout"]] | tuple[Literal["wait"], _Key] | tuple[Literal["until", "due"], _Key, bool]
"""What a moment is for: the execution's timeout; a wait or signal; an attempt, forward or undo."""


STALE_MAX = 100
"""Entries of moments that nobody wants any more, on top of as many as there are wanted ones."""


class Timers:
    """At most one moment for each key; due ones come out in order of time, then of setting.

    A moment that was cleared or moved stays in the heap until it comes up, and is then passed over, or
    until there are more of them than of others.
    """

    __slots__ = ("_at", "_heap", "_set")

    def __init__(self) -> None:
        self._at: dict[Wish, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, Wish]] = []
        self._set = 0

    def set(self, key: Wish, at_ms: int) -> None:
        """Want to be looked at, at that moment; an earlier wish of the same key is forgotten."""
        self._set += 1
        self._at[key] = (at_ms, self._set)
        heappush(self._heap, (at_ms, self._set, key))
        if len(self._heap) > 2 * len(self._at) + STALE_MAX:
            # A loop that waits a week for each signal would leave one in each round.
            self._heap = [(each_ms, number, each) for each, (each_ms, number) in self._at.items()]
            heapify(self._heap)

    def clear(self, key: Wish) -> None:
        """Forget the key, if it is there."""
        self._at.pop(key, None)

    def __contains__(self, key: Wish) -> bool:
        return key in self._at

    def next_ms(self) -> int | None:
        """The earliest moment, or None."""
        heap = self._heap
        while heap:
            at_ms, number, key = heap[0]
            if self._at.get(key) == (at_ms, number):
                return at_ms
            heappop(heap)
        return None

    def due(self, now_ms: int) -> list[Wish]:
        """The keys whose moment has come, in order, left in place."""
        found: list[tuple[int, int, Wish]] = []
        while (at_ms := self.next_ms()) is not None and at_ms <= now_ms:
            found.append(heappop(self._heap))
        for entry in found:
            heappush(self._heap, entry)
        return [key for _, _, key in found]

    def items(self) -> dict[Wish, int]:
        """What is set, by key."""
        return {key: at_ms for key, (at_ms, _) in self._at.items()}
