"""Servers under load whose processes and database are killed, stopped and replaced, for as long as there is time.

A few of each kind here; `make soak` goes on for SOAK minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from loads import Fault, Load, befall, figures, loaded, too_slow
from scenario_plays import Several
from served_replicas import Desk
from tests.postgres_cluster import cluster, database, statement

from makegood.storage.postgres import schema
from served import ports_of

SOAK_S = float(os.environ.get("SOAK", "0")) * 60
ROUNDS = 3
"""Of every fault, where there is no more time."""
AT_ONCE = 16
DELAY_S = 0.1
SEED = int(os.environ.get("SOAK_SEED", "1"))

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300 + SOAK_S)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


# --- faults --------------------------------------------------------------------------------------


async def killed(several: Several, load: Load, dsn: str) -> None:
    async with several.without_one() as served:
        load.faults.append(befall("killed", served, signal.SIGKILL))
        await asyncio.to_thread(served.ended)


async def sent_away(several: Several, load: Load, dsn: str) -> None:
    async with several.without_one() as served:
        load.faults.append(befall("sent away", served, signal.SIGTERM))
        assert await asyncio.to_thread(served.ended) == 0, served.said


async def stopped(several: Several, load: Load, dsn: str) -> None:
    """For longer than its lease."""
    dead = "SELECT count(*) FROM makegood.worker WHERE state = 'dead'"
    before = statement(dsn)(dead)[0][0]
    async with several.without_one() as served:
        load.faults.append(befall("stopped", served, signal.SIGSTOP))
        async with asyncio.timeout(30):
            while (await asyncio.to_thread(statement(dsn), dead))[0][0] == before:
                pass
        served.process.send_signal(signal.SIGCONT)


async def without_database(several: Several, load: Load, dsn: str) -> None:
    # In this thread: a server dies with the thread that started it.
    cluster().stop(signal.SIGQUIT)
    cluster().start()
    load.faults.append(Fault("without database", time.monotonic(), None))


FAULTS: tuple[Callable[[Several, Load, str], Awaitable[None]], ...] = (
    killed, sent_away, stopped, sent_away, without_database,
)  # fmt: skip


async def test_servers_under_load_lose_nothing_whatever_befall_them_and_go_on_in_time(
    tmp_path: Path, dsn: str, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(SEED)
    until_s = time.monotonic() + SOAK_S
    befallen = 0
    with Desk(DELAY_S) as desk:
        async with Several(tmp_path, dsn, 3) as several, loaded(several, desk, AT_ONCE) as load:
            while befallen < ROUNDS * len(FAULTS) or time.monotonic() < until_s:
                fault = chance.choice(FAULTS) if befallen >= ROUNDS * len(FAULTS) else FAULTS[befallen % len(FAULTS)]
                await load.until_ended(chance.randrange(16, 40))
                await fault(several, load, dsn)
                befallen += 1
            await load.until_ended(10)
    taken_s = load.takeovers_s()
    record_property("SOAK_SEED", SEED)
    record_property("executions", len(load.ended))
    record_property("faults", befallen)
    for name, text in figures(taken_s).items():
        record_property(name, text)
    assert all(taken_s.values()), "a fault interrupted nothing"
    assert too_slow(taken_s) == {}


# --- another release -------------------------------------------------------------------------------


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def migrations(revision: str) -> list[str]:
    """Those of a revision as git lists them, contents and names."""
    listed = git("ls-tree", f"{revision}:src/makegood/storage/postgres/migrations").splitlines()
    return [line for line in listed if re.search(r"\t\d{4}_\w+\.sql$", line)]


def runs_here(revision: str) -> bool:
    """Whether the code of a revision is another one than this, and the schema of this one serves it."""
    theirs, ours = migrations(revision), migrations("HEAD")
    same = git("rev-parse", f"{revision}:src") == git("rev-parse", "HEAD:src")
    if same or not theirs or theirs != ours[: len(theirs)]:
        return False
    # What came before a database said whom it serves works on its own schema alone.
    told = "serves" in git("show", f"{revision}:src/makegood/storage/postgres/schema.py")
    return len(theirs) == len(ours) or (told and len(theirs) >= schema.migrate.serves(schema.MIGRATIONS))


def older(folder: Path) -> Path:
    """The release before this one, as the newest revision with an older schema, or else the newest with other code.

    `OLDER` names another revision.
    """
    named = os.environ.get("OLDER")
    revisions = [named] if named else git("rev-list", "--first-parent", "-n", "200", "HEAD").split()[1:]
    fit = [each for each in revisions if runs_here(each)]
    if not fit:
        message = "there is no older code that this schema serves"
        if named or (os.environ.get("CI") and git("rev-parse", "--is-shallow-repository") == "false"):
            pytest.fail(message)
        pytest.skip(f"{message}: no git here, or not all that it once had")
    revision = next((each for each in fit if len(migrations(each)) < schema.SCHEMA), fit[0])
    code = subprocess.run(["git", "archive", revision, "src"], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=code.stdout, check=True)
    return folder / "src"


def callers(several: Several, desk: Desk, since: int) -> set[bool]:
    """Whether it was older code that made the calls since then."""
    ports = {port for _, _, port in desk.arrivals[since:]}
    return {several.is_older(each) for each in several.living if ports & ports_of(each.process.pid)}


async def test_another_release_takes_over_replica_by_replica_under_load(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = older(tmp_path)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    with Desk(DELAY_S) as desk:
        async with Several(tmp_path, dsn, 3, source) as several, loaded(several, desk, AT_ONCE) as load:

            async def made_by() -> set[bool]:
                since = len(desk.arrivals)
                await load.until_ended(2 * AT_ONCE)
                return callers(several, desk, since)

            assert await made_by() == {True}
            several.source = None
            await sent_away(several, load, dsn)
            assert await made_by() == {True, False}
            await sent_away(several, load, dsn)
            assert await made_by() == {True, False}
            # And back again, as when a roll-out is given up half-way: older code starts on the newer schema.
            several.source = source
            await killed(several, load, dsn)
            await made_by()
            several.source = None
            for _ in range(3):
                await sent_away(several, load, dsn)
            assert await made_by() == {False}
    # Python has compiled it: it was this code that ran.
    assert list((source / "makegood" / "storage" / "postgres" / "__pycache__").glob("schema.*.pyc"))
