"""Computed values into plain JSON data. What is JSON already is passed on, not copied."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import chain
from json import JSONEncoder
from typing import Any, Final

from makegood.expression.budget import BUDGET_STEPS, Scope
from makegood.expression.errors import ExpressionError, PayloadTooLarge, shown
from makegood.expression.formatting import base64_text, unsupported
from makegood.expression.values import Duration, OptionalValue, Timestamp, type_name

DEPTH_MAX: Final = 200

_PLAIN: Final = frozenset({type(None), bool, int, float, str})
_CONTAINERS: Final = frozenset({list, dict})
_JSON: Final = _PLAIN | _CONTAINERS
_ENCODER: Final = JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_SHALLOW_KEYS_MAX: Final = 16
_KEY_BITS_MAX: Final = 10_000
_DOUBLE_MAX: Final = 25
"""Characters that a double takes at most."""
_SURELY_MAX: Final = 4_096
"""A value that takes no more than this is not measured exactly; far fewer digits than an integer may have."""

Convert = Callable[[object], object]


def to_json(value: object, *, size_max: int) -> object:
    """The value as plain JSON data: None, bool, int, float, str, list, dict with text keys.

    Timestamps become RFC 3339 text, durations `3.5s`, bytes base64, an absent optional null, keys
    text. A part that is plain JSON already is the same object in the result.

    Args:
        value: What an evaluation gave.
        size_max: How many bytes the value may take when written as JSON; a part that occurs
            twice counts twice.

    Raises:
        PayloadTooLarge: It takes more.
        ExpressionError: Part of it has no JSON form, or it nests deeper than 200.
    """
    if _surely_fits(value, size_max):
        return value
    plain_size = _plain_size(value, size_max)
    if plain_size is not None:
        if plain_size > size_max:
            raise _too_large(size_max)
        return value
    scope = Scope({}, BUDGET_STEPS + size_max, 0)
    done: dict[int, tuple[Any, int, int]] = {}

    def measure(container: Any) -> None:
        converted, size, depth = _measured(scope, container, done, size_max)
        if size > size_max:
            raise _too_large(size_max)
        if depth > DEPTH_MAX:
            raise ExpressionError(f"The result nests deeper than {DEPTH_MAX}.")
        done[id(container)] = (converted, size, depth)

    bare = _bare(value)
    if type(bare) not in _CONTAINERS:
        converted = _scalar(scope, bare)
        if _size(converted, size_max) > size_max:
            raise _too_large(size_max)
        return converted
    _bottom_up(bare, lambda each: id(each) not in done, measure)
    return done[id(bare)][0]


def _surely_fits(value: object, size_max: int) -> bool:
    """Whether a value is a small flat map that is plain JSON and surely fits: what most steps are sent.

    False says nothing. Counted is the most that each part can take, every character escaped.
    """
    if type(value) is not dict or len(value) > _SHALLOW_KEYS_MAX:
        return False
    most = 2
    for key, each in value.items():
        if type(key) is not str or not key.isascii():
            return False
        most += 6 * len(key) + 4
        if type(each) is str:
            if not each.isascii():
                return False
            most += 6 * len(each) + 2
        elif type(each) is int:
            most += each.bit_length() + 2
        elif type(each) is float and math.isfinite(each):
            most += _DOUBLE_MAX
        elif each is None or type(each) is bool:
            most += 5
        else:
            return False
    return most <= min(size_max, _SURELY_MAX)


def _plain_size(value: object, size_max: int) -> int | None:
    """The size of a value that is plain JSON throughout; None if anything in it is not.

    Level by level, with loops that the interpreter runs in C; a part that is shared is counted
    as often as it occurs, until there is too much of it.
    """
    level: list[Any] = [value]
    least = 0
    for _ in range(DEPTH_MAX + 1):
        kinds = set(map(type, level))
        if not kinds <= _JSON:
            return None
        lists = [each for each in level if type(each) is list]
        maps = [each for each in level if type(each) is dict]
        least += _least_size(level, kinds) + sum(map(len, lists)) + sum(map(len, maps))
        if least > size_max:
            raise _too_large(size_max)
        if not lists and not maps:
            return _encoded_size(value)
        if set(map(type, chain.from_iterable(maps))) - {str}:
            return None
        least += sum(map(len, chain.from_iterable(maps)))
        level = [*chain.from_iterable(lists), *chain.from_iterable(each.values() for each in maps)]
    raise ExpressionError(f"The result nests deeper than {DEPTH_MAX}.")


def _least_size(level: list[Any], kinds: set[type]) -> int:
    """What the scalars among the values take at least, when written."""
    least = len(level)
    if float in kinds and not all(map(math.isfinite, [each for each in level if type(each) is float])):
        raise _not_finite()
    if str in kinds:
        least += sum(map(len, [each for each in level if type(each) is str]))
    if int in kinds:
        bits = map(int.bit_length, [each for each in level if type(each) is int])
        least += sum(each for each in bits if each > 64) * 29 // 100
    return least


def to_json_built(scope: Scope, value: object) -> object:
    """The value as plain JSON data, where only what this evaluation made can be anything else.

    Every element costs a step, and one that occurs twice costs twice.

    Raises:
        ExpressionError: Part of it has no JSON form.
        BudgetExceeded: There is too much of it.
    """
    done: dict[int, tuple[Any, int]] = {}

    def convert(container: Any) -> None:
        weight = len(container)
        scope.spend(weight)
        for child in container.values() if type(container) is dict else container:
            if type(child) in _CONTAINERS and id(child) in done:
                weight += done[id(child)][1]
        scope.spend(weight)
        done[id(container)] = (_rebuilt(container, lambda child: _child(scope, child, done)), weight)

    bare = _bare(value)
    if type(bare) not in _CONTAINERS:
        return _scalar(scope, bare)
    if id(bare) not in scope.built:
        return reference_to_json(scope, bare)
    _bottom_up(bare, lambda each: id(each) in scope.built and id(each) not in done, convert)
    return done[id(bare)][0]


def reference_to_json(scope: Scope, value: Any) -> object:
    """Part of the bindings as plain JSON data: it is that already, save for a time directly in a small map."""
    kind = type(value)
    if kind in _PLAIN:
        if kind is float and not math.isfinite(value):
            raise _not_finite()
        return value
    if kind is list:
        return value
    if kind is dict:
        if len(value) <= _SHALLOW_KEYS_MAX and any(type(each) is Timestamp for each in value.values()):
            return _rebuilt(value, lambda child: child if type(child) in _CONTAINERS else _scalar(scope, child))
        return value
    return _scalar(scope, _bare(value))


def _bottom_up(root: object, is_open: Callable[[object], bool], visit: Callable[[object], None]) -> None:
    """Visit every open container below the root once, children first."""
    stack: list[Any] = [root]
    while stack:
        container = stack[-1]
        if not is_open(container):
            stack.pop()
            continue
        children = container.values() if type(container) is dict else container
        waiting = [each for each in map(_bare, children) if type(each) in _CONTAINERS and is_open(each)]
        if waiting:
            stack.extend(waiting)
        else:
            visit(container)
            stack.pop()


def _child(scope: Scope, child: object, done: dict[int, tuple[Any, int]]) -> object:
    bare = _bare(child)
    if type(bare) not in _CONTAINERS:
        return _scalar(scope, bare)
    found = done.get(id(bare))
    return reference_to_json(scope, bare) if found is None else found[0]


def _rebuilt(container: Any, convert: Convert) -> object:
    """The container with its parts converted, or itself if that changed nothing."""
    if type(container) is list:
        items = [convert(item) for item in container]
        return items if _changed(items, container) else container
    entries: dict[str, object] = {}
    changed = False
    for key, value in container.items():
        name = key if type(key) is str else _key(key)
        if name in entries:
            raise ExpressionError(f"Two keys of a map would both be written {shown(name)}.")
        entries[name] = convert(value)
        changed = changed or name is not key or entries[name] is not value
    return entries if changed else container


def _changed(items: Iterable[object], originals: Iterable[object]) -> bool:
    return any(item is not original for item, original in zip(items, originals, strict=True))


def _measured(
    scope: Scope, container: Any, done: dict[int, tuple[Any, int, int]], size_max: int
) -> tuple[object, int, int]:
    """A container converted, its size as JSON, and its depth; its containers are measured already."""
    size = 1
    depth = 0

    def convert(child: object) -> object:
        nonlocal size, depth
        bare = _bare(child)
        if type(bare) in _CONTAINERS:
            converted, child_size, child_depth = done[id(bare)]
            size += child_size + 1
            depth = max(depth, child_depth)
        else:
            converted = _scalar(scope, bare)
            size += _size(converted, size_max) + 1
        if size > size_max:
            raise _too_large(size_max)
        return converted

    converted = _rebuilt(container, convert)
    if type(converted) is dict:
        size += sum(_size(key, size_max) + 1 for key in converted)
    return converted, max(size, 2), depth + 1


def _size(value: object, size_max: int) -> int:
    if type(value) is str:
        if len(value) > size_max:
            return len(value)
        if value.isascii() and value.isalnum():
            return len(value) + 2
    return _encoded_size(value)


def _encoded_size(value: object) -> int:
    try:
        return len(_ENCODER.encode(value).encode())
    except UnicodeEncodeError:
        raise _surrogate() from None
    except ValueError:
        raise _huge_integer() from None


def _scalar(scope: Scope, value: Any) -> object:
    kind = type(value)
    if kind is float and not math.isfinite(value):
        raise _not_finite()
    if kind in _PLAIN:
        return value
    if kind is Timestamp or kind is Duration:
        return str(value)
    if kind is bytes:
        return base64_text(scope, value)
    raise unsupported(value)


def _key(key: object) -> str:
    if type(key) is bool:
        return "true" if key else "false"
    if type(key) is int:
        if key.bit_length() > _KEY_BITS_MAX:
            raise _huge_integer()
        return str(key)
    raise ExpressionError(f"A map key of type {type_name(key)} has no JSON form.")


def _bare(value: object) -> object:
    while type(value) is OptionalValue:
        value = value.value if value.present else None
    return value


def _not_finite() -> ExpressionError:
    return ExpressionError("A double that is infinite or not a number has no JSON form. Check for a division by 0.0.")


def _surrogate() -> ExpressionError:
    return ExpressionError("The text holds half of a surrogate pair, which no JSON text can.")


def _huge_integer() -> ExpressionError:
    return ExpressionError("The integer has too many digits to be written.")


def _too_large(size_max: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The result takes more than {size_max} bytes as JSON. Pass on less, or a reference to it.")
