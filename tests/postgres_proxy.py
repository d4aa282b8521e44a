"""A TCP proxy that understands PostgreSQL's protocol well enough to lose the answer to one statement."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Literal, Self

from tests.postgres_cluster import cluster

When = Literal["before", "after"]


class Proxy:
    """Passes everything on, until a statement is to get lost.

    Attributes:
        lost: How many answers got lost so far.
        statements: How many statements were asked for so far.
    """

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._arms: list[tuple[str, When]] = []
        self._links: set[asyncio.Task[None]] = set()
        self._held: asyncio.Event | None = None
        self.lost = 0
        self.statements = 0
        self._asked = asyncio.Event()
        self.port = 0

    def lose(self, text: str, when: When, times: int = 1) -> None:
        """Cut the connection at the next executions of a statement with this text: before the server
        has seen it, or after it has committed and before the client hears of it."""
        self._arms += [(text, when)] * times

    def dsn(self, dsn: str) -> str:
        """The same database, through here."""
        return dsn.replace(f":{cluster().port}/", f":{self.port}/")

    def saw_statement(self) -> None:
        """One more was asked for."""
        self.statements += 1
        self._asked.set()

    async def until_statements(self, count: int) -> None:
        """Return when so many statements have been asked for."""
        while self.statements < count:
            self._asked.clear()
            await self._asked.wait()

    def cut_all(self) -> None:
        """As when the network goes."""
        for each in self._links:
            each.cancel()

    def silence(self) -> None:
        """Pass nothing on any more, and say nothing, until `cut_all` or `speak`."""
        self._held = asyncio.Event()

    def speak(self) -> None:
        if self._held is not None:
            self._held.set()
            self._held = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.speak()
        self._server.close()
        self.cut_all()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", cluster().port)
        link = _Link(self, reader, writer, up_reader, up_writer)
        try:
            await link.run()
        except (asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._links.discard(task)
            for each in (writer, up_writer):
                each.transport.abort()
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await each.wait_closed()

    def armed(self, text: str) -> When | None:
        """Whether this statement is to get lost, and when."""
        for number, (words, when) in enumerate(self._arms):
            if words in text:
                del self._arms[number]
                self.lost += 1
                return when
        return None

    async def may_pass(self) -> None:
        if self._held is not None:
            await self._held.wait()


class _Link:
    """One connection of a client."""

    def __init__(
        self,
        proxy: Proxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client = reader, writer
        self._server = up_reader, up_writer
        self._texts: dict[bytes, str] = {}
        self._swallow = False

    async def run(self) -> None:
        down = asyncio.ensure_future(self._down())
        up = asyncio.ensure_future(self._up())
        try:
            await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (down, up):
                each.cancel()
            await asyncio.gather(down, up, return_exceptions=True)

    async def _up(self) -> None:
        """From the client to the server, message by message."""
        reader, writer = self._client[0], self._server[1]
        while True:
            size = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack("!I", size)[0] - 4)
            code = struct.unpack("!I", body[:4])[0]
            writer.write(size + body)
            if code == 80877103:  # SSLRequest: the start-up message follows its answer
                continue
            break
        while True:
            kind = await reader.readexactly(1)
            size = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack("!I", size)[0] - 4)
            await self._proxy.may_pass()
            if kind == b"P":
                name, text = body.split(b"\0")[:2]
                self._texts[name] = text.decode()
            if kind in (b"E", b"Q"):
                self._proxy.saw_statement()
            if kind == b"B":
                name = body.split(b"\0")[1]
                when = self._proxy.armed(self._texts.get(name, ""))
                if when == "before":
                    return
                self._swallow = self._swallow or when == "after"
            writer.write(kind + size + body)
            await writer.drain()

    async def _down(self) -> None:
        """From the server to the client; a lost answer is read to its end, which says that it is committed."""
        reader, writer = self._server[0], self._client[1]
        first = True
        while True:
            if first:
                # The answer to an SSLRequest is one letter; to a start-up message it is a message.
                letter = await reader.readexactly(1)
                if letter in (b"N", b"S"):
                    writer.write(letter)
                    continue
                first, kind = False, letter
            else:
                kind = await reader.readexactly(1)
            size = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack("!I", size)[0] - 4)
            await self._proxy.may_pass()
            if self._swallow:
                if kind == b"Z":
                    return
                continue
            writer.write(kind + size + body)
            await writer.drain()


@contextlib.asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before a database, and the connection string that goes through it."""
    async with Proxy() as proxy:
        yield proxy, proxy.dsn(dsn)
