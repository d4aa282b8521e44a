"""The service of the HTTP measurements, in a process of its own: answers everything alike, at once."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from makegood.cli.benching.work import ANSWER

BODY = msgspec.json.encode(ANSWER)
ANSWERED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Answer(asyncio.Protocol):
    """Reads requests by their Content-Length and answers each."""

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of a request, or more than one."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            at = self._data.lower().find(b"content-length:", 0, end)
            size = int(self._data[at + 15 : self._data.find(b"\r", at)]) if at >= 0 else 0
            if len(self._data) < end + 4 + size:
                return
            self._data = self._data[end + 4 + size :]
            self._transport.write(ANSWERED)  # type: ignore[attr-defined]


async def serve() -> None:
    """Print the port; answer until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answer, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
