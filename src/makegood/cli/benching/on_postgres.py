"""PostgreSQL's figures: steps beside a bare group commit, starts over HTTP, and a crowd that is due at once.

Strangers keep out: where the databases come from.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any, Self, TextIO

import asyncpg
import msgspec

from makegood.cli.benching import ours
from makegood.cli.benching.asking import Asking
from makegood.cli.benching.databases import Databases, die_with_parent
from makegood.cli.benching.work import ANSWER, INPUT, STEPS, Taken, many, share
from makegood.engine.client import Engine
from makegood.errors import StorageError
from makegood.language import load_tree

Add = Callable[[str, float], None]
"""Keeps one value of a figure."""

TABLES = """
CREATE TABLE j (execution text, position integer, body text, PRIMARY KEY (execution, position));
CREATE TABLE e (id text PRIMARY KEY, workflow text, status text, started bigint, ended bigint);
CREATE INDEX e_started ON e (started, id);
"""
WRITE = """
WITH records AS (
    INSERT INTO j SELECT * FROM unnest($1::text[], $2::integer[], $3::text[])
), ended AS (
    UPDATE e SET status = 'completed', ended = 1 FROM unnest($5::text[]) AS x (id) WHERE e.id = x.id
)
INSERT INTO e SELECT x.id, 'bench', 'running', 1, NULL FROM unnest($4::text[]) AS x (id)
"""
WAITING = {"name": "waiting", "timeout": "30d", "steps": [{"id": "rest", "wait": "1h"}], "output": {"done": True}}
"""A workflow that is parked at its first step."""
AHEAD_MS = 2 * 3600 * 1000
CLIENTS = 64
LISTENS = re.compile(r"makegood listens on (http://\S+)")


async def steps(add: Add, databases: Databases, workflows: int) -> None:
    """In-process steps beside the bare group commit of the same rows."""
    bare = await group_commit(await databases.new(), workflows)
    add("bare group commit on PostgreSQL, steps/s", bare.steps_per_s)
    engine = await ours.in_process(await databases.new(), workflows)
    add("engine on PostgreSQL, steps/s", engine.steps_per_s)
    add("engine on PostgreSQL, CPU us/step", engine.cpu_us_per_step)


async def group_commit(dsn: str, workflows: int) -> Taken:
    """The bare group commit: a start, five steps and an end for each workflow."""
    async with Bare(dsn) as bare:
        await many(bare.workflow, min(200, workflows))
        return await many(bare.workflow, workflows)


class Bare:
    """Group commit by asyncpg: what came while a commit was under way is the next one."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pending: list[tuple[tuple[str, int, str], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._ids = count()

    async def __aenter__(self) -> Self:
        self._connection = await asyncpg.connect(self._dsn)
        await self._connection.execute(TABLES)
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._connection.close()

    async def workflow(self) -> None:
        """A start, five steps and an end."""
        execution = f"{next(self._ids):036d}"
        started, answered = msgspec.json.encode(INPUT).decode(), msgspec.json.encode(ANSWER).decode()
        await self._append(execution, 0, started)
        for position in range(1, STEPS + 1):
            await self._append(execution, position, answered)
        await self._append(execution, STEPS + 1, answered)

    def _append(self, *row: Any) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((row, done))
        self._wake.set()
        return done

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            batch, self._pending = self._pending, []
            self._wake.clear()
            rows = [row for row, _ in batch]
            ids, positions, bodies = (list(column) for column in zip(*rows, strict=True))
            starts = [row[0] for row in rows if row[1] == 0]
            ends = [row[0] for row in rows if row[1] == STEPS + 1]
            await self._connection.execute(WRITE, ids, positions, bodies, starts, ends)
            for _, done in batch:
                done.set_result(None)


# --- a server ------------------------------------------------------------------------------------


async def starts(add: Add, databases: Databases, workflows: int) -> None:
    """`POST /v1/executions`, durable when answered, the workflow parked at its first step."""
    dsn = await databases.new()
    await _filled(dsn, 0)
    with served(dsn) as url:
        async with asking(url, CLIENTS) as clients:
            free = list(clients)

            async def one() -> None:
                client = free.pop()
                await _start(client)
                free.append(client)

            await many(one, min(500, workflows), CLIENTS)
            taken = await many(one, workflows, CLIENTS)
    add("starts over HTTP on PostgreSQL, starts/s", taken.workflows / taken.wall_s)


