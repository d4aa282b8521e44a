"""Read one HTTP/1.1 response from bytes. A pure state machine: no sockets, no clock, no asyncio.

Rules of this file. It is strict where leniency lets two readers disagree about where a message ends:
a repeated Content-Length that differs, folded headers, a coding other than `chunked`, and anything
that is no status line are `Malformed`. What is kept is bounded before it is kept. Source: RFC 9112.

    head ──▶ sized ───────────────────────────────▶ complete
     │ ▲ 1xx └▶ chunk size ──▶ chunk ──▶ chunk end ──▶ chunk size ...
     └─┘     │       └─ 0 ──▶ trailers ───────────▶ complete
             └▶ until the connection ends ────────▶ complete
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

HEAD_BYTES_MAX = 64 * 1024
"""Status line and headers of one response; also all trailers and chunk extensions of a body."""
INTERIM_MAX = 16
"""How many 1xx responses may come before the final one."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?")
_DIGITS = re.compile(r"[0-9]{1,18}")


class Malformed(Exception):
    """What came is not an HTTP response."""


class TooLarge(Exception):
    """The body is larger than allowed."""


class Truncated(Exception):
    """The connection ended before the response did."""


class Response:
    """One response as it arrives. Feed it until it is complete.

    Args:
        body_max: Bytes that the body may have.
        on_piece: Takes the body as it comes: nothing of it is kept then, and nothing counted.

    Attributes:
        status: Status of the final response; 0 until its head was read.
        headers: Names in lower case; repeated ones joined by a comma, as RFC 9110 has it.
        body: All of it once `complete` is true.
        complete: Whether the response has ended.
        reusable: Whether the connection may carry another request afterwards.
    """

    __slots__ = (
        "_at", "_body_max", "_data", "_interim", "_left", "_on_piece", "_overhead", "_pieces", "_read", "_size",
        "body", "complete", "headers", "reusable", "status",
    )  # fmt: skip

    def __init__(self, body_max: int, on_piece: Callable[[bytes], None] | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False
        self.reusable = False
        self._body_max = body_max
        self._on_piece = on_piece
        self._data = b""
        self._at = 0
        self._read: Callable[[], bool] = self._read_head
        self._pieces: list[bytes] = []
        self._size = 0
        self._left = 0
        self._overhead = 0
        self._interim = 0

    def feed(self, data: bytes) -> bool:
        """Take what came; whether the response is complete.

        Raises:
            Malformed: It is no HTTP response.
            TooLarge: Its body is too large.
        """
        self._data = self._data + data if self._data else data
        while self._read() and not self.complete:
            pass
        if self._at < len(self._data) and self.complete:
            # Bytes that nobody asked for: the answer stands, the connection cannot be trusted.
            self.reusable = False
        self._data, self._at = self._data[self._at :], 0
        return self.complete

    def end(self) -> None:
        """The other side has closed.

        Raises:
            Truncated: The response was not complete.
        """
        if self._read == self._read_to_end:
            self._finish()
        elif not self.complete:
            raise Truncated

    # Each reader takes what it can and says whether the next one may try.

    def _read_head(self) -> bool:
        found = _HEAD_END.search(self._data, self._at)
        size = (found.end() if found else len(self._data)) - self._at
        if size > HEAD_BYTES_MAX:
            raise Malformed("the head of the response is too large")
        if found is None:
            start = self._data[self._at : self._at + 7]
            if not b"HTTP/1.".startswith(start):
                raise Malformed("the response is not HTTP/1.1")
            return False
        lines = self._data[self._at : found.start()].decode("latin-1").split("\n")
        self._at = found.end()
        line = _STATUS_LINE.fullmatch(lines[0].removesuffix("\r"))
        if line is None:
            raise Malformed("the response is not HTTP/1.1")
        status = int(line[2])
        if status < 200:
            self._interim += 1
            if status == 101 or self._interim > INTERIM_MAX:
                raise Malformed(f"an interim response {status} that nobody asked for")
            return True
        self.status = status
        self.headers = _headers(lines)
        self._begin_body(persistent=line[1] == "1")
        return True

    def _begin_body(self, *, persistent: bool) -> None:
        headers = self.headers
        self.reusable = persistent and "close" not in headers.get("connection", "").lower()
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if self.status in (204, 304):
            self._finish()
        elif coding is not None:
            if coding.lower() != "chunked":
                raise Malformed("an unknown Transfer-Encoding")
            # Both framings at once is how responses are smuggled: believe the coding, then part.
            self.reusable = self.reusable and length is None
            self._read = self._read_chunk_size
        elif length is not None:
            self._left = _length(length)
            if self._left > self._body_max and self._on_piece is None:
                raise TooLarge
            self._read = self._read_sized
        else:
            self.reusable = False
            self._read = self._read_to_end

    def _read_sized(self) -> bool:
        self._take(self._left)
        if not self._left:
            self._finish()
        return False

    def _read_to_end(self) -> bool:
        self._left = len(self._data) - self._at
        self._take(self._left)
        return False

    def _read_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise Malformed("a chunk without a size")
        self._spend(len(line) - len(match[1]))
        self._left = int(match[1], 16)
        self._read = self._read_chunk if self._left else self._read_trailer
        return True

    def _read_chunk(self) -> bool:
        self._take(self._left)
        if self._left:
            return False
        self._read = self._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise Malformed("a chunk longer than its size")
        self._read = self._read_chunk_size
        return True

    def _read_trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._spend(len(line))
        if not line:
            self._finish()
        return True

    def _line(self) -> bytes | None:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            if len(self._data) - self._at > HEAD_BYTES_MAX:
                raise Malformed("a line in the body's framing is too long")
            return None
        line = self._data[self._at : end]
        self._at = end + 1
        return line.removesuffix(b"\r")

    def _take(self, count: int) -> None:
        piece = self._data[self._at : self._at + count]
        if not piece:
            return
        self._at += len(piece)
        self._left -= len(piece)
        if self._on_piece is not None:
            self._on_piece(piece)
            return
        self._size += len(piece)
        if self._size > self._body_max:
            raise TooLarge
        self._pieces.append(piece)

    def _spend(self, count: int) -> None:
        self._overhead += count
        if self._overhead > HEAD_BYTES_MAX:
            raise Malformed("too much framing around the body")

    def _finish(self) -> None:
        self.body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        self.complete = True


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        value = value.strip(" \t\r")
        if not colon or "\r" in value or "\0" in value:
            raise Malformed("a header line that is none")
        name = _header_name(name)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


@lru_cache(maxsize=256)
def _header_name(name: str) -> str:
    """Cached: services answer with the same few names each time."""
    if _NAME.fullmatch(name) is None:
        raise Malformed("a header line that is none")
    return name.lower()


def _length(text: str) -> int:
    sizes = {each.strip() for each in text.split(",")}
    size = sizes.pop()
    if sizes or _DIGITS.fullmatch(size) is None:
        raise Malformed("a Content-Length that is no length")
    return int(size)
