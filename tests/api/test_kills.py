"""Servers under load that are killed again and again: no start is lost, nothing is stuck, nothing recorded is redone.

`KILLS` and `KILL_SEED` say how many and which.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loads import STUCK_S, TAKEN_OVER_S, Load, befall, figures, loaded, percentile
from scenario_plays import Several
from served_replicas import Desk
from tests.postgres_cluster import database

KILLS = int(os.environ.get("KILLS", "300"))
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.minutes, pytest.mark.timeout(300 + 2 * KILLS)]

SEED = int(os.environ.get("KILL_SEED", time.time_ns() % 1_000_000))
ALONE = KILLS // 6
"""Of a server that has no other beside it."""
CALLS_BETWEEN = 150
"""At most, of all replicas together, from one that was started to its end: more than what a kill interrupts."""
AT_ONCE = 4
"""Executions for each server."""
DELAY_S = 0.01


async def killing(several: Several, load: Load, desk: Desk, chance: random.Random, kills: int) -> None:
    """Kill one server after another, each at any moment."""
    for _ in range(kills):
        more = chance.randrange(1, CALLS_BETWEEN * several.count // 3)
        await asyncio.to_thread(desk.until_calls, len(desk.calls) + more, STUCK_S)
        async with several.without_one() as served:
            load.faults.append(befall("killed", served, signal.SIGKILL))
            await asyncio.to_thread(served.ended)


async def loaded_and_killed(folder: Path, where: str, count: int, kills: int) -> Load:
    """The load on so many servers, each of which is killed independently of the others."""
    with Desk(DELAY_S) as desk:
        async with Several(folder, where, count) as several, loaded(several, desk, AT_ONCE * count) as load:
            await asyncio.gather(
                *(killing(several, load, desk, random.Random(f"{SEED}-{each}"), kills // count)
                  for each in range(count))
            )  # fmt: skip
            await load.until_ended(10)
    return load


async def test_three_replicas_are_killed_at_any_moment(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("KILL_SEED", SEED)
    with database() as dsn:
        load = await loaded_and_killed(tmp_path, dsn, 3, KILLS)
    taken_s = load.takeovers_s()
    record_property("kills", len(load.faults))
    record_property("executions", len(load.ended))
    record_property("quarantined", load.quarantined)
    for name, text in figures(taken_s).items():
        record_property(name, text)
    assert len(load.faults) == KILLS
    # Some were alone with whoever was killed five times in a row, by chance: a person resumes them.
    assert load.quarantined <= max(KILLS / 20, 1)
    assert len(taken_s["killed"]) > KILLS, "they were killed while they had little to do"
    # The 99th percentile is held where faults come one by one (`test_soak`): here whoever takes over is killed too.
    assert percentile(taken_s["killed"], 0.95) <= TAKEN_OVER_S["killed"]


async def test_a_server_on_sqlite_is_killed_at_any_moment(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("KILL_SEED", SEED)
    load = await loaded_and_killed(tmp_path, str(tmp_path / "kills.db"), 1, ALONE)
    record_property("kills", len(load.faults))
    record_property("executions", len(load.ended))
    record_property("quarantined", load.quarantined)
    record_property("interrupted", len(load.takeovers_s()["killed"]))
    assert len(load.faults) == ALONE
    assert load.quarantined <= max(ALONE / 20, 1)
    assert len(load.takeovers_s()["killed"]) > ALONE, "it was killed while it had little to do"
