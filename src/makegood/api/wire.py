"""HTTP/1.1 as it comes over the wire: uvicorn's, with a bound on what comes before a body.

Strangers keep out: nothing of ours is known here but how long a head may be, and how long it may take.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
HEAD_S_MAX = 20.0
"""From a connection, or from the first byte of a request, to the end of its head."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s"
)
_PROBLEM = (
    b'{"type":"urn:makegood:problem:head_too_large","title":"The head of the request is too large","status":431,'
    b'"code":"head_too_large","detail":"URL and headers have at most 65536 bytes."}'
)


class Wire(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._in_head = True
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_S_MAX, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head has become too long."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX + len(data):
                self._refuse()
                return
            if self._late is None:
                self._late = self.loop.call_later(HEAD_S_MAX, self._give_up)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._head_bytes = 0
        self._in_time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes now is the next head."""
        self._in_head = True
        super().on_message_complete()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self) -> None:
        self._in_time()
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE % (len(_PROBLEM), _PROBLEM))
            self.transport.close()

    def _give_up(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.transport.close()
