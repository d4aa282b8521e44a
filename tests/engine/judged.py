"""Replicas in processes of their own, what they run, and the service outside that is the judge of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from tests.postgres_cluster import statement

import makegood as mg

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LEASE_S = 1.0
STEPS = 4


class Judge:
    """An HTTP service that writes down every call, and answers after a moment.

    Attributes:
        calls: (monotonic time, key, attempt) in order of arrival.
        answered: When the last answer for a key left, by key.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[float, str, int]] = []
        self.delay_s = 0.002
        self._more = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(fields.get("content-length", 0)))
                self.calls.append((time.monotonic(), fields["idempotency-key"], int(fields["makegood-attempt"])))
                self._more.set()
                answer = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_later(self.delay_s, answer.set_result, None)
                await answer
                body = b'{"done": true}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def until_calls(self, count: int, seconds: float = 90.0) -> None:
        """Return when so many calls have arrived."""
        async with asyncio.timeout(seconds):
            while len(self.calls) < count:
                self._more.clear()
                await self._more.wait()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    def times(self) -> Counter[str]:
        return Counter(key for _, key, _ in self.calls)


class Replica:
    """One process."""

    def __init__(self, dsn: str, url: str, lease_s: float = LEASE_S) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "replica_process.py"), dsn, url, str(lease_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    async def ready(self) -> Replica:
        assert self.process.stdout is not None
        assert await asyncio.to_thread(self.process.stdout.readline) == "ready\n"
        return self

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def gone(self) -> None:
        await asyncio.to_thread(self.process.wait, 30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.communicate()


@asynccontextmanager
async def several(dsn: str, url: str, count: int) -> AsyncIterator[list[Replica]]:
    made = [Replica(dsn, url) for _ in range(count)]
    try:
        yield [await each.ready() for each in made]
    finally:
        for each in made:
            each.close()


IN = "${input}"
FLOW = mg.workflow("flow", *(mg.call(f"c{number}", f"s.m{number}", input=IN) for number in range(STEPS)), output=IN)


async def started(engine: mg.Engine, count: int, prefix: str = "e") -> list[str]:
    ids = [f"{prefix}{number}" for number in range(count)]
    await asyncio.gather(*(engine.start(FLOW, number, id=each) for number, each in enumerate(ids)))
    return ids


async def ends(engine: mg.Engine, ids: list[str], seconds: float = 120.0) -> list[str]:
    async with asyncio.timeout(seconds):
        return [(await engine.end(each))["status"] for each in ids]


@asynccontextmanager
async def starter(dsn: str) -> AsyncIterator[mg.Engine]:
    """Takes starts and advances none of them: they are left to the replicas."""
    async with mg.Engine(dsn, only=(), lease_seconds=30.0) as engine:
        engine.register("s", {f"m{number}": lambda value: value for number in range(STEPS)})
        yield engine


async def until_answer(dsn: str, text: str, wanted: Any) -> None:
    """Ask the database until it answers so."""
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(statement(dsn), text))[0][0] != wanted:
            pass


def recorded_twice(dsn: str) -> list[Any]:
    """Steps whose success stands in a journal more than once."""
    found = statement(dsn)("SELECT execution_id, body FROM makegood.journal")
    steps: dict[str, Counter[str]] = defaultdict(Counter)
    for execution_id, body in found:
        steps[execution_id].update(part.split('"')[0] for part in body.split('"step_succeeded","v":1,"step":"')[1:])
    return [(each, step) for each, counts in steps.items() for step, count in counts.items() if count > 1]
