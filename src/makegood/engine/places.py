"""Places at services: who waits for one, and who is next.

Executions take turns, so that one with ten thousand calls holds up no other; within one, calls go in the
order in which they came. A place that is free is held for who is next, before anybody new gets it. Who waits
because no endpoint of a service is well may leave memory meanwhile, and then no longer waits here. Strangers
keep out: how many places there are is the invoker's business, and what is sent from one the runner's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from makegood.core.outstanding import Dispatch, is_wanted
from makegood.core.state import Key
from makegood.engine.live import Live
from makegood.ports import Invoker, Slot


class _Line:
    """The calls of one execution that wait for a place, or for their service to be well."""

    __slots__ = ("calls", "execution")

    def __init__(self, execution: Live) -> None:
        self.execution = execution
        self.calls: OrderedDict[tuple[Key, bool], None] = OrderedDict()


_Lines = dict[str, "OrderedDict[int, _Line]"]
"""By service, the lines of those who wait, the next one first."""


class Places:
    """The queues before the services of this process.

    Args:
        stopping: Whether nobody is to be called up any more.
        on_place: Called with who is next and the place at that service, held for them, or with why there is none.
        on_gone: Called with an execution that waited for a place and does not want it any more.
        on_well: Called with a service's name when there may be a place again.
    """

    def __init__(
        self,
        invoker: Invoker,
        *,
        stopping: Callable[[], bool],
        on_place: Callable[[Live, Dispatch, str, Slot], None],
        on_gone: Callable[[Live], None],
        on_well: Callable[[str], None],
    ) -> None:
        self._invoker = invoker
        self._stopping = stopping
        self._on_place = on_place
        self._on_gone = on_gone
        self._on_well = on_well
        self._busy: _Lines = {}
        self._unwell: _Lines = {}
        invoker.on_free = self._freed

    def reserve(self, service: str, execution: Live, command: Dispatch) -> Slot:
        """Take a place, or else, where all are taken, the last one in the execution's line."""
        self._forget(execution, command.key, command.undo)
        slot = self._invoker.reserve(service)
        if slot is Slot.BUSY:
            execution.asked[(command.key, command.undo)] = None
            _join(self._busy, service, execution, command)
        return slot

    def wait_till_well(self, service: str, execution: Live, command: Dispatch) -> None:
        """Hear of it when the service is well again, if that is waited for and until the execution leaves memory."""
        if (command.key, command.undo) in execution.state.awaiting:
            execution.unwell[(command.key, command.undo)] = service
            _join(self._unwell, service, execution, command)

    def forget(self, execution: Live) -> None:
        """It leaves memory."""
        for key, undo in list(execution.unwell):
            self._forget(execution, key, undo)

    def _forget(self, execution: Live, key: Key, undo: bool) -> None:
        """It waits no more for its service to be well, if it did."""
        service = execution.unwell.pop((key, undo), None)
        if service is not None:
            lines = self._unwell[service]
            line = lines[id(execution)]
            del line.calls[(key, undo)]
            if not line.calls:
                del lines[id(execution)]

    def _freed(self, service: str) -> None:
        while (line := self._next(service)) is not None and not self._stopping():
            slot = self._invoker.reserve(service)
            if slot is Slot.UNWELL:
                self._all_unwell(service)
            if slot in (Slot.BUSY, Slot.UNWELL):
                break
            self._call_up(service, line, slot)
        if not self._stopping():
            self._on_well(service)

    def _next(self, service: str) -> _Line | None:
        """Whose turn it is: who waited for the service to be well, then who waits for a place."""
        for waiting in (self._unwell, self._busy):
            lines = waiting.get(service)
            while lines:
                line = next(iter(lines.values()))
                if self._is_wanted(line):
                    return line
                del lines[id(line.execution)]
            waiting.pop(service, None)
        return None

    def _is_wanted(self, line: _Line) -> bool:
        """Whether the first call of a line still wants a place; those before it that do not are dropped."""
        execution = line.execution
        while line.calls:
            key, undo = next(iter(line.calls))
            if not execution.leaving and is_wanted(execution.state, key, undo=undo):
                return True
            del line.calls[(key, undo)]
            execution.unwell.pop((key, undo), None)
            if (key, undo) in execution.asked:
                del execution.asked[(key, undo)]
                asyncio.get_running_loop().call_soon(self._on_gone, execution)
        return False

    def _call_up(self, service: str, line: _Line, slot: Slot) -> None:
        """The first call of a line leaves it, and the others of that execution let the others' go first."""
        (key, undo), _ = line.calls.popitem(last=False)
        execution = line.execution
        lines = (self._busy if execution.unwell.pop((key, undo), None) is None else self._unwell)[service]
        if line.calls:
            lines.move_to_end(id(execution))
        else:
            del lines[id(execution)]
        execution.asked[(key, undo)] = None
        asyncio.get_running_loop().call_soon(self._on_place, execution, Dispatch(key, undo), service, slot)

    def _all_unwell(self, service: str) -> None:
        """Who waits for a place waits for the service now, which is another thing: they ask again, one by one."""
        while lines := self._busy.get(service):
            line = next(iter(lines.values()))
            if self._is_wanted(line):
                self._call_up(service, line, Slot.UNWELL)
            else:
                del lines[id(line.execution)]


def _join(waiting: _Lines, service: str, execution: Live, command: Dispatch) -> None:
    lines = waiting.setdefault(service, OrderedDict())
    line = lines.get(id(execution))
    if line is None:
        line = lines[id(execution)] = _Line(execution)
    line.calls[(command.key, command.undo)] = None
