"""Executions one after another at servers that faults befall, and what is judged of it from outside.

The judges are the service that was called, and whoever was told that an execution has begun or ended:
nothing here reads what the engine wrote.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scenario_plays import ENDS, Several
from served_replicas import LEASE_S, Desk

from served import Served, ports_of

STUCK_S = 60.0
# A call whose caller died may be over time when another goes on with it: it is made again then.
AGAIN = {"max_attempts": 10, "initial_interval": "100ms"}
STEPS = [{"id": each, "call": "desk.take", "compensation": "desk.give", "retry": AGAIN} for each in "ab"]
FLOWS = {
    "good": ([*STEPS, {"id": "c", "call": "desk.take", "retry": AGAIN}], "completed"),
    "bad": ([*STEPS, {"id": "c", "call": "desk.refuse", "retry": AGAIN}], "compensated"),
}
FORWARD = ("a:do", "b:do", "c:do")
CALLS = {"good": FORWARD, "bad": (*FORWARD, "b:undo", "a:undo")}
"""What has to be called, in this order: each call follows from the record of the one before it."""

TAKEN_OVER_S = {"killed": LEASE_S + 5.0, "stopped": LEASE_S + 5.0, "sent away": 2.0, "without database": 5.0}
"""By fault: from it to the next call of what it interrupted, at the 99th percentile."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What befell whom.

    Attributes:
        kind: One of `TAKEN_OVER_S`.
        at_s: When; of the database, when it is back. Monotonic.
        ports: From which its victim had connections; None when it befell all.
    """

    kind: str
    at_s: float
    ports: frozenset[int] | None

    def ends(self, port: int) -> bool:
        """Whether who called from there calls no more: what arrives later had left before."""
        return self.kind == "killed" and self.ports is not None and port in self.ports


def befall(kind: str, served: Served, number: signal.Signals) -> Fault:
    """Send a server a signal."""
    ports = frozenset(ports_of(served.process.pid))
    served.process.send_signal(number)
    return Fault(kind, time.monotonic(), ports)


class Load:
    """Starts one execution after another at any server, and waits for its end.

    Attributes:
        ended: Id to workflow and status.
        calls_at_end: How many calls of it there had been by then.
        faults: All that was done to servers and their database.
        quarantined: How often one was suspended, since five processes had died over it one after another.
    """

    def __init__(self, several: Several, desk: Desk) -> None:
        self._several, self._desk = several, desk
        self._numbers = itertools.count()
        self._stopping = False
        self._more = asyncio.Event()
        self.ended: dict[str, tuple[str, str]] = {}
        self.calls_at_end: dict[str, int] = {}
        self.faults: list[Fault] = []
        self.quarantined = 0

    async def _one_after_another(self) -> None:
        while not self._stopping:
            number = next(self._numbers)
            workflow, execution_id = "bad" if number % 4 == 3 else "good", f"x{number}"
            status, told = await self._several.ask("POST", "/v1/executions", {"workflow": workflow, "id": execution_id})
            assert status in {200, 201}, told
            begun_s = time.monotonic()
            while told["status"] not in ENDS:
                assert time.monotonic() < begun_s + STUCK_S, (execution_id, told)
                if told["status"] == "suspended" and told["suspended"]["reason"] == "quarantine":
                    self.quarantined += 1
                    await self._several.ask("POST", f"/v1/executions/{execution_id}/resume")
                _, told = await self._several.ask("GET", f"/v1/executions/{execution_id}?wait=10s")
            self.calls_at_end[execution_id] = self._desk.count(execution_id)
            self.ended[execution_id] = (workflow, told["status"])
            self._more.set()

    async def until_ended(self, more: int) -> None:
        """Return when so many more have ended."""
        wanted = len(self.ended) + more
        async with asyncio.timeout(120):
            while len(self.ended) < wanted:
                self._more.clear()
                await self._more.wait()

    @asynccontextmanager
    async def running(self, at_once: int) -> AsyncIterator[None]:
        """While this is open, it starts; at the end what was begun has ended."""
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._one_after_another())
            yield
            self._stopping = True

    def judge(self) -> None:
        """Raise when something got lost, stuck, repeated though it was recorded, or was done otherwise than told."""
        assert wrongs(self.ended, self.calls_at_end, [key for _, key, _ in self._desk.arrivals]) == []

    def takeovers_s(self) -> dict[str, list[float]]:
        """By kind of fault: from it to the next call of each execution that it interrupted."""
        return takeovers_s(self.faults, self._desk.arrivals)


# --- the judgement ---------------------------------------------------------------------------------


def wrongs(
    ended: Mapping[str, tuple[str, str]], calls_at_end: Mapping[str, int], keys: Iterable[str]
) -> list[str]:  # fmt: skip
    """What is wrong with what was called.

    Args:
        ended: Id to workflow and status, of all that were started.
        calls_at_end: Id to the number of calls when its end was told.
        keys: Of all calls in order of arrival, as `id:step:do` or `id:step:undo`.
    """
    calls: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        execution_id, _, call = key.partition(":")
        calls[execution_id].append(call)
    found = [f"{each} was called, and nobody was told of its end" for each in calls.keys() - ended.keys()]
    for each, (workflow, status) in ended.items():
        wanted, made = CALLS[workflow], calls[each]
        if status != FLOWS[workflow][1]:
            found.append(f"{each} ({workflow}) ended {status}")
        if len(made) != calls_at_end[each]:
            found.append(f"{each} was called after it had ended")
        if tuple(dict.fromkeys(made)) != wanted:
            found.append(f"{each} ({workflow}) made the calls {made}")
        elif [wanted.index(call) for call in made] != sorted(wanted.index(call) for call in made):
            found.append(f"{each} repeated a call that was recorded: {made}")
    return found


def takeovers_s(faults: list[Fault], arrivals: list[tuple[float, str, int]]) -> dict[str, list[float]]:
    """By kind of fault: from it to the next call of each execution whose last call came from its victim.

    What made no more call had made its last one. Where one fault followed another, the first one counts.
    """
    calls: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for at_s, key, port in arrivals:
        calls[key.partition(":")[0]].append((at_s, port))
    found: dict[str, list[float]] = {kind: [] for kind in TAKEN_OVER_S}
    for made in calls.values():
        for number, (before_s, port) in enumerate(made):
            rest = made[number + 1 :]
            befell = (each for each in faults if each.ports is None or port in each.ports)
            fault = next((each for each in befell if before_s < each.at_s), None)
            if fault is None or (rest and rest[0][0] < fault.at_s):
                continue
            found[fault.kind] += [at_s - fault.at_s for at_s, caller in rest if not fault.ends(caller)][:1]
    return found


def percentile(values: list[float], part: float) -> float:
    """The smallest value that so large a part of them does not exceed."""
    return sorted(values)[math.ceil(part * len(values)) - 1]


def figures(taken_s: Mapping[str, list[float]]) -> dict[str, str]:
    """The takeovers in words, by fault."""
    return {
        f"takeover, {kind}": f"p50 {percentile(values, 0.5):.2f} s, p99 {percentile(values, 0.99):.2f} s, "
        f"max {max(values):.2f} s of {len(values)}; p99 may be {TAKEN_OVER_S[kind]:g} s"
        for kind, values in taken_s.items()
        if values
    }


def too_slow(taken_s: Mapping[str, list[float]]) -> dict[str, float]:
    """The 99th percentiles that are over their bound."""
    slow = {kind: percentile(values, 0.99) for kind, values in taken_s.items() if values}
    return {kind: value for kind, value in slow.items() if value > TAKEN_OVER_S[kind]}


# --- servers under load ----------------------------------------------------------------------------


@asynccontextmanager
async def loaded(several: Several, desk: Desk, at_once: int) -> AsyncIterator[Load]:
    """Servers under load, and the judgement at the end."""
    # Each that waits for an end has a thread.
    with ThreadPoolExecutor(at_once + 16) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        await several.put_service("desk", {"url": desk.url, "timeout_seconds": 1})
        for name, (steps, _) in FLOWS.items():
            status, told = await several.ask("PUT", f"/v1/workflows/{name}", {"name": name, "steps": steps})
            assert status == 201, told
        load = Load(several, desk)
        async with load.running(at_once):
            yield load
        load.judge()
