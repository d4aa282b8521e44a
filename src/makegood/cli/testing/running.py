"""Plays scenarios one after the other, tells each as it is done, and sums up."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

from makegood.cli import exits
from makegood.cli.output import print_json, write_file
from makegood.cli.testing import reporting
from makegood.cli.testing.finding import find
from makegood.core.events import AttemptStarted
from makegood.errors import MakegoodError
from makegood.simulation.expectation import differences
from makegood.simulation.scenario import Played, Ready, Scenario, play_on_core, ready
from makegood.simulation.telling import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command was asked for."""

    paths: tuple[str, ...]
    only: str | None
    crash: bool
    verbose: bool
    junit: str | None
    json: bool


@dataclass(slots=True)
class Result:
    """What came of one scenario.

    Attributes:
        differences: Of the play without a crash.
        crashes: Plays with a crash.
        crashed: For those that came otherwise: the record after which the engine was killed, and the differences.
        duration_ms: Of all its plays, in real time.
    """

    scenario: Scenario
    calls: list[tuple[int, str, str]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    crashes: int = 0
    crashed: dict[int, list[Difference]] = field(default_factory=dict)
    duration_ms: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything came as expected."""
        return not self.differences and not self.crashed


def run(wish: Wish) -> int:
    """Play everything; the exit code."""
    results = []
    scenarios = find(wish.paths, wish.only)
    for scenario in scenarios:
        result = play(scenario, crash=wish.crash)
        results.append(result)
        if not wish.json:
            for line in reporting.told(result, verbose=wish.verbose):
                print(line)
    if wish.json:
        print_json(reporting.as_json(results))
    else:
        print(reporting.summary(results))
    if wish.junit is not None:
        write_file(wish.junit, reporting.as_junit(results))
    return exits.COMPLETED if all(each.passed for each in results) else exits.FAILED


def play(scenario: Scenario, *, crash: bool) -> Result:
    """One scenario, once without a crash and, if asked for and it allows it, with each that there can be."""
    began = time.perf_counter()
    result = Result(scenario)
    prepared: Ready | None = None
    with suppress(MakegoodError):  # Whether that was expected is judged below.
        prepared = ready(scenario)
    played = play_on_core(scenario, prepared=prepared)
    result.calls = [(each.at_ms, each.method, each.reply) for each in played.services.calls]
    result.differences = differences(scenario, played)
    if crash and scenario.crash_safe and prepared is not None and result.passed:
        for number in _crash_points(scenario, prepared, played):
            result.crashes += 1
            found = differences(scenario, play_on_core(scenario, prepared=prepared, crash_after=(number,)))
            if found:
                result.crashed[number] = found
    result.duration_ms = (time.perf_counter() - began) * 1000
    return result


def _crash_points(scenario: Scenario, prepared: Ready, played: Played) -> list[int]:
    """Records after which the engine is killed: not directly after the start of a call that is never sent.

    Nobody could know then that nothing was sent, so that the call's outcome would be another (rule 3).
    """
    nodes = {
        node.name: node.call.service
        for each in prepared.workflows.values()
        for node in each.program.nodes
        if node.kind.value == "call"
    }
    return [
        number
        for number, record in enumerate(played.journal, 1)
        if not any(
            isinstance(event, AttemptStarted) and nodes.get(event.step) in scenario.down for event in record.events
        )
    ]
