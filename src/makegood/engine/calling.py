"""Calling services: what one is asked, made from a state, and the calls that are under way.

A call is sent once its attempt is durable, and its reply is told to whoever sent it. Strangers keep
out: whether something is to be sent, and what a reply leads to, is not decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from makegood.core.inputs import Replied
from makegood.core.outstanding import Send
from makegood.core.state import Key, State
from makegood.core.undoing import calling_execution, idempotency_key, undo_body
from makegood.engine.live import Live
from makegood.engine.tenure import Tenure
from makegood.engine.tracing import traceparent
from makegood.ports import Invocation, Invoker


class Calls:
    """The calls of this process that have no reply yet.

    Args:
        tenure: While it does not hold, nothing is sent.
        on_reply: Called with what came of a call.

    Attributes:
        under_way: One for each call.
    """

    def __init__(self, invoker: Invoker, tenure: Tenure, on_reply: Callable[[Live, Replied], None]) -> None:
        self._invoker = invoker
        self._tenure = tenure
        self._on_reply = on_reply
        self._kept: list[tuple[Live, Send]] = []
        tenure.on_proven.append(self._send_kept)
        self.under_way: set[asyncio.Task[None]] = set()

    def send(self, execution: Live, send: Send) -> None:
        """Send the request of an attempt that is open, for which a place is held: now, or once the lease is proven."""
        if not self._tenure.holds():
            self._kept.append((execution, send))
            return
        invocation = invocation_of(execution.state, send)
        self.under_way.add(asyncio.get_running_loop().create_task(self._call(execution, send, invocation)))
        execution.sending += 1

    def _send_kept(self) -> None:
        kept, self._kept = self._kept, []
        for execution, send in kept:
            if execution.leaving or not is_open(execution.state, send):
                self._give_back(execution, send)
            else:
                self.send(execution, send)

    def _give_back(self, execution: Live, send: Send) -> None:
        self._invoker.release(service_of(execution.state, send.key, send.undo))

    async def _call(self, execution: Live, send: Send, invocation: Invocation) -> None:
        try:
            if not self._tenure.holds():
                # The process was stopped between the decision and this moment.
                execution.sending -= 1
                self._kept.append((execution, send))
                return
            reply = await self._invoker.invoke(invocation)
        finally:
            self.under_way.discard(asyncio.current_task())
        execution.sending -= 1
        strict = reply.outcome == "rejected" and self._invoker.strict_idempotent(invocation.service)
        self._on_reply(execution, Replied(send.key, send.undo, send.attempt, reply, strict))

    async def stop(self, drain_s: float) -> None:
        """Give what is under way some time, then give up on it."""
        kept, self._kept = self._kept, []
        for execution, send in kept:
            self._give_back(execution, send)
        try:
            if self.under_way and drain_s > 0:
                await asyncio.wait(list(self.under_way), timeout=drain_s)
        finally:
            left = list(self.under_way)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            self.under_way.clear()


def is_open(state: State, send: Send) -> bool:
    """Whether an attempt is still wanted."""
    track = state.instances[send.key].track(send.undo)
    return track.open_until is not None and track.attempts == send.attempt


def service_of(state: State, key: Key, undo: bool) -> str:
    """The service that a step calls, or that undoes it."""
    node = state.node(key)
    if undo:
        assert node.undo is not None
        return node.undo.service
    return node.call.service


def invocation_of(state: State, send: Send) -> Invocation:
    """The request of an attempt that is open. The same state gives the same, after a crash as well."""
    instance = state.instances[send.key]
    node = state.node(send.key)
    target = node.undo if send.undo else node.call
    deadline_ms = instance.track(send.undo).open_until
    assert target is not None
    assert deadline_ms is not None
    key = idempotency_key(state, send.key, undo=send.undo)
    return Invocation(
        execution_id=calling_execution(state, send.key),
        workflow=state.workflow,
        step=state.name(send.key),
        service=target.service,
        method=target.method,
        body=undo_body(state, instance) if send.undo else instance.input,
        key=key,
        attempt=send.attempt,
        deadline_ms=deadline_ms,
        undo=send.undo,
        traceparent=traceparent(state, key, send.attempt),
    )
