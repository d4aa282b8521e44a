"""Whether one endpoint may be called, by what came of the calls before. No clock, no chance, no I/O of its own.

    closed     every call may go; opens when half of at least 20 calls within 30 s were sick, or 20 in a row
    open       none may go; from `probe_s` on one may, which makes it half open
    half_open  one call is the probe: well closes, sick opens again for twice as long

A call is sick when it speaks of the endpoint: it could not be reached, gave no answer, a broken one, or
a 5xx. An answer that says no (a 4xx, also 408, 425 and 429, which say "not now") is well: somebody is
there and judges. What ended on our side (an input too large, a secret missing, a shutdown) says nothing.

Source: the state machine is Nygard's circuit breaker ("Release It!"); its rate over a window that of
Netflix' Hystrix.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from makegood.core.outcome import Reply

CircuitState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a circuit opens, and for how long.

    Attributes:
        calls_least: So many calls must have ended within the window before it opens.
        sick_share: It opens when so large a part of them was sick; 0 to 1.
        window_s: Whole seconds that are looked back on.
        rest_s_min: Seconds for which it opens at first.
        rest_s_max: Seconds at most; each failed probe doubles.
        jitter: The rest is longer or shorter by up to this part, so that replicas do not probe together.
    """

    calls_least: int = 20
    sick_share: float = 0.5
    window_s: int = 30
    rest_s_min: float = 1.0
    rest_s_max: float = 15.0
    jitter: float = 0.2


POLICY = Policy()


class Circuit:
    """The circuit of one endpoint. All times are seconds of one clock that does not go back.

    Attributes:
        state: See the module.
        in_a_row: Sick calls since the last one that was well.
        probe_s: While open: from when on a probe may be made; else without meaning.
        term: Raised by every transition. A call carries the term it began in; one that ends in another
            speaks of a past that has been judged, and is not counted.
    """

    __slots__ = (
        "_calls", "_opened", "_policy", "_probing", "_row_second", "_seconds", "_sick", "in_a_row", "probe_s", "state",
        "term",
    )  # fmt: skip

    def __init__(self, policy: Policy = POLICY) -> None:
        self._policy = policy
        self._seconds: deque[list[int]] = deque()
        self._calls = 0
        self._sick = 0
        self._opened = 0
        self._probing = False
        self._row_second = 0
        self.in_a_row = 0
        self.probe_s = -math.inf
        self.state: CircuitState = "closed"
        self.term = 0

    def may_call(self, now_s: float) -> bool:
        """Whether a call may go now."""
        if self.state == "closed":
            return True
        return now_s >= self.probe_s if self.state == "open" else not self._probing

    def call(self) -> int:
        """A call goes that may; the term to give when it ends."""
        if self.state != "closed":
            self.state = "half_open"
            self._probing = True
            self.term += 1
        return self.term

    def give_back(self, term: int) -> bool:
        """A call ends of which nothing can be said; whether that lets another one probe."""
        if term != self.term or not self._probing:
            return False
        self._probing = False
        return True

    def well(self, now_s: float, term: int) -> bool:
        """A call was answered; whether that closes the circuit."""
        if term != self.term:
            return False
        if self._probing:
            self._close()
            return True
        self.in_a_row = 0
        if self.state == "closed":
            self._count(int(now_s), 0)
        return False

    def sick(self, now_s: float, term: int, chance: float) -> bool:
        """A call was not answered as one must be; whether that opens the circuit.

        Args:
            chance: From 0 to 1, for how long it opens.
        """
        if term != self.term:
            return False
        if not self.in_a_row:
            self._row_second = int(now_s)
        self.in_a_row += 1
        if self._probing:
            self.open(now_s, chance)
            return True
        if self.state != "closed":
            return False
        self._count(int(now_s), 1)
        if self._calls >= self._policy.calls_least and self._is_out(int(now_s)):
            self.open(now_s, chance)
            return True
        return False

    def _is_out(self, second: int) -> bool:
        """The share decides; but where there were many calls, all of the latest need not wait until they are half."""
        policy = self._policy
        if self._sick >= self._calls * policy.sick_share:
            return True
        return self.in_a_row >= policy.calls_least and self._row_second > second - policy.window_s

    def open(self, now_s: float, chance: float) -> None:
        """Let no call go for a while: twice as long as the last time, if no call was well in between."""
        policy = self._policy
        rest_s = min(policy.rest_s_max, policy.rest_s_min * 2.0 ** min(self._opened, 64))
        self.probe_s = now_s + rest_s * (1 + policy.jitter * (2 * chance - 1))
        self.state = "open"
        self._opened += 1
        self._probing = False
        self.term += 1

    def _close(self) -> None:
        self.state = "closed"
        self._opened = self._calls = self._sick = self.in_a_row = 0
        self._seconds.clear()
        self._probing = False
        self.term += 1

    def _count(self, second: int, sick: int) -> None:
        seconds = self._seconds
        if not seconds or seconds[-1][0] < second:
            while seconds and seconds[0][0] <= second - self._policy.window_s:
                _, calls, past = seconds.popleft()
                self._calls -= calls
                self._sick -= past
            seconds.append([second, 0, 0])
        last = seconds[-1]
        last[1] += 1
        last[2] += sick
        self._calls += 1
        self._sick += sick


def speaks_well(reply: Reply) -> bool:
    """Whether a reply that was read from an endpoint shows one that works."""
    return reply.outcome != "unknown" or reply.code == "reply_too_large"
