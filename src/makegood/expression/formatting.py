"""Nested values as text: `format`, and the JSON that a template's text is joined from.

Values are walked with a list of work of its own, never by recursion.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple

from makegood.expression.budget import Scope, text_bytes
from makegood.expression.conversions import decimal, decoded, double_text, plain_text, to_string
from makegood.expression.errors import ExpressionError, shown
from makegood.expression.operators import no_overload
from makegood.expression.values import CelType, Duration, OptionalValue, Timestamp, type_name

_PRECISION_MAX: Final = 1000
_PRECISION_DEFAULT: Final = 6
_CLAUSE: Final = re.compile(
    r"%(?:(?P<percent>%)|(?:\.(?P<precision>[0-9]+))?(?P<clause>[sdfebxXo])|(?P<wrong>.{0,8}))", re.DOTALL
)

Write = Callable[[Scope, Any], str]


class _Style(NamedTuple):
    """How leaves, keys and the order of entries are written."""

    scalar: Write
    key: Write
    comma: str
    colon: str
    in_order: bool


class _Fixed(str):
    """Text between values, told apart from a value that is text."""

    __slots__ = ()


def format_text(scope: Scope, template: Any, arguments: Any) -> str:
    """`template.format(arguments)`, with %s %d %f %e %b %x %X %o and %%.

    Raises:
        ExpressionError: A clause is unknown, has no argument, or does not take its type.
    """
    if type(template) is not str or type(arguments) is not list:
        raise no_overload("format", template, arguments)
    scope.produce(text_bytes(template))
    parts: list[str] = []
    at = used = 0
    for found in _CLAUSE.finditer(template):
        scope.spend(4)
        parts.append(template[at : found.start()])
        at = found.end()
        if found.group("percent"):
            parts.append("%")
            continue
        if found.group("clause") is None:
            raise ExpressionError(f"{shown(found.group())} is no clause of format: use %s %d %f %e %b %x %X %o or %%.")
        if used >= len(arguments):
            raise ExpressionError(f"format has {len(arguments)} arguments, and the text asks for more.")
        text = _clause(scope, found, arguments[used])
        scope.produce(text_bytes(text))
        parts.append(text)
        used += 1
    parts.append(template[at:])
    return "".join(parts)


def clauses_in(template: str) -> int:
    """How many arguments a text given to `format` asks for."""
    return sum(1 for found in _CLAUSE.finditer(template) if not found.group("percent"))


def template_text(scope: Scope, value: object) -> str:
    """A value as part of a longer text: scalars as `string()` gives them, null as null, the rest as JSON.

    Raises:
        ExpressionError: The value has no such form.
    """
    if type(value) is str:
        return value
    if value is None:
        return "null"
    if type(value) in (list, dict):
        return _nested(scope, value, _JSON)
    return to_string(scope, value)


def json_text(scope: Scope, value: object) -> str:
    """A scalar as JSON.

    Raises:
        ExpressionError: It has no such form.
    """
    if type(value) is str:
        scope.produce(text_bytes(value))
        return str(encode_basestring(value))
    if value is None:
        return "null"
    if type(value) is float:
        if not math.isfinite(value):
            raise ExpressionError("A double that is infinite or not a number has no JSON form.")
        return repr(value)
    if type(value) is bytes:
        return f'"{base64_text(scope, value)}"'
    if type(value) is Timestamp or type(value) is Duration:
        return f'"{value}"'
    return to_string(scope, value)


def base64_text(scope: Scope, value: bytes) -> str:
    """Bytes as base64 text."""
    from binascii import b2a_base64  # noqa: PLC0415 - bytes are rare

    scope.produce(len(value) * 2)
    return b2a_base64(value, newline=False).decode()


def _clause(scope: Scope, found: re.Match[str], value: Any) -> str:
    clause = found.group("clause")
    digits = found.group("precision")
    if digits is not None and (len(digits) > 6 or int(digits) > _PRECISION_MAX):
        raise ExpressionError(f"The precision in {shown(found.group())} is above {_PRECISION_MAX}.")
    if clause == "s":
        return _nested(scope, value, _TEXT)
    if clause in "fe":
        return _fraction(scope, clause, _PRECISION_DEFAULT if digits is None else int(digits), value)
    if clause == "d" and type(value) is float:
        return plain_text(value)
    if clause in "xX" and type(value) in (str, bytes):
        octets = value.encode("utf-8", "surrogatepass") if type(value) is str else value
        scope.produce(4 * len(octets))
        return str(octets.hex().upper() if clause == "X" else octets.hex())
    if clause == "b" and type(value) is bool:
        return "1" if value else "0"
    if type(value) is not int:
        raise no_overload(f"%{clause} of format", value)
    return decimal(scope, value) if clause == "d" else _radix(value, clause)


def _radix(value: int, clause: str) -> str:
    if value.bit_length() > 64:
        raise ExpressionError("The integer does not fit into 64 bits.")
    return format(value, clause)


def _fraction(scope: Scope, clause: str, precision: int, value: Any) -> str:
    if type(value) not in (int, float):
        raise no_overload(f"%{clause} of format", value)
    try:
        number = float(value)
    except OverflowError:
        raise ExpressionError("The integer is too large for a double.") from None
    if not math.isfinite(number):
        return double_text(number)
    # Digits beyond the seventeen that a double has are worked out one by one.
    scope.spend((precision >> 4) + (24 if not 1e-17 < abs(number) < 1e17 else 0))
    return f"{number:.{precision}{clause}}"


def _scalar_text(scope: Scope, value: object) -> str:
    if value is None:
        return "null"
    if type(value) is float:
        scope.spend(4)
        return plain_text(value)
    if type(value) is bytes:
        return decoded(scope, value)
    if type(value) is CelType:
        return value.name
    if type(value) is OptionalValue:
        raise no_overload("%s of format", value)
    return to_string(scope, value)


def _json_key(scope: Scope, key: object) -> str:
    text = to_string(scope, key)
    return str(encode_basestring(text))


_TEXT: Final = _Style(_scalar_text, _scalar_text, ", ", ": ", in_order=True)
_JSON: Final = _Style(json_text, _json_key, ",", ":", in_order=False)


def _nested(scope: Scope, value: object, style: _Style) -> str:
    if type(value) is not list and type(value) is not dict:
        return style.scalar(scope, value)
    parts: list[str] = []
    work: list[object] = [value]
    while work:
        item = work.pop()
        if type(item) is _Fixed:
            parts.append(item)
        elif type(item) is list:
            scope.spend(4 * len(item) + 1)
            work.extend(_list_work(item, style))
        elif type(item) is dict:
            scope.spend(8 * len(item) + 1)
            work.extend(_map_work(scope, item, style))
        else:
            text = style.scalar(scope, item)
            scope.produce(text_bytes(text))
            parts.append(text)
    return "".join(parts)


def _list_work(items: list[object], style: _Style) -> list[object]:
    """What writes a list, last first."""
    work: list[object] = [_Fixed("]")]
    comma = _Fixed(style.comma)
    for item in reversed(items):
        work.append(item)
        work.append(comma)
    if items:
        work.pop()
    work.append(_Fixed("["))
    return work


def _map_work(scope: Scope, mapping: dict[object, object], style: _Style) -> list[object]:
    """What writes a map, last first."""
    entries = [(style.key(scope, key), value) for key, value in mapping.items()]
    if style.in_order:
        entries.sort(key=lambda entry: entry[0])
    work: list[object] = [_Fixed("}")]
    comma = _Fixed(style.comma)
    for key, value in reversed(entries):
        work.append(value)
        work.append(_Fixed(key + style.colon))
        work.append(comma)
    if entries:
        work.pop()
    work.append(_Fixed("{"))
    return work


def unsupported(value: object) -> ExpressionError:
    """The error for a value that has no JSON form."""
    return ExpressionError(f"A value of type {type_name(value)} has no JSON form. Make text of it with string(x).")
