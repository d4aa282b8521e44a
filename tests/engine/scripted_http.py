"""The scripted services of a scenario as a real HTTP server on loopback, which keeps the ledger.

It is the judge: it runs in the test's own process, outside the engine, and outlives every crash.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Self

from makegood.ports import Invocation
from makegood.simulation.invoker import book_in_time
from makegood.simulation.replies import on_the_wire
from makegood.simulation.script import Call, Scripted, ScriptedServices

CRLF2 = b"\r\n\r\n"


class ScriptedHttp:
    """Serves `/{service}/{method}` by script.

    `on_read` is called after each request was read, and says whether the caller died of it.

    Attributes:
        caller_port: From which the last request came.
    """

    def __init__(self, services: ScriptedServices, on_read: Callable[[Call], bool] = lambda _call: False) -> None:
        self.services = services
        self._on_read = on_read
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.caller_port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, service: str) -> str:
        """Where a service is; one that is down has an address where nobody listens."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{1 if service in self.services.down else port}/{service}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        head = await reader.readuntil(CRLF2)
        line, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines if each)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = _invocation(line.split(" ")[1], headers, json.loads(body) if body else None)
        call, scripted = self.services.read(asked, _now_ms(), headers)
        book_in_time(self.services, call, scripted)
        self.caller_port = writer.get_extra_info("peername")[1]
        if self._on_read(call):
            return False
        if scripted.kind == "hang":
            await reader.read()
            self.services.hung_up(call, _now_ms())
            return False
        return await self._answer(reader, writer, call, scripted)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: Call, scripted: Scripted
    ) -> bool:
        gone = asyncio.ensure_future(reader.read(1)) if scripted.delay_ms else None
        if gone is not None:
            done, _ = await asyncio.wait([gone], timeout=scripted.delay_ms / 1000)
            if done:
                self.services.hung_up(call, _now_ms())
                return False
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        self.services.answered(call, scripted, _now_ms())
        if scripted.kind == "reset":
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        status, extra, body = on_the_wire(scripted)
        lines = [f"HTTP/1.1 {status} Scripted", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        writer.write("\r\n".join(lines).encode() + CRLF2 + body)
        await writer.drain()
        return True


def _invocation(path: str, headers: dict[str, str], body: Any) -> Invocation:
    service, _, method = path.strip("/").partition("/")
    deadline = datetime.fromisoformat(headers["makegood-deadline"])
    key = headers["idempotency-key"]
    return Invocation(
        execution_id=headers["makegood-execution"],
        workflow="",  # No header tells it.
        step=headers["makegood-step"],
        service=service,
        method=method,
        body=body,
        key=key,
        attempt=int(headers["makegood-attempt"]),
        deadline_ms=int(deadline.timestamp() * 1000),
        undo=key.endswith(":undo"),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
