"""Two committers for a store in which a start may have to wait for another worker: steps never wait with it.

Strangers keep out: nothing is written here. What follows a start goes the same way until the start is
durable, so that the appends of one execution keep their order.
"""

from __future__ import annotations

from makegood.engine.committer import Broken, Committer, Pending, Settled
from makegood.ports import Append, Journal


class Lanes:
    """Starts in batches of their own beside all the rest. To be used as a `Committer`."""

    def __init__(self, journal: Journal, on_broken: Broken) -> None:
        self._on_broken = on_broken
        self._rest = Committer(journal, self._broke)
        self._starts = Committer(journal, self._broke)
        self._both = (self._rest, self._starts)
        self._beginning: dict[str, int] = {}
        self._told = False

    @property
    def broken(self) -> Exception | None:
        """Why nothing can be written any more."""
        return self._rest.broken or self._starts.broken

    @property
    def batches(self) -> int:
        """Batches written so far."""
        return sum(each.batches for each in self._both)

    @property
    def appends(self) -> int:
        """Appends written so far."""
        return sum(each.appends for each in self._both)

    @property
    def queued(self) -> int:
        """See `Committer.queued`."""
        return sum(each.queued for each in self._both)

    def start(self) -> None:
        """Begin to write."""
        for each in self._both:
            each.start()

    def append(self, append: Append, settled: Settled, beside: Pending | None = None) -> None:
        """See `Committer.append`."""
        execution_id = append.execution_id
        if beside is not None or (append.start is None and execution_id not in self._beginning):
            # A start that goes in the place of another execution goes the way of that one's records.
            self._rest.append(append, settled, beside)
            return
        self._beginning[execution_id] = self._beginning.get(execution_id, 0) + 1

        def told(error: Exception | None) -> None:
            left = self._beginning.pop(execution_id) - 1
            if left:
                self._beginning[execution_id] = left
            settled(error)

        self._starts.append(append, told)

    async def flush(self) -> None:
        """See `Committer.flush`."""
        while not all(each.idle for each in self._both):
            for each in self._both:
                await each.flush()

    async def aclose(self) -> None:
        """See `Committer.aclose`."""
        if self.broken is None:
            await self.flush()
        for each in self._both:
            await each.aclose()

    def fail(self, error: Exception) -> None:
        """See `Committer.fail`."""
        for each in self._both:
            each.fail(error)

    def _broke(self, error: Exception) -> None:
        if self._told:
            return
        self._told = True
        self.fail(error)
        self._on_broken(error)
