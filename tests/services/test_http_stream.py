"""Responses that are read as they arrive: pieces, lines, silence, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from makegood.services.connecting import Connector, Target
from makegood.services.http_client import Client, Lost, NotSent, Unreadable
from makegood.services.http_stream import UNREAD_BYTES_MAX, open_stream
from makegood.services.tls import Trust

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def made() -> Client:
    return Client(Connector(Trust(None), allow_link_local=False))


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@asynccontextmanager
async def answering(behave: Behaviour) -> AsyncIterator[Target]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield Target("127.0.0.1", server.sockets[0].getsockname()[1], tls=False)


@asynccontextmanager
async def streaming(behave: Behaviour, *, silence_s_max: float = 5.0) -> AsyncIterator[object]:
    client = made()
    async with answering(behave) as target:
        stream = await open_stream(client, target, REQUEST, connect_s=5, silence_s_max=silence_s_max)
        async with stream:
            yield stream
        client.close()


async def test_the_head_is_there_before_anything_of_the_body_is() -> None:
    go = asyncio.Event()

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await go.wait()
        writer.write(chunk(b"later") + b"0\r\n\r\n")
        await writer.drain()

    async with streaming(behave) as stream:
        status = stream.status  # type: ignore[attr-defined]
        go.set()
        body = await stream.body(100)  # type: ignore[attr-defined]

    assert (status, body) == (200, b"later")


async def test_lines_are_told_as_each_is_complete_however_they_are_cut() -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        for piece in (b'{"a": ', b'1}\n{"b"', b": 2}\n\n{", b'"c": 3}'):
            writer.write((HEAD if piece == b'{"a": ' else b"") + chunk(piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async with streaming(behave) as stream:
        found = [each async for each in stream.lines(1000)]  # type: ignore[attr-defined]

    assert found == [b'{"a": 1}', b'{"b": 2}', b'{"c": 3}']


async def test_a_line_without_an_end_is_refused() -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while True:
            writer.write(chunk(b"x" * 1000))
            await writer.drain()

    async with streaming(behave) as stream:
        with pytest.raises(Unreadable, match="a line is too long"):
            async for _ in stream.lines(10_000):  # type: ignore[attr-defined]
                pass


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (HEAD + chunk(b"begun"), Lost),
        (HEAD + b"zz\r\n", Unreadable),
        (HEAD + chunk(b"begun") + b"5\r\nshort", Lost),
    ],
)
async def test_a_body_that_breaks_is_no_end(sent: bytes, error: type[Exception]) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()

    async with streaming(behave) as stream:
        with pytest.raises(error):
            async for _ in stream.pieces():  # type: ignore[attr-defined]
                pass


@pytest.mark.parametrize(("sent", "error"), [(b"", Lost), (b"hello\r\n\r\n", Unreadable)])
async def test_an_answer_without_a_head_is_none(sent: bytes, error: type[Exception]) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()

    with pytest.raises(error):
        async with streaming(behave):
            pass


async def test_who_is_not_there_was_not_asked() -> None:
    async with answering(lambda _: asyncio.sleep(0)) as target:
        pass

    with pytest.raises(NotSent):
        await open_stream(made(), target, REQUEST, connect_s=5, silence_s_max=5)


@pytest.mark.parametrize("sent", [b"", HEAD], ids=["before-the-head", "after-it"])
async def test_silence_is_a_loss(sent: bytes) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await asyncio.Event().wait()

    with pytest.raises(Lost, match=r"nothing was said for 0\.2 s") as lost:
        async with streaming(behave, silence_s_max=0.2) as stream:
            await stream.body(10)  # type: ignore[attr-defined]

    assert lost.value.timed_out


async def test_what_is_not_read_makes_the_sender_wait() -> None:
    sent = 0

    async def behave(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD)
        for _ in range(200):
            writer.write(chunk(b"x" * 500_000))
            await writer.drain()
            sent += 500_000
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async with streaming(behave) as stream:
        pieces = stream.pieces()  # type: ignore[attr-defined]
        first = await anext(pieces)
        while stream._unread <= UNREAD_BYTES_MAX:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        unread, sent_then = stream._unread, sent  # type: ignore[attr-defined]
        whole = len(first) + sum([len(each) async for each in pieces])

    assert unread < UNREAD_BYTES_MAX + 500_000
    assert sent_then < 100_000_000
    assert whole == 100_000_000


async def test_leaving_closes_the_connection_and_closing_the_client_ends_the_stream() -> None:
    closed = asyncio.Event()

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await writer.drain()
        try:
            while not writer.transport.is_closing():
                writer.write(chunk(b"x"))
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with streaming(behave):
        pass
    async with asyncio.timeout(10):
        await closed.wait()

    client = made()
    async with answering(behave) as target:
        stream = await open_stream(client, target, REQUEST, connect_s=5, silence_s_max=5)
        client.close()
        with pytest.raises(Lost):
            async for _ in stream.pieces():
                pass
