"""Arithmetic, order and membership over values. Each function accounts for its work first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from makegood.expression.budget import Scope
from makegood.expression.equality import MISSING, find, index_of
from makegood.expression.errors import ExpressionError
from makegood.expression.values import INT_MAX, INT_MIN, Duration, Timestamp, type_name

Operator = Callable[[Scope, Any, Any], object]


def no_overload(operation: str, *values: object) -> ExpressionError:
    """The error for types that an operation does not take."""
    types = [type_name(value) for value in values]
    remedy = ""
    if operation == "+" and "string" in types and types[0] != types[1]:
        remedy = " Make text of the other side with string(x)."
    elif "null" in types:
        remedy = " Ask first with x != null."
    return ExpressionError(f"{operation} is not defined for {' and '.join(types)}.{remedy}")


def overflow() -> ExpressionError:
    """The error for an integer result that does not fit."""
    return ExpressionError("The integer result does not fit into 64 bits. Use double(x) where that is enough.")


def int64(number: int) -> int:
    """The number itself, if it fits.

    Raises:
        ExpressionError: It does not fit into 64 bits.
    """
    if INT_MIN <= number <= INT_MAX:
        return number
    raise overflow()


def doubles(operation: str, left: Any, right: Any) -> tuple[float, float]:
    """Both numbers as doubles.

    Raises:
        ExpressionError: One is no number.
    """
    if type(left) in (int, float) and type(right) in (int, float):
        try:
            return float(left), float(right)
        except OverflowError:
            raise ExpressionError("The integer is too large for a double.") from None
    raise no_overload(operation, left, right)


def add(scope: Scope, left: Any, right: Any) -> object:
    """`left + right`: numbers, texts, bytes, lists, times and durations."""
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return int64(left + right)
        if kind is float:
            return left + right
        if kind is str:
            wide = 1 if left.isascii() and right.isascii() else 4
            scope.produce((len(left) + len(right)) * wide)
            return left + right
        if kind is bytes:
            scope.produce(len(left) + len(right))
            return left + right
        if kind is list:
            scope.spend(len(left) + len(right))
            joined = left + right
            scope.built.add(id(joined))
            return joined
        if kind is Duration:
            return Duration(left.nanoseconds + right.nanoseconds)
    if (kind is Timestamp and type(right) is Duration) or (kind is Duration and type(right) is Timestamp):
        return Timestamp(left.nanoseconds + right.nanoseconds)
    one, other = doubles("+", left, right)
    return one + other


def subtract(_scope: Scope, left: Any, right: Any) -> object:
    """`left - right`: numbers, times and durations."""
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return int64(left - right)
        if kind is float:
            return left - right
        if kind is Duration or kind is Timestamp:
            return Duration(left.nanoseconds - right.nanoseconds)
    if kind is Timestamp and type(right) is Duration:
        return Timestamp(left.nanoseconds - right.nanoseconds)
    one, other = doubles("-", left, right)
    return one - other


def multiply(_scope: Scope, left: Any, right: Any) -> object:
    """`left * right`."""
    if type(left) is int and type(right) is int:
        return int64(left * right)
    one, other = doubles("*", left, right)
    return one * other


def divide(_scope: Scope, left: Any, right: Any) -> object:
    """`left / right`; integers are cut towards zero, doubles follow IEEE 754."""
    if type(left) is int and type(right) is int:
        if right == 0:
            raise ExpressionError("Division by zero.")
        quotient = abs(left) // abs(right)
        return int64(quotient if (left < 0) is (right < 0) else -quotient)
    one, other = doubles("/", left, right)
    if other == 0.0:
        if one == 0.0 or math.isnan(one):
            return math.nan
        return math.copysign(math.inf, one) * math.copysign(1.0, other)
    return one / other


def remainder(_scope: Scope, left: Any, right: Any) -> object:
    """`left % right` of integers; the sign is that of `left`."""
    if type(left) is not int or type(right) is not int:
        raise no_overload("%", left, right)
    if right == 0:
        raise ExpressionError("Remainder of a division by zero.")
    if left == INT_MIN and right == -1:
        raise overflow()
    rest = abs(left) % abs(right)
    return int64(-rest if left < 0 else rest)


def negate(value: Any) -> object:
    """`-value` of a number."""
    if type(value) is int:
        return int64(-value)
    if type(value) is float:
        return -value
    raise no_overload("-", value)


_ORDERED: Final = frozenset({int, float, bool, Timestamp, Duration})


def sides(scope: Scope, operation: str, left: Any, right: Any) -> tuple[Any, Any]:
    """Two values in a form that Python orders as the language does.

    Raises:
        ExpressionError: The types have no order between them.
    """
    kind = type(left)
    if kind is type(right):
        if kind in _ORDERED:
            return left, right
        if kind is str or kind is bytes:
            scope.spend(min(len(left), len(right)) >> 10)
            return left, right
    elif kind in (int, float) and type(right) in (int, float):
        try:
            return float(left), float(right)
        except OverflowError:
            return left, right
    raise no_overload(operation, left, right)


def contains(scope: Scope, value: Any, container: Any) -> bool:
    """`value in container`: an element of a list, or a key of a map."""
    if type(container) is list:
        return index_of(scope, container, value) >= 0
    if type(container) is dict:
        return find(scope, container, value) is not MISSING
    raise no_overload("in", value, container)
