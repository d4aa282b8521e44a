"""Places at services: who waits for one, and who is next.

Executions take turns, so that one with ten thousand calls holds up no other; within one, calls go in the
order in which they came. A place that is free is held for who is next, before anybody new gets it. Strangers
keep out: how many places there are is the invoker's business, and what is sent from one the runner's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from makegood.core.outstanding import Dispatch
from makegood.core.state import Key
from makegood.engine.live import Live
from makegood.ports import Invoker, Slot


class _Line:
    """The calls of one execution that wait for a place."""

    __slots__ = ("calls", "execution")

    def __init__(self, execution: Live) -> None:
        self.execution = execution
        self.calls: deque[tuple[Key, bool]] = deque()


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
        self._waiting: dict[str, OrderedDict[int, _Line]] = {}
        invoker.on_free = self._freed

    def wait(self, service: str, execution: Live, command: Dispatch) -> None:
        """Take the last place in the execution's line before a service."""
        execution.asked[(command.key, command.undo)] = None
        lines = self._waiting.setdefault(service, OrderedDict())
        line = lines.get(id(execution))
        if line is None:
            line = lines[id(execution)] = _Line(execution)
        line.calls.append((command.key, command.undo))

    def _freed(self, service: str) -> None:
        lines = self._waiting.get(service)
        while lines and not self._stopping():
            line = next(iter(lines.values()))
            if not self._is_wanted(line):
                del lines[id(line.execution)]
                continue
            slot = self._invoker.reserve(service)
            if slot in (Slot.BUSY, Slot.UNWELL):
                return
            key, undo = line.calls.popleft()
            lines.move_to_end(id(line.execution))
            asyncio.get_running_loop().call_soon(self._on_place, line.execution, Dispatch(key, undo), service, slot)
        if not lines:
            self._waiting.pop(service, None)

    def _is_wanted(self, line: _Line) -> bool:
        """Whether the first call of a line still wants a place; those before it that do not are dropped."""
        execution = line.execution
        while line.calls:
            if not execution.leaving and line.calls[0] in execution.state.ready:
                return True
            execution.asked.pop(line.calls.popleft(), None)
            asyncio.get_running_loop().call_soon(self._on_gone, execution)
        return False
