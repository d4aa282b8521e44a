"""A mistake of ours, or of who sets an engine up, costs one execution at most."""

from __future__ import annotations

from typing import Any

import pytest
from engines import Counting, HandClock, one, waiting

import makegood as mg
from makegood.core import inputs
from makegood.engine import runner
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def test_an_execution_whose_takeover_goes_wrong_holds_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock = MemoryStore(), HandClock()
    async with clock.engine(store) as engine:
        engine.register("s", Counting())
        await engine.start(waiting("1h"), 1, id="bad")

    decide = runner.decide

    def mistaken(state: Any, news: Any, *rest: Any) -> Any:
        return bug() if isinstance(news, inputs.TakeOver) else decide(state, news, *rest)

    def bug() -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(runner, "decide", mistaken)
    service = Counting()
    service.gate.set()
    async with clock.engine(MemoryStore(after=store), max_concurrent_executions=1) as engine:
        engine.register("s", service)
        with pytest.raises(RuntimeError, match="a bug"):
            await engine.cancel("bad")

        assert await (await engine.start(one(), 2)).result() == 2


async def test_an_engine_with_a_clock_of_its_own_judges_deadlines_by_it() -> None:
    service = Counting()
    service.gate.set()
    async with mg.Engine(":memory:", clock=HandClock()) as engine:
        engine.register("s", service)

        assert await (await engine.start(one(), 7)).result() == 7


@pytest.mark.parametrize("search", [["x"], "x", {"a": object()}])
async def test_search_attributes_that_are_no_plain_mapping_are_refused(search: Any) -> None:
    async with mg.Engine(":memory:") as engine:
        engine.register("s", Counting())
        with pytest.raises(mg.InputError, match="search"):
            await engine.start(one(), 1, search=search)


async def test_an_answer_larger_than_the_engine_takes_is_no_answer() -> None:
    class Long:
        async def do(self, input: Any) -> Any:  # noqa: A002 - the shape of a local service
            return "x" * 2_000

    settings = mg.Settings(limits=mg.Limits(payload_bytes=1_000))
    async with mg.Engine(":memory:", settings=settings) as engine:
        engine.register("s", Long())
        view = await (await engine.start(one(), 1)).end()

    assert [(each["forward"], each["error"]["code"]) for each in view["steps"]] == [("unknown", "reply_too_large")]
