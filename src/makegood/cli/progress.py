"""Progress while an execution goes on: lines, or a live tree on a terminal, always on stderr.

Progress is a courtesy: whatever goes wrong with it, the execution goes on.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from makegood.cli.failures import complain
from makegood.cli.words import clock_text, told
from makegood.core.events import Event, Record
from makegood.core.evolve import close_record, evolve
from makegood.core.program import Program
from makegood.core.state import State


class Progress(Protocol):
    """Shows what happens."""

    def begin(self, state: State) -> None:
        """This is how it stands before anything more happens; the state is kept up to date."""
        ...

    def event(self, state: State, event: Event, at_ms: int) -> None:
        """This has happened, and the state knows."""
        ...

    async def aclose(self) -> None:
        """Nothing more happens: leave the last picture."""
        ...


class Lines:
    """One line for each change: for logs, pipes and dumb terminals."""

    def begin(self, state: State) -> None:
        """Say where an earlier execution goes on."""
        if state.records:
            print(f"{clock_text(_now_ms())} execution {state.execution_id} goes on: {state.status}", file=sys.stderr)

    def event(self, state: State, event: Event, at_ms: int) -> None:
        """One line, or none."""
        line = told(state, event, at_ms)
        if line is not None:
            print(f"{clock_text(at_ms)} {line}", file=sys.stderr, flush=True)

    async def aclose(self) -> None:
        """Nothing is left to do."""


class Follower:
    """Folds the records of one execution as they become durable, and has each event shown.

    Args:
        progress: Where.
        program_of: Gives the program once the first record is there.
        earlier: The state so far, of an execution that goes on.
    """

    def __init__(
        self, progress: Progress, program_of: Callable[[], Awaitable[Program]], earlier: State | None = None
    ) -> None:
        self._progress = progress
        self._program_of = program_of
        self._state = earlier
        self._task: asyncio.Task[None] | None = None

    def start(self, records: AsyncIterator[Record]) -> None:
        """Begin; everything that `records` gives from now on is shown."""
        self._task = asyncio.get_running_loop().create_task(self._follow(records))

    async def _follow(self, records: AsyncIterator[Record]) -> None:
        try:
            if self._state is not None:
                self._progress.begin(self._state)
            async for record in records:
                if self._state is None:
                    self._state = State(await self._program_of())
                    self._progress.begin(self._state)
                self._take(self._state, record)
        except (BrokenPipeError, ValueError):
            # Nobody looks any more.
            return
        except Exception as error:  # noqa: BLE001 - a picture must not stop an execution
            complain(f"progress is not shown any more ({error!r}); the execution goes on.")

    def _take(self, state: State, record: Record) -> None:
        for event in record.events:
            evolve(state, event, record.at_ms)
            self._progress.event(state, event, record.at_ms)
        close_record(state, more=record.more)
        state.touched.clear()

    async def aclose(self, patience_s: float) -> None:
        """Show what has happened by now, for so long at most, and stop."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=patience_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with suppress(OSError, ValueError):
            await self._progress.aclose()


def progress_for_stderr() -> Progress:
    """A live tree on a terminal, lines elsewhere."""
    stderr = sys.stderr
    if stderr is None or not stderr.isatty() or os.environ.get("TERM") == "dumb":
        return Lines()
    from makegood.cli.live import LiveTree

    return LiveTree()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
