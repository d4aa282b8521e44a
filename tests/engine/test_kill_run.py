"""`kill -9` of `makegood run` at random moments, then the same command again: one end, and nothing recorded is redone.

The judge is the ledger of the example services, a process of its own that outlives every kill.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import makegood as mg
from makegood.core import events as ev
from makegood.core.events import Record

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.minutes, pytest.mark.timeout(290)]

EXAMPLES = Path(__file__).parents[2] / "examples"
KILLS = int(os.environ.get("MAKEGOOD_KILLS", "100"))
DELAY_MS = 60
TIMEOUT_S = 1.5
"""Before it undoes a lost call, the engine waits for the deadline which that call carried: a short one, here."""
SERVICES = ("hotels", "flights", "trains", "payments", "mail")
ENDS = {"ok": (0, "completed"), "payment-declined": (3, "compensated")}
DOUBTFUL = (5, "suspended")
"""A pivot whose answer was lost and that is declined when it is asked again waits for a person (rules 3 and 26)."""
SETTLED = (ev.StepSucceeded, ev.StepFailed)
ENDED = (ev.ExecutionCompleted, ev.ExecutionFailed, ev.ExecutionCompensated, ev.CompensationFailed)


@dataclass
class World:
    """What all runs share."""

    folder: Path
    flow: Path
    address: str
    ledger: Path
    lasts_s: dict[str, float] = field(default_factory=dict)
    effects: dict[str, list[str]] = field(default_factory=dict)

    def command(self, execution_id: str, case: str) -> list[str]:
        """What a user would type, before a kill and after it."""
        words = [sys.executable, "-m", "makegood", "run", str(self.flow), "--id", execution_id, "--json"]
        words += ["--database", str(self.database(execution_id))]
        words += ["--input", f"@{EXAMPLES / 'trip' / 'inputs' / case}.json"]
        for service in SERVICES:
            words += ["--service", f"{service}={self.address}/{service}"]
        return words

    def database(self, execution_id: str) -> Path:
        return self.folder / f"{execution_id}.db"

    def calls(self, execution_id: str) -> list[dict[str, Any]]:
        """The ledger's lines about one execution, in order."""
        lines = (json.loads(line) for line in self.ledger.read_text().splitlines())
        return [line for line in lines if line["execution"] == execution_id]


