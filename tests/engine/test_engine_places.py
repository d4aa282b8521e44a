"""Who is called next when a service has no place for all: executions take turns."""

from __future__ import annotations

from typing import Any

import pytest
from engines import Counting, until

import makegood as mg
from makegood.language import load_tree
from makegood.services import Registry, ServiceConfig

pytestmark = pytest.mark.anyio


def wide(name: str, count: int) -> Any:
    """A workflow that makes so many calls at once."""
    loop = {
        "id": "each",
        "foreach": "${input}",
        "max_concurrency": count,
        "steps": [{"id": "a", "call": "s.wait", "input": "${item}"}],
    }
    return load_tree({"name": name, "steps": [loop], "output": "${steps.each}"}).definition


def engine_with(service: Counting, **limits: Any) -> mg.Engine:
    registry = Registry()
    registry.register("s", service, ServiceConfig(name="s", **limits))
    return mg.Engine(":memory:", registry=registry)


async def test_a_wide_execution_lets_others_take_turns() -> None:
    service = Counting()
    async with engine_with(service, max_concurrent=1) as engine:
        big = await engine.start(wide("big", 300), list(range(300)))
        await service.called.wait()
        small = [await engine.start(wide(f"small{each}", 3), [1, 2, 3]) for each in range(2)]
        lines = engine._runner._places._busy["s"]
        await until(lambda: len(lines) == 3 and sum(len(line.calls) for line in lines.values()) == 299 + 6)

        service.gate.set()
        for each in small:
            assert await each.result() == [1, 2, 3]
        assert await big.result() == list(range(300))

    of_small = [at for at, (_, key, _) in enumerate(service.calls) if not key.startswith(big.id)]
    assert len(service.calls) == 306
    assert max(of_small) <= 1 + 3 * 3
    assert service.inside_max == 1


async def test_all_that_comes_free_at_once_is_taken_at_once() -> None:
    service = Counting()
    service.gate.set()
    async with engine_with(service, max_concurrent=100, rate=2000.0) as engine:
        big = await engine.start(wide("big", 1000), list(range(1000)))

        assert await big.result() == list(range(1000))

    assert len(service.calls) == 1000


async def test_who_waits_and_is_cancelled_takes_no_turn() -> None:
    service = Counting()
    async with engine_with(service, max_concurrent=1) as engine:
        first = await engine.start(wide("first", 1), [1])
        await service.called.wait()
        gone = await engine.start(wide("gone", 50), list(range(50)))
        last = await engine.start(wide("last", 1), [1])
        lines = engine._runner._places._busy["s"]
        await until(lambda: len(lines) == 2)
        await engine.cancel(gone.id, by="ada", note="not wanted")

        service.gate.set()

        assert await last.result() == [1]
        assert await first.result() == [1]
        with pytest.raises(mg.ExecutionEnded):
            await gone.result()
    assert [key for _, key, _ in service.calls if key.startswith(gone.id)] == []
