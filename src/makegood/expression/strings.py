"""Functions over texts. Positions count characters, not bytes."""

from __future__ import annotations

from typing import Any, Final

from makegood.expression import regex
from makegood.expression.budget import Scope, text_bytes
from makegood.expression.errors import ExpressionError, shown
from makegood.expression.operators import no_overload
from makegood.expression.search import Haystack

# Unicode White_Space; `str.strip()` would take the separators U+001C to U+001F as well.
_SPACES: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}


def contains(scope: Scope, text: Any, part: Any) -> bool:
    """Whether the part occurs in the text."""
    _texts("contains", text, part)
    return not part or Haystack(scope, text, part).find() >= 0


def starts_with(scope: Scope, text: Any, start: Any) -> bool:
    """Whether the text begins so."""
    _texts("startsWith", text, start)
    scope.spend(len(start) >> 10)
    return bool(text.startswith(start))


def ends_with(scope: Scope, text: Any, end: Any) -> bool:
    """Whether the text ends so."""
    _texts("endsWith", text, end)
    scope.spend(len(end) >> 10)
    return bool(text.endswith(end))


def matches(scope: Scope, text: Any, pattern: Any) -> bool:
    """Whether the RE2 pattern matches anywhere in the text."""
    _texts("matches", text, pattern)
    return regex.search(scope, regex.compiled_within(scope, pattern), text)


def split(scope: Scope, text: Any, separator: Any, most: Any = -1) -> list[str]:
    """The parts between separators, at most so many; the empty separator splits into characters."""
    _texts("split", text, separator)
    _integers("split", most)
    if most == 0:
        return []
    scope.produce(text_bytes(text))
    if not separator:
        return _characters(scope, text, most)
    parts: list[str] = []
    start = 0
    for at in Haystack(scope, text, separator).positions(most - 1 if most > 0 else -1):
        scope.spend(1)
        parts.append(text[start:at])
        start = at + len(separator)
    parts.append(text[start:])
    return parts


def join(scope: Scope, parts: Any, separator: Any = "") -> str:
    """The texts of a list, one after the other."""
    if type(parts) is not list or type(separator) is not str:
        raise no_overload("join", parts, separator)
    scope.spend(len(parts))
    wide = separator.isascii()
    total = len(separator) * len(parts)
    for part in parts:
        if type(part) is not str:
            raise no_overload("join", parts, part)
        total += len(part)
        wide = wide and part.isascii()
    scope.produce(total if wide else 4 * total)
    return separator.join(parts)


def lower_ascii(scope: Scope, text: Any) -> str:
    """The text with A to Z made small; other letters stay."""
    return _translated(scope, "lowerAscii", text, _LOWER)


def upper_ascii(scope: Scope, text: Any) -> str:
    """The text with a to z made large; other letters stay."""
    return _translated(scope, "upperAscii", text, _UPPER)


def replace(scope: Scope, text: Any, old: Any, new: Any, most: Any = -1) -> str:
    """The text with the first so many occurrences replaced; negative is all."""
    _texts("replace", text, old, new)
    _integers("replace", most)
    if not old:
        count = len(text) + 1 if most < 0 else min(most, len(text) + 1)
        scope.spend(count)
        scope.produce((len(text) + count * len(new)) * _width(text, new))
        return str(text.replace(old, new, count))
    positions = []
    for at in Haystack(scope, text, old).positions(most):
        scope.spend(1)
        positions.append(at)
    size = len(text) + len(positions) * (len(new) - len(old))
    scope.produce(size * _width(text, new))
    parts: list[str] = []
    start = 0
    for at in positions:
        parts.append(text[start:at])
        start = at + len(old)
    parts.append(text[start:])
    return str(new.join(parts))


def trim(scope: Scope, text: Any) -> str:
    """The text without white space at its ends."""
    _texts("trim", text)
    scope.produce(text_bytes(text))
    return str(text.strip(_SPACES))


def substring(scope: Scope, text: Any, start: Any, end: Any = None) -> str:
    """The characters from `start` up to `end`, which is not among them."""
    _texts("substring", text)
    stop = len(text) if end is None else end
    _integers("substring", start, stop)
    if not 0 <= start <= stop <= len(text):
        raise ExpressionError(
            f"substring({shown(start)}, {shown(stop)}) is outside the text, which has {len(text)} characters."
        )
    scope.produce((stop - start) * (1 if text.isascii() else 4))
    return str(text[start:stop])


def char_at(_scope: Scope, text: Any, position: Any) -> str:
    """The character there; just behind the last one, the empty text."""
    _texts("charAt", text)
    _integers("charAt", position)
    if not 0 <= position <= len(text):
        raise ExpressionError(f"charAt({shown(position)}) is outside the text, which has {len(text)} characters.")
    return str(text[position : position + 1])


def index_of(scope: Scope, text: Any, part: Any, start: Any = 0) -> int:
    """The first position of the part from `start` on, or -1."""
    _texts("indexOf", text, part)
    _integers("indexOf", start)
    if start < 0:
        raise ExpressionError(f"indexOf cannot start at {shown(start)}: positions count from 0.")
    if not part:
        return int(min(start, len(text)))
    return Haystack(scope, text, part).find(start) if start < len(text) else -1


def last_index_of(scope: Scope, text: Any, part: Any, start: Any = None) -> int:
    """The last position of the part that is not behind `start`, or -1."""
    _texts("lastIndexOf", text, part)
    if start is None:
        latest = len(text)
    else:
        _integers("lastIndexOf", start)
        latest = int(start)
        if latest < 0:
            raise ExpressionError(f"lastIndexOf cannot start at {shown(start)}: positions count from 0.")
    if not part:
        return min(latest, len(text))
    if (start is not None and latest >= len(text)) or len(part) > len(text):
        return -1
    window = text[: min(len(text), latest + len(part))]
    scope.produce(text_bytes(window) + text_bytes(part))
    at = Haystack(scope, window[::-1], part[::-1]).find()
    return -1 if at < 0 else len(window) - at - len(part)


def reverse(scope: Scope, value: Any) -> object:
    """A text or a list from its end to its beginning."""
    if type(value) is str:
        scope.produce(text_bytes(value))
        return value[::-1]
    if type(value) is list:
        scope.spend(len(value))
        turned = value[::-1]
        scope.built.add(id(turned))
        return turned
    raise no_overload("reverse", value)


def _texts(name: str, *values: object) -> None:
    for value in values:
        if type(value) is not str:
            raise no_overload(name, *values)


def _integers(name: str, *values: object) -> None:
    for value in values:
        if type(value) is not int:
            raise no_overload(name, *values)


def _width(*texts: str) -> int:
    return 1 if all(text.isascii() for text in texts) else 4


def _characters(scope: Scope, text: str, most: int) -> list[str]:
    count = len(text) if most < 0 else min(most, len(text))
    scope.spend(count)
    if count == len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _translated(scope: Scope, name: str, text: Any, table: dict[int, int]) -> str:
    _texts(name, text)
    scope.produce(text_bytes(text))
    if text.isascii():
        return str(text.lower() if table is _LOWER else text.upper())
    scope.spend(len(text) >> 4)
    return str(text.translate(table))
