"""A loopback HTTP/1.1 server that answers as badly as asked, byte for byte.

Raw streams, so that nothing repairs what a test wants broken. The last segment of the path picks the
behaviour; every request is recorded before it is answered. Nothing in here knows makegood.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

Behaviour = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came over the wire.

    Attributes:
        path: Request target.
        headers: Names in lower case with values, in order.
        body: As sent.
        connection: Which connection carried it, from 0.
    """

    verb: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    @property
    def method(self) -> str:
        """The last segment of the path."""
        return self.path.rsplit("/", 1)[-1]

    def header(self, name: str) -> str | None:
        """The only value of a header; None when it was not sent."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


def answer(
    body: bytes | str | None = b"",
    *,
    status: str = "200 OK",
    headers: dict[str, str] | None = None,
    length: int | None = None,
) -> bytes:
    """The bytes of a response; `length` lies about its size."""
    raw = body.encode() if isinstance(body, str) else (body or b"")
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(raw) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + raw


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang(_: Received, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def trickle(data: bytes, *, head: bytes = b"", every_s: float = 0.02) -> Behaviour:
    """Send `head` at once, then `data` one byte at a time, for ever if need be."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for position in range(len(data)):
            writer.write(data[position : position + 1])
            await writer.drain()
            await asyncio.sleep(every_s)

    return behave


def then_reset(data: bytes) -> Behaviour:
    """Send this much, then reset the connection."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        # The bytes must have left before the reset, which throws away what is still queued.
        while writer.transport.get_write_buffer_size():
            await asyncio.sleep(0)
        if data:
            await asyncio.sleep(0.02)
        reset(writer)

    return behave


def then_close(data: bytes) -> Behaviour:
    """Send this much, then close the connection."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return behave


async def flood(_: Received, writer: asyncio.StreamWriter) -> None:
    """Fifty megabytes of JSON string."""
    size = 50 * 1024 * 1024
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size + 2}\r\n\r\n".encode() + b'"')
    for _chunk in range(50):
        writer.write(b"x" * (1024 * 1024))
        await writer.drain()
    writer.write(b'"')


async def flood_chunked(_: Received, writer: asyncio.StreamWriter) -> None:
    """The same without saying how much is to come."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _chunk in range(800):
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")


@dataclass(slots=True)
class Misbehaving:
    """The server. Use as an async context manager; `url` is its root.

    Attributes:
        received: Every request, in order of arrival.
        connections: How many connections were accepted.
        port: Where it listens; 0: anywhere.
        lost: How many connections the client closed or reset while a behaviour was under way.
    """

    behaviours: dict[str, bytes | Behaviour] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    lost: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """Root of the server, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def on(self, method: str, behaviour: bytes | Behaviour) -> None:
        """Answer this method so."""
        self.behaviours[method] = behaviour

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a request, or a connection's end, brings about."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), 5)

    async def drop_connections(self) -> None:
        """Close every open connection, idle ones included."""
        for writer in list(self._writers):
            writer.close()
        await self.until(lambda: not self._writers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=8 * 1024 * 1024, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self.until(lambda: not self._writers)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self._writers.add(writer)
        try:
            while (request := await self._read(reader, number)) is not None:
                self.received.append(request)
                await self._notify()
                if not await self._answer(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.lost += 1
        finally:
            writer.close()
            self._writers.discard(writer)
            await self._notify()

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Received | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        verb, path, _version = first.split(" ", 2)
        pairs = [line.split(":", 1) for line in lines]
        headers = tuple((name.lower(), value.strip()) for name, value in pairs)
        length = next((int(value) for name, value in headers if name == "content-length"), 0)
        body = await reader.readexactly(length)
        return Received(verb, path, headers, body, number)

    async def _answer(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        behaviour = self.behaviours.get(request.method, answer(b"null"))
        if isinstance(behaviour, bytes):
            writer.write(behaviour)
            await writer.drain()
            return True
        work = asyncio.ensure_future(behaviour(request, writer))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.lost += 1
                return False
            await work
            return False
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
