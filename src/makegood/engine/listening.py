"""Who listens to an execution: those that wait for its end, and those that watch its records.

They are told by id, whether the execution is in memory or not. Strangers keep out: nothing is asked
of the store or the runner here; who begins to listen looks first whether there is anything left to hear.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from makegood.core.events import Record
from makegood.engine.handle import Rest
from makegood.engine.live import Live

End = asyncio.Future[Rest]
HEARD_MAX = 256
"""Records that are kept for one who watches; who falls behind finds the others in the journal."""


class Bell:
    """Rung when something becomes durable of an execution.

    Args:
        most: How many of the last records it keeps.

    Attributes:
        heard: Those, by their positions; whoever takes them from here removes them.
        first: The position of the first record since it was hung up, or None.
        at_rest: Whether the execution has ended, or waits for a person.
        error: Why there will be no more here, or None.
    """

    def __init__(self, most: int) -> None:
        self.heard: deque[tuple[int, Record]] = deque(maxlen=most)
        self.first: int | None = None
        self.at_rest = False
        self.error: Exception | None = None
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits."""
        self._rung.set()

    def ring_record(self, position: int, record: Record) -> None:
        """A record has become durable."""
        if self.first is None:
            self.first = position
        self.heard.append((position, record))
        self.ring()

    async def wait(self) -> None:
        """Return when it has been rung since the last time."""
        await self._rung.wait()
        self._rung.clear()


class Listeners:
    """Everybody in this process who wants to hear of executions.

    Attributes:
        ends: Those that wait for an end, by the id of the execution; nobody, no entry.
        watchers: Those that watch, likewise.
    """

    def __init__(self) -> None:
        self.ends: dict[str, list[End]] = {}
        self.watchers: dict[str, list[Bell]] = {}

    # --- listening ---

    @contextmanager
    def waiting(self, execution_id: str) -> Iterator[End]:
        """Hear how it stands once it has ended or waits for a person."""
        future: End = asyncio.get_running_loop().create_future()
        self.ends.setdefault(execution_id, []).append(future)
        try:
            yield future
        finally:
            if future.done() and not future.cancelled():
                future.exception()  # Seen, also when something else was raised meanwhile.
            waiting = self.ends.get(execution_id, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self.ends.pop(execution_id, None)

    @contextmanager
    def watching(self, execution_id: str, most: int) -> Iterator[Bell]:
        """Hear of every record from now on.

        Args:
            most: How many of the last ones are kept until they are taken.
        """
        bell = Bell(most)
        self.watchers.setdefault(execution_id, []).append(bell)
        try:
            yield bell
        finally:
            bells = self.watchers[execution_id]
            bells.remove(bell)
            if not bells:
                del self.watchers[execution_id]

    # --- telling ---

    def tell_record(self, live: Live, record: Record) -> bool:
        """A record is durable. Whether somebody listens."""
        if live.id not in self.watchers:
            return live.id in self.ends
        # Behind it those that are not durable yet.
        self.tell_record_of(live.id, live.position - live.queued - 1, record)
        return True

    def tell_rest(self, live: Live) -> None:
        """It has ended or waits for a person, and that is durable."""
        self.tell_rest_of(live.id, Rest(live.state) if live.id in self.ends else None)

    def tell_record_of(self, execution_id: str, position: int, record: Record) -> None:
        """The record at that position is durable, whoever wrote it."""
        for bell in self.watchers.get(execution_id, ()):
            bell.ring_record(position, record)

    def tell_rest_of(self, execution_id: str, rest: Rest | None) -> None:
        """Likewise; `rest` is for those that wait for the end, if there are any."""
        if rest is not None:
            for future in self.ends.pop(execution_id, ()):
                if not future.done():
                    future.set_result(rest)
        for bell in self.watchers.get(execution_id, ()):
            bell.at_rest = True
            bell.ring()

    def tell_lost(self, execution_id: str, error: Exception) -> None:
        """It cannot go on here: whoever waits for it must not wait for ever."""
        for future in self.ends.get(execution_id, ()):
            if not future.done():
                future.set_exception(error)
        for bell in self.watchers.get(execution_id, ()):
            bell.error = error
            bell.ring()

    def tell_all_lost(self, error: Exception) -> None:
        """None can go on here."""
        for execution_id in {*self.ends, *self.watchers}:
            self.tell_lost(execution_id, error)
