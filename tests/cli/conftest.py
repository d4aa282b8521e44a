"""The command line in this process, as fast as a function; `processes` has it as a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runs import Cli, Elsewhere, Ran

from makegood.cli import _run
from recording_service import RecordingService

TRIP = """\
name: trip
steps:
  - {id: hotel, call: hotels.reserve, compensation: hotels.cancel}
  - {id: pay, call: hotels.charge, compensation: hotels.refund}
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs one command in an empty folder; without any configuration of this machine."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["makegood", *words])
        capsys.readouterr()
        code = _run()
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def service() -> Iterator[RecordingService]:
    with RecordingService() as running:
        yield running


ONE_UNDO = """\
name: trip
defaults: {compensation: {retry: {max_attempts: 1}}}
steps:
  - {id: hotel, call: hotels.reserve, compensation: hotels.cancel}
  - {id: pay, call: hotels.charge, compensation: hotels.refund}
"""


@pytest.fixture
def one_undo(tmp_path: Path) -> str:
    """The same where an undo is tried once."""
    (tmp_path / "one_undo.yaml").write_text(ONE_UNDO)
    return "one_undo.yaml"


@pytest.fixture
def hotels(service: RecordingService) -> tuple[str, str]:
    """The options that make the service known."""
    return ("--service", f"hotels={service.url}")


@pytest.fixture
def trip(tmp_path: Path) -> str:
    """A definition of two calls with compensations, in `trip.yaml`."""
    (tmp_path / "trip.yaml").write_text(TRIP)
    return "trip.yaml"


APPROVAL = """\
name: approval
steps:
  - {id: hotel, call: hotels.reserve, compensation: hotels.cancel}
  - {id: approve, signal: approved, schema: {type: object, required: [by]}}
"""


@pytest.fixture
def waiting(cli: Cli, hotels: tuple[str, str], tmp_path: Path) -> str:
    """The file of an execution `w` that waits for a signal, and no engine."""
    (tmp_path / "approval.yaml").write_text(APPROVAL)
    assert cli("run", "approval.yaml", *hotels, "--id", "w", "--timeout", "100ms").code == 5
    return "approval.yaml"


@pytest.fixture
def running_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Elsewhere]:
    """Starts commands in processes of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(each for each in sys.path if each))
    return Elsewhere
