"""A server process: it starts or says why not, stops gracefully, and what it was given survives it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from makegood.api.serving import Serving, check_exposed
from makegood.app.config import load_config
from makegood.errors import ConfigurationError
from recording_service import Answer, RecordingService
from served import PATIENCE_S, Served

pytestmark = pytest.mark.slow

WAITS = {"name": "waits", "steps": [{"id": "go", "signal": "go"}], "output": "${steps.go}"}
CALLS = {"name": "calls", "steps": [{"id": "a", "call": "slow.work"}]}


def refused(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "makegood", "serve", *words],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_it_says_where_it_listens_and_how_to_stop_it(tmp_path: Path) -> None:
    with Served(tmp_path, ("--node", "one")) as served:
        assert served.ask("GET", "/readyz") == (200, {"status": "ok", "node": "one"})
        assert served.stop() == 0
    said = "\n".join(served.said)
    assert f"makegood listens on {served.url}" in said
    assert "Ctrl+C" in said
    assert "Traceback" not in said
    assert (tmp_path / "makegood.db").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_waits_goes_on_with_the_next_process(tmp_path: Path, number: int) -> None:
    with Served(tmp_path) as served:
        served.ask("PUT", "/v1/workflows/waits", WAITS)
        served.ask("POST", "/v1/executions", {"workflow": "waits", "id": "x"})
        assert served.stop(number) == 0
    with Served(tmp_path) as served:
        assert served.ask("POST", "/v1/executions/x/signals/go", {"n": 1})[0] == 202
        assert served.ask("GET", "/v1/executions/x?wait=10s")[1]["output"] == {"n": 1}
        assert served.stop() == 0


def test_a_killed_server_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        served.ask("PUT", "/v1/workflows/waits", WAITS)
        for each in range(20):
            assert served.ask("POST", "/v1/executions", {"workflow": "waits", "id": f"x{each}"})[0] == 201
        served.process.kill()
        served.ended()
    with Served(tmp_path) as served:
        found = served.ask("GET", "/v1/executions?limit=100")[1]["executions"]
        assert {each["id"] for each in found} == {f"x{each}" for each in range(20)}
        assert served.stop() == 0


def test_while_it_drains_it_is_alive_not_ready_and_takes_nothing_new(tmp_path: Path) -> None:
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as slow, Served(tmp_path) as served:
        port = slow.getsockname()[1]

        def hang() -> None:
            connection, _ = slow.accept()
            with connection:
                called.set()
                while connection.recv(4096):
                    pass

        threading.Thread(target=hang, daemon=True).start()
        served.ask("PUT", "/v1/services/slow", {"url": f"http://127.0.0.1:{port}"})
        served.ask("PUT", "/v1/workflows/calls", CALLS)
        served.ask("POST", "/v1/executions", {"workflow": "calls", "id": "x"})
        assert called.wait(PATIENCE_S)
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("server_stops")

        assert served.ask("GET", "/readyz")[0] == 503
        assert served.ask("GET", "/healthz")[0] == 200
        assert served.ask("POST", "/v1/executions", {"workflow": "calls"})[0] == 503
        assert served.ended() == 0


def test_a_port_that_is_in_use(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        code, said = refused(tmp_path, "--listen", served.url.removeprefix("http://"), "--database", "other.db")

    assert code == 2
    assert "in use by another program" in said
    assert "--listen" in said


def test_a_database_that_is_held(tmp_path: Path) -> None:
    with Served(tmp_path):
        code, said = refused(tmp_path, "--listen", "127.0.0.1:0")

    assert code == 6
    assert "holds" in said or "held" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--listen", "nonsense"), 2, "HOST:PORT"),
        (("--listen", "127.0.0.1:99999"), 2, "HOST:PORT"),
        (("--listen", "no.such.host.invalid:1"), 2, "can be reached from other machines"),
        (("--listen", "0.0.0.0:0"), 2, "insecure = true"),
        (("--config", "none.toml"), 2, "none.toml"),
        (("--database", "/proc/none/x.db"), 6, "/proc/none"),
    ],
)
def test_what_cannot_be_served(tmp_path: Path, words: tuple[str, ...], code: int, message: str) -> None:
    found, said = refused(tmp_path, *words)

    assert (found, message in said, "Traceback" in said) == (code, True, False), said


@pytest.mark.parametrize(
    ("listen", "text", "allowed"),
    [
        ("127.0.0.1:1", "", True),
        ("127.8.9.1:1", "", True),
        ("[::1]:1", "", True),
        ("localhost:1", "", True),
        ("0.0.0.0:1", "", False),
        ("[::]:1", "", False),
        ("10.0.0.1:1", "", False),
        ("localhost.example:1", "", False),
        ("0.0.0.0:1", "[server]\ninsecure = true", True),
        ("0.0.0.0:1", '[auth]\ntokens_file = "t.toml"', True),
    ],
)
def test_strangers_are_not_let_in_by_mistake(tmp_path: Path, listen: str, text: str, allowed: bool) -> None:
    file = tmp_path / "makegood.toml"
    file.write_text(text)
    serving = Serving(config=load_config(str(file), {}), listen=listen)

    if allowed:
        check_exposed(serving)
    else:
        with pytest.raises(ConfigurationError, match="insecure = true"):
            check_exposed(serving)


def test_the_configured_address_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "makegood.toml").write_text('[server]\nlisten = "0.0.0.0:0"\n')

    code, said = refused(tmp_path)

    assert (code, "[auth]" in said) == (2, True)


def test_tokens_are_made_used_and_taken_away(tmp_path: Path) -> None:
    (tmp_path / "makegood.toml").write_text('[auth]\ntokens_file = "tokens.toml"\n')

    def token(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "makegood", "token", *words],
            cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    made = token("add", "ci", "--role", "operator").stdout.strip()
    assert (tmp_path / "tokens.toml").stat().st_mode & 0o777 == 0o600
    assert token("add", "ci", "--role", "admin").returncode == 2
    assert token("add", "x", "--role", "boss").returncode == 2
    assert token("list").stdout.split() == ["NAME", "ROLE", "ci", "operator"]
    with Served(tmp_path) as served:
        assert served.ask("GET", "/v1/executions")[0] == 401
        assert served.ask("GET", "/v1/executions", Authorization=f"Bearer {made}")[0] == 200
        assert served.ask("DELETE", "/v1/services/x", Authorization=f"Bearer {made}")[0] == 403
        assert served.stop() == 0
    assert made not in "\n".join(served.said)
    assert token("remove", "ci").returncode == 0
    assert token("remove", "ci").returncode == 2


def test_what_holds_is_printed_with_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "makegood.toml").write_text(
        '[storage]\nconnection_string = "postgresql://me:hidden@db/x"\n'
        '[services.hotels]\nurl = "http://h"\nheaders = {A = "env:T", B = "hidden"}\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "makegood", "serve", "--print-config", "--json", "--listen", "127.0.0.1:7"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "MAKEGOOD_WORKFLOW_ENGINE__LEASE_SECONDS": "5"},
    )  # fmt: skip
    found: dict[str, Any] = {each["key"]: (each["value"], each["from"]) for each in json.loads(done.stdout)}

    assert found["storage.connection_string"] == ("postgresql://me:***@db/x", "makegood.toml:2")
    assert found["workflow_engine.lease_seconds"] == (5.0, "MAKEGOOD_WORKFLOW_ENGINE__LEASE_SECONDS")
    assert found["server.listen"] == ("127.0.0.1:7", "--listen")
    assert found["storage.type"] == ("sqlite", "default")
    assert found["services.hotels.headers"] == ({"A": "env:T", "B": "***"}, "makegood.toml:5")
    assert "hidden" not in done.stdout


# --- on the wire -------------------------------------------------------------------------------


def raw(served: Served, data: bytes, *, close: bool = False) -> bytes:
    """What is answered to these bytes, until the server closes."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
                if b"\r\n\r\n" in found and not close and b"onnection: close" not in found:
                    break
        except ConnectionResetError:
            # It did not read all that we sent, and said so.
            return found
    return found


