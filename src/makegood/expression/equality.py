"""When two values are equal, and which entry of a map a key means. Nothing recurses here.

Values of different types are unequal, save that an int and a double compare as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from makegood.expression.budget import Scope
from makegood.expression.values import OptionalValue

MISSING: Final = object()


def equal(scope: Scope, left: Any, right: Any) -> bool:
    """Whether two values are equal; every element compared costs a step, and every KiB of text."""
    kind = type(left)
    if kind is not type(right):
        return _equal_numbers(left, right)
    if kind is str or kind is bytes:
        if len(left) != len(right):
            return False
        if len(left) > 1024:
            scope.spend(len(left) >> 10)
        return bool(left == right)
    if kind is list or kind is dict or kind is OptionalValue:
        return _equal_deep(scope, left, right)
    return bool(left == right)


def find(scope: Scope, mapping: Mapping[Any, object], key: object) -> object:
    """The value under a key, or `MISSING`.

    Python takes 1, 1.0 and True for one key; here only 1 and 1.0 are.
    """
    kind = type(key)
    if kind is str:
        return mapping.get(key, MISSING)
    if kind is not int and kind is not bool and kind is not float:
        return MISSING
    value = mapping.get(key, MISSING)
    if value is not MISSING and key in (0, 1):
        scope.spend(len(mapping))
        for stored in mapping:
            if stored == key:
                return value if (type(stored) is bool) is (kind is bool) else MISSING
    return value


def index_of(scope: Scope, items: list[Any], value: Any) -> int:
    """The first position of a value in a list, or -1."""
    if type(value) is str:
        # Only texts equal a text, so that the list's own search answers the same, faster.
        scope.spend(len(items) * (1 + (len(value) >> 10)))
        return items.index(value) if value in items else -1
    scope.spend(len(items))
    for position, item in enumerate(items):
        if equal(scope, item, value):
            return position
    return -1


def _equal_numbers(left: Any, right: Any) -> bool:
    if type(left) is int and type(right) is float:
        return _as_double(left) == right
    if type(left) is float and type(right) is int:
        return left == _as_double(right)
    return False


def _as_double(number: int) -> float | int:
    try:
        return float(number)
    except OverflowError:
        return number


def _equal_deep(scope: Scope, left: object, right: object) -> bool:
    pairs: list[tuple[Any, Any]] = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        kind = type(one)
        if kind is not type(other):
            if not _equal_numbers(one, other):
                return False
        elif kind is list:
            if len(one) != len(other):
                return False
            scope.spend(1 + len(one))
            pairs.extend(zip(one, other, strict=True))
        elif kind is dict:
            if len(one) != len(other) or not _pair_entries(scope, one, other, pairs):
                return False
        elif kind is OptionalValue:
            scope.spend(1)
            if one.present is not other.present:
                return False
            pairs.append((one.value, other.value))
        elif not equal(scope, one, other):
            return False
    return True


def _pair_entries(scope: Scope, one: dict[Any, object], other: dict[Any, object], pairs: list[tuple[Any, Any]]) -> bool:
    scope.spend(1 + len(one))
    for key, value in one.items():
        found = find(scope, other, key)
        if found is MISSING:
            return False
        pairs.append((value, found))
    return True
