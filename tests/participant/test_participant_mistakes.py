"""What is wrong is said where it is written, and nothing is loaded that a service does not need."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import makegood as mg
from makegood.participant import Barrier, Methods, Rejected
from makegood.participant.statements import statements


def test_importing_it_loads_nothing_of_the_engine_and_no_package_of_others() -> None:
    code = (
        "import sys; before = set(sys.modules); import makegood.participant;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)));"
        "print(*sorted(name for name in sys.modules if name.startswith('makegood.')))"
    )

    roots, ours = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.splitlines()

    assert roots == "makegood"
    assert {name.split(".")[1] for name in ours.split()} == {"errors", "participant"}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: None, "first argument is the connection"),
        (lambda input: None, "first argument is the connection"),  # noqa: A006
        (lambda db, guest: None, "no guest to give"),
        (lambda *db: None, "first argument is the connection"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_where_it_is_decorated(
    function: Callable[..., Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        Barrier(lambda: None)(function)


@pytest.mark.parametrize("given", [{"table": "a b"}, {"table": "x; DROP TABLE y"}, {"wait_s": -1}])
def test_settings_that_mean_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"name|seconds"):
        Barrier(lambda: None, **given)


def test_what_is_no_connection_is_named() -> None:
    decorated = Barrier(lambda: "text")(lambda db: None)

    with pytest.raises(TypeError, match=r"builtins\.str.*sqlite3, apsw, asyncpg"):
        decorated(None, "x:a:do")


@pytest.mark.parametrize("call", [None, "", 7])
def test_a_call_without_a_key_is_refused(call: Any) -> None:
    decorated = Barrier(lambda: sqlite3.connect(":memory:"))(lambda db: None)

    with pytest.raises(TypeError, match="idempotency key"):
        decorated(None, call)


def test_a_plain_function_cannot_use_an_asynchronous_connection() -> None:
    async def connect() -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="async def"):
        Barrier(connect)(lambda db: None)(None, "x:a:do")


def test_functions_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        Methods(lambda input, call: None, lambda input, call: None)  # noqa: A006


def test_a_table_may_lie_in_a_schema() -> None:
    known = statements("postgres", "hotel.calls")

    assert "CREATE TABLE IF NOT EXISTS hotel.calls (" in known["table"]
    assert known["index"] == "CREATE INDEX IF NOT EXISTS calls_at_ms ON hotel.calls (at_ms)"
    assert not [name for name, text in known.items() if "makegood_barrier" in text]


class Hotels:
    """A local service: its methods are decorated."""

    barrier: Barrier

    def __init__(self, file: Path) -> None:
        self.file = file
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE effect (step, what)")
        db.close()


def local_service(file: Path) -> Any:
    barrier = Barrier(lambda: sqlite3.connect(file))

    class Local(Hotels):
        @barrier
        def reserve(self, db: Any, input: Any, call: mg.Call) -> Any:  # noqa: A002
            db.execute("INSERT INTO effect VALUES (?, ?)", (call.step, f"{call.workflow} reserved"))
            return {"room": 12, "for": input["guest"], "kept by": type(self).__name__}

        @barrier
        async def cancel(self, db: Any, call: mg.Call, done: Any) -> None:
            db.execute("INSERT INTO effect VALUES (?, ?)", (call.step, f"cancelled {done['room']}"))

        @barrier
        def charge(self, db: Any) -> None:
            raise Rejected("card_declined")

    return Local(file)


def test_a_service_in_the_engines_process_uses_it_with_its_call(tmp_path: Path) -> None:
    file = tmp_path / "hotels.db"
    flow = mg.workflow(
        "trip",
        mg.call("room", "hotels.reserve", compensation="hotels.cancel"),
        mg.call("pay", "hotels.charge"),
        error_handling="compensation",
    )

    async def run() -> None:
        async with mg.Engine(":memory:") as engine:
            engine.register("hotels", local_service(file))
            execution = await engine.start(flow, {"guest": "Ada"})
            with pytest.raises(mg.ExecutionCompensated, match="card_declined"):
                await execution.result()

    asyncio.run(run())

    with sqlite3.connect(file) as db:
        assert db.execute("SELECT * FROM effect").fetchall() == [("room", "trip reserved"), ("room", "cancelled 12")]
    db.close()


def test_a_local_service_may_say_that_nothing_was_done() -> None:
    def reserve() -> None:
        raise mg.NotDone("somebody else is at it")

    flow = mg.workflow("trip", mg.call("room", "hotels.reserve"))

    async def run() -> dict[str, Any]:
        async with mg.Engine(":memory:") as engine:
            engine.register("hotels", {"reserve": reserve})
            return await (await engine.start(flow, {})).end()

    error = asyncio.run(run())["error"]

    assert (error["code"], error["outcome"]) == ("not_done", "not_sent")
