"""The database has no connection left, no room left, or is another server at once; a service outside is the judge."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from judged import FLOW, LEASE_S, Judge, ends, recorded_twice, several, started, starter, until_answer
from replicas import replica
from tests.postgres_cluster import Cluster, cluster, database, installed, statement, unprivileged
from tests.postgres_proxy import proxied

import makegood as mg
from health_desk import Clinic
from makegood.app.contracts import Contracts
from makegood.app.directory import SharedServices
from makegood.app.health_checks import following
from makegood.errors import StorageUnavailable
from makegood.services import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

IDLE_MAX = 5.0
"""Statements a second of a replica that has nothing to do."""
ROOM_BYTES = 32 * 1024 * 1024


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


# --- connections ---------------------------------------------------------------------------------


@contextmanager
def limited(dsn: str, count: int) -> Iterator[str]:
    """The same database for a user that may have so many connections."""
    ask = statement(dsn)
    ask(
        f"CREATE ROLE limited LOGIN CONNECTION LIMIT {count}; GRANT USAGE ON SCHEMA makegood TO limited;"
        "GRANT ALL ON ALL TABLES IN SCHEMA makegood TO limited;"
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA makegood TO limited"
    )
    try:
        yield dsn.replace("makegood@", "limited@")
    finally:
        ask("DROP OWNED BY limited; DROP ROLE limited")


async def test_where_no_connection_is_left_callers_hear_of_it_and_nothing_is_lost(dsn: str) -> None:
    with limited(dsn, 8) as narrow:
        async with Judge() as judge, replica(narrow, judge.url) as one, replica(narrow, judge.url) as two:
            answers = await asyncio.gather(
                *(engine.start(FLOW, 1, id=f"e{number}-{place}") for number in range(30)
                  for place, engine in enumerate((one, two))),
                *(engine.list() for engine in (one, two) for _ in range(10)),
                return_exceptions=True,
            )  # fmt: skip
            refused = [each for each in answers if isinstance(each, BaseException)]
            assert refused, "eight connections were enough for two engines"
            assert {type(each) for each in refused} == {StorageUnavailable}
            assert any("Raise max_connections" in str(each) for each in refused), refused
            statement(dsn)("ALTER ROLE limited CONNECTION LIMIT -1")
            # The same starts again: those that were taken are found, the others begin.
            ids = [f"e{number}-{place}" for number in range(30) for place in range(2)]
            for each in ids:
                await one.start(FLOW, 1, id=each)
            assert Counter(await ends(one, ids)) == {"completed": 60}
            assert recorded_twice(dsn) == []
            assert set(judge.times().values()) == {1}


async def test_an_idle_replica_asks_little(dsn: str) -> None:
    async with proxied(dsn) as (proxy, through), replica(through, None, lease_seconds=10.0):
        # What it asks for when it opens is over with the first ones.
        await proxy.until_statements(proxy.statements + 30)
        first, began_s = proxy.statements, time.monotonic()
        await proxy.until_statements(first + 40)
        assert (proxy.statements - first) / (time.monotonic() - began_s) <= IDLE_MAX


async def test_an_idle_replica_that_checks_services_asks_little(dsn: str) -> None:
    registry = Registry()
    with Clinic() as clinic:
        async with (
            proxied(dsn) as (proxy, through),
            replica(through, None, lease_seconds=10.0, registry=registry) as engine,
        ):
            services = SharedServices(lambda: engine.directory, registry, 30.0)
            await services.put("clinic", {"url": clinic.url, "health": "/up"})
            await services.put_instance("clinic", "a", clinic.url + "/a", {}, 3_600_000)
            async with following(engine, registry, services, Contracts(registry), "n"):
                await proxy.until_statements(proxy.statements + 30)
                first, began_s = proxy.statements, time.monotonic()
                await proxy.until_statements(first + 60)
                assert (proxy.statements - first) / (time.monotonic() - began_s) <= IDLE_MAX
        assert len(clinic.asked) == 2


# --- another server --------------------------------------------------------------------------------


@contextmanager
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """A server, and one that follows it: what the first acknowledges, the other has."""
    programs = installed()
    primary = Cluster(programs)
    try:
        primary.ask("postgres", "CREATE DATABASE work")
        standby = Cluster(programs, standby_of=primary)
        try:
            primary.ask("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.ask("postgres", "SELECT pg_reload_conf()")
            yield primary, standby
        finally:
            standby.close()
    finally:
        primary.close()


async def test_a_failover_loses_nothing_that_was_acknowledged() -> None:
    with pair() as (primary, standby):
        dsn = f"postgresql://makegood@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/work"
        async with Judge() as judge, starter(dsn) as engine, several(dsn, judge.url, 2):
            judge.delay_s = 0.02
            ids = await started(engine, 60)
            in_step = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            assert primary.ask("postgres", in_step)[0][0] == 1
            await judge.until_calls(60)
            primary.stop(signal.SIGQUIT)
            promoted_s = time.monotonic()
            assert standby.ask("postgres", "SELECT pg_promote()")[0][0]
            assert Counter(await ends(engine, ids)) == {"completed": 60}
            first_s = min(at_s for at_s, _, _ in judge.calls if at_s > promoted_s)
            assert first_s - promoted_s < LEASE_S + 5.0
            more = await started(engine, 10, "later")
            assert Counter(await ends(engine, more)) == {"completed": 10}
            assert len(judge.times()) == 70 * 4
            journal = [
                (row[0], row[1]) for row in standby.ask("work", "SELECT execution_id, position FROM makegood.journal")
            ]
            assert {each for each, _ in journal} == {*ids, *more}


# --- room ----------------------------------------------------------------------------------------


@contextmanager
def small_disk() -> Iterator[Path]:
    """A folder on a file system of its own that is small."""
    folder = Path(tempfile.mkdtemp(prefix="makegood-disk-", dir="/tmp"))
    mount = shutil.which("mount")
    made = mount is not None and os.geteuid() == 0 and not subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "none", str(folder)], capture_output=True, check=False
    ).returncode  # fmt: skip
    if not made:
        folder.rmdir()
        pytest.skip("a small file system can be mounted by root alone")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def database_on(folder: Path) -> Iterator[str]:
    """A database whose tables lie there; its log does not."""
    place = folder / "tables"
    place.mkdir()
    user = unprivileged()
    if user:
        os.chown(place, user["user"], user["group"])
    server = cluster()
    server.ask("postgres", f"CREATE TABLESPACE small LOCATION '{place}'")
    server.ask("postgres", "CREATE DATABASE small TABLESPACE small")
    try:
        yield server.dsn("small")
    finally:
        server.drop("small")
        server.ask("postgres", "DROP TABLESPACE small")


async def test_on_a_full_disk_starts_are_refused_and_what_was_taken_goes_on_when_there_is_room() -> None:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(small_disk())
        dsn = stack.enter_context(database_on(folder))
        judge = await stack.enter_async_context(Judge())
        engine = await stack.enter_async_context(starter(dsn))
        ballast = folder / "ballast"
        with ballast.open("wb") as file:
            file.write(b"\0" * max(0, shutil.disk_usage(folder).free - 6 * 1024 * 1024))
        taken: list[str] = []

        async def fill() -> None:
            # Not compressible, so that it takes the room that it says.
            big = os.urandom(300_000).hex()
            for number in range(200):
                taken.append((await engine.start(FLOW, big, id=f"e{number}")).id)  # noqa: PERF401 - it ends in between

        with pytest.raises(StorageUnavailable, match="disk is full"):
            await fill()
        assert taken
        async with several(dsn, judge.url, 1):
            ballast.unlink()
            assert Counter(await ends(engine, taken)) == {"completed": len(taken)}
        assert set(judge.times().values()) == {1}


async def test_an_engine_says_that_it_cannot_write_on_a_full_disk_and_does_not_stop() -> None:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(small_disk())
        dsn = stack.enter_context(database_on(folder))
        engine = await stack.enter_async_context(mg.Engine(dsn))
        engine.register("s", {"m": lambda value: None})
        flow = mg.workflow("w", mg.call("a", "s.m"))
        assert await (await engine.start(flow)).result() is None
        with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 4096):
                pass

        async def fill() -> None:
            while True:
                await engine.start(flow, "x" * 7_000)

        with pytest.raises(StorageUnavailable, match="disk is full"):
            await fill()
        assert len(await engine.list()) >= 1
        (folder / "ballast").unlink()
        await until_answer(dsn, "SELECT count(*) FROM makegood.execution WHERE status = 'running'", 0)
        assert await (await engine.start(flow)).result() is None
