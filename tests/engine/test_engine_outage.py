"""A service goes away and returns: what waited uses up nothing, all of it finishes, and no herd follows."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Self

import pytest

import makegood as mg
from makegood.services import Registry, ServiceConfig
from makegood.services.circuit import Policy

pytestmark = pytest.mark.anyio

RATE = 50
"""Executions that are started each second, of one call each."""


class Origin:
    """A server on the loopback that keeps when each key came, and can go away and come back at its port."""

    def __init__(self) -> None:
        self.came: list[tuple[float, str]] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def come(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def go(self) -> None:
        assert self._server is not None
        self._server.close()
        for each in self._writers:
            each.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers["content-length"]))
                self.came.append((asyncio.get_running_loop().time(), headers["idempotency-key"]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def __aenter__(self) -> Self:
        await self.come()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go()


def most_in_a_second(times: list[float]) -> int:
    """The most of them that fall into one second, wherever it begins."""
    return max(sum(1 for each in times if from_s <= each < from_s + 1) for from_s in times)


async def test_after_an_outage_everything_finishes_with_at_most_twice_the_usual_rate() -> None:
    step = mg.call("a", "s.do", input="${input}", retry={"max_attempts": 2})
    definition = mg.workflow("one", step, output="${steps.a}")
    registry = Registry(policy=Policy(rest_s_min=0.2, rest_s_max=0.4))
    async with Origin() as origin, mg.Engine(":memory:", registry=registry) as engine:
        registry.register("s", ServiceConfig(name="s", urls=(f"http://127.0.0.1:{origin.port}",)))
        loop, started = asyncio.get_running_loop(), []

        async def load(seconds: float) -> None:
            """Starts come evenly, whatever the service does."""
            begun_s = loop.time()
            for number in range(int(seconds * RATE)):
                await asyncio.sleep(max(0, begun_s + number / RATE - loop.time()))
                started.append(await engine.start(definition, {"n": len(started)}))

        await load(2.5)
        origin.go()
        await load(1)
        before = len(origin.came)
        await origin.come()
        await load(2)
        results: list[Any] = await asyncio.gather(*(each.result() for each in started), return_exceptions=True)

    wrong = [each for each in results if isinstance(each, Exception)]
    # Of those that came before the circuit opened, some used up what they had.
    assert len(wrong) <= 20
    assert all(each in wrong or each == {"n": number} for number, each in enumerate(results))
    after = [at_s for at_s, _ in origin.came[before:]]
    assert most_in_a_second(after) <= 2 * RATE
    assert max(Counter(key for _, key in origin.came).values()) <= 2
