"""Parking: how an execution leaves memory, or stays out of it, until it is due.

Here alone a row is written that belongs to nobody. Strangers keep out: nothing is decided about an
execution and nothing is sent; who may take it in again, and when, is the intake's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from makegood.core.events import Record
from makegood.core.outstanding import next_moment_ms
from makegood.engine.committer import Pending, Settled
from makegood.engine.live import Live
from makegood.ports import Append, Clock, Standing, Start, Stored, Wait

PARK_AFTER_MS = 2_000
"""A wait that is shorter is spent in memory."""

CHILD_LOOK_MS = 30_000
"""How often a parked execution looks after its children."""


class Writing(Protocol):
    """Whoever has appends written in the order in which they are queued: one committer, or several as one."""

    @property
    def broken(self) -> Exception | None:
        """Why nothing can be written any more."""
        ...

    def append(self, append: Append, settled: Settled, beside: Pending | None = None) -> None:
        """Queue one append, and perhaps another that is written if and only if this one is."""
        ...

    async def flush(self) -> None:
        """Return when everything queued so far is durable."""
        ...


class Parking:
    """Gives executions to whoever claims them when they are due.

    Args:
        forget: Called with an execution that is in memory no more.
        on_park: Called with the moment at which a parked execution is due, or None, once that is durable.
        on_wait: Called likewise with each service that it waits for.

    Attributes:
        under_way: What is leaving memory, by id: done when that is durable. Nobody may take it in before.
    """

    def __init__(
        self,
        committer: Writing,
        clock: Clock,
        *,
        forget: Callable[[Live], None],
        on_park: Callable[[int | None], None],
        on_wait: Callable[[str], None],
    ) -> None:
        self._committer = committer
        self._clock = clock
        self._forget = forget
        self._on_park = on_park
        self._on_wait = on_wait
        self.under_way: dict[str, asyncio.Future[None]] = {}

    def park_if_idle(self, execution: Live) -> None:
        """Give its memory back if nothing but time or a request from outside moves it for a while."""
        state = execution.state
        if execution.queued or execution.sending or execution.asked or execution.held or execution.leaving:
            return
        if state.open or state.ended or (state.status != "suspended" and (state.ready or state.more)):
            return
        wake_ms = next_moment_ms(state)
        if wake_ms is not None and wake_ms - self._clock.now_ms() < PARK_AFTER_MS:
            return
        if state.attending and state.status != "suspended":
            # Told of a child's end at once as a rule; this is for the end that was told to nobody.
            look_ms = self._clock.now_ms() + CHILD_LOOK_MS
            wake_ms = look_ms if wake_ms is None else min(wake_ms, look_ms)
        self.park(execution, wake_ms)

    def park(self, execution: Live, wake_ms: int | None) -> None:
        """Leave an execution to whoever claims it when it is due."""
        self._forget(execution)
        self._leave(execution.id, execution.position, execution.standing, wake_ms, execution.waits)

    def park_unloaded(self, stored: Stored, wake_ms: int) -> None:
        """Give back an execution that was claimed and cannot be advanced here."""
        self._leave(stored.execution_id, stored.positions, stored.standing, wake_ms, ())

    def park_new(self, execution: Live, record: Record, start: Start, told: Settled) -> None:
        """Store an execution with its first record, as due at once: there is no room for it here."""
        wake_ms = record.at_ms
        standing = replace(execution.standing, parked=True, wake_at_ms=wake_ms)

        def settled(error: Exception | None) -> None:
            if error is None:
                self._on_park(wake_ms)
            told(error)

        append = Append(
            execution_id=execution.id,
            position=0,
            record=record,
            start=start,
            standing=standing,
            requests=tuple(execution.requests),
            together=None if execution.beside is None else execution.beside[0].together,
        )
        self._committer.append(append, settled, execution.beside)

    def _leave(
        self, execution_id: str, position: int, standing: Standing, wake_ms: int | None, waits: tuple[Wait, ...]
    ) -> None:
        parking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way[execution_id] = parking

        def settled(error: Exception | None) -> None:
            del self.under_way[execution_id]
            parking.set_result(None)
            if error is None:
                self._on_park(wake_ms)
                for each in waits:
                    # It may have become well since it was asked last, when nobody heard of it.
                    self._on_wait(each.service)

        parked = replace(standing, parked=True, wake_at_ms=wake_ms)
        append = Append(execution_id=execution_id, position=position, record=None, standing=parked)
        self._committer.append(append, settled)
