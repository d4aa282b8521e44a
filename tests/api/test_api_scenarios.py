"""Every scenario through the HTTP API, on SQLite, with a server process and scripted HTTP services."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))

from engine_plays import named, scenarios
from scripted_http import ScriptedHttp

from makegood.simulation.expectation import differences
from makegood.simulation.scenario import Action, Played, Scenario
from served import Served

pytestmark = pytest.mark.anyio

ENDS = {"completed", "failed", "compensated", "compensation_failed"}


async def ask(served: Served, method: str, target: str, value: Any = None) -> tuple[int, Any]:
    return await asyncio.to_thread(partial(served.ask, method, target, value))


async def play(scenario: Scenario, served: Served) -> Played:
    """Register it, start it, do its actions, wait for its end."""
    services = scenario.services()
    played = Played(services, acted=[None] * len(scenario.actions))
    where = f"/v1/executions/{scenario.id}"
    async with ScriptedHttp(services) as server:
        for name in named(scenario):
            status, told = await ask(served, "PUT", f"/v1/services/{name}", {"url": server.url(name)})
            assert status in {200, 201}, told
        for tree in (*scenario.workflows, scenario.definition):
            status, told = await ask(served, "PUT", f"/v1/workflows/{tree['name']}", tree)
            if status == 422:
                played.refused, played.why = "definition", str(told)
                return played
            assert status in {200, 201}, told
        body = {"workflow": scenario.definition["name"], "input": scenario.input, "id": scenario.id}
        status, told = await ask(served, "POST", "/v1/executions", body)
        assert status == 201, told
        actors = [
            asyncio.ensure_future(act(served, where, played, number, action))
            for number, action in enumerate(scenario.actions)
        ]
        while True:
            _, played.view = await ask(served, "GET", f"{where}?wait=30s")
            status = played.view["status"]
            later = [
                number
                for number, action in enumerate(scenario.actions)
                if action.at_end == status and played.acted[number] is None
            ]
            if later:
                await actors[later[0]]
            elif status in ENDS or not any(not each.done() for each in actors):
                break
            else:
                await asyncio.wait([each for each in actors if not each.done()], return_when=asyncio.FIRST_COMPLETED)
        for actor in actors:
            actor.cancel()
        await asyncio.gather(*actors, return_exceptions=True)
        _, played.view = await ask(served, "GET", f"{where}?wait=30s")
        for name in named(scenario):
            await ask(served, "DELETE", f"/v1/services/{name}")
    return played


async def act(served: Served, where: str, played: Played, number: int, action: Action) -> None:
    if action.at_ms is not None:
        await asyncio.sleep(action.at_ms / 1000)
    elif action.after_calls is not None:
        while len(played.services.calls) < action.after_calls:
            await asyncio.sleep(0.005)
    else:
        while (await ask(served, "GET", f"{where}?wait=30s"))[1]["status"] != action.at_end:
            await asyncio.sleep(0.005)
    arguments = dict(action.arguments)
    if action.deed == "signal":
        target, value = f"signals/{arguments['signal']}", arguments.get("payload")
    else:
        target, value = action.deed, arguments or None
    played.acted[number], _ = await ask(served, "POST", f"{where}/{target}", value)


PARTS = 4


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
async def test_every_scenario_holds_over_http(part: int, tmp_path: Path) -> None:
    wrong = {}
    with Served(tmp_path, ("--database", str(tmp_path / "s.db"))) as served:
        for scenario in scenarios()[part::PARTS]:
            played = await play(scenario, served)
            if differs := differences(scenario, played):
                wrong[scenario.id] = differs
        assert served.stop() == 0, served.said
    assert wrong == {}
