"""The server's log: one JSON object a line, stable names, and no secret in it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from makegood.engine.log import names
from served import PATIENCE_S, Served

SECRETS = ("hunter2-header", "hunter2-env", "hunter2-input", "hunter2-signal", "hunter2-dsn")
STABLE = {value for name, value in vars(names).items() if not name.startswith("_")}
TRIP = {
    "name": "trip",
    "steps": [{"id": "a", "call": "shop.buy", "input": {"card": "${input.card}"}, "retry": {"max_attempts": 1}},
              {"id": "go", "signal": "go"}],
}  # fmt: skip
CONFIG = """
[auth]
tokens_file = "tokens.toml"
[services.shop]
url = "http://127.0.0.1:1"
headers = {X-Key = "hunter2-header", Authorization = "env:SHOP_TOKEN"}
"""


class Logged(Served):
    """A server that writes JSON lines: it is up when it says so in them."""

    def __enter__(self) -> Any:
        self.words = (*self.words, "--log-format", "json")
        return super().__enter__()

    def wait_for(self, words: str) -> None:
        super().wait_for("server_listens" if words == "makegood listens on" else words)
        self.url = next(each["url"] for each in self.lines() if each["event"] == "server_listens")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said]


def token(folder: Path, role: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "makegood", "token", "add", role, "--role", role],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_every_line_is_an_object_with_a_stable_event_and_none_has_a_secret(tmp_path: Path) -> None:
    (tmp_path / "makegood.toml").write_text(CONFIG)
    admin = token(tmp_path, "admin")
    held = {"Authorization": f"Bearer {admin}"}
    with Logged(tmp_path, environment={"SHOP_TOKEN": "hunter2-env"}) as served:
        assert served.ask("PUT", "/v1/workflows/trip", TRIP, **held)[0] == 201
        given = {"workflow": "trip", "id": "x", "input": {"card": "hunter2-input"}}
        assert served.ask("POST", "/v1/executions", given, **held)[0] == 201
        served.ask("GET", "/v1/executions/x?wait=10s", **held)
        served.ask("POST", "/v1/executions/x/signals/go", {"pin": "hunter2-signal"}, **held)
        served.ask("GET", "/v1/executions", Authorization="Bearer nonsense-token")
        url = "postgresql://me:hunter2-dsn@db/x"
        served.ask("PUT", "/v1/services/other", {"url": url}, **held)
        served.ask("POST", f"/v1/executions/x/signals/{url.replace('/', '%2F')}", {}, **held)
        (tmp_path / "tokens.toml").write_text("= broken")
        assert served.stop() == 0

    said = "\n".join(served.said)
    lines = served.lines()
    assert {each["event"] for each in lines} <= STABLE
    assert {"server_listens", "write_asked", "server_stops"} <= {each["event"] for each in lines}
    assert all(list(each)[:3] == ["time", "level", "event"] for each in lines)
    assert all(datetime.fromisoformat(each["time"]).utcoffset() is not None for each in lines)
    for secret in (*SECRETS, admin, "nonsense-token"):
        assert secret not in said
    asked = next(each for each in lines if each["event"] == "write_asked" and each["path"] == "/v1/executions")
    assert {"who": "admin", "method": "POST", "verdict": "201"}.items() <= asked.items()


def test_who_resumes_what_is_said_with_its_id(tmp_path: Path) -> None:
    waits = {"name": "waits", "steps": [{"id": "go", "signal": "go"}]}
    with Logged(tmp_path) as served:
        served.ask("PUT", "/v1/workflows/waits", waits)
        served.ask("POST", "/v1/executions", {"workflow": "waits", "id": "x"})
        served.stop()
    with Logged(tmp_path) as served:
        served.ask("POST", "/v1/executions/x/signals/go", {})
        served.stop()

    assert {"level": "info", "event": "execution_resumed", "execution": "x", "crashes": 0}.items() <= next(
        each for each in served.lines() if each["event"] == "execution_resumed"
    ).items()


def test_the_configuration_chooses_and_the_option_wins(tmp_path: Path) -> None:
    (tmp_path / "makegood.toml").write_text('[server]\nlog_format = "json"\n')
    with Served(tmp_path, ("--log-format", "text")) as served:
        assert served.stop() == 0

    assert any(line.startswith("info: server_listens url=") for line in served.said)


@pytest.mark.parametrize(
    ("words", "code", "event"),
    [(("--database", "/proc/none/x.db"), 6, "server_failed"), (("--listen", "0.0.0.0:0"), 2, "server_failed")],
)
def test_what_ends_the_server_is_a_line_too(tmp_path: Path, words: tuple[str, ...], code: int, event: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "makegood", "serve", "--log-format", "json", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    last = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, last["event"], last["level"]) == (code, event, "error")
    assert last["code"]
    assert "Traceback" not in done.stderr


def test_a_format_that_there_is_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "makegood", "serve", "--log-format", "xml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "'text' or 'json'" in done.stderr
