"""Play a scenario through the HTTP API: at one server, or at several that share a database and may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))

from engine_plays import named, scenarios
from scripted_http import ScriptedHttp
from served_replicas import replica

from makegood.simulation.scenario import Action, Played, Scenario
from served import Served, has_port

__all__ = ["One", "Several", "play", "scenarios"]

ENDS = {"completed", "failed", "compensated", "compensation_failed"}
CALL_S = 2.0
"""Of a call that says nothing itself: after a lost one its undo waits for the deadline that it carried."""
PATIENCE_S = 60.0


class Asked(Protocol):
    """Whoever is asked: one server, or one of several."""

    async def ask(self, method: str, target: str, value: Any = None) -> tuple[int, Any]:
        """Status and JSON."""
        ...

    async def put_service(self, name: str, value: dict[str, Any]) -> None:
        """Wherever an execution may be advanced."""
        ...

    async def forget_services(self) -> None: ...


class One:
    """One server."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._services: list[str] = []

    async def ask(self, method: str, target: str, value: Any = None) -> tuple[int, Any]:
        return await asyncio.to_thread(partial(self._served.ask, method, target, value))

    async def put_service(self, name: str, value: dict[str, Any]) -> None:
        status, told = await self.ask("PUT", f"/v1/services/{name}", value)
        assert status in {200, 201}, told
        self._services.append(name)

    async def forget_services(self) -> None:
        while self._services:
            await self.ask("DELETE", f"/v1/services/{self._services.pop()}")


class Several:
    """Servers on one database, asked in turn; one that was killed is left out and started again.

    Args:
        source: Where the code is that they run; None for the one here.

    Attributes:
        count: Of servers.
        living: Those that run and are asked.
        kills: How many have been killed.
    """

    def __init__(self, folder: Path, dsn: str, count: int, source: Path | None = None) -> None:
        self._folder, self._dsn, self.count = folder, dsn, count
        self.source = source
        self.living: list[Served] = []
        self._services: dict[str, dict[str, Any]] = {}
        self._turn = itertools.count()
        self._keys = itertools.count()
        self._starting: set[asyncio.Task[None]] = set()
        self.kills = 0

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(self._start() for _ in range(self.count)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._starting)
        for each in self.living:
            each.__exit__()

    async def _start(self) -> None:
        served = await asyncio.to_thread(replica(self._folder, self._dsn, source=self.source).__enter__)
        told: dict[str, dict[str, Any]] = {}
        while told != self._services:
            for name, value in dict(self._services).items():
                told[name] = value
                await asyncio.to_thread(partial(served.ask, "PUT", f"/v1/services/{name}", value))
            told = {name: value for name, value in told.items() if name in self._services}
        self.living.append(served)

    def is_older(self, served: Served) -> bool:
        """Whether it runs other code than that here."""
        return "PYTHONPATH" in served.environment

    def kill(self, port: int) -> bool:
        """Kill the server that has this port, and have another one started; whether there is one."""
        for each in self.living:
            if has_port(each.process.pid, port):
                self.living.remove(each)
                each.process.kill()
                each.__exit__()
                self.kills += 1
                task = asyncio.ensure_future(self._start())
                self._starting.add(task)
                task.add_done_callback(self._starting.discard)
                return True
        return False

    @contextlib.asynccontextmanager
    async def without_one(self) -> AsyncIterator[Served]:
        """The one that came first, which is asked nothing meanwhile; if it has ended by then, another is started."""
        while not self.living:
            await asyncio.sleep(0.01)
        served = self.living.pop(0)
        yield served
        if served.process.poll() is None:
            self.living.append(served)
            return
        served.__exit__()
        await self._start()

    async def ask(self, method: str, target: str, value: Any = None) -> tuple[int, Any]:
        """What is not answered, because a server died, is asked again elsewhere, under the same key."""
        key = f"{target}-{next(self._keys)}"
        give_up_at_s = time.monotonic() + PATIENCE_S
        status, told = 0, None
        while time.monotonic() < give_up_at_s:
            if not self.living:
                await asyncio.sleep(0.05)
                continue
            served = self.living[next(self._turn) % len(self.living)]
            asked = partial(served.ask, method, target, value, **({"Idempotency_Key": key} if method == "POST" else {}))
            try:
                status, told = await asyncio.to_thread(asked)
            except (OSError, http.client.HTTPException):
                continue
            if status == 503 or (status == 202 and told["pending"]):
                await asyncio.sleep(0.05)
                continue
            return status, told
        raise AssertionError((method, target, status, told))

    async def put_service(self, name: str, value: dict[str, Any]) -> None:
        self._services[name] = value
        for each in list(self.living):
            with contextlib.suppress(OSError):
                await asyncio.to_thread(partial(each.ask, "PUT", f"/v1/services/{name}", value))

    async def forget_services(self) -> None:
        names, self._services = list(self._services), {}
        for each in list(self.living):
            for name in names:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(partial(each.ask, "DELETE", f"/v1/services/{name}"))


