"""Reading by name, field and index: `steps.hotel['stars'][0]`, with `.?` and has()."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from makegood.expression.budget import Scope
from makegood.expression.equality import MISSING, find
from makegood.expression.errors import ExpressionError, Missing, shown
from makegood.expression.values import NONE, TYPES, OptionalValue, type_name

Evaluator = Callable[[Scope], Any]
Key = str | int

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Reference(NamedTuple):
    """A place in the bindings that an expression reads.

    Attributes:
        root: The name it starts from.
        path: The literal fields and indexes that follow, as far as they are literal.
        offset: Where the root stands in the text.
        presence: It is under has(), or its first selector is optional: it may be missing.
        optional: How many fields of the path come before the first optional one; None when none is optional.
        pointer: JSON pointer of the text within its tree; empty outside a mapping.
    """

    root: str
    path: tuple[Key, ...]
    offset: int
    presence: bool
    pointer: str = ""
    optional: int | None = None


class Selector(NamedTuple):
    """One step of a path: a literal key, or an expression that gives it."""

    key: Key
    computed: Evaluator | None
    optional: bool


class Label(NamedTuple):
    """How a path is named in messages; written only when a message is needed."""

    root: str
    selectors: Sequence[Selector]

    def at(self, count: int) -> str:
        """The path up to its first so many selectors."""
        if not self.root:
            return "the value"
        parts = [self.root]
        for selector in self.selectors[:count]:
            if selector.computed is not None:
                parts.append("[...]")
            elif isinstance(selector.key, str) and _IDENTIFIER.fullmatch(selector.key):
                parts.append(f".{selector.key}")
            else:
                parts.append(f"[{selector.key!r}]")
        return "".join(parts)


def name_from_bindings(name: str) -> Evaluator:
    """A name of the bindings, or else a type."""
    fallback = TYPES.get(name)

    def read(scope: Scope) -> object:
        try:
            return scope.bindings[name]
        except KeyError:
            if fallback is not None:
                return fallback
            raise Missing("", name, scope.bindings) from None

    return read


def name_from_slot(slot: int) -> Evaluator:
    """A loop variable."""

    def read(scope: Scope) -> object:
        return scope.slots[slot]

    return read


def path(base: Evaluator, label: Label) -> Evaluator:
    """The value that selectors lead to; an optional one as soon as one of them is optional."""
    steps = tuple(enumerate(label.selectors))

    def read(scope: Scope) -> object:
        value = base(scope)
        optional = False
        for position, selector in steps:
            if type(value) is OptionalValue:
                if not value.present:
                    return NONE
                value = value.value
                optional = True
            key = selector.key if selector.computed is None else selector.computed(scope)
            if optional or selector.optional:
                optional = True
                value = _pick(scope, value, key, label, position)
                if value is MISSING:
                    return NONE
            else:
                found = _pick(scope, value, key, label, position)
                if found is MISSING:
                    raise _missing(value, key, label, position)
                value = found
        return OptionalValue(present=True, value=value) if optional else value

    return read


def path_from_bindings(root: str, label: Label) -> Evaluator:
    """The value that literal, required fields lead to from a name: the hot path."""
    keys = (root, *(selector.key for selector in label.selectors))
    slow = path(name_from_bindings(root), label)

    def read(scope: Scope) -> object:
        value: Any = scope.bindings
        try:
            for key in keys:
                value = value[key]
        except (KeyError, TypeError):
            return slow(scope)
        return value

    return read


def path_from_slot(slot: int, label: Label) -> Evaluator:
    """The value that literal, required fields lead to from a loop variable."""
    keys = tuple(selector.key for selector in label.selectors)
    slow = path(name_from_slot(slot), label)

    def read(scope: Scope) -> object:
        value: Any = scope.slots[slot]
        try:
            for key in keys:
                value = value[key]
        except (KeyError, TypeError):
            return slow(scope)
        return value

    return read


def presence(operand: Evaluator, label: Label, field: str) -> Evaluator:
    """`has(operand.field)`."""

    def test(scope: Scope) -> bool:
        value = operand(scope)
        if type(value) is OptionalValue:
            if not value.present:
                return False
            value = value.value
        return _pick(scope, value, field, label, len(label.selectors)) is not MISSING

    return test


def _pick(scope: Scope, value: Any, key: Any, label: Label, position: int) -> object:
    if type(value) is dict:
        return find(scope, value, key)
    if type(value) is list:
        return _element(value, key, label, position)
    kind = type_name(value)
    remedy = " Ask first with x != null." if value is None else ""
    raise ExpressionError(f"{label.at(position)} is {kind}, which has no {shown(key)}.{remedy}")


def _element(items: list[object], key: Any, label: Label, position: int) -> object:
    if type(key) is float and key.is_integer():
        key = int(key)
    if type(key) is not int:
        raise ExpressionError(f"{label.at(position)} is a list; its elements have an int as index, not {shown(key)}.")
    return items[key] if 0 <= key < len(items) else MISSING


def _missing(value: Any, key: Any, label: Label, position: int) -> ExpressionError:
    if type(value) is dict:
        return Missing(label.at(position), key, value)
    return ExpressionError(
        f"{label.at(position)} has {len(value)} elements, and none at {shown(key)}; they count from 0."
    )
