"""What can go wrong with an expression. Only exceptions live here; nothing that computes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from makegood.errors import MakegoodError, nearest

_KEYS_SHOWN_MAX = 10
_KEYS_COMPARED_MAX = 200
_TEXT_SHOWN_MAX = 60
_INTEGER_SHOWN_BITS = 256


class ExpressionError(MakegoodError):
    """A value could not be computed. The message says what was met and what to do."""

    code = "expression_error"


class BudgetExceeded(ExpressionError):
    """The evaluation would have taken too many steps or too much memory; it was stopped."""

    code = "limit_exceeded"


class PayloadTooLarge(ExpressionError):
    """The result, written as JSON, is larger than it may be."""

    code = "payload_too_large"


class ExpressionSyntaxError(ExpressionError):
    """The text is no expression of the profile, or names what does not exist.

    Attributes:
        offset: Character offset of the mistake in the text that was compiled.
        pointer: JSON pointer of that text within its tree; empty outside a mapping.
    """

    code = "invalid_expression"

    def __init__(self, message: str, *, offset: int, pointer: str = "") -> None:
        self.message = message
        self.offset = offset
        self.pointer = pointer
        super().__init__(message)


class Missing(ExpressionError):
    """A key or a name was asked for that is not there.

    The message is written only when it is read: most of these are absorbed by `||` or
    `exists()`, thousands at a time, and naming the nearest key is not cheap.

    Args:
        owner: What has no such key, for people; empty for the bindings themselves.
        key: What was asked for.
        keys: What there is.
    """

    def __init__(self, owner: str, key: object, keys: Collection[object]) -> None:
        self.owner = owner
        self.key = key
        self._keys: Collection[object] | None = keys
        self._message = ""
        super().__init__()

    def settle(self) -> Missing:
        """Write the message and let go of the map."""
        if self._keys is not None:
            write = _missing_key if self.owner else _missing_name
            self._message = write(self.owner, self.key, self._keys)
            self._keys = None
            self.args = (self._message,)
        return self

    def __str__(self) -> str:
        self.settle()
        return self._message


def shown(value: object) -> str:
    """A value as it appears in a message: text quoted and cut when long, containers by their type only."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _TEXT_SHOWN_MAX else repr(value[:_TEXT_SHOWN_MAX]) + "..."
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _INTEGER_SHOWN_BITS else "an integer of more than 256 bits"
    if value is None or isinstance(value, float):
        return "null" if value is None else repr(value)
    return f"a value of type {type(value).__name__}"


def listed(names: Iterable[str]) -> str:
    """Names in a message: the first ten, then how the list goes on."""
    first = list(islice(names, _KEYS_SHOWN_MAX + 1))
    more = ", ..." if len(first) > _KEYS_SHOWN_MAX else ""
    return ", ".join(_cut(name) for name in first[:_KEYS_SHOWN_MAX]) + more


def suggestion(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` when a known name is near, otherwise nothing."""
    candidates = [each for each in islice(known, _KEYS_COMPARED_MAX) if len(each) <= _TEXT_SHOWN_MAX]
    if len(name) > _TEXT_SHOWN_MAX:
        return ""
    remedy = nearest(name, candidates)
    return remedy if remedy.startswith(" Did") else ""


def _cut(name: str) -> str:
    return name if len(name) <= _TEXT_SHOWN_MAX else name[:_TEXT_SHOWN_MAX] + "..."


def _key(key: object) -> str:
    return key if isinstance(key, str) else shown(key)


def _missing_key(owner: str, key: object, keys: Collection[object]) -> str:
    if not keys:
        return f"{owner} has no key {shown(key)}; it is empty."
    names = listed(_key(each) for each in islice(keys, _KEYS_SHOWN_MAX + 1))
    texts = (each for each in islice(keys, _KEYS_COMPARED_MAX) if isinstance(each, str))
    remedy = suggestion(key, texts) if isinstance(key, str) else ""
    return f"{owner} has no key {shown(key)}; it has: {names}.{remedy}"


def _missing_name(_owner: str, name: object, names: Collection[object]) -> str:
    remedy = suggestion(str(name), (each for each in names if isinstance(each, str)))
    return f"There is no value named {shown(name)} here.{remedy}"
