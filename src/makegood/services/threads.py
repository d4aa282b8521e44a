"""Threads for plain functions of local services.

Not `ThreadPoolExecutor`: that one joins its threads when the interpreter exits, so that one function
that hangs would keep the process from ending. A function that is cut off by the end of the process is
what every service here must bear anyway (rule 20). Knows nothing of services.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any


class Threads:
    """At most `threads_max` daemon threads, started as they are needed."""

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = Lock()
        self._started = 0
        self._idle = 0
        self._closed = False

    def submit(self, function: Callable[[], Any]) -> Future[Any] | None:
        """Call it in a thread, with the caller's context variables.

        The future can be cancelled while no thread has begun; None once closed. `function` must
        not raise.
        """
        context = copy_context()
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                return None
            self._queue.put((future, lambda: context.run(function)))
            if self._idle:
                self._idle -= 1
            elif self._started < self._threads_max:
                self._started += 1
                Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        return future

    def close(self) -> None:
        """Take nothing more; threads end when their function does."""
        with self._lock:
            self._closed = True
            for _ in range(self._started):
                self._queue.put(None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            future, function = item
            if future.set_running_or_notify_cancel():
                future.set_result(function())
            # Nothing of one call may live on while the thread waits for the next.
            del item, future, function
            with self._lock:
                # A queued call that found no idle thread is taken at once, by whoever comes first.
                if self._queue.empty():
                    self._idle += 1
