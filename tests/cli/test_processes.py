"""`makegood` as a program: signals, a kill in mid-flight, pipes, terminals, and how fast it starts."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest
from cli_runs import Cli, Elsewhere

from recording_service import Answer, RecordingService

SLOW_TO_LOAD = ("apsw", "jsonschema_rs", "pyreqwest", "re2", "rich", "typer", "uvloop", "yaml")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_gracefully_and_the_same_command_goes_on(
    number: signal.Signals,
    cli: Cli,
    trip: str,
    hotels: tuple[str, str],
    service: RecordingService,
    running_elsewhere: type[Elsewhere],
) -> None:
    held = service.hold("charge")
    command = ("run", trip, *hotels, "--id", "a")
    with running_elsewhere(*command, stderr=subprocess.STDOUT) as engine:
        service.wait_for("charge")
        engine.process.send_signal(number)
        code, out = engine.end()
    held.set()

    again = cli(*command)

    assert code == 130
    assert "interrupted; execution a is running and goes on with:" in out
    assert "makegood run trip.yaml --id a" in out
    assert "Traceback" not in out
    assert again.code == 0
    assert service.methods == ["reserve", "charge", "charge"]


def test_kill_in_mid_flight_and_the_same_command_goes_on(
    cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService, running_elsewhere: type[Elsewhere]
) -> None:
    held = service.hold("charge")
    command = ("run", trip, *hotels, "--id", "a", "--input", '{"guest": "Ada"}')
    with running_elsewhere(*command) as engine:
        service.wait_for("charge")
        engine.process.kill()
        engine.end()
    held.set()

    again = cli(*command)

    assert again.code == 0
    assert again.json == {"done": "charge"}
    # What was settled is never called again; what was under way is sent again with the same key.
    assert service.methods == ["reserve", "charge", "charge"]
    assert service.calls[1][3] == service.calls[2][3]


def test_stdout_is_the_result_alone(trip: str, hotels: tuple[str, str], running_elsewhere: type[Elsewhere]) -> None:
    with running_elsewhere("run", trip, *hotels) as program:
        code, out = program.end()

    assert (code, json.loads(out)) == (0, {"done": "charge"})


def test_reader_that_leaves_is_no_traceback(
    cli: Cli, trip: str, hotels: tuple[str, str], running_elsewhere: type[Elsewhere]
) -> None:
    cli("run", trip, *hotels, "--id", "a")
    environment = dict(os.environ)
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "makegood", "history", "a"], stdout=writing, stderr=subprocess.PIPE, env=environment,
        check=False, timeout=30,
    )  # fmt: skip
    os.close(writing)

    assert (done.returncode, done.stderr) == (141, b"")


def test_progress_that_nobody_reads_stops_no_execution(
    trip: str, hotels: tuple[str, str], service: RecordingService, running_elsewhere: type[Elsewhere]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    with running_elsewhere("run", trip, *hotels, stderr=writing) as program:
        _, out = program.end()
    os.close(writing)

    assert json.loads(out) == {"done": "charge"}
    assert service.methods == ["reserve", "charge"]


def test_streams_that_are_closed_are_no_trouble(
    trip: str, hotels: tuple[str, str], service: RecordingService, running_elsewhere: type[Elsewhere]
) -> None:
    command = [sys.executable, "-m", "makegood", "run", trip, *hotels]

    done = subprocess.run(["/bin/sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command], check=False, timeout=30)

    assert done.returncode == 0
    assert service.methods == ["reserve", "charge"]


def test_full_disk_behind_stdout_is_told(
    cli: Cli, trip: str, hotels: tuple[str, str], running_elsewhere: type[Elsewhere]
) -> None:
    cli("run", trip, *hotels)

    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "makegood", "list"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=30
        )

    assert done.returncode == 74
    assert done.stderr.decode() == "the output cannot be written: No space left on device\n"


def test_ascii_terminal_gets_what_it_can_show(
    cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService, monkeypatch: pytest.MonkeyPatch,
    running_elsewhere: type[Elsewhere],
) -> None:  # fmt: skip
    service.answers["charge"] = Answer(200, {"city": "Zürich"})
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    with running_elsewhere("run", trip, *hotels) as program:
        code, out = program.end()

    assert (code, json.loads(out)) == (0, {"city": "Zürich"})


@pytest.mark.parametrize("no_color", [False, True])
def test_terminal_gets_a_live_tree(
    no_color: bool, trip: str, hotels: tuple[str, str], service: RecordingService, monkeypatch: pytest.MonkeyPatch,
    running_elsewhere: type[Elsewhere],
) -> None:  # fmt: skip
    service.answers["charge"] = Answer(409, {"error": {"code": "no_money"}})
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PYTHONUTF8", "1")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    controller, terminal = pty.openpty()
    with running_elsewhere("run", trip, *hotels, stderr=terminal) as program:
        os.close(terminal)
        screen = _all_of(controller)
        code, out = program.end()

    assert (code, out) == (3, "")
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).replace("\r", "")
    assert "↩ hotel  hotels.cancel  undone" in last
    assert "✗ pay  hotels.charge" in last
    assert ("\x1b[3" in screen or "\x1b[1;3" in screen) is not no_color


def _all_of(descriptor: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode()


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import makegood", ()),
        ("import makegood; makegood.workflow, makegood.Engine, makegood.Call, makegood.NotFound", ("re2",)),
        ("import makegood.cli.program", ("typer",)),
    ],
)
def test_import_loads_nothing_slow(code: str, allowed: tuple[str, ...], running_elsewhere: type[Elsewhere]) -> None:
    script = f"{code}\nimport sys\nprint(*sorted(sys.modules))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)

    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & set(SLOW_TO_LOAD) - set(allowed) == set()


def test_version_and_help(running_elsewhere: type[Elsewhere]) -> None:
    with running_elsewhere("--version") as program:
        version = program.end()
    with running_elsewhere("--help") as program:
        help_ = program.end()

    assert version[0] == help_[0] == 0
    assert re.fullmatch(r"makegood \d+\.\d+\.\d+\S*\n", version[1])
    assert "run " in help_[1]
