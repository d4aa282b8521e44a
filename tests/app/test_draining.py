"""`drain_seconds`: what is configured is what a stopping engine gives to calls under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from makegood.app.config import load_config
from makegood.app.wiring import engine_of
from makegood.engine.runner import Runner
from makegood.services import Registry

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("given", "seconds"), [({}, 1), ({"MAKEGOOD_WORKFLOW_ENGINE__DRAIN_SECONDS": "2.5"}, 2.5)])
async def test_calls_under_way_have_the_time_that_is_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str], seconds: float
) -> None:
    monkeypatch.chdir(tmp_path)
    had: list[float] = []
    stop = Runner.stop

    async def timed(runner: Runner, drain_s: float) -> None:
        had.append(drain_s)
        await stop(runner, drain_s)

    monkeypatch.setattr(Runner, "stop", timed)
    async with engine_of(load_config(None, given), Registry(), ":memory:"):
        pass

    assert had == [seconds]
