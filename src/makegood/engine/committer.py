"""Group commit: what all executions queued while the last commit was under way is the next one.

No artificial delay: an idle engine commits at once. Order of queueing is order of writing. Nothing
here judges; who queued is told when its append is durable, or why it alone was refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from makegood.engine.log import log, names
from makegood.errors import Fenced, MakegoodError, StorageError
from makegood.ports import Append, Journal

Settled = Callable[[Exception | None], None]
"""Called on the loop when an append is durable (None), or with why it was refused."""
Pending = tuple[Append, Settled]

BATCH_MAX = 2_000
"""Appends in one transaction at most."""
RETRY_S = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits before a batch is tried again whose transaction failed; the last one repeats."""


class Broken(Protocol):
    """Told once when appending has failed for good."""

    def __call__(self, error: Exception) -> None:
        """Why."""
        ...


class Committer:
    """Writes batches, one after another.

    Args:
        journal: Where to.
        on_broken: Called when the engine can write no more.
        patience_s: How long a failing database is tried again before that.
    """

    def __init__(self, journal: Journal, on_broken: Broken, *, patience_s: float = 30.0) -> None:
        self._journal = journal
        self._on_broken = on_broken
        self._patience_s = patience_s
        self._queue: list[Pending] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.broken: Exception | None = None
        self.batches = 0
        self.appends = 0

    @property
    def queued(self) -> int:
        """How many appends wait for their transaction to begin."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="makegood-committer")

    def append(self, append: Append, settled: Settled, beside: Pending | None = None) -> None:
        """Queue one append; `settled` is called on the loop when it is durable or refused.

        Args:
            beside: Another one that is written if and only if this one is: both name the same `together`.
        """
        refused = self.broken or (closed() if self._closed else None)
        if refused is not None:
            settled(refused)
            if beside is not None:
                beside[1](refused)
            return
        self._queue.append((append, settled))
        if beside is not None:
            self._queue.append(beside)
        self._idle.clear()
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether everything queued so far is durable or refused."""
        return self._idle.is_set()

    async def flush(self) -> None:
        """Return when everything queued so far, and what follows from it, is durable."""
        await self._idle.wait()

    async def aclose(self) -> None:
        """Write what is queued, then stop; what is queued from now on is refused."""
        if self._task is None:
            return
        try:
            if self.broken is None:
                await self.flush()
        finally:
            # Cancelled in the middle too: whoever still waits must hear of it.
            self._closed = True
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            left, self._queue = self._queue, []
            for _, settled in left:
                _tell(settled, closed())

    def fail(self, error: Exception) -> None:
        """Write no more: somebody else has learned that it cannot go on."""
        if self.broken is None and not self._closed:
            self._break(error, [])

    async def _run(self) -> None:
        while self.broken is None:
            await self._wake.wait()
            batch = self._take()
            if not self._queue:
                self._wake.clear()
            if batch:
                await self._write(batch)
            if not self._queue:
                self._idle.set()

    def _take(self) -> list[Pending]:
        """The next batch. What is written all or none was queued side by side, and stays so."""
        queue, cut = self._queue, BATCH_MAX
        while cut < len(queue) and (word := queue[cut][0].together) is not None and queue[cut - 1][0].together == word:
            cut += 1
        self._queue = queue[cut:]
        return queue[:cut]

    async def _write(self, batch: list[tuple[Append, Settled]]) -> None:
        try:
            results = await self._until_written([append for append, _ in batch])
        except asyncio.CancelledError:
            for _, settled in batch:
                _tell(settled, closed())
            raise
        except (StorageError, Fenced) as error:
            self._refuse_or_break(error, batch)
            return
        except Exception as error:  # noqa: BLE001 - a mistake of ours: nobody may wait for ever because of it
            self._break(StorageError(f"writing to the database went wrong: {error!r}"), batch)
            return
        self.batches += 1
        self.appends += len(batch)
        for (_, settled), result in zip(batch, results, strict=True):
            _tell(settled, result)

    async def _until_written(self, appends: list[Append]) -> list[Exception | None]:
        """A transaction that failed wrote nothing, so it may be tried again (rule 34)."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience_s
        tries = 0
        while True:
            try:
                return await self._journal.append(appends)
            except StorageError as error:
                wait_s = RETRY_S[min(tries, len(RETRY_S) - 1)]
                starts_alone = all(append.start is not None for append in appends)
                if starts_alone or not error.retriable or loop.time() + wait_s > give_up_at:
                    raise
                tries += 1
                log.warning(names.COMMIT_FAILED, error=str(error), again_in_s=wait_s)
                await asyncio.sleep(wait_s)

    def _refuse_or_break(self, error: StorageError | Fenced, batch: list[tuple[Append, Settled]]) -> None:
        starts_alone = all(append.start is not None for append, _ in batch)
        if starts_alone and isinstance(error, StorageError) and error.retriable:
            # Callers are waiting for these and nothing of them exists yet: the engine itself goes on.
            for _, settled in batch:
                _tell(settled, error)
            return
        self._break(error, batch)

    def _break(self, error: Exception, batch: list[tuple[Append, Settled]]) -> None:
        log.error(names.ENGINE_BROKEN, error=str(error))
        self.broken = error
        waiting, self._queue = [*batch, *self._queue], []
        for _, settled in waiting:
            _tell(settled, error)
        self._on_broken(error)
        self._wake.set()
        self._idle.set()


def durable() -> tuple[asyncio.Future[None], Settled]:
    """A future that is done once an append is durable, or fails as it is refused; and what is to be told of it."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def told(error: Exception | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    return done, told


def closed() -> MakegoodError:
    """The error for whatever comes when the engine is closed."""
    return StorageError("the engine is closed; use it inside `async with Engine(...)` or `with Engine(...)`")


def _tell(settled: Settled, result: Exception | None) -> None:
    """One that fails must not keep the others of its batch from hearing."""
    try:
        settled(result)
    except Exception as error:  # noqa: BLE001 - a mistake of ours, in one execution
        log.error(names.JUDGEMENT_FAILED, error=repr(error))
