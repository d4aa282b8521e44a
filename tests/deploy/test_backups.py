"""Backup and restore as docs/howto/operating/back-up.md tells it: what was called since is called again, same keys."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from artefacts import ROOT
from tests.postgres_cluster import binaries, cluster

from recording_service import RecordingService
from served import Served

PAGE = (ROOT / "docs/howto/operating/back-up.md").read_text(encoding="utf-8")
TRIP = {
    "name": "trip",
    "steps": [
        {"id": "reserve", "call": "hotels.reserve", "compensation": "hotels.cancel"},
        {"id": "go", "signal": "go"},
        {"id": "pay", "call": "hotels.pay", "compensation": "hotels.refund"},
    ],
}


@dataclass(frozen=True)
class Place:
    """A database, how it is backed up while servers run on it, and how a backup becomes another database.

    Attributes:
        back_up: Makes the backup.
        restore: Makes the other database of it; what names that.
    """

    name: str
    back_up: Callable[[], None]
    restore: Callable[[], str]


def told(beginning: str) -> str:
    """A line of the page."""
    (line,) = re.findall(rf"^({re.escape(beginning)}.*)$", PAGE, re.MULTILINE)
    return str(line)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        file, backup = tmp_path / "makegood.db", tmp_path / "backup.db"
        (statement,) = re.findall(r'"(VACUUM INTO .*)"', told("sqlite3 /var/lib/makegood/makegood.db"))

        def vacuum() -> None:
            connection = sqlite3.connect(file)
            connection.execute(re.sub(r"'.*'", f"'{backup}'", statement))
            connection.close()

        yield Place(str(file), vacuum, lambda: str(backup))
        return
    server, dump = cluster(), tmp_path / "backup.dump"
    programs = binaries()
    assert programs is not None
    names = [server.create_empty(), server.create_empty()]
    before, after = (server.dsn(name) for name in names)

    def run(line: str) -> None:
        words = [str(dump) if word == "makegood.dump" else word for word in line.split()]
        words = [re.sub(r"postgresql://\S+/(\w+)$", lambda found: after if "restored" in found[1] else before, word)
                 for word in words]  # fmt: skip
        # `initdb` may be a link to where all the programs of one version are.
        program = (programs / "initdb").resolve().with_name(words[0])
        subprocess.run([str(program), *words[1:]], check=True)

    def restore() -> str:
        run(told("pg_restore"))
        return after

    yield Place(before, lambda: run(told("pg_dump")), restore)
    for name in names:
        server.drop(name)


def test_what_was_called_after_a_backup_is_called_again_with_the_same_keys(place: Place, tmp_path: Path) -> None:
    with RecordingService() as hotels:
        words = ("--config", str(tmp_path / "makegood.toml"))
        (tmp_path / "makegood.toml").write_text(f'[services.hotels]\nurl = "{hotels.url}"\n', encoding="utf-8")

        with Served(folder=tmp_path, words=(*words, "--database", place.name)) as served:
            assert served.ask("PUT", "/v1/workflows/trip", TRIP)[0] == 201
            start(served, "early")
            hotels.wait_for("reserve")
            wait_for_the_signal(served, "early")
            place.back_up()
            start(served, "late")
            finish(served, "early")
            finish(served, "late")
            served.stop(signal.SIGKILL)
        before = sorted((method, key) for method, _, _, key, _ in hotels.calls)
        hotels.calls.clear()

        with Served(folder=tmp_path, words=(*words, "--database", place.restore())) as served:
            assert served.ask("GET", "/v1/executions/early")[1]["status"] == "running"
            assert served.ask("GET", "/v1/executions/late")[0] == 404
            start(served, "late")
            finish(served, "early")
            finish(served, "late")
        again = sorted((method, key) for method, _, _, key, _ in hotels.calls)

    assert [method for method, _ in before] == ["pay", "pay", "reserve", "reserve"]
    assert [method for method, _ in again] == ["pay", "pay", "reserve"]
    assert set(again) <= set(before)


def start(served: Served, name: str) -> None:
    status, body = served.ask("POST", "/v1/executions", {"workflow": "trip", "input": {}, "id": name})
    assert status == 201, body


def wait_for_the_signal(served: Served, name: str) -> None:
    """Until what came before it is recorded: a long poll ends with each look."""
    for _ in range(200):
        steps = served.ask("GET", f"/v1/executions/{name}?wait=100ms")[1]["steps"]
        if [each["step"] for each in steps] == ["reserve", "go"]:
            return
    raise AssertionError(steps)


def finish(served: Served, name: str) -> None:
    status, body = served.ask("POST", f"/v1/executions/{name}/signals/go", {})
    assert status == 202, body
    status, body = served.ask("GET", f"/v1/executions/{name}?wait=30s")
    assert (status, body["status"]) == (200, "completed"), body
