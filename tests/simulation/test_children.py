"""Workflows that call workflows, on the core alone: whole plays, and the engine killed anywhere in them."""

from __future__ import annotations

from typing import Any

import pytest
from scenario_texts import keys_that_differ, scenario_of

from makegood.simulation.scenario import play_on_core

PACK = {
    "name": "packing",
    "steps": [
        {"id": "box", "call": "boxes.fold", "compensation": "boxes.unfold"},
        {"id": "fill", "call": "boxes.fill", "compensation": "boxes.empty"},
    ],
}
ORDER = {
    "name": "order",
    "steps": [
        {"id": "reserve", "call": "stock.reserve", "compensation": "stock.release"},
        {"id": "pack", "workflow": "packing"},
        {"id": "ship", "call": "parcels.ship"},
    ],
}
UNDONE = ["boxes.unfold", "stock.release"]
FORWARD = ["stock.reserve", "boxes.fold", "boxes.fill", "parcels.ship"]
FAMILY: dict[str, Any] = {"definition": ORDER, "workflows": [PACK]}


@pytest.mark.parametrize(
    ("services", "expect"),
    [
        ({}, {"status": "completed", "calls": FORWARD, "effects": {"box": 1, "fill": 1, "ship": 1}}),
        (
            {"parcels.ship": [{"reject": "closed"}]},
            {"status": "compensated", "calls": [*FORWARD, "boxes.empty", *UNDONE], "error_step": "ship"},
        ),
        (
            {"boxes.fill": [{"reject": "torn"}]},
            {"status": "compensated", "calls": [*FORWARD[:3], *UNDONE], "error_code": "child_compensated"},
        ),
    ],
)  # fmt: skip
def test_a_child_is_undone_as_one_entry_of_its_parent_wherever_the_engine_dies(services: Any, expect: Any) -> None:
    scenario = scenario_of(expect, services=services, **FAMILY)
    records = play_on_core(scenario).records

    assert keys_that_differ(expect, services=services, **FAMILY) == []
    for number in range(1, records + 1):
        assert keys_that_differ(expect, (number,), services=services, **FAMILY) == [], number
        over = play_on_core(scenario, crash_before=(number,))
        assert over.view["status"] == expect["status"], number


def test_a_workflow_that_is_not_there_fails_its_step() -> None:
    expect = {"status": "compensated", "calls": ["stock.reserve", "stock.release"], "error_code": "child_failed"}

    assert keys_that_differ(expect, definition=ORDER) == []


def test_a_child_with_a_pivot_is_not_started() -> None:
    packing = {"name": "packing", "steps": [{"id": "seal", "call": "boxes.seal", "pivot": True}]}
    expect = {"status": "compensated", "calls": ["stock.reserve", "stock.release"], "error_code": "child_failed"}

    assert keys_that_differ(expect, definition=ORDER, workflows=[packing]) == []
