"""Play a scenario on the real engine: in this process with memory, or in processes that are killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from scripted_http import ScriptedHttp

from makegood.core.judgement import Settings
from makegood.engine.client import Engine
from makegood.errors import InputError, MakegoodError, NotFound, Refused
from makegood.language import load_tree
from makegood.simulation.invoker import ScriptedInvoker
from makegood.simulation.scenario import Action, Played, Scenario, read_scenarios, services_named

FOLDER = Path(__file__).parent.parent / "scenarios"

SETTINGS = Settings(call_timeout_ms=2_000)
"""After a lost call its undo waits for the deadline that the call carried: a short one, here."""
LIVES_MAX = 40
"""More engine processes than any scenario has requests."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["engine_plays", "apsw", "makegood.services.http", "makegood.storage.sqlite"])


def scenarios() -> list[Scenario]:
    """All of them, from the files."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        found += read_scenarios(yaml.safe_load(path.read_text()))
    return found


def named(scenario: Scenario) -> set[str]:
    """Every service that it calls and that is there."""
    trees = (scenario.definition, *scenario.workflows)
    return {name for tree in trees for name in services_named(tree)} - set(scenario.unregistered)


async def put_children(engine: Engine, scenario: Scenario) -> None:
    """Register the workflows that the scenario's own one calls."""
    for tree in scenario.workflows:
        await engine.put(load_tree(tree).definition)


# --- way two: the engine with memory, in this process ---------------------------------------------


async def play_in_memory(scenario: Scenario) -> Played:
    """Start it, do its actions, wait for its end."""
    services = scenario.services()
    played = Played(services, acted=[None] * len(scenario.actions))
    invoker: Any = ScriptedInvoker(services, named(scenario))
    try:
        definition = load_tree(scenario.definition, services=named(scenario)).definition
    except MakegoodError:
        played.refused = "definition"
        return played
    async with Engine(":memory:", registry=invoker) as engine:
        await put_children(engine, scenario)
        execution = await engine.start(definition, scenario.input)
        actors = [
            asyncio.ensure_future(_act(engine, execution.id, played, number, action))
            for number, action in enumerate(scenario.actions)
        ]
        await _come_to_rest(engine, execution.id, actors, scenario, played)
        played.view = await engine.describe(execution.id)
    return played


async def _come_to_rest(
    engine: Engine, execution_id: str, actors: list[Any], scenario: Scenario, played: Played
) -> None:
    """Wait for the end; an action that is accepted at an end leads to another."""
    while True:
        await engine.end(execution_id)
        later = [
            number
            for number, action in enumerate(scenario.actions)
            if action.at_end is not None and played.acted[number] is None
        ]
        if not later:
            break
        await actors[later[0]]
        if played.acted[later[0]] != 202:
            break
    for actor in actors:
        actor.cancel()
    await asyncio.gather(*actors, return_exceptions=True)


async def _act(engine: Engine, execution_id: str, played: Played, number: int, action: Action) -> None:
    if action.at_ms is not None:
        await asyncio.sleep(action.at_ms / 1000)
    elif action.after_calls is not None:
        while len(played.services.calls) < action.after_calls:
            await asyncio.sleep(0.005)
    else:
        while (await engine.end(execution_id))["status"] != action.at_end:
            await asyncio.sleep(0.005)
    played.acted[number] = await answered(engine, execution_id, action)


async def answered(engine: Engine, execution_id: str, action: Action) -> int:
    """The status with which an action is answered."""
    arguments = action.arguments
    deeds: dict[str, Callable[[], Any]] = {
        "cancel": lambda: engine.cancel(execution_id),
        "suspend": lambda: engine.suspend(execution_id),
        "resume": lambda: engine.resume_execution(execution_id),
        "retry": lambda: engine.retry(execution_id),
        "compensate": lambda: engine.compensate(execution_id),
        "resolve": lambda: engine.resolve(execution_id, arguments["step"], note=arguments.get("note", "")),
        "signal": lambda: engine.signal(execution_id, arguments["signal"], arguments.get("payload")),
    }
    try:
        await deeds[action.deed]()
    except Refused:
        return 409
    except NotFound:
        return 404
    except InputError:
        return 422
    return 202


# --- way three: the engine on SQLite with HTTP services, killed ------------------------------------


@dataclass(frozen=True, slots=True)
class Life:
    """What one engine process is to do.

    Attributes:
        die_after: Kill itself when so many records have become durable; 0 lives to the end.
        act: Whether it does the scenario's actions.
    """

    database: str
    scenario: Scenario
    urls: dict[str, str]
    die_after: int


def live(life: Life) -> None:
    """One engine process: start the execution, or go on with it, until it ends or this process is killed."""
    asyncio.run(_live(life))


async def _live(life: Life) -> None:
    scenario = life.scenario
    definition = load_tree(scenario.definition, services=life.urls).definition
    engine = Engine(life.database, only={"killed"}, settings=SETTINGS)
    durable = 0

    def on_record(*_: object) -> None:
        nonlocal durable
        durable += 1
        if durable == life.die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    async with engine:
        engine._runner._on_record = on_record
        for name, url in life.urls.items():
            engine.register(name, url)
        await put_children(engine, scenario)
        execution = await engine.start(definition, scenario.input, id="killed")
        view = await execution.end()
        for action in scenario.actions:
            if action.at_end == view["status"]:
                await answered(engine, execution.id, action)
                await execution.end()


async def ended(process: Any) -> None:
    """Return when a process has ended.

    All in one thread: `start` looks after every child, and the code that a process ended with can be read once only.
    """
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, over.set)
    try:
        async with asyncio.timeout(60):
            await over.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


async def play_killed(scenario: Scenario, folder: Path, *, die_after: int = 0, on_read: bool = False) -> Played:
    """Kill the engine, start it again, until the execution has ended.

    Args:
        die_after: Records that the first life makes durable before it is killed; 0 for no such kill.
        on_read: Kill it whenever a request has been read whose key is new.
    """
    services = scenario.services()
    played = Played(services, crashed=True, acted=[each.answer or 202 for each in scenario.actions])
    process: Any = None
    killed_at: set[str] = set()

    def read(call: Any) -> bool:
        if not on_read or call.key in killed_at:
            return False
        killed_at.add(call.key)
        process.kill()
        return True

    async with ScriptedHttp(services, read) as server:
        urls = {name: server.url(name) for name in named(scenario)}
        life = Life(str(folder / "killed.db"), scenario, urls, die_after)
        for _ in range(LIVES_MAX):
            process = processes.Process(target=live, args=(life,), daemon=True)
            process.start()
            await ended(process)
            if process.exitcode != -signal.SIGKILL:
                break
            services.crashed(time.time_ns() // 1_000_000)
            life = replace(life, die_after=0)
        assert process.exitcode == 0
        async with Engine(life.database, only=()) as engine:
            played.view = await engine.describe("killed")
    return played
