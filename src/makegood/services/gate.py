"""The gate of one service: whether a call may begin now, and when to ask again if not.

Three things may be in the way: no endpoint may be called, all places are taken, calls begin too fast.
Strangers keep out: who asks in which order is the engine's business, which endpoint is called the pool's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from makegood.ports import Slot
from makegood.services.config import ServiceConfig
from makegood.services.pool import Pool
from makegood.services.rate import Bucket, Ramp, Usual

TIMER_S_MIN = 0.002
"""No timer is shorter: what comes due meanwhile goes together."""
TIMER_S_MAX = 3600.0
"""Nor longer: it is looked again then."""


class Timer(Protocol):
    """What can be called off."""

    def cancel(self) -> None:
        """Call it off."""
        ...


Later = Callable[[float, Callable[[], None]], Timer]
"""Calls back after so many seconds."""


def later(wait_s: float, call: Callable[[], None]) -> Timer:
    """By the loop that runs."""
    return asyncio.get_running_loop().call_later(wait_s, call)


class Gate:
    """Outlives a service's replacement, so that its calls are still counted.

    Args:
        pool: Its endpoints; not looked at for a local service.
        tell: Called when somebody who was told BUSY or UNWELL may ask again: once, however many were told.
        ticks_s: Seconds of a clock that does not go back.

    Attributes:
        taken: Places held.
    """

    def __init__(self, pool: Pool, *, tell: Callable[[], None], ticks_s: Callable[[], float], later: Later) -> None:
        self.pool = pool
        self.taken = 0
        self._tell = tell
        self._ticks_s = ticks_s
        self._later = later
        self._remote = False
        self._places_max = 1
        self._places = 1
        self._rate: float | None = None
        self._replicas = 1
        self._bucket: Bucket | None = None
        self._usual = Usual()
        self._usual_rate: float | None = None
        self._out = False
        self._ramp: Ramp | None = None
        self._owed = False
        self._full = False
        self._queued = False
        self._timer: Timer | None = None
        pool.on_change = self.look_again

    def fit(self, config: ServiceConfig, *, remote: bool) -> None:
        """Take a service's limits; what is under way goes on.

        Args:
            remote: Whether it is reached at the endpoints of the pool.
        """
        self._remote = remote
        if not remote:
            self.pool.let_go()
        self._places_max = config.max_concurrent
        self._rate = config.rate
        self._divide()

    def share(self, replicas: int) -> None:
        """Take so large a part of the limits as falls to one of so many; of places at least one."""
        if replicas != self._replicas:
            self._replicas = replicas
            self._divide()
            self.look_again()

    def _divide(self) -> None:
        self._places = max(1, self._places_max // self._replicas)
        if self._rate is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = Bucket(self._rate / self._replicas)
        else:
            self._bucket.change(self._rate / self._replicas, self._ticks_s())

    def enter(self) -> Slot:
        """Take a place for one call, with an endpoint to make it at; or say why not."""
        now_s = self._ticks_s()
        if self._remote and not self.pool.ready(now_s):
            return self._refuse_unwell(now_s)
        if self.taken >= self._places:
            self._owed = self._full = self._queued = True
            return Slot.BUSY
        if self._out or self._ramp is not None or self._bucket is not None:
            wait_s = self._wait_s(now_s)
            if wait_s > 0 or self._timer is not None:
                # What comes due goes to those who wait: whoever is new waits behind them.
                if self._timer is None:
                    self._arm(wait_s)
                self._owed = self._queued = True
                return Slot.BUSY
            for each in (self._ramp, self._bucket):
                if each is not None:
                    each.take(now_s)
        if self._remote:
            self.pool.hold(now_s)
        self._usual.began(now_s)
        self.taken += 1
        return Slot.GRANTED

    def give_back(self) -> None:
        """Leave without having called."""
        if self.taken <= 0:
            return
        for each in (self._ramp, self._bucket):
            if each is not None:
                each.give_back()
        if self._remote:
            self.pool.give_back()
        self.leave()

    def leave(self) -> None:
        """A call has ended."""
        self.taken -= 1
        if self._full:
            self.tell()

    def tell(self) -> None:
        """Let those who wait ask again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._full = self._queued = False
        if self._owed:
            # Before: who is told may ask at once, and be told to wait again.
            self._owed = False
            self._tell()

    def look_again(self) -> None:
        """Something has changed: let those who wait ask again, or see when they may."""
        if not self._owed:
            return
        now_s = self._ticks_s()
        # Who stands in the line of a service that has fallen ill is to hear that this is what is waited for now.
        if not self._remote or self._queued or self.pool.ready(now_s):
            self.tell()
        else:
            self._arm(self.pool.probe_s - now_s)

    def close(self) -> None:
        """Tell nobody any more."""
        self._owed = False
        self.tell()

    def _refuse_unwell(self, now_s: float) -> Slot:
        if not self._out:
            self._out = True
            if self._ramp is None:
                self._usual_rate = self._usual.rate()
            self._ramp = None
        self._owed = True
        self._arm(self.pool.probe_s - now_s)
        return Slot.UNWELL

    def _wait_s(self, now_s: float) -> float:
        if self._out and self.pool.any_well:
            self._out = False
            self._ramp = Ramp(self._usual_rate, now_s)
        elif self._ramp is not None and self._ramp.is_over(now_s):
            self._ramp = None
        wait_s = 0.0 if self._bucket is None else self._bucket.wait_s(now_s)
        return wait_s if self._ramp is None else max(wait_s, self._ramp.wait_s(now_s))

    def _arm(self, wait_s: float) -> None:
        """One timer at most, for what is due first."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wait_s < math.inf:
            self._timer = self._later(min(max(wait_s, TIMER_S_MIN), TIMER_S_MAX), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.look_again()
