"""Scenarios for tests, written as briefly as they differ from one that holds."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from makegood.simulation.expectation import differences
from makegood.simulation.scenario import Played, Scenario, play_on_core, read_scenarios

TWO_STEPS = {
    "name": "order",
    "steps": [
        {"id": "reserve", "call": "stock.reserve", "compensation": "stock.release"},
        {"id": "charge", "call": "cards.charge", "timeout": "1s", "compensation": "cards.refund"},
    ],
}
SIDE_BY_SIDE = {
    "name": "trip",
    "steps": [
        {
            "id": "book",
            "parallel": [
                {"id": "flight", "call": "flights.book", "compensation": "flights.cancel"},
                {"id": "hotel", "call": "hotels.book", "compensation": "hotels.cancel"},
            ],
        },
    ],
}
UNDONE = {"status": "compensated", "calls": ["stock.reserve", "cards.charge", "stock.release"]}
DECLINED = {"cards.charge": [{"reject": "declined"}]}


def scenario_of(expect: dict[str, Any], **keys: Any) -> Scenario:
    """A scenario of the two steps, unless something else is said."""
    raw = {"id": "it", "definition": TWO_STEPS, "expect": expect, **keys}
    return read_scenarios([deepcopy(raw)])[0]


def keys_that_differ(expect: dict[str, Any], crash_after: tuple[int, ...] = (), **keys: Any) -> list[str]:
    """Which checks fail when it is played on the core."""
    scenario = scenario_of(expect, **keys)
    return [each.key for each in differences(scenario, play_on_core(scenario, crash_after=crash_after))]


def judged(scenario: Scenario, played: Played) -> list[str]:
    return [each.key for each in differences(scenario, played)]
