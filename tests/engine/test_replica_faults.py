"""Replicas in processes of their own that are killed, stopped and sent away; a service outside is the judge."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from judged import IN, LEASE_S, STEPS, Judge, Replica, ends, recorded_twice, several, started, starter, until_answer
from tests.postgres_cluster import cluster, database, statement

import makegood as mg
from served import has_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

COUNT = 100
"""Executions."""


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


async def test_killed_replicas_lose_no_execution_and_repeat_no_recorded_step(dsn: str) -> None:
    chance = random.Random(7)
    async with Judge() as judge, starter(dsn) as engine:
        judge.delay_s = 0.25
        replicas = [await Replica(dsn, judge.url).ready() for _ in range(3)]
        try:
            ids = await started(engine, COUNT)
            for _ in range(4):
                await judge.until_calls(min(len(judge.calls) + 60, COUNT * STEPS))
                victim = replicas.pop(chance.randrange(len(replicas)))
                victim.send(signal.SIGKILL)
                await victim.gone()
                victim.close()
                replicas.append(await Replica(dsn, judge.url).ready())

            assert Counter(await ends(engine, ids)) == {"completed": COUNT}
        finally:
            for each in replicas:
                each.close()
        times = judge.times()
        assert len(times) == COUNT * STEPS
        # Only what was in flight at a kill is called again.
        assert sum(times.values()) - len(times) <= 4 * COUNT
        assert recorded_twice(dsn) == []


async def test_a_takeover_after_a_kill_takes_a_lease_and_five_seconds_at_most(dsn: str) -> None:
    async with Judge() as judge, starter(dsn) as engine, several(dsn, judge.url, 2) as (victim, _other):
        judge.delay_s = 0.5
        ids = await started(engine, 20)
        await judge.until_calls(20)
        victim.send(signal.SIGKILL)
        killed_s = time.monotonic()
        dead = (
            "SELECT count(*) FROM makegood.execution AS e JOIN makegood.worker AS w ON w.id = e.owner "
            "WHERE w.state = 'dead' OR (w.state = 'alive' AND NOT EXISTS (SELECT FROM makegood.lease AS l "
            "WHERE l.worker_id = w.id AND l.expires_at > clock_timestamp()))"
        )
        await ends(engine, ids)
        assert (await asyncio.to_thread(statement(dsn), dead))[0][0] == 0
        last_s = max(at_s for at_s, _, _ in judge.calls)
        # All calls of what was taken over, four rounds of half a second, fit in as well.
        assert last_s - killed_s < LEASE_S + 5 + STEPS * 0.5


async def test_a_stopped_replica_is_taken_over_and_its_late_writes_are_refused(dsn: str) -> None:
    async with Judge() as judge, starter(dsn) as engine, several(dsn, judge.url, 2) as (paused, _other):
        judge.delay_s = 0.05
        ids = await started(engine, 40)
        await judge.until_calls(40)
        paused.send(signal.SIGSTOP)
        assert Counter(await ends(engine, ids)) == {"completed": 40}
        await until_answer(dsn, "SELECT count(*) FROM makegood.worker WHERE state = 'dead'", 1)
        workers = "SELECT count(*) FROM makegood.worker"
        before = (await asyncio.to_thread(statement(dsn), workers))[0][0]
        count = len(judge.calls)
        paused.send(signal.SIGCONT)
        # It comes back as another worker.
        await until_answer(dsn, workers, before + 1)
        more = await started(engine, 20, "later")
        assert Counter(await ends(engine, more)) == {"completed": 20}
        late = [key for _, key, _ in judge.calls[count:] if not key.startswith("later")]
        assert late == []
        assert recorded_twice(dsn) == []


async def test_a_replica_that_is_sent_away_hands_over_at_once(dsn: str) -> None:
    async with Judge() as judge, starter(dsn) as engine, several(dsn, judge.url, 2) as (leaving, _other):
        judge.delay_s = 0.05
        ids = await started(engine, 40)
        await judge.until_calls(40)
        leaving.send(signal.SIGTERM)
        await leaving.gone()
        gone_s = time.monotonic()
        assert leaving.process.returncode == 0
        assert Counter(await ends(engine, ids)) == {"completed": 40}
        assert max(at_s for at_s, _, _ in judge.calls) - gone_s < 2.0 + LEASE_S
        crashes = await asyncio.to_thread(statement(dsn), "SELECT max(crashes) FROM makegood.execution")
        assert crashes[0][0] == 0


async def test_replicas_outlive_a_crash_of_the_database(dsn: str) -> None:
    async with Judge() as judge, starter(dsn) as engine, several(dsn, judge.url, 2):
        judge.delay_s = 0.02
        ids = await started(engine, 60)
        await judge.until_calls(60)
        # In this thread: a server dies with the thread that started it.
        cluster().stop(signal.SIGQUIT)
        cluster().start()
        assert Counter(await ends(engine, ids)) == {"completed": 60}
        assert recorded_twice(dsn) == []


async def test_a_poison_execution_is_quarantined_and_the_rest_goes_on(dsn: str) -> None:
    """It kills whoever advances it, five times; everybody else's work ends."""
    kills: list[int] = []
    replicas: list[Replica] = []

    class Poison(Judge):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if "poison:" in head:
                # Whoever called: the one whose connection this is dies of it.
                port = writer.get_extra_info("peername")[1]
                for each in replicas:
                    if each.process.poll() is None and has_port(each.process.pid, port):
                        kills.append(each.process.pid)
                        each.send(signal.SIGKILL)
            writer.close()

    async with Judge() as judge, Poison() as poison, starter(dsn) as engine:
        bad = mg.workflow("bad", mg.call("a", "s.m0", input=IN))
        replicas.append(await Replica(dsn, poison.url).ready())
        await engine.start(bad, 1, id="poison")
        async with asyncio.timeout(60):
            while len(kills) < 5:
                for each in [each for each in replicas if each.process.poll() is not None]:
                    each.close()
                    replicas.remove(each)
                    replicas.append(await Replica(dsn, poison.url).ready())
                await asyncio.sleep(0)
        for each in replicas:
            each.close()
        replicas[:] = [await Replica(dsn, poison.url).ready()]
        assert await ends(engine, ["poison"]) == ["suspended"]
        assert (await engine.state_of("poison")).suspended_reason == "quarantine"
        for each in replicas:
            each.close()
        replicas[:] = [await Replica(dsn, judge.url).ready()]
        assert await ends(engine, await started(engine, 3)) == ["completed"] * 3
        for each in replicas:
            each.close()