def test_what_is_no_http_harms_nobody(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        for data in (
            b"nonsense\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /v1/executions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /v1/executions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ):
            found = raw(served, data, close=True)
            assert not found or found.startswith(b"HTTP/1.1 4"), (data, found)
        assert served.ask("GET", "/healthz")[0] == 200
        assert served.stop() == 0
    assert not any("Traceback" in line for line in served.said), served.said


def test_a_head_without_end_is_cut_off(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        found = raw(served, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 300_000)
        assert not found or found.startswith(b"HTTP/1.1 431 ")
        # A long one that ends is read, and a body is no head.
        long = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 30_000 + b"\r\n\r\n"
        assert raw(served, long).startswith(b"HTTP/1.1 200 ")
        status, _ = served.ask("PUT", "/v1/workflows/waits", {**WAITS, "description": "x" * 500_000})
        assert status == 201
        assert served.stop() == 0


@pytest.fixture
def service() -> Iterator[RecordingService]:
    with RecordingService() as running:
        yield running


def test_a_call_that_was_accepted_is_told_of_after_the_server_has_died(
    tmp_path: Path, service: RecordingService
) -> None:
    service.answers["reserve"] = Answer(202, {})
    (tmp_path / "makegood.toml").write_text(
        '[callbacks]\nurl = "https://makegood.example.test"\nsecret = "env:CALLBACK_SECRET"\n'
        f'[services.hotels]\nurl = "{service.url}"\nmethods = {{reserve = {{callback = true}}}}\n'
    )
    environment = {"CALLBACK_SECRET": "an old secret that nobody guesses"}
    steps = [{"id": "a", "call": "hotels.reserve", "compensation": "hotels.cancel"}]
    with Served(tmp_path, environment=environment) as first:
        assert first.ask("PUT", "/v1/workflows/trip", {"steps": steps})[0] == 201
        assert first.ask("POST", "/v1/executions", {"workflow": "trip", "id": "t"})[0] == 201
        service.wait_for("reserve")
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    address = service.callbacks[0]
    assert address is not None
    target = address.removeprefix("https://makegood.example.test")
    with Served(tmp_path, environment=environment) as second:
        assert second.ask("POST", target.replace("t%3A", "x%3A"), {"output": 1})[0] == 401
        assert second.ask("POST", target, {"output": {"room": 7}})[0] == 202
        code, view = second.ask("GET", "/v1/executions/t?wait=20s")
        assert second.ask("POST", target, {"output": {"room": 7}})[0] == 202
        assert second.ask("POST", target, {"output": {"room": 8}})[0] == 409
    assert (code, view["status"], view["output"]) == (200, "completed", {"room": 7})
    # Whether the first answer was recorded before the kill decides if it was asked again; the address is the same.
    assert set(service.callbacks) == {address}
    assert "an old secret" not in "\n".join([*first.said, *second.said])
    assert address.rpartition("=")[2] not in "\n".join([*first.said, *second.said])
