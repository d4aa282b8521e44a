"""The live tree on a terminal: draws the rows of `tree`, at most ten times a second."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.text import Text

from makegood.cli.output import speaks_unicode
from makegood.cli.tree import Picture, Row
from makegood.core.events import Event
from makegood.core.state import State

FRAME_S = 0.1
"""Between two pictures when something has changed."""
TICK_S = 0.5
"""Between two pictures when only the time goes on."""
ROWS_MAX = 40

_SIGNS = {
    "pending": ("○", ".", "dim"), "running": ("●", "*", "cyan"), "waiting": ("◌", "~", "cyan"),
    "retrying": ("↻", "~", "yellow"), "succeeded": ("✓", "+", "green"), "failed": ("✗", "x", "bold red"),
    "unknown": ("?", "?", "yellow"), "skipped": ("–", "-", "dim"), "undoing": ("↶", "<", "magenta"),
    "undone": ("↩", "<", "magenta"), "none": (" ", " ", "dim"),
}  # fmt: skip


class LiveTree:
    """See `Progress`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._unicode = speaks_unicode(sys.stderr)
        self._picture: Picture | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=True,
            vertical_overflow="crop",
        )  # fmt: skip

    def begin(self, state: State) -> None:
        """Show the first picture."""
        self._picture = Picture(state)
        self._live.start()
        self._changed.set()
        self._task = asyncio.get_running_loop().create_task(self._draw_forever())

    def event(self, state: State, event: Event, at_ms: int) -> None:  # noqa: ARG002 - the port's signature
        """Remember; the next picture shows it."""
        assert self._picture is not None
        self._picture.event(event)
        self._changed.set()

    async def aclose(self) -> None:
        """Leave the last picture on the screen."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            self._draw()
        finally:
            self._live.stop()

    async def _draw_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), TICK_S)
            self._changed.clear()
            self._draw()
            await asyncio.sleep(FRAME_S)

    def _draw(self) -> None:
        assert self._picture is not None
        now_ms = time.time_ns() // 1_000_000
        rows_max = max(min(self._console.size.height - 3, ROWS_MAX), 3)
        rows = [self._picture.headline(now_ms), *self._picture.rows(now_ms, rows_max)]
        text = Text("\n", end="").join(self._line(row, number > 0) for number, row in enumerate(rows))
        text.no_wrap, text.overflow = True, "ellipsis"
        self._live.update(text, refresh=True)

    def _line(self, row: Row, inside: bool) -> Text:
        sign, plain, style = _SIGNS[row.mark]
        indent = "  " * (row.depth + inside)
        line = Text(f"{indent}{sign if self._unicode else plain} ", style=style)
        line.append(row.name, style="bold" if row.moving or not inside else "default")
        if row.detail:
            line.append(f"  {row.detail}", style="default" if row.moving else "dim")
        return line
