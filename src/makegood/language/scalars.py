"""Plain YAML scalars by the core schema of YAML 1.2, and the numbers JSON and YAML share.

`no`, `on` and `2024-01-01` are strings here. Nothing else decides what a scalar means.
"""

from __future__ import annotations

import math
import re

DIGITS_MAX = 1_000
"""Python and others refuse to print far longer integers, and no payload means one."""

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAYBE_NUMBER = frozenset("+-.0123456789")


class NotANumber(ValueError):
    """A scalar that means a number JSON cannot carry."""


def plain_scalar(text: str) -> object:
    """What a plain scalar means.

    Raises:
        NotANumber: It is infinite, not a number, or too long.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in _MAYBE_NUMBER:
        return text
    if _DECIMAL.fullmatch(text):
        return whole_number(text)
    if _OTHER_BASE.fullmatch(text):
        return whole_number(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        return fraction(text)
    if _NOT_JSON.fullmatch(text):
        raise NotANumber(f"{text} is no JSON number; quote it to make it a string")
    return text


def whole_number(text: str, base: int = 10) -> int:
    """An integer, exact."""
    if len(text) > DIGITS_MAX:
        raise NotANumber(f"a number has more than {DIGITS_MAX} digits; quote it to make it a string")
    return int(text, base)


def fraction(text: str) -> float:
    """A double, finite."""
    value = float(text)
    if not math.isfinite(value):
        raise NotANumber(f"{text[:40]} is too large for a double; quote it to make it a string")
    return value
