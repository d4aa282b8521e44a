"""Servers under load whose processes and database are killed, stopped and replaced, for as long as there is time.

A few of each kind here; `make soak` goes on for SOAK minutes. The judges are the service that was called, and
whoever was told that an execution has begun.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from scenario_plays import ENDS, Several
from served_replicas import Desk
from tests.postgres_cluster import cluster, database, statement

SOAK_S = float(os.environ.get("SOAK", "0")) * 60
ROUNDS = 2
"""Of every fault, where there is no more time."""
AT_ONCE = 8
STUCK_S = 60.0
SEED = int(os.environ.get("SOAK_SEED", "1"))

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300 + SOAK_S)]

HERE = Path(__file__).resolve()
# A call whose caller died may be over time when another goes on with it: it is made again then.
AGAIN = {"max_attempts": 10, "initial_interval": "100ms"}
STEPS = [{"id": each, "call": "desk.take", "compensation": "desk.give", "retry": AGAIN} for each in "ab"]
FLOWS = {
    "good": ([*STEPS, {"id": "c", "call": "desk.take", "retry": AGAIN}], "completed"),
    "bad": ([*STEPS, {"id": "c", "call": "desk.refuse", "retry": AGAIN}], "compensated"),
}


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


class Load:
    """Starts one execution after another at any server, and waits for its end.

    Attributes:
        ended: Id to workflow and status.
        calls_at_end: How many calls of it there had been by then.
    """

    def __init__(self, several: Several, desk: Desk) -> None:
        self._several, self._desk = several, desk
        self._numbers = itertools.count()
        self._stopping = False
        self._more = asyncio.Event()
        self.ended: dict[str, tuple[str, str]] = {}
        self.calls_at_end: dict[str, int] = {}

    async def _one_after_another(self) -> None:
        while not self._stopping:
            number = next(self._numbers)
            workflow, execution_id = "bad" if number % 4 == 3 else "good", f"x{number}"
            status, told = await self._several.ask("POST", "/v1/executions", {"workflow": workflow, "id": execution_id})
            assert status in {200, 201}, told
            begun_s = time.monotonic()
            while told["status"] not in ENDS:
                assert time.monotonic() < begun_s + STUCK_S, (execution_id, told)
                _, told = await self._several.ask("GET", f"/v1/executions/{execution_id}?wait=10s")
            self.calls_at_end[execution_id] = self._of(execution_id)
            self.ended[execution_id] = (workflow, told["status"])
            self._more.set()

    def _of(self, execution_id: str) -> int:
        return sum(key.startswith(f"{execution_id}:") for _, key in self._desk.calls)

    async def until_ended(self, more: int) -> None:
        """Return when so many more have ended."""
        wanted = len(self.ended) + more
        async with asyncio.timeout(120):
            while len(self.ended) < wanted:
                self._more.clear()
                await self._more.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While this is open, it starts; at the end what was begun has ended."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._one_after_another())
            yield
            self._stopping = True

    def judge(self, dsn: str) -> None:
        """Raise when something got lost, stuck, repeated though it was recorded, or was done otherwise than told."""
        assert Counter(self.ended.values()).keys() == {(name, status) for name, (_, status) in FLOWS.items()}
        assert statement(dsn)("SELECT count(*) FROM makegood.execution WHERE ended_at_ms IS NULL")[0][0] == 0
        assert len(statement(dsn)("SELECT id FROM makegood.execution")) == len(self.ended)
        calls = Counter(key for _, key in self._desk.calls)
        for each, (workflow, _) in self.ended.items():
            assert self._of(each) == self.calls_at_end[each], f"{each} was called after it had ended"
            undone = {key for key in calls if key.startswith(f"{each}:") and key.endswith(":undo")}
            assert len(undone) == (2 if workflow == "bad" else 0), (each, undone)
            assert {key.split(":")[1] for key in calls if key.startswith(f"{each}:")} == {"a", "b", "c"}, each


@asynccontextmanager
async def loaded(folder: Path, dsn: str, source: Path | None = None) -> AsyncIterator[tuple[Several, Load]]:
    """Three servers under load, and the judgement at the end."""
    with Desk() as desk:
        async with Several(folder, dsn, 3, source) as several:
            await several.put_service("desk", {"url": desk.url, "timeout_seconds": 1})
            for name, (steps, _) in FLOWS.items():
                status, told = await several.ask("PUT", f"/v1/workflows/{name}", {"name": name, "steps": steps})
                assert status == 201, told
            load = Load(several, desk)
            async with load.running():
                yield several, load
            load.judge(dsn)


# --- faults --------------------------------------------------------------------------------------


async def killed(several: Several, dsn: str) -> None:
    async with several.without_one() as served:
        await asyncio.to_thread(served.stop, signal.SIGKILL)


async def sent_away(several: Several, dsn: str) -> None:
    async with several.without_one() as served:
        assert await asyncio.to_thread(served.stop) == 0, served.said


async def stopped(several: Several, dsn: str) -> None:
    """For longer than its lease."""
    dead = "SELECT count(*) FROM makegood.worker WHERE state = 'dead'"
    before = statement(dsn)(dead)[0][0]
    async with several.without_one() as served:
        served.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(30):
            while (await asyncio.to_thread(statement(dsn), dead))[0][0] == before:
                pass
        served.process.send_signal(signal.SIGCONT)


async def without_database(several: Several, dsn: str) -> None:
    # In this thread: a server dies with the thread that started it.
    cluster().stop(signal.SIGQUIT)
    cluster().start()


FAULTS: tuple[Callable[[Several, str], Awaitable[None]], ...] = (killed, sent_away, stopped, killed, without_database)


async def test_servers_under_load_lose_nothing_whatever_befalls_them(tmp_path: Path, dsn: str) -> None:
    chance = random.Random(SEED)
    until_s = time.monotonic() + SOAK_S
    befallen = 0
    async with loaded(tmp_path, dsn) as (several, load):
        while befallen < ROUNDS * len(FAULTS) or time.monotonic() < until_s:
            fault = chance.choice(FAULTS) if befallen >= len(FAULTS) else FAULTS[befallen]
            await load.until_ended(chance.randrange(5, 30))
            await fault(several, dsn)
            befallen += 1
        await load.until_ended(10)


# --- another release -------------------------------------------------------------------------------


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=HERE.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def older(folder: Path) -> Path:
    """The newest code before this one that reads and writes the same schema: `OLDER` names a revision."""
    schema = "src/makegood/storage/postgres/migrations"
    named = os.environ.get("OLDER")
    revisions = [named] if named else git("rev-list", "--first-parent", "-n", "100", "HEAD").split()[1:]
    for revision in revisions:
        same = git("rev-parse", f"{revision}:./../../{schema}") == git("rev-parse", f"HEAD:./../../{schema}") != ""
        other = git("rev-parse", f"{revision}:./../../src") != git("rev-parse", "HEAD:./../../src")
        if same and other:
            code = subprocess.run(
                ["git", "archive", revision, "src"], cwd=HERE.parents[2], capture_output=True, check=True
            )
            subprocess.run(["tar", "-x", "-C", str(folder)], input=code.stdout, check=True)
            return folder / "src"
    pytest.skip("there is no older code with the same schema (no git here, or the schema is new)")


async def test_another_release_takes_over_replica_by_replica_under_load(tmp_path: Path, dsn: str) -> None:
    source = older(tmp_path)
    async with loaded(tmp_path, dsn, source) as (several, load):
        await load.until_ended(20)
        several.source = None
        for _ in range(3):
            await sent_away(several, dsn)
            await load.until_ended(20)
        # And back again, as when a roll-out is given up half-way.
        several.source = source
        await killed(several, dsn)
        await load.until_ended(20)
