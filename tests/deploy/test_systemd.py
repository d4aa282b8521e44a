"""The systemd unit: what it runs exists, it is confined, and it has the time to stop."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from artefacts import DEPLOY, unit
from offered import STOPS_S, check_served, configured, parsed

FOLDER = DEPLOY / "systemd"
UNIT = unit(FOLDER / "makegood.service")
SERVICE = UNIT["Service"]
VARIABLE = re.compile(r"#?([A-Z][A-Z0-9_]*)=(.*)")


def variables(*, commented: bool) -> dict[str, str]:
    """Of the example of an environment file; with what it has commented out, or without."""
    lines = (FOLDER / "makegood.env").read_text(encoding="utf-8").splitlines()
    found = [(line, VARIABLE.fullmatch(line)) for line in lines]
    return {each[1]: each[2] for line, each in found if each and (line.startswith("#") <= commented)}


def test_it_runs_a_command_that_exists() -> None:
    (line,) = SERVICE["ExecStart"]
    words = shlex.split(line)

    assert words[0].endswith("/bin/makegood")
    assert parsed(words[1:])["config"] == "/etc/makegood/makegood.toml"


@pytest.mark.parametrize("commented", [False, True], ids=["as it comes", "with what is commented out"])
def test_the_example_of_a_configuration_is_served(commented: bool) -> None:
    given = {name: value for name, value in variables(commented=commented).items() if name.startswith("MAKEGOOD_")}
    file = (FOLDER / "makegood.toml").read_text(encoding="utf-8")

    config = configured(file, given)

    check_served(config)
    assert config.storage.type == ("postgres" if commented else "sqlite")
    assert config.auth.tokens_file is not None


def test_its_database_lies_in_its_own_folder() -> None:
    (state,) = SERVICE["StateDirectory"]

    path = variables(commented=False)["MAKEGOOD_STORAGE__CONNECTION_STRING"]

    assert Path(path).parent == Path("/var/lib") / state
    assert SERVICE["WorkingDirectory"] == [f"%S/{state}"]


def test_it_stops_gracefully() -> None:
    (seconds,) = SERVICE["TimeoutStopSec"]

    assert SERVICE["KillSignal"] == ["SIGTERM"]
    assert float(seconds) > 2 * STOPS_S


def test_a_crash_is_started_again_and_a_wrong_configuration_is_not() -> None:
    from makegood.cli import exits

    assert SERVICE["Restart"] == ["on-failure"]
    assert SERVICE["RestartPreventExitStatus"] == [str(exits.USAGE)]


def test_it_is_confined() -> None:
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictSUIDSGID"):
        assert SERVICE[name] == ["yes"], name
    assert SERVICE["ProtectSystem"] == ["strict"]
    assert SERVICE["CapabilityBoundingSet"] == [""]
    assert SERVICE["User"] == SERVICE["Group"] == ["makegood"]
    assert "u makegood " in (FOLDER / "makegood.sysusers").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_understands_it(tmp_path: Path) -> None:
    copy = tmp_path / "makegood.service"
    text = (FOLDER / "makegood.service").read_text(encoding="utf-8")
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE), encoding="utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )

    ours = [line for line in (done.stdout + done.stderr).splitlines() if "makegood.service" in line]
    assert (done.returncode, ours) == (0, [])
