"""A service with the helper is killed again and again while an engine calls it: its own ledger is the judge."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import pytest

import makegood as mg

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROOMS = Path(__file__).parents[2] / "examples" / "services" / "rooms.py"
EXECUTIONS = 20
KILLS = 12
RETRY = {"max_attempts": 200, "initial_interval": "30ms", "backoff": 1.2, "max_interval": "300ms"}


class Rooms:
    """The service as a process, on one port for all its lives."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.port = 0

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOMS), "--port", str(self.port), "--database", str(self.database), "--delay-ms", "8",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(await asyncio.wait_for(self.process.stdout.readline(), 60))

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()

    def ask(self, statement: str) -> list[tuple[str, ...]]:
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            return db.execute(statement).fetchall()


def stay():
    bounded = {"timeout": "2s", "retry": RETRY}
    return mg.workflow(
        "stay",
        mg.call(
            "room",
            "rooms.reserve",
            input={"guest": "${input.guest}"},
            **bounded,
            compensation={"call": "rooms.cancel", **bounded},
        ),
        mg.call(
            "pay",
            "rooms.charge",
            input={"price": "${input.price}"},
            **bounded,
            compensation={"call": "rooms.refund", **bounded},
        ),
        error_handling="compensation",
    )


async def test_killed_again_and_again_it_has_each_effect_once(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path / "rooms.db")
    await rooms.start()
    chance = random.Random(7)
    try:
        async with mg.Engine(str(tmp_path / "trips.db")) as engine:
            engine.register("rooms", f"http://127.0.0.1:{rooms.port}")
            ends = []
            for number in range(EXECUTIONS):
                given = {"guest": f"guest {number}", "price": 1200 if number % 2 else 300}
                execution = await engine.start(stay(), given, id=f"stay-{number}")
                ends.append(asyncio.ensure_future(execution.result()))
            for _ in range(KILLS):
                await asyncio.wait(ends, timeout=chance.uniform(0.05, 0.5))
                await rooms.kill()
                await rooms.start()
            results = await asyncio.wait_for(asyncio.gather(*ends, return_exceptions=True), 120)
    finally:
        await rooms.kill()

    completed = {f"stay-{number}" for number, result in enumerate(results) if isinstance(result, dict | type(None))}
    assert all(isinstance(each, dict | type(None) | mg.ExecutionCompensated) for each in results), results
    assert completed == {f"stay-{number}" for number in range(0, EXECUTIONS, 2)}
    ledger = Counter((effect, what) for effect, what in rooms.ask("SELECT effect, what FROM ledger"))
    assert set(ledger.values()) == {1}
    for number in range(EXECUTIONS):
        mine = {what for effect, what in ledger if effect.startswith(f"stay-{number}:")}
        if f"stay-{number}" in completed:
            assert mine == {"reserved", "charged"}
        else:
            assert mine in ({"reserved", "cancelled"}, set())
    standing = {each for (each,) in rooms.ask("SELECT effect FROM room WHERE guest IS NOT NULL")}
    assert standing == {f"{each}:room" for each in completed}
