"""Every scenario on the real engine: with memory, and on SQLite with HTTP services, killed and started again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from engine_plays import play_in_memory, play_killed, scenarios

from makegood.simulation.expectation import differences
from makegood.simulation.scenario import Played, Scenario, play_on_core

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


@pytest.mark.slow
@pytest.mark.parametrize("scenario", CRASH_SAFE, ids=lambda each: each.id)
async def test_a_scenario_holds_when_the_engine_is_killed_after_any_record(scenario: Scenario, tmp_path: Path) -> None:
    records = play_on_core(scenario).records
    for number in range(1, records + 1):
        (tmp_path / str(number)).mkdir()

    # A few at a time: scenarios have deadlines of some hundred milliseconds, which a crowded machine would miss.
    places = asyncio.Semaphore(4)

    async def killed_after(number: int) -> Played:
        async with places:
            return await play_killed(scenario, tmp_path / str(number), die_after=number)

    found = await asyncio.gather(*(killed_after(number) for number in range(1, records + 1)))

    wrong = {number: differs for number, played in enumerate(found, 1) if (differs := differences(scenario, played))}
    assert wrong == {}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", CRASH_SAFE, ids=lambda each: each.id)
async def test_a_scenario_holds_when_the_engine_is_killed_at_every_request(scenario: Scenario, tmp_path: Path) -> None:
    played = await play_killed(scenario, tmp_path, on_read=True)

    assert differences(scenario, played) == []
