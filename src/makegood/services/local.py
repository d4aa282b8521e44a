"""Services that are Python objects of this process: their public methods, and what a return means.

Rules: no exception of a service leaves this module, a service never holds what the engine holds (input
and output are copies), and no call outlasts its deadline, whether or not the service heeds it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

from makegood.core.outcome import Reply
from makegood.errors import NotDone, Ongoing, Rejected, nearest
from makegood.ports import Invocation
from makegood.services.bounded import Bounded, Overran
from makegood.services.deadline import Deadline
from makegood.services.methods import methods_of
from makegood.services.payload import InvalidPayload, PayloadTooLarge, plain
from makegood.services.threads import Threads

THREADS_MAX = 32
_MESSAGE_MAX = 500
_log = logging.getLogger("makegood.services")


class LocalService:
    """The public methods of one object, or the functions of one mapping."""

    def __init__(self, name: str, service: Any) -> None:
        self._name = name
        self._methods = methods_of(name, service)
        self._threads: Threads | None = None

    async def call(self, invocation: Invocation, deadline: Deadline) -> Reply:
        """Call one method."""
        method = self._methods.get(invocation.method)
        if method is None:
            return self._unknown_method(invocation.method)
        try:
            arguments = method.arguments(invocation)
        except PayloadTooLarge as error:
            return Reply("not_sent", code="payload_too_large", message=str(error))
        try:
            if method.is_async:
                answer = await Bounded(method.function(*arguments), deadline.remaining_s)
            else:
                answer = await self._in_thread(method.function, arguments, deadline)
        except _NoThread as error:
            return Reply("not_sent", code="service_unavailable", message=str(error))
        except Overran:
            return _LATE
        except CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # The service cancelled something of its own and let it out: that stops no engine.
            return self._failed(error, invocation)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too: a service does not end the engine
            return self._failed(error, invocation)
        return _answered(answer)

    async def look(self, url: str, deadline: Deadline) -> str:  # noqa: ARG002 - it is a part of this process
        """As well as this process."""
        return ""

    def retire(self) -> None:
        """Take no new calls; open ones go on."""
        if self._threads is not None:
            self._threads.close()

    def close(self) -> None:
        """Abandon open calls."""
        self.retire()

    async def _in_thread(self, function: Callable[..., Any], arguments: tuple[Any, ...], deadline: Deadline) -> Any:
        if self._threads is None:
            self._threads = Threads(THREADS_MAX, f"makegood-{self._name}")
        future = self._threads.submit(lambda: _caught(function, arguments))
        if future is None:
            raise _NoThread(f"service {self._name!r} has been removed")
        try:
            async with asyncio.timeout(deadline.remaining_s) as timeout:
                error, answer = await asyncio.wrap_future(future)
        except TimeoutError:
            if not timeout.expired():
                raise
            if future.cancelled():
                raise _NoThread(f"no thread was free for {self._name!r} within the deadline") from None
            raise Overran from None
        if error is not None:
            raise error
        if inspect.iscoroutine(answer):
            # A plain wrapper around an async method: its coroutine belongs to this loop.
            return await Bounded(answer, deadline.remaining_s)
        return answer

    def _unknown_method(self, method: str) -> Reply:
        message = f"service {self._name!r} has no method {method!r}.{nearest(method, self._methods)}"
        return Reply("rejected", code="method_not_found", message=message)

    def _failed(self, error: BaseException, invocation: Invocation) -> Reply:
        if isinstance(error, Ongoing):
            return _ongoing(error)
        if isinstance(error, Rejected):
            return _rejected(error)
        if isinstance(error, NotDone):
            return Reply("not_sent", code=error.code, message=_described(error))
        _log.warning(
            "%s.%s raised at step %s, attempt %d", self._name, invocation.method, invocation.step,
            invocation.attempt, exc_info=error,
        )  # fmt: skip
        return Reply("unknown", code="service_error", message=_described(error))


class _NoThread(Exception):
    """The function was never begun."""


_LATE = Reply("unknown", code="call_timeout", message="no answer within the deadline", answered=False)


def _caught(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[BaseException | None, Any]:
    """Futures refuse some exceptions, StopIteration for one; so none travels through them."""
    try:
        return None, function(*arguments)
    except BaseException as error:  # noqa: BLE001 - raised again on the loop
        return error, None


def _answered(answer: Any) -> Reply:
    if answer is None:
        return _NOTHING
    if isinstance(answer, Ongoing):
        return _ongoing(answer)
    try:
        return Reply("ok", plain(answer))
    except PayloadTooLarge as error:
        return Reply("unknown", code="reply_too_large", message=str(error))
    except InvalidPayload as error:
        return Reply("unknown", code="invalid_reply", message=str(error))


_NOTHING = Reply.ok()


def _ongoing(ongoing: Ongoing) -> Reply:
    after_s = ongoing.poll_after_s
    return Reply("ongoing", poll_after_ms=None if after_s is None else round(after_s * 1000))


def _rejected(error: Rejected) -> Reply:
    code = str(error.code) or "rejected"
    message = str(error.message)
    try:
        return Reply("rejected", code=plain(code), message=plain(message), details=plain(error.details))
    except InvalidPayload as problem:
        # The no is definite all the same.
        return Reply("rejected", code=_clean(code), message=_clean(f"{message} (details dropped: {problem})"))


def _described(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a service's own __str__
        text = ""
    name = type(error).__name__
    return _clean(f"{name}: {text}" if text else name)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:_MESSAGE_MAX]