@asynccontextmanager
async def world_in(folder: Path) -> AsyncIterator[World]:
    """One services process for all."""
    flow = folder / "trip.yaml"
    flow.write_text((EXAMPLES / "trip" / "trip.yaml").read_text().replace("timeout: 10s", f"timeout: {TIMEOUT_S}s"))
    ledger = folder / "ledger.jsonl"
    words = [str(EXAMPLES / "services" / "serve.py"), "--port", "0", "--ledger", str(ledger)]
    words += ["--delay-ms", str(DELAY_MS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        yield World(folder, flow, f"http://127.0.0.1:{port}", ledger)
    finally:
        process.terminate()
        await process.wait()


async def run(world: World, execution_id: str, case: str, kill_after_s: float | None = None) -> tuple[int, str, str]:
    """One process, from its start to its end or its death."""
    process = await asyncio.create_subprocess_exec(
        *world.command(execution_id, case), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=world.folder,
    )  # fmt: skip
    told = asyncio.ensure_future(process.communicate())
    if kill_after_s is not None:
        await asyncio.wait([told], timeout=kill_after_s)
        if not told.done():
            process.kill()
    out, complaints = await told
    assert process.returncode is not None
    return process.returncode, out.decode(), complaints.decode()


def standing(calls: list[dict[str, Any]]) -> list[str]:
    """The effects that stand, as `step`, by the ledger."""
    balance: dict[str, int] = {}
    for call in calls:
        balance[call["step"]] = balance.get(call["step"], 0) + call["change"]
    assert set(balance.values()) <= {0, 1}
    return sorted(step for step, count in balance.items() if count)


async def rehearse(world: World, case: str) -> None:
    """An undisturbed run: how long it lasts, and which effects stand afterwards."""
    began = time.monotonic()
    code, _, complaints = await run(world, f"whole-{case}", case)
    assert code == ENDS[case][0], complaints
    world.lasts_s[case] = time.monotonic() - began
    world.effects[case] = standing(world.calls(f"whole-{case}"))


# --- what is wrong -------------------------------------------------------------------------------


async def wrongs(world: World, execution_id: str, case: str, told: tuple[int, str, str]) -> list[str]:
    """Everything in which journal, ledger and what was printed do not agree."""
    code, out, complaints = told
    async with mg.Engine(world.database(execution_id), only=()) as engine:
        view = await engine.describe(execution_id)
        history = list(await engine.history(execution_id))
    calls = world.calls(execution_id)
    doubtful = case != "ok" and lost(history, "pay")
    end = DOUBTFUL if doubtful else ENDS[case]
    unpaid = [step for step in world.effects["ok"] if step not in {"pay", "confirm"}]
    effects = unpaid if doubtful else world.effects[case]
    if (code, view["status"]) != end:
        return [f"it ended with {code}, {view['status']}: {complaints or out}"]
    found = []
    if json.loads(out) != view:
        found.append("what was printed is not what is stored")
    if sum(isinstance(event, ENDED) for record in history for event in record.events) != (not doubtful):
        found.append("it did not end once")
    if standing(calls) != effects:
        found.append(f"effects {standing(calls)} stand, not {effects}")
    if case == "ok":
        made = {call["step"]: call["body"].get("id") for call in calls if isinstance(call["body"], dict)}
        if any(view["output"][step] != made[step] for step in ("hotel", "flight", "train")):
            found.append("the output names other bookings than the ledger")
    return found + redone(history, calls)


def lost(history: list[Record], step: str) -> bool:
    """Whether an attempt of a step was under way when its process was killed."""
    events = [event for record in history for event in record.events if isinstance(event, ev.AttemptEnded)]
    return any(event.step == step and event.lost and not event.undo for event in events)


def redone(history: list[Record], calls: list[dict[str, Any]]) -> list[str]:
    """Calls after their step was recorded as settled, and calls that no record announced."""
    settled_ms: dict[tuple[str, bool], int] = {}
    attempts: set[tuple[str, bool, int]] = set()
    for record in history:
        for event in record.events:
            if isinstance(event, SETTLED):
                settled_ms[event.step, False] = record.at_ms
            elif isinstance(event, ev.UndoDone):
                settled_ms[event.step, True] = record.at_ms
            elif isinstance(event, ev.AttemptStarted):
                attempts.add((event.step, event.undo, event.attempt))
    found = []
    seen: set[tuple[str, bool, int]] = set()
    for call in calls:
        step, undo = call["step"], call["key"].endswith(":undo")
        one = (step, undo, call["attempt"])
        if call["at"] * 1000 > settled_ms.get((step, undo), math.inf) + 1:
            found.append(f"{call['key']} was called after it was recorded")
        if one not in attempts or one in seen:
            found.append(f"attempt {call['attempt']} of {call['key']} was not recorded, or sent twice")
        seen.add(one)
    return found


# --- the test ------------------------------------------------------------------------------------


async def one_kill(world: World, number: int, case: str, seed: int) -> tuple[str, list[str]]:
    """Kill one run, let the same command end it; what is wrong with it."""
    chance = random.Random(f"{seed}-{number}")
    for again in range(20):
        execution_id = f"trip-{number}-{again}"
        after_s = chance.uniform(0.02, world.lasts_s[case])
        code, _, _ = await run(world, execution_id, case, after_s)
        if code == -signal.SIGKILL:
            break
    else:
        pytest.fail("it always ends before it is killed")
    told = await run(world, execution_id, case)
    return f"{execution_id} ({case}, killed after {after_s:.3f} s)", await wrongs(world, execution_id, case, told)


async def test_a_run_that_is_killed_at_any_moment_ends_once_and_redoes_nothing_recorded(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("MAKEGOOD_KILL_SEED", time.time_ns() % 1_000_000))
    record_property("MAKEGOOD_KILL_SEED", seed)
    record_property("kills", KILLS)
    cases = [list(ENDS)[number % 2] for number in range(KILLS)]
    # One of them mostly waits for the deadline of a lost call.
    three = asyncio.Semaphore(3)
    async with world_in(tmp_path) as world:
        for case in ENDS:
            await rehearse(world, case)

        async def bounded(number: int, case: str) -> tuple[str, list[str]]:
            async with three:
                return await one_kill(world, number, case, seed)

        found = await asyncio.gather(*(bounded(number, case) for number, case in enumerate(cases)))

    assert {name: wrong for name, wrong in found if wrong} == {}
    assert world.effects["payment-declined"] == []
    assert len(world.effects["ok"]) >= 5
