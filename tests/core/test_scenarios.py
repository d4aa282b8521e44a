"""All scenarios on the core alone: once plain, and with crashes after and over their records."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from makegood.core import events as ev
from makegood.language import load_tree
from makegood.simulation.expectation import differences
from makegood.simulation.scenario import Scenario, play_on_core, read_scenarios

FOLDER = Path(__file__).parents[1] / "scenarios"


def _uses_children(tree: object) -> bool:
    if isinstance(tree, dict):
        return "workflow" in tree or any(map(_uses_children, tree.values()))
    return isinstance(tree, list) and any(map(_uses_children, tree))


SCENARIOS = [
    scenario
    for path in sorted(FOLDER.glob("*.yaml"))
    for scenario in read_scenarios(yaml.safe_load(path.read_text()))
    if not _uses_children(scenario.definition)
]
"""Those that one core can play; calls of other workflows need an engine."""
CRASH_SAFE = [scenario for scenario in SCENARIOS if scenario.crash_safe]


def named(scenario: Scenario) -> str:
    return scenario.id


def survives(scenario: Scenario, **crashes: object) -> None:
    played = play_on_core(scenario, **crashes)  # type: ignore[arg-type]
    assert not differences(scenario, played), crashes


def crash_points(scenario: Scenario) -> list[int]:
    """Records after which it may crash: not directly after the start of a call that is never sent.

    Nobody could know then that nothing was sent, so that the call's outcome would be another (rule 3).
    """
    played = play_on_core(scenario)
    definition = load_tree(scenario.definition).definition if not scenario.unregistered else None
    nodes = {} if definition is None else _services(definition.steps)
    points = []
    for number, record in enumerate(played.journal, 1):
        last = [event for event in record.events if isinstance(event, ev.AttemptStarted)]
        if not any(nodes.get(event.step) in scenario.down for event in last):
            points.append(number)
    return points


def _services(steps: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for step in steps:  # type: ignore[attr-defined]
        if hasattr(step, "service"):
            found[step.id] = step.service
        for name in ("steps", "branches", "then", "otherwise", "body", "finally_", "default"):
            found.update(_services(getattr(step, name, ())))
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=named)
def test_a_scenario_comes_out_as_expected(scenario: Scenario) -> None:
    survives(scenario)


@pytest.mark.parametrize("scenario", CRASH_SAFE, ids=named)
def test_a_scenario_survives_a_crash_after_and_over_any_record(scenario: Scenario) -> None:
    for number in crash_points(scenario):
        survives(scenario, crash_after=(number,))
        survives(scenario, crash_before=(number + 1,))


@pytest.mark.parametrize("scenario", [each for each in CRASH_SAFE if not each.down], ids=named)
def test_a_scenario_survives_crashes_after_all_of_its_records(scenario: Scenario) -> None:
    survives(scenario, crash_after=range(1, 12))


@pytest.mark.parametrize("scenario", [each for each in CRASH_SAFE if not each.down], ids=named)
def test_a_scenario_survives_crashes_after_some_of_its_records(scenario: Scenario) -> None:
    chance = random.Random(scenario.id)
    records = play_on_core(scenario).records
    for _ in range(20):
        numbers = [number for number in range(1, records + 8) if chance.random() < 0.3]
        survives(scenario, crash_after=numbers[::2], crash_before=[each for each in numbers[1::2] if each > 1])
