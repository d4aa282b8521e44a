"""The event loop of a command, and the signals that end it gracefully."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, on uvloop where there is one."""
    _settle_in()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def _settle_in() -> None:
    """Tell the interpreter what this process is for.

    What was imported is there to stay, so the collector need not walk it again and again; and the thread that
    commits needs the interpreter for moments only, but soon.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.001)


class StopSignals:
    """SIGINT and SIGTERM ask to stop. The first is heard here; a second one does what it always does."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether somebody asked."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Return when somebody asks."""
        await self._asked.wait()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for each in _SIGNALS:
            loop.add_signal_handler(each, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()

    def _stop(self) -> None:
        self._asked.set()
        self._let_go()

    def _let_go(self) -> None:
        loop = asyncio.get_running_loop()
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
