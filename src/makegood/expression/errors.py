"""What can go wrong with an expression. Only exceptions live here; nothing that computes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from makegood.errors import MakegoodError, nearest

_KEYS_SHOWN_MAX = 10
_KEYS_COMPARED_MAX = 200
_TEXT_SHOWN_MAX = 60


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


class MissingKey(ExpressionError):
    """A key was asked for that a map does not have.

    The message is written only when it is read: most of these are absorbed by `||` or
    `exists()`, thousands at a time, and naming the nearest key is not cheap.
    """

    def __init__(self, owner: str, key: object, keys: Collection[object]) -> None:
        self.owner = owner
        self.key = key
        self._keys: Collection[object] | None = keys
        self._message = ""
        super().__init__()

    def settle(self) -> MissingKey:
        """Write the message and let go of the map."""
        if self._keys is not None:
            self._message = _missing_key(self.owner, self.key, self._keys)
            self._keys = None
            self.args = (self._message,)
        return self

    def __str__(self) -> str:
        self.settle()
        return self._message


def shown(value: object) -> str:
    """A text as it appears in a message: quoted, and cut when it is long."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > _TEXT_SHOWN_MAX:
        return repr(text[:_TEXT_SHOWN_MAX]) + "..."
    return repr(text) if isinstance(value, str) else text


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


def _missing_key(owner: str, key: object, keys: Collection[object]) -> str:
    if not keys:
        return f"{owner} has no key {shown(key)}; it is empty."
    names = listed(str(each) for each in islice(keys, _KEYS_SHOWN_MAX + 1))
    texts = (each for each in islice(keys, _KEYS_COMPARED_MAX) if isinstance(each, str))
    remedy = suggestion(key, texts) if isinstance(key, str) else ""
    return f"{owner} has no key {shown(key)}; it has: {names}.{remedy}"
