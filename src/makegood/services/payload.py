"""JSON at the door of a service: what may come in, what may go out, and copies that share nothing.

Keeps out: anything about HTTP or about calling. A value that passes here is plain (dict with str keys,
list, str, int, float, bool, None), finite, at most `LIMITS.json_depth` deep, and encodes as UTF-8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from makegood.model.limits import LIMITS

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_INT_BITS_MAX = 14_000
"""An integer of more than about 4,300 digits: CPython refuses to print or parse it."""


class InvalidPayload(ValueError):
    """The value or text cannot be a payload; the message says why and where."""


class PayloadTooLarge(InvalidPayload):
    """It would be one but for its size."""


def decode(text: bytes) -> Any:
    """Parse a reply. Duplicate keys: the last wins. Integers stay exact.

    Raises:
        InvalidPayload: Not JSON, a lone surrogate, a number outside double, or nested too deeply.
    """
    try:
        value = _decode(text)
    except RecursionError:
        raise InvalidPayload(f"JSON is nested deeper than {LIMITS.json_depth}") from None
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise InvalidPayload(f"not valid JSON: {error}") from None
    if text.count(b"[") + text.count(b"{") > LIMITS.json_depth:
        _check_depth(value)
    return value


def encode(value: Any) -> bytes:
    """The JSON of a plain value."""
    return _encode(value)


def copy(value: Any, bytes_max: int | None) -> Any:
    """A copy of a plain value that shares no dict or list with it; None sets no bound.

    Raises:
        PayloadTooLarge: Its JSON would be longer than `bytes_max`.
    """
    if type(value) in _SCALARS:
        return value
    text = _encode(value)
    if bytes_max is not None and len(text) > bytes_max:
        raise PayloadTooLarge(f"the value is {len(text)} bytes of JSON, more than {bytes_max}")
    return _decode(text)


def plain(value: Any, bytes_max: int = LIMITS.payload_bytes) -> Any:
    """A plain copy of what a local service returned.

    Tuples become lists; dataclasses, msgspec structs, datetimes, enums and their like become what
    `msgspec.to_builtins` makes of them.

    Raises:
        PayloadTooLarge: Its JSON would be longer than `bytes_max`.
        InvalidPayload: It cannot be JSON; the message names the place.
    """
    kind = type(value)
    if value is None or kind is bool:
        return value
    copier = _Copier(bytes_max)
    result = copier.copy(value, "", 0)
    # The copier counts at least what JSON needs, and escapes lengthen a character sixfold at most:
    # only what comes near the limit is measured exactly.
    if copier.spent * 6 > bytes_max and (size := len(_encode(result))) > bytes_max:
        raise PayloadTooLarge(f"the value is {size} bytes of JSON, more than {bytes_max}")
    return result


class _Copier:
    """One walk. `spent` is a lower bound of the JSON's length, which also ends cycles."""

    __slots__ = ("bytes_max", "spent")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.spent = 0

    def copy(self, value: Any, at: str, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            self._spend(4)
            return value
        if kind is str:
            return self._text(value, at)
        if kind is int:
            return self._whole(value, at)
        if kind is float:
            self._spend(1)
            if not math.isfinite(value):
                raise InvalidPayload(f"{value} is not a JSON number{_place(at)}")
            return value
        return self._composite(value, at, depth)

    def _composite(self, value: Any, at: str, depth: int) -> Any:
        if depth >= LIMITS.json_depth:
            raise InvalidPayload(f"nested deeper than {LIMITS.json_depth}, or contains itself")
        self._spend(2)
        if isinstance(value, Mapping):
            return {
                self._key(key, at): self.copy(each, f"{at}/{key}", depth + 1) for key, each in value.items()
            }
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return [self.copy(each, f"{at}/{index}", depth + 1) for index, each in enumerate(value)]
        return self.copy(self._builtins(value, at), at, depth + 1)

    def _builtins(self, value: Any, at: str) -> Any:
        try:
            simpler = msgspec.to_builtins(value, builtin_types=())
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise InvalidPayload(f"{error}{_place(at)}") from None
        if type(simpler) is type(value):
            raise InvalidPayload(f"{type(value).__name__} cannot be JSON{_place(at)}")
        return simpler

    def _key(self, key: Any, at: str) -> str:
        if not isinstance(key, str):
            raise InvalidPayload(f"the key {key!r:.60} is not a string{_place(at)}")
        return self._text(str(key), at)

    def _text(self, text: str, at: str) -> str:
        self._spend(len(text) + 2)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InvalidPayload(f"a string contains a lone surrogate{_place(at)}") from None
        return text

    def _whole(self, number: int, at: str) -> int:
        bits = number.bit_length()
        self._spend(1 + bits // 4)
        if bits > _INT_BITS_MAX:
            raise InvalidPayload(f"an integer has more than 4,000 digits{_place(at)}")
        return number

    def _spend(self, count: int) -> None:
        self.spent += count
        if self.spent > self.bytes_max:
            raise PayloadTooLarge(f"the value is more than {self.bytes_max} bytes of JSON")


def _check_depth(value: Any) -> None:
    """Level by level, so that the depth of the value is not the depth of our stack."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(LIMITS.json_depth):
        level = [
            child
            for each in level
            for child in (each.values() if type(each) is dict else each)
            if type(child) in _CONTAINERS
        ]
        if not level:
            return
    raise InvalidPayload(f"JSON is nested deeper than {LIMITS.json_depth}")


def _place(at: str) -> str:
    return f" (at {at[:200]})" if at else ""


_CONTAINERS = (dict, list)
_SCALARS = (type(None), bool, int, float)
