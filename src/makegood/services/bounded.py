"""Await somebody else's coroutine for a limited time, whether or not it heeds its cancellation."""

from __future__ import annotations

import asyncio
import logging
import types
from asyncio import CancelledError
from collections.abc import Coroutine, Generator
from typing import Any

_log = logging.getLogger("makegood.services")


class Overran(Exception):
    """The time was up. What the coroutine does from now on, it does alone."""


class Bounded:
    """Await a coroutine within the caller's task, for a limited time.

    Driven by hand for two reasons. A method that never suspends costs no timer at all. And one that
    suppresses its cancellation, or hangs while cleaning up, is left to a task of its own, whereas
    `asyncio.timeout` would wait for it beyond the deadline.
    """

    __slots__ = ("_cancelling", "_coroutine", "_expired", "_task", "_timeout_s")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], timeout_s: float) -> None:
        self._coroutine = coroutine
        self._timeout_s = timeout_s
        self._expired = False
        self._cancelling = 0
        self._task: asyncio.Task[Any] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        try:
            awaited = coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._expire)
        try:
            while True:
                try:
                    value = yield awaited
                except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the coroutine
                    awaited = coroutine.throw(error)
                    if self._expired:
                        _leave(coroutine, awaited)
                        raise CancelledError from None
                else:
                    awaited = coroutine.send(value)
        except StopIteration as stop:
            # It finished all the same, at the last moment: an answer is an answer.
            return stop.value
        except CancelledError:
            if self._absorb():
                raise Overran from None
            raise
        finally:
            timer.cancel()
            self._absorb()

    def _expire(self) -> None:
        assert self._task is not None
        self._expired = True
        self._task.cancel()

    def _absorb(self) -> bool:
        """Take back our own cancellation, once; whether nobody else cancelled the task meanwhile."""
        if not self._expired or self._task is None:
            return False
        self._expired = False
        return self._task.uncancel() <= self._cancelling


_left: set[asyncio.Task[None]] = set()


def _leave(coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
    """It goes on after its deadline, and may clean up: let it, in a task of its own."""
    task = asyncio.get_running_loop().create_task(_rest(coroutine, awaited))
    _left.add(task)
    task.add_done_callback(_left.discard)


async def _rest(coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
    try:
        await _drive(coroutine, awaited)
    except Exception:  # noqa: BLE001 - nobody waits for it any more
        _log.warning("a local service raised after its deadline", exc_info=True)


@types.coroutine
def _drive(coroutine: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """What is left of a coroutine that has already handed out what it waits for."""
    try:
        while True:
            try:
                value = yield awaited
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the coroutine
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(value)
    except StopIteration as stop:
        return stop.value
