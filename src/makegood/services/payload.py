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

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[Any] = []

    def __str__(self) -> str:
        if not self.path:
            return self.reason
        return f"{self.reason} (at {''.join(f'/{part}' for part in reversed(self.path))[:200]})"


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
    if value is None or type(value) is bool:
        return value
    quick = _quick_copy(value, bytes_max)
    if quick is not _NO_COPY:
        return quick
    copier = _Copier(bytes_max)
    result = copier.copy(value, 0)
    # The copier counts less than JSON needs, and at least a ninth of it (three bytes for a float that may
    # take 25 with its comma, one for a character that may take six): only what may be over is measured.
    if copier.spent * 9 > bytes_max and (size := len(_encode(result))) > bytes_max:
        raise PayloadTooLarge(f"the value is {size} bytes of JSON, more than {bytes_max}")
    return result


_NO_COPY = object()


def _quick_copy(value: Any, bytes_max: int) -> Any:
    """The copy of a value that is plain already, which is what nearly every service returns.

    What the codec changes on its way (NaN, a tuple, a datetime, a key that is no string) comes back
    unequal, and is left to the walk that knows what to say of it.
    """
    try:
        text = _encode(value)
        if len(text) > bytes_max or text.count(b"[") + text.count(b"{") > LIMITS.json_depth:
            return _NO_COPY
        copied = _decode(text)
        return copied if copied == value else _NO_COPY
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the walk finds it again and names the place
        return _NO_COPY


class _Copier:
    """One walk. `spent` is a lower bound of the JSON's length, which also ends cycles."""

    __slots__ = ("bytes_max", "spent")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.spent = 0

    def copy(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if value is None or kind is bool:
            self._spend(4)
            return value
        if kind is int:
            return self._whole(value)
        if kind is float:
            self._spend(3)
            if not math.isfinite(value):
                raise InvalidPayload(f"{value} is not a JSON number")
            return value
        if depth >= LIMITS.json_depth:
            raise InvalidPayload(f"nested deeper than {LIMITS.json_depth}, or contains itself")
        if kind is dict:
            return self._object(value, depth)
        if kind is list:
            return self._array(value, depth)
        plainer = self._plainer(value)
        if type(plainer) is kind:
            raise InvalidPayload(f"{kind.__name__} cannot be JSON")
        return self.copy(plainer, depth)

    def _object(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        self._spend(2)
        result: dict[str, Any] = {}
        key: Any = None
        try:
            for key, each in value.items():
                if not isinstance(key, str):
                    raise InvalidPayload("a key is not a string")
                result[self._text(str.__str__(key))] = self.copy(each, depth + 1)
        except InvalidPayload as error:
            # The place is put together on the way out, so that it costs nothing when all is well.
            error.path.append(key)
            raise
        return result

    def _array(self, value: list[Any], depth: int) -> list[Any]:
        self._spend(2)
        result: list[Any] = []
        try:
            for each in value:
                result.append(self.copy(each, depth + 1))  # noqa: PERF401 - its length is the place
        except InvalidPayload as error:
            error.path.append(len(result))
            raise
        return result

    def _plainer(self, value: Any) -> Any:
        """One step towards plain JSON."""
        # Subclasses, such as a StrEnum or numpy's float64, are what they are a kind of.
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__int__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, list | tuple):
            return list(value)
        try:
            return msgspec.to_builtins(value)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise InvalidPayload(str(error)) from None

    def _text(self, text: str) -> str:
        self._spend(len(text) + 2)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InvalidPayload("a string contains a lone surrogate") from None
        return text

    def _whole(self, number: int) -> int:
        bits = number.bit_length()
        self._spend(1 + bits // 4)
        if bits > _INT_BITS_MAX:
            raise InvalidPayload("an integer has more than 4,000 digits")
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


_CONTAINERS = (dict, list)
_SCALARS = (type(None), bool, int, float)
