"""How an engine stands at this moment: what is in memory, what waits, how late it is.

Strangers keep out: only looks, each look bounded; nothing is kept over a pause but since when the
oldest request in the inbox has been seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from makegood.engine.intake import Store
from makegood.engine.runner import Runner
from makegood.ports import Clock

COUNTED_MAX = 10_000
"""No count of executions goes beyond it."""
INBOX_MAX = 1_000
"""No count of requests does."""
WORKFLOWS_MAX = 200
"""Of so many workflows executions are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits in the database, whoever advances it.

    Attributes:
        executions: How many there are, by workflow and state; no count goes beyond `COUNTED_MAX`.
        due_lag_s: By how much the parked execution that has been due the longest is overdue; 0 when none is due.
        inbox: Requests from other processes that nobody has decided yet, up to `INBOX_MAX`.
        inbox_lag_s: How long the oldest of them has been seen to wait.
    """

    executions: dict[tuple[str, str], int]
    due_lag_s: float
    inbox: int
    inbox_lag_s: float


class Vitals:
    """Looks at the parts of one engine.

    Args:
        room: How many more executions may be taken in.
        opened: The store, or raises that the engine is closed.
    """

    def __init__(
        self,
        runner: Runner,
        clock: Clock,
        *,
        room: Callable[[], int],
        opened: Callable[[], Store],
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._room = room
        self._opened = opened
        self._oldest: tuple[int, int] | None = None

    @property
    def in_memory(self) -> int:
        """Executions that are advanced here now."""
        return len(self._runner.live)

    @property
    def room(self) -> int:
        """How many more may be taken in."""
        return max(0, self._room())

    async def waiting(self) -> Waiting:
        """What waits in the database.

        Raises:
            StorageError: It cannot be asked.
        """
        store = self._opened()
        executions: dict[tuple[str, str], int] = {}
        for each in (await store.definitions())[:WORKFLOWS_MAX]:
            found = await store.counts(each.name, most=COUNTED_MAX)
            executions |= {(each.name, status): count for status, count in found.items()}
        wake_ms = await store.next_wake_ms()
        rows = await store.inbox(limit=INBOX_MAX)
        now_ms = self._clock.now_ms()
        return Waiting(
            executions=executions,
            due_lag_s=0.0 if wake_ms is None else max(0, now_ms - wake_ms) / 1000,
            inbox=len(rows),
            inbox_lag_s=self._seen_s(rows[0].id if rows else None, now_ms),
        )

    def _seen_s(self, oldest: int | None, now_ms: int) -> float:
        if oldest is None:
            self._oldest = None
            return 0.0
        if self._oldest is None or self._oldest[0] != oldest:
            self._oldest = (oldest, now_ms)
        return max(0, now_ms - self._oldest[1]) / 1000
