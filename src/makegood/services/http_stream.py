"""A response that is read as it arrives, for as long as the other side has something to say.

The connection is the stream's own and ends with it. What is not read yet is bounded: the sender waits then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Protocol, Self

from makegood.services.connecting import Target
from makegood.services.http_client import Client, Lost, Unreadable
from makegood.services.http_wire import Response

UNREAD_BYTES_MAX = 1024 * 1024
"""So much may wait for a reader before no more is taken from the network."""
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds and counts after which a silent connection to a machine that is gone ends: half a minute in all."""


class Connection(Protocol):
    """What a stream needs of a connection; `http_client` says what each does."""

    def begin(self, request: bytes, response: Response, on_data: Callable[[], None]) -> asyncio.Future[Response]:
        """Write a request whose answer is read as it arrives."""
        ...

    def keep_alive(self, options: Mapping[str, int]) -> None:
        """Have the kernel ask whether the other side is still there."""
        ...

    def pause(self, *, paused: bool) -> None:
        """Read nothing more for now, or again."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


async def open_stream(
    client: Client, target: Target, request: bytes, *, connect_s: float, silence_s_max: float
) -> Stream:
    """Send a request, and wait for the head of its answer.

    Args:
        request: Head and body, as they go over the wire.
        connect_s: Bounds finding and connecting.
        silence_s_max: How long nothing at all may come, from the request on.

    Raises:
        NotSent: Nothing was written.
        Lost: Written, and no head came.
        Unreadable: The answer is not HTTP.
    """
    connection = await client.open(target, connect_s)
    stream = Stream(connection, request, silence_s_max)
    try:
        await stream.head()
    except BaseException:
        stream.close()
        raise
    return stream


class Stream:
    """One answer. Leaving its context closes the connection."""

    def __init__(self, connection: Connection, request: bytes, silence_s_max: float) -> None:
        self._connection = connection
        self._silence_s_max = silence_s_max
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._woken = asyncio.Event()
        self._response = Response(0, self._put)
        connection.keep_alive(_KEEPALIVE)
        self._ended = connection.begin(request, self._response, self._woken.set)
        self._ended.add_done_callback(self._end)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    @property
    def status(self) -> int:
        """Status of the answer."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in lower case."""
        return self._response.headers

    def close(self) -> None:
        """Close the connection; who still reads learns that it is lost."""
        self._connection.abort()

    async def head(self) -> None:
        """Return when status and headers are there."""
        while not self._response.status:
            await self._more()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes, until it has ended.

        Raises:
            Lost: The connection broke or fell silent before that.
            Unreadable: What came is not HTTP.
        """
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._unread -= len(piece)
                if self._unread <= UNREAD_BYTES_MAX < self._unread + len(piece):
                    self._connection.pause(paused=False)
                yield piece
            if self._ended.done():
                self._ended.result()
                if not self._pieces:
                    return
            else:
                await self._more()

    async def lines(self, line_bytes_max: int) -> AsyncGenerator[bytes, None]:
        """The body's lines as each is complete, without the empty ones; its last one need not end.

        Raises:
            Lost: The connection broke or fell silent.
            Unreadable: What came is not HTTP, or a line is longer than allowed.
        """
        rest = bytearray()
        async for piece in self.pieces():
            begun, *more = piece.split(b"\n")
            rest += begun
            if len(rest) > line_bytes_max:
                raise Unreadable("a line is too long", too_large=True, status=self.status)
            for each in more:
                if rest.strip():
                    yield bytes(rest)
                rest[:] = each
        if rest.strip():
            yield bytes(rest)

    async def body(self, bytes_max: int) -> bytes:
        """All of it, cut off where it is longer than allowed."""
        whole = bytearray()
        async for piece in self.pieces():
            whole += piece
            if len(whole) >= bytes_max:
                break
        return bytes(whole[:bytes_max])

    async def _more(self) -> None:
        """Return when something came or the answer has ended."""
        self._woken.clear()
        if self._ended.done():
            self._ended.result()
            return
        try:
            async with asyncio.timeout(self._silence_s_max):
                await self._woken.wait()
        except TimeoutError:
            self.close()
            message = f"nothing was said for {self._silence_s_max:g} s"
            raise Lost(message, timed_out=True, status=self.status or None) from None

    def _put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._unread += len(piece)
        if self._unread > UNREAD_BYTES_MAX >= self._unread - len(piece):
            self._connection.pause(paused=True)

    def _end(self, ended: asyncio.Future[Response]) -> None:
        # Looked at, so that a failure that nobody reads any more is not complained of.
        if not ended.cancelled():
            ended.exception()
        self._woken.set()
