"""The one sync door: a private event loop in a thread, for scripts that are not async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Door:
    """Runs coroutines from a plain thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="makegood-loop", daemon=True)
        self._thread.start()

    @classmethod
    def behind(cls, opening: Coroutine[Any, Any, Any]) -> Self:
        """A door to what is opened by this; no door when it cannot be."""
        door = cls()
        try:
            door.run(opening)
        except BaseException:
            door.close()
            raise
        return door

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result; an interrupt cancels the work first."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # An interrupt; when the work itself failed there is nothing left to cancel.
            future.cancel()
            raise

    def close_after(self, closing: Coroutine[Any, Any, Any]) -> None:
        """Close what is behind the door, then the door, whatever becomes of the first."""
        try:
            self.run(closing)
        finally:
            self.close()

    def close(self) -> None:
        """Stop the loop and its thread, and what still runs there."""
        asyncio.run_coroutine_threadsafe(_wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _wind_up() -> None:
    """Let what was interrupted clean up."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
