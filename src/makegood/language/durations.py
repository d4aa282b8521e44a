"""Durations as users write them. Text and numbers in, whole milliseconds out; nothing else lives here."""

from __future__ import annotations

import math
import re
from datetime import timedelta

DURATION_MS_MAX = 100 * 365 * 24 * 3_600_000
"""A hundred years: beyond it a sum with a date would overflow somewhere."""

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SHORT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_ISO = re.compile(
    r"P(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,12}(?:\.[0-9]{1,9})?)S)?)?"
)
_ISO_MS = (7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000)
_FORMS = "write 250ms, 30s, 5m, 2h, 7d, PT5M, or a number of seconds"


def parse_duration_ms(value: object) -> int:
    """Milliseconds of `250ms`, `30s`, `5m`, `2h`, `7d`, ISO-8601 such as `PT5M`, or a number of seconds.

    What is above zero is at least one millisecond.

    Raises:
        ValueError: It is none of these, is negative, or is longer than a hundred years. The message
            says what to write.
    """
    exact = _exact_ms(value)
    if exact < 0:
        raise ValueError(f"must not be negative; {_FORMS}")
    if exact > DURATION_MS_MAX:
        raise ValueError("must not be longer than 36500d")
    return max(round(exact), 1) if exact else 0


def duration_text(value: timedelta) -> str:
    """A Python duration in the language's own words: `30s`, or `1500ms`."""
    milliseconds = -(-value // timedelta(milliseconds=1))
    if milliseconds % 1_000 == 0:
        return f"{milliseconds // 1_000}s"
    return f"{milliseconds}ms"


def _exact_ms(value: object) -> float:
    # A double is exact to the millisecond far beyond the longest duration.
    if isinstance(value, str):
        return _text_ms(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a duration; {_FORMS}")  # noqa: TRY004 one kind of error for the caller
    if isinstance(value, int) and abs(value) > DURATION_MS_MAX:
        return math.inf if value > 0 else -math.inf
    if math.isnan(value):
        raise ValueError(f"must be a number; {_FORMS}")
    return float(value) * 1_000


def _text_ms(text: str) -> float:
    short = _SHORT.fullmatch(text)
    if short:
        return float(short[1]) * _UNIT_MS[short[2]]
    iso = _ISO.fullmatch(text)
    if iso and any(iso.groups()):
        return sum(float(part) * ms for part, ms in zip(iso.groups(), _ISO_MS, strict=True) if part)
    if text.startswith("-"):
        return -1.0
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"has no unit: write {text[:20]}s, or the number without quotes")
    if re.fullmatch(r"(?:[0-9.]+(?:ms|s|m|h|d))+", text):
        raise ValueError("has two units: write it in the smaller one, or as ISO-8601 such as PT1H30M")
    raise ValueError(f"is not a duration; {_FORMS}")
