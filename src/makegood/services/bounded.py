"""Await somebody else's coroutine for a limited time, whether or not it heeds its cancellation."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import Coroutine, Generator
from typing import Any


class Overran(Exception):  # noqa: N818 - the caller decides whether it is an error
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
        self._task: asyncio.Task[Any] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        try:
            awaited = coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        self._task = asyncio.current_task()
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._expire)
        try:
            while True:
                try:
                    value = yield awaited
                except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the coroutine
                    awaited = coroutine.throw(error)
                    if self._expired:
                        self._abandon(awaited)
                else:
                    awaited = coroutine.send(value)
        except StopIteration as stop:
            # It finished all the same, perhaps at the last moment: an answer is an answer.
            self._absorb()
            return stop.value
        except CancelledError:
            if self._absorb():
                raise Overran from None
            raise
        finally:
            timer.cancel()

    def _expire(self) -> None:
        assert self._task is not None
        self._expired = True
        self._task.cancel()

    def _absorb(self) -> bool:
        """Take back our own cancellation; whether it was ours alone."""
        if not self._expired:
            return False
        assert self._task is not None
        return self._task.uncancel() == 0

    def _abandon(self, awaited: Any) -> None:
        """The coroutine goes on after its deadline: let it, elsewhere."""
        ours = self._absorb()
        task = asyncio.get_running_loop().create_task(_resume(self._coroutine, awaited))
        _abandoned.add(task)
        task.add_done_callback(_forget)
        raise Overran if ours else CancelledError


_abandoned: set[asyncio.Task[Any]] = set()


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()


async def _resume(coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
    await _Rest(coroutine, awaited)


class _Rest:
    """What is left of a coroutine that has already handed out what it waits for."""

    __slots__ = ("_awaited", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited = self._awaited
        try:
            while True:
                try:
                    value = yield awaited
                except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the coroutine
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(value)
        except StopIteration as stop:
            return stop.value


