"""What an engine tells of its work while it works, in the domain's words, and where it is told.

Whoever measures or traces is a `Telemetry`; without one nothing here is in the way of anything.
Strangers keep out: no package of others, and nothing is decided by what is told. Rare events of the
process itself (a lease that was lost, a worker that died) are told through `log.hears`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeVar

from makegood.core.events import Record
from makegood.core.outcome import Reply
from makegood.core.state import MOVING, State
from makegood.engine.log import log, names
from makegood.engine.tracing import unsampled
from makegood.errors import Fenced
from makegood.ports import Append, Invocation, Invoker, Journal, Slot

T = TypeVar("T")


class Telemetry:
    """Told of what happens, on the event loop and on the hot path: it must be quick. Here it does nothing.

    Attributes:
        traces: Whether it wants to hear of calls before they are sent.
    """

    traces = False

    def started(self, workflow: str) -> None:
        """A new execution of that workflow is durable."""

    def parked(self, awaits: str) -> None:
        """An execution has left memory, and is a row until what it awaits: `service`, `time` or `news`."""

    def recorded(self, state: State, record: Record) -> None:
        """A record of an execution in memory is durable.

        Args:
            state: Of the execution now: at least as far as the record.
        """

    def call_began(self, invocation: Invocation) -> bool:  # noqa: ARG002 - for those that listen
        """A request is about to be sent; told where `traces`. Whether its trace is kept by anybody."""
        return True

    def call_ended(self, invocation: Invocation, reply: Reply, seconds: float) -> None:
        """A request has come to a reply, which is not journaled yet."""

    def committed(self, appends: int, seconds: float) -> None:
        """A batch was written in one transaction."""

    def fenced(self, appends: int) -> None:
        """So many appends were refused, each alone, because another one has the right to write them."""

    def cut_off(self, appends: int) -> None:
        """A whole batch was refused: this process has lost the right to write."""

    async def aclose(self) -> None:
        """The engine is closed: whatever is left is given to whom it is for."""


class Several(Telemetry):
    """Tells several."""

    def __init__(self, *several: Telemetry) -> None:
        self._several = several
        self.traces = any(each.traces for each in several)

    def started(self, workflow: str) -> None:
        """See `Telemetry`."""
        for each in self._several:
            each.started(workflow)

    def recorded(self, state: State, record: Record) -> None:
        """See `Telemetry`."""
        for each in self._several:
            each.recorded(state, record)

    def call_began(self, invocation: Invocation) -> bool:
        """See `Telemetry`: kept unless one of them keeps it not."""
        kept = [each.call_began(invocation) for each in self._several if each.traces]
        return all(kept)

    def call_ended(self, invocation: Invocation, reply: Reply, seconds: float) -> None:
        """See `Telemetry`."""
        for each in self._several:
            each.call_ended(invocation, reply, seconds)

    def parked(self, awaits: str) -> None:
        """See `Telemetry`."""
        for each in self._several:
            each.parked(awaits)

    def committed(self, appends: int, seconds: float) -> None:
        """See `Telemetry`."""
        for each in self._several:
            each.committed(appends, seconds)

    def fenced(self, appends: int) -> None:
        """See `Telemetry`."""
        for each in self._several:
            each.fenced(appends)

    def cut_off(self, appends: int) -> None:
        """See `Telemetry`."""
        for each in self._several:
            each.cut_off(appends)

    async def aclose(self) -> None:
        """See `Telemetry`."""
        for each in self._several:
            await each.aclose()


def told(tell: Callable[..., T], *facts: Any) -> T | None:
    """Tell; whoever fails to listen does no harm to what is told of."""
    try:
        return tell(*facts)
    except Exception as error:  # noqa: BLE001 - a mistake in what only watches
        log.error(names.TELEMETRY_FAILED, error=repr(error))
        return None


class WatchedJournal:
    """A journal whose batches are told of. Everything else is the journal's own."""

    def __init__(self, journal: Journal, telemetry: Telemetry) -> None:
        self._journal = journal
        self._telemetry = telemetry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def append(self, batch: Sequence[Append]) -> list[Exception | None]:
        """See `Journal.append`."""
        began = perf_counter()
        try:
            results = await self._journal.append(batch)
        except Fenced:
            told(self._telemetry.cut_off, len(batch))
            raise
        told(self._telemetry.committed, len(batch), perf_counter() - began)
        told(self._tell_each, batch, results)
        return results

    def _tell_each(self, batch: Sequence[Append], results: Sequence[Exception | None]) -> None:
        fenced = 0
        for append, result in zip(batch, results, strict=True):
            if result is not None:
                fenced += isinstance(result, Fenced)
                continue
            if append.start is not None:
                self._telemetry.started(append.start.workflow)
            if append.standing is not None and append.standing.parked and append.standing.status in MOVING:
                self._telemetry.parked("service" if append.waits else "time" if append.standing.wake_at_ms else "news")
        if fenced:
            self._telemetry.fenced(fenced)


class WatchedInvoker:
    """An invoker whose calls are told of. Implements `ports.Invoker`."""

    def __init__(self, invoker: Invoker, telemetry: Telemetry) -> None:
        self._invoker = invoker
        self._telemetry = telemetry
        self._traces = telemetry.traces
        # Looked up once, and as they are: all of it is on the hot path.
        self._invoke = invoker.invoke
        self._call_ended = telemetry.call_ended
        self.offers: Callable[[str], bool] = invoker.offers
        self.offered: Callable[[], Any] = invoker.offered
        self.strict_idempotent: Callable[[str], bool] = invoker.strict_idempotent
        self.default_timeout_ms: Callable[[str], int | None] = invoker.default_timeout_ms
        self.wait_ms: Callable[[str], int] = invoker.wait_ms
        self.reserve: Callable[[str], Slot] = invoker.reserve
        self.release: Callable[[str], None] = invoker.release
        self.set_share: Callable[[int], None] = invoker.set_share
        self.aclose: Callable[[], Any] = invoker.aclose

    @property
    def on_free(self) -> Callable[[str], None] | None:
        """See `Invoker.on_free`."""
        return self._invoker.on_free

    @on_free.setter
    def on_free(self, tell: Callable[[str], None] | None) -> None:
        self._invoker.on_free = tell

    async def invoke(self, invocation: Invocation) -> Reply:
        """See `Invoker.invoke`."""
        if self._traces and told(self._telemetry.call_began, invocation) is False:
            assert invocation.traceparent is not None
            invocation = replace(invocation, traceparent=unsampled(invocation.traceparent))
        began = perf_counter()
        reply = await self._invoke(invocation)
        told(self._call_ended, invocation, reply, perf_counter() - began)
        return reply
