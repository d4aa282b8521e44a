"""Take the steps of a conversation, one after the other: with plain connections, or with asynchronous ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from makegood.participant.answers import Answer
from makegood.participant.connections import Connection
from makegood.participant.rule import Step, Work


class Hands:
    """What steps are taken with.

    Args:
        perform: Calls the function with what the call answered, for an undo; gives its `Answer`.
        pause: Lets so many seconds pass.
    """

    def __init__(self, connection: Connection, perform: Callable[[Any], Any], pause: Callable[[float], Any]) -> None:
        self.begin, self.run = connection.begin, connection.run
        self.commit, self.rollback = connection.commit, connection.rollback
        self.perform, self.pause = perform, pause

    def take(self, step: Step) -> Any:
        """Take one step; perhaps an awaitable comes back."""
        return getattr(self, step.verb)(*step.given)


def drive(work: Work, hands: Hands) -> Answer:
    """To the end, without an event loop.

    Raises:
        TypeError: The connection is an asynchronous one.
    """
    result: Any = None
    error: BaseException | None = None
    while True:
        try:
            step = work.send(result) if error is None else work.throw(error)
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer
        result = error = None
        try:
            result = hands.take(step)
            if inspect.isawaitable(result):
                raise _refused(result)
        except BaseException as raised:  # noqa: BLE001 - the conversation decides what it means
            error = raised


async def drive_async(work: Work, hands: Hands) -> Answer:
    """To the end, awaiting what can be awaited."""
    result: Any = None
    error: BaseException | None = None
    while True:
        try:
            step = work.send(result) if error is None else work.throw(error)
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer
        result = error = None
        try:
            result = hands.take(step)
            if inspect.isawaitable(result):
                result = await result
        except BaseException as raised:  # noqa: BLE001 - the conversation decides what it means
            error = raised


def _refused(awaitable: Any) -> TypeError:
    if inspect.iscoroutine(awaitable):
        awaitable.close()
    return TypeError("a plain function cannot use an asynchronous connection: make it `async def`")
