"""The page on participants: its ten lines are ten and right, its SQL is the helper's, and does what the page says."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pages import ROOT, blocks
from tests import postgres_cluster

import makegood as mg
from makegood.participant.statements import DIALECTS, Dialect, statements

pytestmark = pytest.mark.anyio

PAGE = ROOT / "docs/howto/participants.md"
PYTHON = [block.text for block in blocks("python") if block.page == PAGE]
SQL = "".join(block.text for block in blocks("sql") if block.page == PAGE)
BLOCK = re.compile(r"^-- (\w+)\n(.*?);$", re.MULTILINE | re.DOTALL)
SHOWN = dict(BLOCK.findall(SQL))


def one_line(statement: str) -> str:
    return " ".join(re.sub(r"--.*$", "", statement, flags=re.MULTILINE).split())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_statements_are_those_that_the_helper_runs(dialect: Dialect) -> None:
    runs = statements(dialect)
    assert set(SHOWN) == {"table", "claim", "kept", "keep", "close"}

    for name, shown in SHOWN.items():
        plain = shown.replace(" FOR UPDATE", "") if dialect == "sqlite" else shown
        assert one_line(re.sub(r"(?<=[ (]):\w+", "$", plain)) == one_line(re.sub(r"\$\d+", "$", runs[name])), name


# --- a participant that has the page alone ---


class ByThePage:
    """Written as somebody would write it in another language; `room` is its business."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.is_sqlite = isinstance(connection, sqlite3.Connection)
        self.sql("CREATE TABLE room (key text, guest text)")
        self.run("table")
        self.sql("COMMIT") if not self.is_sqlite else None

    def sql(self, statement: str, **values: Any) -> list[Any]:
        if not self.is_sqlite:
            statement = re.sub(r"(?<=[ (]):(\w+)", r"%(\1)s", statement)
        cursor = self.connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def run(self, name: str, **values: Any) -> list[Any]:
        shown = SHOWN[name]
        return self.sql(shown.replace(" FOR UPDATE", "") if self.is_sqlite else shown, **values)

    def claim(self, key: str, state: str, asked: str | None) -> Any:
        """None if it is ours now, else what is kept."""
        if self.run("claim", key=key, state=state, asked=asked, at_ms=1):
            return None
        return self.run("kept", key=key)[0]

    def keep(self, key: str, state: str, status: int, reply: Any) -> tuple[int, Any]:
        self.run("keep", key=key, state=state, status=status, media_type="application/json",
                 reply=json.dumps(reply), at_ms=1)  # fmt: skip
        self.sql("COMMIT")
        return status, reply

    def rolled_back(self, status: int, reply: Any) -> tuple[int, Any]:
        self.sql("ROLLBACK")
        return status, reply

    def call(self, key: str, asked: str) -> tuple[int, Any]:
        self.sql("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
        row = self.claim(key, "begun", asked)
        if row is not None:
            state, hash_, status, _, reply = row
            if state == "undone":
                return self.rolled_back(409, "undone")
            if hash_ != asked:
                return self.rolled_back(409, "key_reused")
            return self.rolled_back(status, json.loads(reply))
        self.sql("SAVEPOINT work")
        self.sql("INSERT INTO room VALUES (:key, :guest)", key=key, guest=asked)
        if asked == "nobody":
            self.sql("ROLLBACK TO SAVEPOINT work")
            return self.keep(key, "rejected", 409, "sold_out")
        if asked == "fire":
            return self.rolled_back(500, None)
        return self.keep(key, "done", 200, {"guest": asked})

    def undo(self, key: str, asked: str) -> tuple[int, Any]:
        call = key.removesuffix(":undo") + ":do"
        self.sql("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
        own = self.claim(key, "begun", asked)
        if own is not None:
            return self.rolled_back(own[2], json.loads(own[4]))
        row = self.claim(call, "undone", None)
        if row is None or row[0] in ("rejected", "undone"):
            return self.keep(key, "done", 200, None)
        self.sql("DELETE FROM room WHERE key = :key", key=call)
        self.run("close", key=call, at_ms=1)
        return self.keep(key, "done", 200, "cancelled")


@pytest.fixture(params=DIALECTS)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ByThePage]:
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
            yield ByThePage(connection)
        return
    server = postgres_cluster.cluster()
    name = server.create_empty()
    with closing(psycopg.connect(server.dsn(name), autocommit=True)) as connection:
        yield ByThePage(connection)
    server.drop(name)


def test_a_participant_by_the_page_alone_keeps_its_promises(service: ByThePage) -> None:
    assert [service.call("x:a:do", "Ada") for _ in range(2)] == [(200, {"guest": "Ada"})] * 2
    assert service.call("x:a:do", "Eve") == (409, "key_reused")
    assert service.sql("SELECT guest FROM room") == [("Ada",)]
    assert [service.undo("x:a:undo", "") for _ in range(2)] == [(200, "cancelled")] * 2
    assert [service.undo("x:b:undo", "") for _ in range(2)] == [(200, None)] * 2
    assert service.call("x:b:do", "Bob") == (409, "undone")
    assert [service.call("x:c:do", "nobody") for _ in range(2)] == [(409, "sold_out")] * 2
    assert service.undo("x:c:undo", "") == (200, None)
    assert service.call("x:d:do", "fire") == (500, None)
    assert service.sql("SELECT * FROM room") == []
    assert service.undo("x:d:undo", "") == (200, None)


# --- the Python of the page ---


def test_the_first_program_has_ten_lines() -> None:
    assert len(PYTHON[0].splitlines()) == 10


@pytest.fixture
def hotel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("hotel.db")) as db:
        db.execute("CREATE TABLE booking (id INTEGER PRIMARY KEY, guest TEXT NOT NULL)")
    return tmp_path / "hotel.db"


def bookings(hotel: Path) -> list[Any]:
    with closing(sqlite3.connect(hotel)) as db:
        return db.execute("SELECT guest FROM booking").fetchall()


async def ask(app: Any, path: str, body: Any, key: str) -> tuple[int, Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"idempotency-key", key.encode())]
    await app({"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize("number", [0, 2], ids=["ten lines", "middleware"])
async def test_the_programs_do_what_a_participant_owes(hotel: Path, number: int) -> None:
    program: dict[str, Any] = {"__name__": "hotel"}
    exec(compile(PYTHON[number], str(PAGE), "exec"), program)
    app = program["app"]

    first, again = [await ask(app, "/reserve", {"guest": "Ada"}, "x:room:do") for _ in range(2)]
    assert first == again
    assert bookings(hotel) == [("Ada",)]
    for _ in range(2):
        assert await ask(app, "/cancel", {}, "x:room:undo") == (200, None)
        assert bookings(hotel) == []
    assert await ask(app, "/cancel", {}, "x:other:undo") == (200, None)
    status, refusal = await ask(app, "/reserve", {"guest": "Bob"}, "x:other:do")
    assert (status, refusal["error"]["code"]) == (409, "undone")
    assert bookings(hotel) == []


def test_the_local_service_works(hotel: Path) -> None:
    program: dict[str, Any] = {"__name__": "hotel"}
    exec(compile(PYTHON[3], str(PAGE), "exec"), program)
    flow = mg.workflow("trip", mg.call("room", "hotels.reserve"), output="${steps.room.workflow}")

    with mg.Engine(":memory:") as engine:
        engine.register("hotels", program["Hotels"]())

        assert engine.run_sync(flow, {"guest": "Ada"}) == "trip"
    assert bookings(hotel) == [("Ada",)]
