"""Every scenario on the real engine: with memory, and on SQLite with HTTP services, killed and started again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from makegood.simulation.expectation import differences
from makegood.simulation.scenario import Scenario
from playing import play_in_memory, play_killed, scenarios

pytestmark = pytest.mark.anyio

CRASH_SAFE = [each for each in scenarios() if each.crash_safe and not each.down]


async def test_every_scenario_holds_on_the_engine_with_memory() -> None:
    found = await asyncio.gather(*(play_in_memory(each) for each in scenarios()))

    wrong = {
        scenario.id: differs
        for scenario, played in zip(scenarios(), found, strict=True)
        if (differs := differences(scenario, played))
    }
    assert wrong == {}


@pytest.mark.parametrize("scenario", CRASH_SAFE, ids=lambda each: each.id)
async def test_a_scenario_holds_when_the_engine_is_killed_after_every_record(scenario: Scenario, tmp_path: Path) -> None:
    played = await play_killed(scenario, tmp_path, die_after=1)

    assert differences(scenario, played) == []


@pytest.mark.parametrize("scenario", CRASH_SAFE, ids=lambda each: each.id)
async def test_a_scenario_holds_when_the_engine_is_killed_at_every_request(scenario: Scenario, tmp_path: Path) -> None:
    played = await play_killed(scenario, tmp_path, die_after=0, on_read=True)

    assert differences(scenario, played) == []
