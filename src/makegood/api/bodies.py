"""Bodies and parameters: bounded before they are read, checked before they are used.

Strangers keep out: nothing is done with what is read. Whatever is wrong with it is said with its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive

from makegood.api.problems import Unacceptable, bad_request
from makegood.errors import InputError, nearest
from makegood.model import LIMITS
from makegood.services.payload import InvalidPayload, decode

T = TypeVar("T")

JSON_BODY_MAX = LIMITS.payload_bytes + 64 * 1024
"""A payload, and room for what is said beside it."""
SMALL_BODY_MAX = 256 * 1024
"""A note of the greatest length, each character escaped, and room for more."""
DEFINITION_BODY_MAX = LIMITS.definition_bytes
QUERY_MAX = 8 * 1024
PARAMETERS_MAX = 50

_AT = re.compile(r" - at `(.*)`$")
_PLACE = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


class Gone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers say of a request."""

    headers: Mapping[bytes, bytes]

    def get(self, name: bytes) -> str | None:
        """One header, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


async def read_body(head: Head, receive: Receive, most: int) -> bytes:
    """The body, if it is not larger than it may be.

    Raises:
        Unacceptable: It is; no more of it was read than that took.
    """
    told = head.get(b"content-length")
    if told is not None and told.isdecimal() and int(told) > most:
        raise _too_large(most)
    if (head.get(b"content-encoding") or "identity").lower() != "identity":
        raise Unacceptable(415, "unsupported_media_type", "Bodies are taken as they are: leave Content-Encoding out.")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _too_large(most: int) -> Unacceptable:
    # The rest of the body is not wanted: the connection ends with the answer.
    return Unacceptable(
        413, "body_too_large", f"A body has at most {most} bytes here.", headers={"Connection": "close"}
    )


def media_of(head: Head) -> str:
    """The media type of the body, without its parameters."""
    return (head.get(b"content-type") or "").partition(";")[0].strip().lower()


def check_media(head: Head, allowed: tuple[str, ...]) -> str:
    """The media type, if it is one of these.

    Raises:
        Unacceptable: It is not.
    """
    media = media_of(head)
    charset = re.search(r"charset=\"?([\w-]+)", (head.get(b"content-type") or "").lower())
    if media not in allowed or (charset is not None and charset[1] not in {"utf-8", "utf8"}):
        found = head.get(b"content-type")
        raise Unacceptable(
            415,
            "unsupported_media_type",
            f"Send Content-Type: {' or '.join(allowed)} in UTF-8, not {found!r}."
            if found
            else f"Send Content-Type: {' or '.join(allowed)}.",
        )
    return media


def read_json(body: bytes) -> Any:
    """A body as plain JSON.

    Raises:
        Unacceptable: It is none that can be taken: bad JSON, a lone surrogate, a number outside double, too deep.
    """
    try:
        return decode(body)
    except InvalidPayload as error:
        raise bad_request(f"The body is not JSON that can be taken: {error}.", code="bad_json") from None


def shaped(value: Any, shape: type[T]) -> T:
    """A body as the shape it must have.

    Raises:
        InputError: It has not; the message says where, and names the nearest field for an unknown one.
    """
    if isinstance(value, dict):
        known = _fields(shape)  # type: ignore[arg-type]
        unknown = next((name for name in value if name not in known), None)
        if unknown is not None:
            raise InputError(
                f"there is no field {unknown[:100]!r} here.{nearest(unknown[:100], known)}",
                pointer=_pointer_to(unknown),
            )
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        message = str(error)
        found = _AT.search(message)
        place = "" if found is None else _pointer(found[1])
        raise InputError(f"{_AT.sub('', message)}{f' at {place}' if place else ''}", pointer=place) from None


@cache
def _fields(shape: Any) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(shape))


def _pointer(path: str) -> str:
    return "".join(_pointer_to(name or number or "*") for name, number in _PLACE.findall(path.removeprefix("$")))


def _pointer_to(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def read_query(raw: bytes) -> dict[str, str]:
    """The parameters of a URL; each may come once.

    Raises:
        Unacceptable: One comes twice, or they are too long or cannot be read.
    """
    if not raw:
        return {}
    if len(raw) > QUERY_MAX:
        raise bad_request(f"The parameters of a URL have at most {QUERY_MAX} bytes.")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise bad_request("The parameters of the URL cannot be read: write them percent-encoded, in UTF-8.") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise bad_request(f"The parameter {name[:100]!r} is given twice.")
        found[name] = value
    return found
