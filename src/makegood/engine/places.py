"""Places at services: who waits for one, in the order in which they came.

A place that is free is held for whoever has waited longest, before anybody new gets it. Strangers
keep out: how many places there are is the invoker's business, and what is sent from one the runner's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from makegood.core.outstanding import Dispatch
from makegood.core.state import Key
from makegood.engine.live import Live
from makegood.ports import Invoker, Slot


class Places:
    """The queues before the services of this process.

    Args:
        stopping: Whether nobody is to be called up any more.
        on_place: Called with who is next and the place at that service, held for them, or Slot.MISSING.
        on_gone: Called with an execution that waited for a place and does not want it any more.
    """

    def __init__(
        self,
        invoker: Invoker,
        *,
        stopping: Callable[[], bool],
        on_place: Callable[[Live, Dispatch, str, Slot], None],
        on_gone: Callable[[Live], None],
    ) -> None:
        self._invoker = invoker
        self._stopping = stopping
        self._on_place = on_place
        self._on_gone = on_gone
        self._waiting: dict[str, deque[tuple[Live, Key, bool]]] = {}
        invoker.on_free = self._freed

    def wait(self, service: str, execution: Live, command: Dispatch) -> None:
        """Take the last place in the queue before a service."""
        execution.asked[(command.key, command.undo)] = None
        self._waiting.setdefault(service, deque()).append((execution, command.key, command.undo))

    def _freed(self, service: str) -> None:
        queue = self._waiting.get(service)
        loop = asyncio.get_running_loop()
        while queue and not self._stopping():
            execution, key, undo = queue[0]
            if execution.leaving or (key, undo) not in execution.state.ready:
                queue.popleft()
                execution.asked.pop((key, undo), None)
                loop.call_soon(self._on_gone, execution)
                continue
            slot = self._invoker.reserve(service)
            if slot not in (Slot.BUSY, Slot.UNWELL):
                queue.popleft()
                loop.call_soon(self._on_place, execution, Dispatch(key, undo), service, slot)
            return