async def _start(client: Asking) -> None:
    await client.ask("POST", "/v1/executions", {"workflow": WAITING["name"], "input": INPUT})


async def due(add: Add, databases: Databases, executions: int) -> None:
    """A server that comes when so many are due: until all are claimed, and how the API answers meanwhile."""
    template = await databases.new()
    await _filled(template, executions)
    dsn = await databases.new(template)
    begun = time.perf_counter()
    with served(dsn) as url:
        answers: list[float] = []
        try:
            async with asking(url, 2) as (reader, starter), asyncio.TaskGroup() as group:
                done = asyncio.Event()
                group.create_task(_ask_until(done, answers, lambda: reader.ask("GET", "/v1/executions/due-1")))
                group.create_task(_ask_until(done, answers, lambda: _start(starter)))
                await _until_none_is_due(dsn)
                add(f"{executions:,} due, all claimed after, s", time.perf_counter() - begun)
                done.set()
        except ExceptionGroup as failed:
            # The first that went wrong: what came of it says less.
            raise failed.exceptions[0] from None
    add("the API meanwhile, p50 ms", share(answers, 0.5) * 1000)
    add("the API meanwhile, p99 ms", share(answers, 0.99) * 1000)


async def _ask_until(done: asyncio.Event, answers: list[float], ask: Callable[[], Any]) -> None:
    """Ask again and again, at least once."""
    while True:
        begun = time.perf_counter()
        await ask()
        answers.append(time.perf_counter() - begun)
        if done.is_set():
            return
        await asyncio.sleep(0.01)


async def _until_none_is_due(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        while await connection.fetchval(  # noqa: ASYNC110 - of another process
            "SELECT 1 FROM makegood.execution WHERE parked AND wake_at_ms <= $1 ORDER BY wake_at_ms LIMIT 1",
            time.time_ns() // 1_000_000,
        ):
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


class _Earlier:
    """The clock of an engine that worked two hours ago."""

    def now_ms(self) -> int:
        """Then."""
        return time.time_ns() // 1_000_000 - AHEAD_MS


async def _filled(dsn: str, executions: int) -> None:
    """Register the workflow, and leave so many executions of it that have been due for an hour."""
    async with Engine(dsn, clock=_Earlier()) as engine:
        await engine.start(load_tree(WAITING).definition, INPUT, id="due-0")
    connection = await asyncpg.connect(dsn)
    try:
        for table, column in (("execution", "id"), ("journal", "execution_id")):
            names = [
                row[0]
                for row in await connection.fetch(
                    "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum",
                    f"makegood.{table}",
                )
            ]
            # Each is a copy of the first in all but its name.
            values = {column: "'due-' || n", "root": "'due-' || n", "body": "replace(body, 'due-0', 'due-' || n)"}
            chosen = ", ".join(values.get(name, name) for name in names)
            await connection.execute(
                f"INSERT INTO makegood.{table} SELECT {chosen} FROM makegood.{table}, "  # noqa: S608 - our own names
                f"generate_series(1, {executions:d}) AS n WHERE {column} = 'due-0'"
            )
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


@contextmanager
def served(dsn: str) -> Iterator[str]:
    """`makegood serve` in a process of its own; its URL."""
    command = [sys.executable, "-m", "makegood", "serve", "--listen", "127.0.0.1:0", "--database", dsn]
    # Into a file: it has a line for every write, and nobody here reads them.
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stderr=said, preexec_fn=die_with_parent) as process,  # noqa: S603, PLW1509
    ):
        try:
            while (found := LISTENS.search(_read(said))) is None:
                if process.poll() is not None:
                    raise StorageError(f"`makegood serve` did not start: {_read(said).strip()[-500:]}")
                time.sleep(0.02)
            yield found[1]
        finally:
            process.terminate()


def _read(file: TextIO) -> str:
    return os.pread(file.fileno(), 65_536, 0).decode(errors="replace")


@asynccontextmanager
async def asking(url: str, connections: int) -> AsyncIterator[list[Asking]]:
    """So many connections to a server."""
    made = [await Asking.to(url) for _ in range(connections)]
    try:
        yield made
    finally:
        for each in made:
            each.close()
