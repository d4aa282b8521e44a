"""The moment after which nothing is sent and no answer is awaited, by the wall clock."""

from __future__ import annotations

from collections.abc import Callable


class Deadline:
    """One attempt's deadline. The clock is asked anew each time: a process may have been stopped."""

    __slots__ = ("_now_ms", "at_ms")

    def __init__(self, at_ms: int, now_ms: Callable[[], int]) -> None:
        self.at_ms = at_ms
        self._now_ms = now_ms

    @property
    def now_ms(self) -> int:
        """The time of day, in milliseconds since the epoch."""
        return self._now_ms()

    @property
    def remaining_s(self) -> float:
        """Seconds left; negative when it has passed."""
        return (self.at_ms - self._now_ms()) / 1000

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return self._now_ms() >= self.at_ms
