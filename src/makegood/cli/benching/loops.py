"""One execution of very many steps: a foreach and a repeat, run whole, and resumed in the middle of the journal.

Each is measured at N and at 2N steps: what is linear takes twice the time, and as much memory for a step.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import Any, Literal

from makegood.app.reading import reading
from makegood.cli.benching.work import Taken, cpu_now_s
from makegood.engine.client import Engine
from makegood.language import load_tree

Kind = Literal["foreach", "repeat"]
KINDS: tuple[Kind, ...] = ("foreach", "repeat")
AT_ONCE = 50
"""Items of the foreach that are under way at once; a repeat has one round at a time."""
ID = "loops"


class Work:
    """Answers whether it was called often enough; from some call on it does not answer at all.

    Args:
        steps: Calls there are to be.
        hangs_from: The first call without an answer, or None.
    """

    def __init__(self, steps: int, hangs_from: int | None = None) -> None:
        self._steps = steps
        self._hangs_from = hangs_from
        self._calls = 0
        self.hangs = asyncio.Event()

    async def last(self, input: Any) -> bool:  # noqa: A002, ARG002 - the shape of a local service
        """Whether this is the last call."""
        self._calls += 1
        if self._hangs_from is not None and self._calls >= self._hangs_from:
            self.hangs.set()
            await asyncio.Event().wait()
        return self._calls >= self._steps


def tree_of(kind: Kind, steps: int) -> dict[str, Any]:
    """The workflow: its loop is all it has."""
    loop: dict[str, Any]
    if kind == "foreach":
        body = {"id": "work", "call": "work.last", "input": "${item}"}
        loop = {"id": "loop", "foreach": "${input.items}", "max_concurrency": AT_ONCE, "steps": [body]}
    else:
        body = {"id": "work", "call": "work.last", "input": "${execution.id}"}
        loop = {"id": "loop", "repeat": [body], "until": "steps.work", "max_iterations": steps + 1}
    return {"name": kind, "timeout": "6h", "steps": [loop], "output": {"done": True}}


async def whole(kind: Kind, database: str, steps: int) -> Taken:
    """From the start to the end, every step durable."""
    begun = time.perf_counter(), cpu_now_s()
    async with Engine(database) as engine:
        engine.register("work", Work(steps))
        await _start(engine, kind, steps)
        await engine.result(ID)
    return _taken(begun)


async def second_half(kind: Kind, database: str, steps: int) -> Taken:
    """From opening a database with half an execution to its end, loading it included."""
    async with Engine(database, drain_seconds=0.0) as engine:
        work = Work(steps, steps // 2)
        engine.register("work", work)
        await _start(engine, kind, steps)
        await work.hangs.wait()
    begun = time.perf_counter(), cpu_now_s()
    async with Engine(database) as engine:
        engine.register("work", Work(steps - steps // 2))
        await engine.resume()
        await engine.result(ID)
    return _taken(begun)


def _taken(begun: tuple[float, float]) -> Taken:
    return Taken(time.perf_counter() - begun[0], cpu_now_s() - begun[1], 1)


async def _start(engine: Engine, kind: Kind, steps: int) -> None:
    definition = load_tree(tree_of(kind, steps)).definition
    await engine.start(definition, {"items": list(range(steps))} if kind == "foreach" else None, id=ID)


async def bytes_per_step(database: str, steps: int) -> float:
    """What the state of the execution takes in memory, each step's share: all that stays of a step."""
    async with reading(database) as store:
        await store.program(ID)
        tracemalloc.start()
        try:
            state = await store.state(ID)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert state.ended
        return taken / steps
