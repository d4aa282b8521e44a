"""The clock of the world. Strangers keep out: whoever judges is told the time, and reads none."""

from __future__ import annotations

import time


class WallClock:
    """The operating system's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000
