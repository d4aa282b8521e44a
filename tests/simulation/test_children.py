"""Workflows that call workflows, on the core alone: whole plays, and the engine killed anywhere in them."""

from __future__ import annotations

from typing import Any

import pytest
from scenario_texts import judged, keys_that_differ, scenario_of

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


TOP: dict[str, Any] = {
    "name": "day",
    "steps": [
        {"id": "open", "call": "doors.open", "compensation": "doors.close"},
        {"id": "sell", "workflow": "order"},
        {"id": "count", "call": "tills.count"},
    ],
}
THREE: dict[str, Any] = {"definition": TOP, "workflows": [ORDER, PACK]}
SOLD = ["doors.open", *FORWARD]


@pytest.mark.parametrize(
    ("services", "expect"),
    [
        ({}, {"status": "completed", "calls": [*SOLD, "tills.count"], "effects": {"open": 1, "box": 1, "ship": 1}}),
        (
            {"tills.count": [{"reject": "short"}]},
            {
                "status": "compensated",
                "calls": [*SOLD, "tills.count", "boxes.empty", *UNDONE, "doors.close"],
                "effects": {"open": 0, "reserve": 0, "box": 0, "fill": 0, "ship": 1},
            },
        ),
        (
            {"boxes.fill": [{"reject": "torn"}]},
            {
                "status": "compensated",
                "calls": [*SOLD[:4], *UNDONE, "doors.close"],
                "effects": {"open": 0, "reserve": 0, "box": 0},
                "error_code": "child_compensated",
            },
        ),
    ],
)  # fmt: skip
def test_a_parent_its_child_and_its_grandchild_end_the_same_wherever_the_engine_dies(
    services: Any, expect: dict[str, Any]
) -> None:
    records = play_on_core(scenario_of(expect, services=services, **THREE)).records

    assert keys_that_differ(expect, services=services, **THREE) == []
    for number in range(1, records + 1):
        assert keys_that_differ(expect, (number,), services=services, **THREE) == [], number
        over = scenario_of(expect, services=services, **THREE)
        assert set(judged(over, play_on_core(over, crash_before=(number,)))) <= {"calls"}, number


def test_a_detached_child_is_started_once_and_is_not_undone_wherever_the_engine_dies() -> None:
    steps = [{**step, "detached": True} if step["id"] == "pack" else step for step in ORDER["steps"]]
    family = {"definition": {**ORDER, "steps": steps}, "workflows": [PACK]}
    services = {"parcels.ship": [{"reject": "closed"}]}
    expect = {"status": "compensated", "effects": {"reserve": 0, "box": 1, "fill": 1}, "error_step": "ship"}
    scenario = scenario_of(expect, services=services, **family)

    for number in range(play_on_core(scenario).records + 1):
        for death in ({"crash_after": (number,)}, {"crash_before": (number,)}):
            assert set(judged(scenario, play_on_core(scenario, **death))) <= {"calls"}, death


def test_the_compensation_of_a_call_of_a_workflow_may_be_accepted_first_and_done_later() -> None:
    steps = [{**step, "compensation": "boxes.scrap"} if step["id"] == "pack" else step for step in ORDER["steps"]]
    services = {
        "parcels.ship": [{"reject": "closed"}],
        "boxes.scrap": [{"ongoing": True, "poll_after_s": 1}, {"ok": {}}],
    }
    calls = [*FORWARD, "boxes.scrap", "boxes.scrap", "stock.release"]
    expect = {"status": "compensated", "calls": calls, "effects": {"box": 1, "fill": 1, "reserve": 0}}

    assert keys_that_differ(expect, definition={**ORDER, "steps": steps}, workflows=[PACK], services=services) == []


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"input_schema": {"type": "object", "required": ["weight"]}}, "schema_error"),
        ({"business_key": "input.order"}, "expression_error"),
        ({"steps": [{"id": "box", "call": "boxes.fold", "pivot": True}]}, "child_failed"),
    ],
)
def test_a_workflow_that_cannot_be_called_so_fails_its_step(keys: dict[str, Any], code: str) -> None:
    expect = {"status": "compensated", "calls": ["stock.reserve", "stock.release"], "error_code": code}

    assert keys_that_differ(expect, definition=ORDER, workflows=[{**PACK, **keys}]) == []


@pytest.mark.parametrize(("detached", "status"), [(False, "compensated"), (True, "completed")])
def test_a_child_holds_its_business_key_to_its_roots_end(detached: bool, status: str) -> None:
    pack = {"workflow": "packing", "detached": detached}
    wait = {"id": "wait", "wait": "1m"}
    order = {"name": "order", "steps": [{"id": "pack", **pack}, wait, {"id": "repack", **pack}]}
    packing = {**PACK, "business_key": "'the only one'"}
    expect = {"status": status}

    played = play_on_core(scenario_of(expect, definition=order, workflows=[packing]))

    assert played.view["status"] == status
    assert detached or played.view["error"]["details"]["code"] == "business_key_taken"


def test_a_workflow_that_is_not_there_fails_its_step() -> None:
    expect = {"status": "compensated", "calls": ["stock.reserve", "stock.release"], "error_code": "child_failed"}

    assert keys_that_differ(expect, definition=ORDER) == []


def test_a_child_with_a_pivot_is_not_started() -> None:
    packing = {"name": "packing", "steps": [{"id": "seal", "call": "boxes.seal", "pivot": True}]}
    expect = {"status": "compensated", "calls": ["stock.reserve", "stock.release"], "error_code": "child_failed"}

    assert keys_that_differ(expect, definition=ORDER, workflows=[packing]) == []
