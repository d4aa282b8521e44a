"""Where the time comes from, unless somebody gives another clock. Nothing else reads the operating system's."""

from __future__ import annotations

import time


class WallClock:
    """The operating system's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000