@contextlib.asynccontextmanager
async def served_scenario(
    scenario: Scenario, place: Asked, on_call: Callable[[int], bool] | None, played: Played
) -> AsyncIterator[None]:
    """Its services are there, and known wherever it may go.

    Args:
        on_call: Told the port from which each call came; whether its caller died of it.
    """
    services = played.services

    def read(_: Any) -> bool:
        if on_call is None or not on_call(server.caller_port):
            return False
        services.crashed(time.time_ns() // 1_000_000)
        return True

    async with ScriptedHttp(services, read) as server:
        for name in named(scenario):
            given = {"timeout_seconds": CALL_S} if on_call is not None else {}
            await place.put_service(name, {"url": server.url(name), **given})
        yield
        await place.forget_services()


async def play(scenario: Scenario, place: Asked, on_call: Callable[[int], bool] | None = None) -> Played:
    """Register it, start it, do its actions, wait for its end."""
    played = Played(scenario.services(), crashed=on_call is not None, acted=[None] * len(scenario.actions))
    where = f"/v1/executions/{scenario.id}"
    async with served_scenario(scenario, place, on_call, played):
        for tree in (*scenario.workflows, scenario.definition):
            status, told = await place.ask("PUT", f"/v1/workflows/{tree['name']}", tree)
            if status == 422:
                played.refused, played.why = "definition", str(told)
                return played
            assert status in {200, 201}, told
        body = {"workflow": scenario.definition["name"], "input": scenario.input, "id": scenario.id}
        status, told = await place.ask("POST", "/v1/executions", body)
        assert status in ({201} if on_call is None else {200, 201}), told
        actors = [
            asyncio.ensure_future(act(place, where, played, number, action))
            for number, action in enumerate(scenario.actions)
        ]
        await _come_to_rest(scenario, place, where, played, actors)
        for actor in actors:
            actor.cancel()
        await asyncio.gather(*actors, return_exceptions=True)
        _, played.view = await place.ask("GET", f"{where}?wait=30s")
    return played


async def _come_to_rest(scenario: Scenario, place: Asked, where: str, played: Played, actors: list[Any]) -> None:
    """Wait for the end; an action that is accepted at an end leads to another."""
    while True:
        _, played.view = await place.ask("GET", f"{where}?wait=30s")
        status = played.view["status"]
        later = [
            number
            for number, action in enumerate(scenario.actions)
            if action.at_end == status and played.acted[number] is None
        ]
        if later:
            await actors[later[0]]
        elif status in ENDS or all(each.done() for each in actors):
            return
        else:
            await asyncio.wait([each for each in actors if not each.done()], return_when=asyncio.FIRST_COMPLETED)


async def act(place: Asked, where: str, played: Played, number: int, action: Action) -> None:
    """Wait for the moment of an action, and do it."""
    if action.at_ms is not None:
        await asyncio.sleep(action.at_ms / 1000)
    elif action.after_calls is not None:
        while len(played.services.calls) < action.after_calls:
            await asyncio.sleep(0.005)
    else:
        while (await place.ask("GET", f"{where}?wait=30s"))[1]["status"] != action.at_end:
            await asyncio.sleep(0.005)
    arguments = dict(action.arguments)
    if action.deed == "signal":
        target, value = f"signals/{arguments['signal']}", arguments.get("payload")
    else:
        target, value = action.deed, arguments or None
    played.acted[number], _ = await place.ask("POST", f"{where}/{target}", value)
