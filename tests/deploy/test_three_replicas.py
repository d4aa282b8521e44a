"""What compose.yaml describes, as processes: the schema, three replicas on one PostgreSQL, and one of them killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from artefacts import DEPLOY, one
from tests.postgres_cluster import cluster

from recording_service import RecordingService
from served import Served

SERVICES = one(DEPLOY / "compose/compose.yaml")["services"]


@pytest.fixture
def dsn() -> Iterator[str]:
    server = cluster()
    name = server.create_empty()
    yield server.dsn(name)
    server.drop(name)


def variables(service: dict[str, Any], secrets: Path) -> dict[str, str]:
    """Those of a service, with its secrets where this test has them."""
    return {name: value.replace("/run/secrets/", f"{secrets}/") for name, value in service["environment"].items()}


def makegood(words: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "makegood", *words],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_three_replicas_share_the_work_and_one_of_them_may_die(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "connection_string").write_text(dsn + "\n", encoding="utf-8")
    token = makegood(
        ["token", "add", "me", "--role", "admin", "--tokens-file", f"{tmp_path}/tokens.toml"], {}, tmp_path
    )
    authorized = {"Authorization": f"Bearer {token}"}
    server = SERVICES["makegood"]
    words = [word.replace("/etc/makegood/", f"{tmp_path}/") for word in server["command"][1:]]
    with RecordingService() as hotels, ExitStack() as stack:
        text = (DEPLOY / "compose/makegood.toml").read_text(encoding="utf-8")
        text = text.replace("lease_seconds = 10", "lease_seconds = 1")
        (tmp_path / "makegood.toml").write_text(f'{text}\n[services.hotels]\nurl = "{hotels.url}"\n', encoding="utf-8")

        applied = makegood(SERVICES["upgrade"]["command"], variables(SERVICES["upgrade"], tmp_path), tmp_path)
        assert re.search(r"^0001 ", applied, re.MULTILINE), applied
        replicas = [
            stack.enter_context(Served(folder=tmp_path, words=tuple(words), environment=variables(server, tmp_path)))
            for _ in range(server["deploy"]["replicas"])
        ]
        assert [each.ask("GET", "/readyz")[0] for each in replicas] == [200, 200, 200]
        assert replicas[0].ask("GET", "/v1/executions")[0] == 401
        first, second, third = replicas
        trip = {"name": "trip", "steps": [{"id": "book", "call": "hotels.book", "compensation": "hotels.cancel"}]}
        assert first.ask("PUT", "/v1/workflows/trip", trip, **authorized)[0] == 201

        held = hotels.hold("book")
        for number, each in enumerate([first, first, second, third]):
            body = {"workflow": "trip", "input": {}, "id": f"e-{number}"}
            assert each.ask("POST", "/v1/executions", body, **authorized)[0] == 201
        hotels.wait_for("book", 4)
        first.stop(signal.SIGKILL)
        held.set()
        ended = [third.ask("GET", f"/v1/executions/e-{number}?wait=30s", **authorized)[1] for number in range(4)]
        stopped = [each.stop() for each in (second, third)]

    assert [each["status"] for each in ended] == ["completed"] * 4
    keys = [key for _, _, _, key, _ in hotels.calls]
    assert len(set(keys)) == 4
    assert len(keys) > 4, "what was in flight at the one that died is called again, with the same key"
    assert stopped == [0, 0]


def test_a_server_outlives_its_database_and_goes_on_when_it_is_back(dsn: str, tmp_path: Path) -> None:
    with RecordingService() as hotels:
        (tmp_path / "makegood.toml").write_text(f'[services.hotels]\nurl = "{hotels.url}"\n', encoding="utf-8")
        with Served(folder=tmp_path, words=("--config", "makegood.toml", "--database", dsn)) as served:
            waits = {"name": "waits", "steps": [{"id": "go", "signal": "go"}, {"id": "book", "call": "hotels.book"}]}
            assert served.ask("PUT", "/v1/workflows/waits", waits)[0] == 201
            assert served.ask("POST", "/v1/executions", {"workflow": "waits", "input": {}, "id": "a"})[0] == 201

            cluster().stop(signal.SIGINT)
            try:
                away = [served.ask("GET", path)[0] for path in ("/readyz", "/healthz", "/v1/executions/a")]
            finally:
                cluster().start()
            back = until_ready(served)
            assert served.ask("POST", "/v1/executions/a/signals/go", {})[0] == 202
            status = served.ask("GET", "/v1/executions/a?wait=30s")[1]["status"]

    assert away == [503, 200, 503]
    assert back == 200
    assert status == "completed"
    assert hotels.methods == ["book"]


def until_ready(served: Served) -> int:
    """The answer of /readyz, asked until it is ready: an answer takes as long as a connection does."""
    status = 0
    for _ in range(2000):
        status, _ = served.ask("GET", "/readyz")
        if status == 200:
            break
    return status
