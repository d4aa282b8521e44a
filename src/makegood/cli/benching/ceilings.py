"""What the machine gives without an engine: the same commits, the same calls, no judgement.

`Bare` is a group commit of plain rows: a start, five steps and an end, each awaited. `calls` is a loop of
the same HTTP client doing the same requests. Nobody reads, fences, folds or undoes anything here.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from itertools import count
from typing import Any, Self

import apsw
import msgspec

from makegood.cli.benching.work import ANSWER, INPUT, STEPS, Taken, many
from makegood.ports import Invocation
from makegood.services import Registry, ServiceConfig

_encode = msgspec.json.encode
PRAGMAS = ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=4000", "cache_size=-65536")
TABLE = "create table j(execution integer, position integer, body text, primary key(execution, position)) without rowid"
ROWS = "create table e(id text primary key, workflow text, status text, started integer, ended integer)"

Row = tuple[int, int, str]


class Bare:
    """Group commit: the rows that came while a commit was under way are the next one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._work: queue.SimpleQueue[tuple[list[Row], asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._pending: list[tuple[Row, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ids = count()

    async def __aenter__(self) -> Self:
        self._thread.start()
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def append(self, row: Row) -> asyncio.Future[None]:
        """Durable when the future is done."""
        done = self._loop.create_future()
        self._pending.append((row, done))
        self._wake.set()
        return done

    async def workflow(self) -> None:
        """A start, five steps and an end."""
        execution = next(self._ids)
        await self.append((execution, 0, _encode(INPUT).decode()))
        for position in range(1, STEPS + 1):
            await self.append((execution, position, _encode(ANSWER).decode()))
        await self.append((execution, STEPS + 1, _encode(ANSWER).decode()))

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            batch, self._pending = self._pending, []
            self._wake.clear()
            written = self._loop.create_future()
            self._work.put(([row for row, _ in batch], written))
            await written
            for _, done in batch:
                done.set_result(None)

    def _write(self) -> None:
        connection = open_bare(self._path)
        while (work := self._work.get()) is not None:
            rows, written = work
            connection.execute("begin immediate")
            connection.executemany("insert into j values(?, ?, ?)", rows)
            connection.execute("commit")
            self._loop.call_soon_threadsafe(written.set_result, None)
        connection.close()


def open_bare(path: str) -> apsw.Connection:
    """A SQLite file as durable as ours."""
    connection = apsw.Connection(path)
    for pragma in PRAGMAS:
        connection.execute(f"pragma {pragma}")
    connection.execute(TABLE)
    connection.execute(ROWS)
    connection.execute("create index e_started on e(started, id)")
    return connection


async def group_commit(path: str, workflows: int) -> Taken:
    """The bare group commit of the same work."""
    async with Bare(path) as bare:
        await many(bare.workflow, min(200, workflows))
        return await many(bare.workflow, workflows)


async def no_journal(workflows: int) -> Taken:
    """The event loop alone."""

    async def one() -> None:
        for _ in range(STEPS):
            await asyncio.sleep(0)

    return await many(one, workflows)


class Commits:
    """The commits of one workflow, one after another: its records, and its row's start and end.

    Args:
        count: Records of one workflow.
    """

    def __init__(self, path: str, count: int) -> None:
        self._connection = open_bare(path)
        self._count = count
        self._workflows = 0
        self._text = _encode(ANSWER).decode()

    def once(self) -> None:
        """Those of one workflow."""
        execute, number = self._connection.execute, self._workflows
        self._workflows += 1
        for position in range(self._count):
            execute("begin immediate")
            execute("insert into j values(?, ?, ?)", (number, position, self._text))
            if position == 0:
                execute("insert into e values(?, 'bench', 'running', ?, null)", (f"{number:036d}", number))
            elif position == self._count - 1:
                execute("update e set status = 'completed', ended = ? where id = ?", (number, f"{number:036d}"))
            execute("commit")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


async def calls(url: str, workflows: int) -> Taken:
    """A bare loop of the same client: five requests one after another, so many at once, no engine."""
    registry = Registry()
    registry.register("work", ServiceConfig(name="work", urls=(url,), max_concurrent=64))
    places = asyncio.Semaphore(64)
    ids = count()

    async def one() -> None:
        execution = f"bench-{next(ids)}"
        for number in range(STEPS):
            async with places:
                registry.reserve("work")
                await registry.invoke(_invocation(execution, number))

    try:
        await many(one, min(100, workflows))
        return await many(one, workflows)
    finally:
        await registry.aclose()


def _invocation(execution: str, number: int) -> Invocation:
    body: Any = {"order": INPUT["order"], "amount": INPUT["amount"]}
    return Invocation(
        execution_id=execution,
        workflow="bench",
        step=f"step{number}",
        service="work",
        method="noop",
        body=body,
        key=f"{execution}:step{number}:do",
        attempt=1,
        deadline_ms=time.time_ns() // 1_000_000 + 30_000,
    )
