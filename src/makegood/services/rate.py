"""How many calls may begin in a time: a bound that is configured, and a way back after an outage. Pure: no clock.

Times are seconds of one clock that does not go back. Nothing here waits; it says how long to wait.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

BURST_S = 0.1
"""What was not used for so long may be caught up with at once."""
STEADY_SECONDS = 10
"""So many of the latest seconds in which there were calls tell what is usual."""
RAMP_OVER = 1.5
"""While what waited is let go, so many times as many calls begin as usual: what comes anew, and half again."""
RAMP_FROM = 0.125
"""It begins with so large a part of that."""
RAMP_UNKNOWN = 10.0
"""Calls a second to begin with where nothing is known of what is usual."""
QUIET_S = 5.0
"""When for so long nobody had to wait, what waited is through."""


class Bucket:
    """At most `rate` calls a second: in any T seconds at most `rate * (T + burst_s) + 1`.

    Source: the generic cell rate algorithm, ITU-T I.371: one number, the time at which the calls so far are paid for.
    """

    __slots__ = ("_burst_s", "_each_s", "_paid_s")

    def __init__(self, rate: float, burst_s: float = BURST_S) -> None:
        self._each_s = 1 / rate
        self._burst_s = burst_s
        self._paid_s = -math.inf

    def wait_s(self, now_s: float) -> float:
        """How long to wait before the next call may begin; 0 when it may now."""
        return max(0.0, self._paid_s - self._burst_s - now_s)

    def take(self, now_s: float) -> None:
        """A call begins."""
        self._paid_s = max(self._paid_s, now_s) + self._each_s

    def give_back(self) -> None:
        """One that was to begin does not."""
        self._paid_s -= self._each_s

    def change(self, rate: float, now_s: float) -> None:
        """Another rate from now on; what is owed stays owed, in calls."""
        each_s = 1 / rate
        if self._paid_s > now_s:
            self._paid_s = now_s + (self._paid_s - now_s) * each_s / self._each_s
        self._each_s = each_s


class Usual:
    """How many calls begin in a second, usually."""

    __slots__ = ("_counts", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._counts: deque[int] = deque(maxlen=STEADY_SECONDS + 1)

    def began(self, now_s: float) -> None:
        """A call began."""
        second = int(now_s)
        if second == self._second:
            self._counts[-1] += 1
        else:
            self._second = second
            self._counts.append(1)

    def rate(self) -> float | None:
        """Calls a second: the median of the latest seconds that had any, the last not counted, as it may not be over.

        None when there were no two of them.
        """
        whole = list(self._counts)[:-1]
        return median(whole) if whole else None


class Ramp:
    """The way back after an outage: at first few calls, twice as many each second, until nobody waits any more.

    Args:
        usual: Calls a second before it; None: not known, and nothing bounds the doubling.
        now_s: When the first endpoint could be called again.
    """

    __slots__ = ("_began_s", "_bucket", "_from", "_most", "_refused_s")

    def __init__(self, usual: float | None, now_s: float) -> None:
        self._most = math.inf if usual is None else usual * RAMP_OVER
        self._from = RAMP_UNKNOWN if usual is None else max(self._most * RAMP_FROM, min(self._most, 1.0))
        self._began_s = self._refused_s = now_s
        self._bucket = Bucket(self._from, BURST_S / 2)

    def rate(self, now_s: float) -> float:
        """Calls a second that may begin now."""
        return min(self._most, self._from * math.exp2(min(now_s - self._began_s, 64.0)))

    def wait_s(self, now_s: float) -> float:
        """How long to wait before the next call may begin; 0 when it may now."""
        self._bucket.change(self.rate(now_s), now_s)
        wait_s = self._bucket.wait_s(now_s)
        if wait_s:
            self._refused_s = now_s
        return wait_s

    def take(self, now_s: float) -> None:
        """A call begins."""
        self._bucket.take(now_s)

    def give_back(self) -> None:
        """One that was to begin does not."""
        self._bucket.give_back()

    def is_over(self, now_s: float) -> bool:
        """Whether nobody has had to wait for a while."""
        return now_s - self._refused_s >= QUIET_S
