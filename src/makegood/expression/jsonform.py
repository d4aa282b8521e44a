"""Computed values into plain JSON data. What is JSON already is passed on, not copied."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from json import JSONEncoder
from typing import Any, Final

from makegood.expression.budget import BUDGET_STEPS, Scope
from makegood.expression.errors import ExpressionError, PayloadTooLarge
from makegood.expression.formatting import base64_text, unsupported
from makegood.expression.values import Duration, OptionalValue, Timestamp, type_name

DEPTH_MAX: Final = 200

_PLAIN: Final = frozenset({type(None), bool, int, float, str})
_CONTAINERS: Final = frozenset({list, dict})
_ENCODER: Final = JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_SHALLOW_KEYS_MAX: Final = 16

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
            raise ExpressionError(f"Two keys of a map would both be written {name!r}.")
        entries[name] = convert(value)
        changed = changed or name is not key or entries[name] is not value
    return entries if changed else container


def _changed(items: Iterable[object], originals: Iterable[object]) -> bool:
    return any(item is not original for item, original in zip(items, originals, strict=True))


def _measured(
    scope: Scope, container: Any, done: dict[int, tuple[Any, int, int]], size_max: int
) -> tuple[object, int, int]:
    """A container converted, its size as JSON, and its depth; its containers are measured already."""
    quick = _quick_size(container, size_max)
    if quick is not None:
        return container, quick, 1
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


def _quick_size(container: Any, size_max: int) -> int | None:
    """The size of a container of plain scalars, by the standard library's encoder; None if it is no such."""
    values = container.values() if type(container) is dict else container
    kinds = set(map(type, values))
    if not kinds <= _PLAIN or (type(container) is dict and set(map(type, container)) - {str}):
        return None
    if float in kinds and not all(math.isfinite(each) for each in values if type(each) is float):
        raise _not_finite()
    if str in kinds and sum(len(each) for each in values if type(each) is str) > size_max:
        raise _too_large(size_max)
    try:
        return len(_ENCODER.encode(container).encode())
    except UnicodeEncodeError:
        raise _surrogate() from None
    except ValueError:
        raise _huge_integer() from None


def _size(value: object, size_max: int) -> int:
    if type(value) is str:
        if len(value) > size_max:
            return len(value)
        if value.isascii() and value.isalnum():
            return len(value) + 2
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
