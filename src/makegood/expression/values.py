"""The values that JSON does not have: points in time, spans, types, optionals. No arithmetic here.

Everything else is a plain Python value: None, bool, int, float, str, bytes, list, dict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from makegood.expression.errors import ExpressionError

NANOS: Final = 1_000_000_000
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_TIMESTAMP_MIN: Final = -62_135_596_800 * NANOS
_TIMESTAMP_MAX: Final = 253_402_300_800 * NANOS - 1
_DURATION_MAX: Final = 315_576_000_000 * NANOS


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time, years 1 to 9999.

    Attributes:
        nanoseconds: Since 1970-01-01T00:00:00Z, exact.

    Raises:
        ExpressionError: Outside the years 1 to 9999.
    """

    nanoseconds: int

    def __post_init__(self) -> None:
        if not _TIMESTAMP_MIN <= self.nanoseconds <= _TIMESTAMP_MAX:
            raise ExpressionError("The timestamp is outside the years 1 to 9999.")

    def __str__(self) -> str:
        """RFC 3339 in UTC, with as many decimals as it needs."""
        seconds, nanos = divmod(self.nanoseconds, NANOS)
        days, second = divmod(seconds, 86_400)
        year, month, day = civil(days)
        hour, minute = second // 3600, second // 60 % 60
        date = f"{year:04d}-{month:02d}-{day:02d}"
        return f"{date}T{hour:02d}:{minute:02d}:{second % 60:02d}{_decimals(nanos)}Z"


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time, at most about 10,000 years either way.

    Attributes:
        nanoseconds: Signed, exact.

    Raises:
        ExpressionError: Longer than 315,576,000,000 s.
    """

    nanoseconds: int

    def __post_init__(self) -> None:
        if not -_DURATION_MAX <= self.nanoseconds <= _DURATION_MAX:
            raise ExpressionError("The duration is longer than 315576000000s, about 10000 years.")

    def __str__(self) -> str:
        """Seconds with as many decimals as they need, for example `-3.5s`."""
        seconds, nanos = divmod(abs(self.nanoseconds), NANOS)
        sign = "-" if self.nanoseconds < 0 else ""
        return f"{sign}{seconds}{_decimals(nanos)}s"


@dataclass(frozen=True, slots=True)
class CelType:
    """A type as a value: what `type(x)` answers and what `int` denotes."""

    name: str

    def __str__(self) -> str:
        return self.name


class OptionalValue:
    """A value that may not be there. Never changed; `NONE` is the one that has none.

    Attributes:
        present: Whether there is a value.
        value: The value.
    """

    __slots__ = ("present", "value")

    def __init__(self, *, present: bool, value: object = None) -> None:
        self.present = present
        self.value = value

    def __repr__(self) -> str:
        return "optional.of(...)" if self.present else "optional.none()"


NONE: Final = OptionalValue(present=False)

TYPES: Final[dict[str, CelType]] = {
    name: CelType(name)
    for name in (
        "null_type", "bool", "int", "double", "string", "bytes", "list", "map", "type",
        "google.protobuf.Timestamp", "google.protobuf.Duration", "optional_type",
    )
}  # fmt: skip

_BY_CLASS: Final[dict[type, CelType]] = {
    type(None): TYPES["null_type"],
    bool: TYPES["bool"],
    int: TYPES["int"],
    float: TYPES["double"],
    str: TYPES["string"],
    bytes: TYPES["bytes"],
    list: TYPES["list"],
    dict: TYPES["map"],
    CelType: TYPES["type"],
    Timestamp: TYPES["google.protobuf.Timestamp"],
    Duration: TYPES["google.protobuf.Duration"],
    OptionalValue: TYPES["optional_type"],
}

_FRIENDLY: Final = {
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
    "null_type": "null",
    "optional_type": "optional",
}


def type_of(value: object) -> CelType:
    """The type of a value, as `type(x)` answers it.

    Raises:
        ExpressionError: The binding holds something that is no value of the language.
    """
    found = _BY_CLASS.get(type(value))
    if found is None:
        raise ExpressionError(f"A value of the Python type {type(value).__name__} is not supported.")
    return found


def type_name(value: object) -> str:
    """The type of a value as messages name it."""
    found = _BY_CLASS.get(type(value))
    name = type(value).__name__ if found is None else found.name
    return _FRIENDLY.get(name, name)


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day number since 1970-01-01, proleptic Gregorian.

    Unlike `datetime.date` it goes on past the years 1 and 9999, where a zone's offset may lead.

    Source: H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    return year, month, day_of_year - (153 * shifted + 2) // 5 + 1


def _decimals(nanos: int) -> str:
    return "" if not nanos else f".{nanos:09d}".rstrip("0")
