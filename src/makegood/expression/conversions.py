"""Values of one type into values of another: `int(x)`, `string(x)` and kin."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from makegood.expression import times
from makegood.expression.budget import Scope, text_bytes
from makegood.expression.errors import ExpressionError, shown
from makegood.expression.operators import no_overload
from makegood.expression.values import INT_MAX, INT_MIN, NANOS, CelType, Duration, Timestamp, type_of

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DOUBLE: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?|nan))")
_NUMBER_CHARS_MAX: Final = 1000
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_EXPONENT_FROM: Final = 21


def to_int(_scope: Scope, value: Any) -> int:
    """`int(x)`: of a double cut towards zero, of a text in decimal, of a timestamp in seconds."""
    kind = type(value)
    if kind is int:
        return _in_range(value)
    if kind is float:
        # The bounds themselves are left out: as doubles they stand for numbers beyond.
        if not float(INT_MIN) < value < float(INT_MAX):
            raise ExpressionError(f"The double {value!r} does not fit into an int.")
        return int(value)
    if kind is str:
        if len(value) > _NUMBER_CHARS_MAX or not _INTEGER.fullmatch(value):
            raise ExpressionError(f"{shown(value)} is no decimal integer.")
        return _in_range(int(value))
    if kind is Timestamp:
        return int(value.nanoseconds // NANOS)
    raise no_overload("int()", value)


def to_double(_scope: Scope, value: Any) -> float:
    """`double(x)`: of an int, or of a text such as `1e3`, `NaN` or `-Infinity`."""
    kind = type(value)
    if kind is float:
        return float(value)
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            raise ExpressionError("The integer is too large for a double.") from None
    if kind is str:
        if len(value) > _NUMBER_CHARS_MAX or not _DOUBLE.fullmatch(value):
            raise ExpressionError(f"{shown(value)} is no number.")
        number = float(value)
        if math.isinf(number) and "n" not in value.lower():
            raise ExpressionError(f"{shown(value)} is too large for a double.")
        return number
    raise no_overload("double()", value)


def to_bool(_scope: Scope, value: Any) -> bool:
    """`bool(x)`: of a text `true`, `false`, `t`, `f`, `1` or `0`."""
    if type(value) is bool:
        return value
    if type(value) is str:
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise ExpressionError(f"{shown(value)} is neither 'true' nor 'false'.")
    raise no_overload("bool()", value)


def to_string(scope: Scope, value: Any) -> str:
    """`string(x)` of a scalar, bytes (as UTF-8), a timestamp or a duration."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is int:
        return decimal(scope, value)
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        scope.spend(4)
        return double_text(value)
    if kind is bytes:
        return decoded(scope, value)
    if kind is Timestamp or kind is Duration:
        scope.spend(6)
        return str(value)
    raise no_overload("string()", value)


def to_bytes(scope: Scope, value: Any) -> bytes:
    """`bytes(x)`: the UTF-8 of a text."""
    if type(value) is bytes:
        return value
    if type(value) is str:
        scope.produce(text_bytes(value))
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise ExpressionError("The text holds half of a surrogate pair, which has no UTF-8.") from None
    raise no_overload("bytes()", value)


def to_timestamp(_scope: Scope, value: Any) -> Timestamp:
    """`timestamp(x)`: of RFC 3339 text, or of seconds since 1970."""
    if type(value) is Timestamp:
        return value
    if type(value) is str:
        return times.parse_timestamp(value)
    if type(value) is int:
        return Timestamp(value * NANOS)
    raise no_overload("timestamp()", value)


def to_duration(scope: Scope, value: Any) -> Duration:
    """`duration(x)`: of a text such as `1h30m`, `-1.5s` or `250ms`."""
    if type(value) is Duration:
        return value
    if type(value) is str:
        scope.spend(min(len(value), 100) >> 2)
        return times.parse_duration(value)
    raise no_overload("duration()", value)


def to_type(_scope: Scope, value: Any) -> CelType:
    """`type(x)`."""
    return type_of(value)


def to_dyn(_scope: Scope, value: Any) -> object:
    """`dyn(x)`: the value itself; the types here are dynamic anyway."""
    return value


def decoded(scope: Scope, octets: bytes) -> str:
    """The text that bytes are the UTF-8 of.

    Raises:
        ExpressionError: They are no UTF-8.
    """
    scope.produce(len(octets) * 2)
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise ExpressionError("The bytes are no UTF-8 text.") from None


def decimal(scope: Scope, number: int) -> str:
    """An integer's digits. Those from a binding may have more than 64 bits."""
    bits = number.bit_length()
    if bits > 64:
        scope.spend(bits >> 5)
        if bits > 10_000:
            raise ExpressionError(f"An integer of {bits} bits is too large to be written as text.")
    return str(number)


def double_text(number: float) -> str:
    """The shortest digits that give the double back; `8.0` is `8`, and 1e21 the first with an exponent."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    sign, digits, point = _shortest(number)
    if -4 <= point - 1 < _EXPONENT_FROM:
        return sign + _plain(digits, point)
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"


def plain_text(number: float) -> str:
    """The shortest digits that give the double back, never with an exponent."""
    if not math.isfinite(number):
        return double_text(number)
    sign, digits, point = _shortest(number)
    return sign + _plain(digits, point)


def _in_range(number: int) -> int:
    if INT_MIN <= number <= INT_MAX:
        return number
    raise ExpressionError("The integer does not fit into 64 bits.")


def _shortest(number: float) -> tuple[str, str, int]:
    """Sign, digits without zeros around them, and how many of them precede the point."""
    text = repr(abs(number))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    sign = "-" if math.copysign(1.0, number) < 0 else ""
    return (sign, digits, point) if digits else (sign, "0", 1)


def _plain(digits: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return f"{digits[:point]}.{digits[point:]}"
