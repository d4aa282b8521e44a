"""Which functions there are, how each is called, and what computes it. The table; no parsing here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from makegood.expression import conversions, strings, times
from makegood.expression.budget import Scope
from makegood.expression.errors import ExpressionError
from makegood.expression.formatting import format_text
from makegood.expression.operators import add, int64, no_overload, sides
from makegood.expression.values import NONE, Duration, OptionalValue


class Function(NamedTuple):
    """One function.

    Attributes:
        compute: Takes the scope and then the arguments, the receiver first.
        method: Numbers of arguments with which it is called as `x.name(...)`.
        free: Numbers of arguments with which it is called as `name(...)`.
        steps: What a call costs before any data is looked at, the node itself included.
    """

    compute: Callable[..., object]
    method: tuple[int, ...]
    free: tuple[int, ...]
    steps: int = 2


def size(_scope: Scope, value: Any) -> int:
    """How many characters, octets, elements or entries there are."""
    if type(value) in (str, bytes, list, dict):
        return len(value)
    raise no_overload("size", value)


def total(scope: Scope, items: Any) -> object:
    """`sum(list)`: numbers or durations added up, 0 if there are none."""
    _list("sum", items)
    scope.spend(len(items))
    if not items:
        return 0
    result = items[0]
    if type(result) not in (int, float, Duration):
        raise no_overload("sum", result)
    if type(result) is int:
        result = int64(result)
    for item in items[1:]:
        result = add(scope, result, item)
    return result


def smallest(scope: Scope, items: Any) -> object:
    """`min(list)`: the first element that no other is less than."""
    return _extreme(scope, "min", items, want_less=True)


def largest(scope: Scope, items: Any) -> object:
    """`max(list)`: the first element that no other is greater than."""
    return _extreme(scope, "max", items, want_less=False)


def optional_of(_scope: Scope, value: object) -> OptionalValue:
    """`optional.of(x)`."""
    return OptionalValue(present=True, value=value)


def optional_none(_scope: Scope) -> OptionalValue:
    """`optional.none()`."""
    return NONE


def optional_of_non_zero(_scope: Scope, value: Any) -> OptionalValue:
    """`optional.ofNonZeroValue(x)`: nothing for null, false, 0, and whatever is empty."""
    if type(value) in (type(None), bool, int, float, str, bytes, list, dict):
        return OptionalValue(present=True, value=value) if value else NONE
    zero = getattr(value, "nanoseconds", None) == 0
    return NONE if zero else OptionalValue(present=True, value=value)


def has_value(_scope: Scope, value: Any) -> bool:
    """`x.hasValue()`."""
    if type(value) is not OptionalValue:
        raise no_overload("hasValue", value)
    return value.present


def value_of(_scope: Scope, value: Any) -> object:
    """`x.value()`."""
    if type(value) is not OptionalValue:
        raise no_overload("value", value)
    if not value.present:
        raise ExpressionError("value() of an optional that has none. Use orValue(x), or ask hasValue() first.")
    return value.value


def _extreme(scope: Scope, name: str, items: Any, *, want_less: bool) -> object:
    _list(name, items)
    if not items:
        raise ExpressionError(f"{name} of an empty list. Ask for its size first.")
    scope.spend(len(items))
    best = items[0]
    sides(scope, name, best, best)
    for item in items[1:]:
        one, other = sides(scope, name, item, best)
        if one < other if want_less else one > other:
            best = item
    return best


def _list(name: str, items: object) -> None:
    if type(items) is not list:
        raise no_overload(name, items)


FUNCTIONS: Final[dict[str, Function]] = {
    "size": Function(size, (0,), (1,)),
    "contains": Function(strings.contains, (1,), (), 4),
    "startsWith": Function(strings.starts_with, (1,), ()),
    "endsWith": Function(strings.ends_with, (1,), ()),
    "matches": Function(strings.matches, (1,), (2,), 6),
    "split": Function(strings.split, (1, 2), (), 6),
    "join": Function(strings.join, (0, 1), ()),
    "lowerAscii": Function(strings.lower_ascii, (0,), ()),
    "upperAscii": Function(strings.upper_ascii, (0,), ()),
    "replace": Function(strings.replace, (2, 3), (), 8),
    "trim": Function(strings.trim, (0,), ()),
    "substring": Function(strings.substring, (1, 2), ()),
    "charAt": Function(strings.char_at, (1,), ()),
    "indexOf": Function(strings.index_of, (1, 2), (), 4),
    "lastIndexOf": Function(strings.last_index_of, (1, 2), (), 6),
    "reverse": Function(strings.reverse, (0,), ()),
    "format": Function(format_text, (1,), (), 6),
    "int": Function(conversions.to_int, (), (1,), 4),
    "double": Function(conversions.to_double, (), (1,), 6),
    "bool": Function(conversions.to_bool, (), (1,)),
    "string": Function(conversions.to_string, (), (1,)),
    "bytes": Function(conversions.to_bytes, (), (1,)),
    "timestamp": Function(conversions.to_timestamp, (), (1,), 10),
    "duration": Function(conversions.to_duration, (), (1,), 10),
    "type": Function(conversions.to_type, (), (1,)),
    "dyn": Function(conversions.to_dyn, (), (1,)),
    "sum": Function(total, (0,), (1,)),
    "min": Function(smallest, (0,), (1,)),
    "max": Function(largest, (0,), (1,)),
    "optional.of": Function(optional_of, (), (1,)),
    "optional.none": Function(optional_none, (), (0,)),
    "optional.ofNonZeroValue": Function(optional_of_non_zero, (), (1,)),
    "hasValue": Function(has_value, (0,), ()),
    "value": Function(value_of, (0,), ()),
    **{name: Function(get, (0, 1), (), 10) for name, get in times.getters().items()},
}
