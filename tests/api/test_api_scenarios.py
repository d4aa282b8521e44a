"""Every scenario through the HTTP API, with server processes and scripted HTTP services: on SQLite, on PostgreSQL,
with one replica and with three, and with the replica that makes every twentieth call killed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenario_plays import One, Several, play, scenarios
from tests.postgres_cluster import database

from makegood.simulation.expectation import differences
from served import Served

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PARTS = 4
KILL_AFTER = 20
"""Calls."""
CRASH_SAFE = [each for each in scenarios() if each.crash_safe and not each.down]


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


@pytest.mark.parametrize("part", range(PARTS))
async def test_every_scenario_holds_over_http(part: int, tmp_path: Path) -> None:
    wrong = {}
    with Served(tmp_path, ("--database", str(tmp_path / "s.db"))) as served:
        for scenario in scenarios()[part::PARTS]:
            played = await play(scenario, One(served))
            if differs := differences(scenario, played):
                wrong[scenario.id] = differs
        assert served.stop() == 0, served.said
    assert wrong == {}


@pytest.mark.parametrize("count", [1, 3])
async def test_every_scenario_holds_over_http_on_replicas(count: int, tmp_path: Path, dsn: str) -> None:
    wrong = {}
    async with Several(tmp_path, dsn, count) as several:
        for scenario in scenarios():
            played = await play(scenario, several)
            if differs := differences(scenario, played):
                wrong[scenario.id] = differs
    assert wrong == {}


async def test_every_scenario_holds_while_replicas_are_killed(tmp_path: Path, dsn: str) -> None:
    calls = itertools.count(1)
    wrong = {}
    async with Several(tmp_path, dsn, 3) as several:

        def read(port: int) -> bool:
            return next(calls) % KILL_AFTER == 0 and several.kill(port)

        for scenario in CRASH_SAFE:
            played = await play(scenario, several, read)
            if differs := differences(scenario, played):
                wrong[scenario.id] = differs
    assert wrong == {}
    assert several.kills >= (next(calls) - 1) // KILL_AFTER
    assert several.kills > 3
