"""What a handler gives back, and how it is sent. Nothing here knows a route."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

JSON = "application/json"
PROBLEM = "application/problem+json"
EVENTS = "text/event-stream"

SAFE = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Headers of every answer: nothing of it is kept, guessed or framed by a browser."""

Headers: TypeAlias = Mapping[str, str]
Message: TypeAlias = MutableMapping[str, Any]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is there.

    Attributes:
        value: Plain JSON; or bytes, sent as they are; or None for no body.
    """

    status: int
    value: Any = None
    media: str = JSON
    headers: Headers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that comes piece by piece."""

    pieces: AsyncIterator[bytes]
    media: str = EVENTS


async def send_answer(answer: Answer, send: Send) -> None:
    """Send it whole."""
    value = answer.value
    body = b"" if value is None and answer.status == 204 else value if isinstance(value, bytes) else _encode(value)
    names = {name.lower() for name in answer.headers}
    headers = [each for each in SAFE if each[0].decode() not in names]
    if answer.status != 204:
        headers.append((b"content-type", answer.media.encode()))
    headers.append((b"content-length", str(len(body)).encode()))
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_stream(stream: Stream, scope: Scope, receive: Receive, send: Send) -> None:
    """Send it as it comes, until its end or until nobody listens any more."""
    headers = {name.decode(): value.decode() for name, value in SAFE} | {"x-accel-buffering": "no"}
    try:
        await StreamingResponse(stream.pieces, media_type=stream.media, headers=headers)(scope, receive, send)
    finally:
        close = getattr(stream.pieces, "aclose", None)
        if close is not None:
            await close()
