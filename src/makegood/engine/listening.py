"""Who listens to an execution: those that wait for its end, and those that watch its records.

They are told by id, whether the execution is in memory or not. Strangers keep out: nothing is asked
of the store or the runner here; who begins to listen looks first whether there is anything left to hear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from makegood.core.events import Record
from makegood.engine.handle import Rest
from makegood.engine.live import Live

End = asyncio.Future[Rest]
Heard = asyncio.Queue[Record | Exception | None]
"""Records as they become durable; None at rest, an exception when there will be no more of them here."""


class Listeners:
    """Everybody in this process who wants to hear of executions.

    Attributes:
        ends: Those that wait for an end, by the id of the execution; nobody, no entry.
        watchers: Those that watch, likewise.
    """

    def __init__(self) -> None:
        self.ends: dict[str, list[End]] = {}
        self.watchers: dict[str, list[Heard]] = {}

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
    def watching(self, execution_id: str) -> Iterator[Heard]:
        """Hear of every record from now on."""
        queue: Heard = asyncio.Queue()
        self.watchers.setdefault(execution_id, []).append(queue)
        try:
            yield queue
        finally:
            queues = self.watchers[execution_id]
            queues.remove(queue)
            if not queues:
                del self.watchers[execution_id]

    # --- telling ---

    def tell_record(self, live: Live, record: Record) -> bool:
        """A record is durable. Whether somebody listens."""
        queues = self.watchers.get(live.id)
        if queues is None:
            return live.id in self.ends
        for queue in queues:
            queue.put_nowait(record)
        return True

    def tell_rest(self, live: Live) -> None:
        """It has ended or waits for a person, and that is durable."""
        self.tell_rest_of(live.id, Rest(live.state) if live.id in self.ends else None)

    def tell_record_of(self, execution_id: str, record: Record) -> None:
        """Another worker has made a record durable."""
        for queue in self.watchers.get(execution_id, ()):
            queue.put_nowait(record)

    def tell_rest_of(self, execution_id: str, rest: Rest | None) -> None:
        """Likewise; `rest` is for those that wait for the end, if there are any."""
        if rest is not None:
            for future in self.ends.pop(execution_id, ()):
                if not future.done():
                    future.set_result(rest)
        for queue in self.watchers.get(execution_id, ()):
            queue.put_nowait(None)

    def tell_lost(self, execution_id: str, error: Exception) -> None:
        """It cannot go on here: whoever waits for it must not wait for ever."""
        for future in self.ends.get(execution_id, ()):
            if not future.done():
                future.set_exception(error)
        for queue in self.watchers.get(execution_id, ()):
            queue.put_nowait(error)

    def tell_all_lost(self, error: Exception) -> None:
        """None can go on here."""
        for execution_id in {*self.ends, *self.watchers}:
            self.tell_lost(execution_id, error)
