"""The plain `with`, for scripts: the same engine behind an event loop of its own."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from engines import one

import makegood as mg


class Plain:
    """Methods without async."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.calls = 0

    def do(self, input: Any) -> Any:  # noqa: A002
        self.calls += 1
        return input

    def refuse(self, input: Any) -> None:  # noqa: A002
        raise mg.Rejected("no")

    async def wait(self, input: Any) -> None:  # noqa: A002
        self.called.set()
        await asyncio.Event().wait()


def engine_with(service: Any, database: Any = ":memory:") -> mg.Engine:
    engine = mg.Engine(database, drain_seconds=0.0)
    engine.register("s", service)
    return engine


def loops() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "makegood-loop"]


def test_a_script_runs_a_workflow_and_has_its_output() -> None:
    with engine_with(Plain()) as engine:
        assert engine.run_sync(one(), {"n": 1}) == {"n": 1}
        assert engine.run_sync("one", 2, id="x") == 2
        assert engine.run_sync("one", 2, id="x") == 2
        assert engine.start_sync(one(), 3, id="y") == "y"
    assert loops() == []


def test_errors_come_out_as_they_are_and_the_engine_goes_on() -> None:
    with engine_with(Plain()) as engine:
        with pytest.raises(mg.ExecutionFailed) as caught:
            engine.run_sync(one("s.refuse", error_handling="fail_fast"), 1)
        assert caught.value.error is not None
        assert caught.value.error["code"] == "no"
        with pytest.raises(mg.NotFound):
            engine.run_sync("nothing")
        with pytest.raises(mg.DefinitionError):
            engine.run_sync(one("t.do"), 1)
        assert engine.run_sync(one(), 1) == 1


def test_an_error_in_the_script_closes_the_engine() -> None:
    with pytest.raises(ZeroDivisionError), engine_with(Plain()):
        raise ZeroDivisionError
    assert loops() == []


def test_outside_of_with_it_says_what_to_do() -> None:
    engine = engine_with(Plain())
    with pytest.raises(mg.StorageError, match="use it inside"):
        engine.run_sync(one(), 1)
    with engine:
        assert engine.run_sync(one(), 1) == 1
    with pytest.raises(mg.StorageError, match="use it inside"):
        engine.start_sync(one(), 1)


def test_a_database_that_cannot_be_opened_leaves_no_loop(tmp_path: Path) -> None:
    with pytest.raises(mg.StorageError), engine_with(Plain(), tmp_path / "no" / "such" / "folder.db"):
        pass
    assert loops() == []


def test_an_engine_is_used_once_and_another_one_goes_on(tmp_path: Path) -> None:
    service = Plain()
    engine = engine_with(service, tmp_path / "w.db")
    with engine:
        assert engine.run_sync(one(), 1, id="x") == 1
    with pytest.raises(mg.StorageError, match="opened before"), engine:
        pass
    with engine_with(service, tmp_path / "w.db") as engine:
        assert engine.run_sync(one(), 1, id="x") == 1
    assert service.calls == 1
    assert loops() == []


def test_several_threads_use_engines_of_their_own_and_one_together() -> None:
    found: list[Any] = []

    def use() -> None:
        with engine_with(Plain()) as engine:
            found.append(engine.run_sync(one(), 1))
        found.append(shared.run_sync(one(), 2))

    with engine_with(Plain()) as shared:
        threads = [threading.Thread(target=use) for _ in range(5)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert sorted(found) == [1] * 5 + [2] * 5
    assert loops() == []


def test_a_script_works_beside_a_running_event_loop() -> None:
    async def script() -> Any:
        with engine_with(Plain()) as engine:
            return engine.run_sync(one(), 1)

    assert asyncio.run(script()) == 1


def test_an_interrupt_ends_the_wait_and_leaves_the_execution_to_be_resumed(tmp_path: Path) -> None:
    service = Plain()

    def interrupt() -> None:
        assert service.called.wait(25)
        os.kill(os.getpid(), signal.SIGINT)

    # Whoever runs the tests may have interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()

    def interrupted(engine: mg.Engine) -> None:
        engine.run_sync(one("s.wait"), 1, id="x")
        # Should it have come a moment too late to interrupt the run.
        threading.Event().wait(10)

    with engine_with(service, tmp_path / "w.db") as engine:
        with pytest.raises(KeyboardInterrupt):
            interrupted(engine)
        signal.signal(signal.SIGINT, before)
        assert engine.run_sync(one(), 2) == 2
    assert loops() == []
    gc.collect()
    with mg.Engine(tmp_path / "w.db", only=()) as engine:
        assert engine._door.run(engine.describe("x"))["status"] == "running"
