"""Timestamps and durations: from text, and into their parts in a time zone. Reads no clock."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from makegood.expression.budget import Scope
from makegood.expression.errors import ExpressionError, shown
from makegood.expression.operators import no_overload
from makegood.expression.values import NANOS, Duration, Timestamp, civil

Getter = Callable[..., int]

_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_DURATION: Final = re.compile(r"([+-]?)(0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_DURATION_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 1_000_000,
    "s": NANOS, "m": 60 * NANOS, "h": 3600 * NANOS,
}  # fmt: skip
_DURATION_CHARS_MAX: Final = 100
_OFFSET: Final = re.compile(r"([+-]?)([0-9]{2}):([0-9]{2})")
_ZONE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*")
_ZONE_CHARS_MAX: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_ZONE_STEPS: Final = 200
_UNKNOWN_ZONE_STEPS: Final = 5000


def parse_timestamp(text: str) -> Timestamp:
    """The point in time that RFC 3339 text means.

    Raises:
        ExpressionError: It is no such text, or lies outside the years 1 to 9999.
    """
    found = _TIMESTAMP.fullmatch(text) if len(text) <= _DURATION_CHARS_MAX else None
    if found is None:
        raise _no_timestamp(text)
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = found.groups()[6:]
    try:
        days = date(year, month, day).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        raise _no_timestamp(text) from None
    east = 0
    if sign:
        east = int(offset_hours) * 3600 + int(offset_minutes) * 60
        east = -east if sign == "-" else east
    if hour > 23 or minute > 59 or second > 59 or int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
        raise _no_timestamp(text)
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - east
    return Timestamp(seconds * NANOS + int((fraction or "").ljust(9, "0")))


def parse_duration(text: str) -> Duration:
    """The span that a text such as `1h30m`, `-1.5s` or `250ms` means.

    Raises:
        ExpressionError: It is no such text, or too long a span.
    """
    found = _DURATION.fullmatch(text) if len(text) <= _DURATION_CHARS_MAX else None
    if found is None:
        raise ExpressionError(f"{shown(text)} is no duration; it is written like '1h30m', '1.5s' or '250ms'.")
    total = 0
    for whole, fraction, unit in _DURATION_PART.findall(found.group(2)):
        scale = _UNITS[unit]
        total += int(whole or "0") * scale
        if fraction:
            total += int(fraction) * scale // 10 ** len(fraction)
    return Duration(-total if found.group(1) == "-" else total)


def getters() -> dict[str, Getter]:
    """The functions `getHours` and kin, by name; each takes a scope, a time and perhaps a zone."""
    found: dict[str, Getter] = {name: _field_getter(name, part) for name, part in _FIELDS.items()}
    for name, unit in _SPANS.items():
        found[name] = _span_getter(name, unit, found[name])
    return found


def _no_timestamp(text: str) -> ExpressionError:
    return ExpressionError(
        f"{shown(text)} is no timestamp; it is written like '2024-05-01T12:30:00Z' or with an offset, '+02:00'."
    )


def _field_getter(name: str, part: Callable[[int, int], int]) -> Getter:
    def get(scope: Scope, value: Any, zone: Any = "") -> int:
        if type(value) is not Timestamp or type(zone) is not str:
            raise no_overload(name, value, zone) if zone != "" else no_overload(name, value)
        seconds, nanos = divmod(value.nanoseconds, NANOS)
        return part(seconds + _seconds_east(scope, seconds, zone), nanos)

    return get


def _span_getter(name: str, unit: int, of_timestamp: Getter) -> Getter:
    def get(scope: Scope, value: Any, *zone: Any) -> int:
        if type(value) is not Duration:
            return of_timestamp(scope, value, *zone)
        if zone:
            raise ExpressionError(f"{name} of a duration takes no time zone.")
        units = abs(value.nanoseconds) // unit
        # Only the milliseconds are a part; hours, minutes and seconds are the whole span.
        units = units % 1000 if name == "getMilliseconds" else units
        return -units if value.nanoseconds < 0 else units

    return get


def _date(seconds: int) -> tuple[int, int, int]:
    return civil(seconds // 86_400)


def _day_of_year(seconds: int) -> int:
    year, month, day = _date(seconds)
    leap = month > 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS_BEFORE[month - 1] + day - 1 + leap


_DAYS_BEFORE: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_FIELDS: Final[dict[str, Callable[[int, int], int]]] = {
    "getFullYear": lambda seconds, _: _date(seconds)[0],
    "getMonth": lambda seconds, _: _date(seconds)[1] - 1,
    "getDate": lambda seconds, _: _date(seconds)[2],
    "getDayOfMonth": lambda seconds, _: _date(seconds)[2] - 1,
    "getDayOfWeek": lambda seconds, _: (seconds // 86_400 + 4) % 7,
    "getDayOfYear": lambda seconds, _: _day_of_year(seconds),
    "getHours": lambda seconds, _: seconds // 3600 % 24,
    "getMinutes": lambda seconds, _: seconds // 60 % 60,
    "getSeconds": lambda seconds, _: seconds % 60,
    "getMilliseconds": lambda _, nanos: nanos // 1_000_000,
}
_SPANS: Final = {
    "getHours": 3600 * NANOS,
    "getMinutes": 60 * NANOS,
    "getSeconds": NANOS,
    "getMilliseconds": 1_000_000,
}


def _seconds_east(scope: Scope, seconds: int, zone: str) -> int:
    """How far a zone's clocks are ahead of UTC at a point in time."""
    if zone in ("", "UTC", "Z"):
        return 0
    offset = _OFFSET.fullmatch(zone) if len(zone) <= _ZONE_CHARS_MAX else None
    if offset is None:
        return _named_east(scope, seconds, zone)
    sign, hours, minutes = offset.groups()
    if int(hours) > 23 or int(minutes) > 59:
        raise _no_zone(zone)
    east = int(hours) * 3600 + int(minutes) * 60
    return -east if sign == "-" else east


def _named_east(scope: Scope, seconds: int, zone: str) -> int:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only expressions with a zone pay for it

    scope.spend(_ZONE_STEPS)
    if len(zone) > _ZONE_CHARS_MAX or not _ZONE_NAME.fullmatch(zone):
        raise _no_zone(zone)
    try:
        info = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        # Looking in vain is slow, and is not remembered.
        scope.spend(_UNKNOWN_ZONE_STEPS)
        raise _no_zone(zone) from None
    # One day from either end of time, where the offset would lead out of Python's calendar.
    at = min(max(seconds, -62_135_510_400), 253_402_214_400)
    offset = (_EPOCH + timedelta(seconds=at)).astimezone(info).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _no_zone(zone: str) -> ExpressionError:
    return ExpressionError(f"{shown(zone)} is no time zone; it is written like 'Europe/Paris', 'UTC' or '+02:00'.")
