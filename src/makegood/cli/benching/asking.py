"""A client that costs as little as can be: one request after another on one connection.

Strangers keep out: retries, redirects, chunks. A server that answers so is not what is measured here.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from makegood.errors import StorageError

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Asking:
    """One connection."""

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, url: str) -> Self:
        """A connection to whoever serves that."""
        parts = urlsplit(url)
        return cls(parts.netloc, *await asyncio.open_connection(parts.hostname, parts.port))

    async def ask(self, method: str, target: str, value: Any = None) -> bytes:
        """The body of the answer.

        Raises:
            StorageError: The request was refused.
        """
        body = b"" if value is None else msgspec.json.encode(value)
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        found = await self._reader.readuntil(b"\r\n\r\n")
        status, length = _STATUS.match(found), _LENGTH.search(found)
        answer = await self._reader.readexactly(int(length[1]) if length else 0)
        if status is None or not status[1].startswith(b"2"):
            raise StorageError(f"{method} {target} was refused: {answer.decode(errors='replace')[:500]}")
        return answer

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
