"""`makegood workflows diff`: what differs between two versions, and where their executions stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import Cli

from makegood.engine import census

APPROVAL_2 = """\
name: approval
timeout: 2h
steps:
  - {id: hotel, call: hotels.reserve, compensation: hotels.cancel, retry: {max_attempts: 5}}
  - {id: mail, call: hotels.mail, read_only: true}
  - {id: approve, signal: approved, schema: {type: object, required: [by]}}
"""


@pytest.fixture
def versions(cli: Cli, waiting: str, hotels: tuple[str, str], tmp_path: Path) -> str:
    """Two executions of version 1 that wait, one of them suspended, and version 2."""
    assert cli("run", waiting, *hotels, "--id", "v", "--timeout", "100ms").code == 5
    assert cli("suspend", "v").code == 0
    (tmp_path / "second.yaml").write_text(APPROVAL_2)
    assert cli("workflows", "put", "second.yaml").code == 0
    return "approval"


def test_changes_and_live_executions_are_told(cli: Cli, versions: str) -> None:
    ran = cli("workflows", "diff", "approval@1", "approval@2")

    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "approval@1 -> approval@2"
    assert '~   timeout  (none) -> "2h"' in lines
    assert any(line.startswith("~   retry  (none) -> {") for line in lines)
    assert '+ mail (call)  added  {"call": "hotels.mail", "read_only": true}' in lines
    assert lines[-5:] == [
        "live executions",
        "  approval@1  1 suspended, 1 running",
        "    1 suspended waiting at approve",
        "    1 waiting at approve",
        "  approval@2  none",
    ]


def test_the_same_as_json(cli: Cli, versions: str) -> None:
    told = cli("workflows", "diff", "approval@1", "approval", "--json").json

    assert told["before"] == {"source": "approval@1", "workflow": "approval", "version": 1}
    assert told["after"] == {"source": "approval@2", "workflow": "approval", "version": 2}
    assert [(each["change"], each["step"], each["key"]) for each in told["changes"]] == [
        ("changed", None, "timeout"), ("changed", "hotel", "retry"), ("added", "mail", None),
    ]  # fmt: skip
    assert "before" not in told["changes"][0]
    first, second = told["executions"]
    assert first["live"] == {"suspended": 1, "compensating": 0, "running": 1}
    assert first["standing"] == [
        {"step": "approve", "doing": "waiting", "status": "running", "executions": 1},
        {"step": "approve", "doing": "waiting", "status": "suspended", "executions": 1},
    ]
    assert (first["looked_into"], first["complete"]) == (2, True)
    assert (second["version"], second["looked_into"], second["complete"]) == (2, 0, True)


def test_a_count_that_was_cut_says_so(cli: Cli, versions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = cli("workflows", "diff", "approval@1", "approval@2", "--look-into", "1")
    monkeypatch.setattr(census, "ROWS_MAX", 1)
    monkeypatch.setattr(census, "PAGE", 1)
    cut = cli("workflows", "diff", "approval@1", "approval@2")

    assert "    (steps of 1 executions, the newest of each state; --look-into N for more)" in fewer.out.splitlines()
    assert "1 suspended, 1 running" in fewer.out
    assert "  approval@1  1 suspended, and more that were not counted" in cut.out.splitlines()


def test_a_file_is_compared_with_a_version_and_with_a_file(cli: Cli, versions: str, waiting: str) -> None:
    stored = cli("workflows", "diff", "approval", "second.yaml")
    files = cli("workflows", "diff", waiting, "second.yaml", "--database", "nowhere.db", "--json").json

    assert "no difference" in stored.out
    assert "approval@2 -> second.yaml" in stored.out
    assert files["before"] == {"source": "approval.yaml", "workflow": "approval", "version": None}
    assert len(files["changes"]) == 3
    assert files["executions"] == []


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        (("approval@1", "aproval@2"), ["no workflow 'aproval' is registered", "Did you mean 'approval'?"]),
        (("approval@1", "approval@7"), ["has no version 7", "There is 1 and 2."]),
        (("approval@1", "approval@two"), ["a version is a positive number", "approval@1"]),
        (("approval@0", "approval"), ["a version is a positive number"]),
        (("approval", "third.yaml"), ["third.yaml", "cannot be read"]),
        (("approval", "approval", "--look-into", "-1"), ["--look-into -1"]),
    ],
)
def test_what_cannot_be_compared(cli: Cli, versions: str, words: tuple[str, ...], pieces: list[str]) -> None:
    ran = cli("workflows", "diff", *words)

    assert (ran.code, ran.out) == (2, "")
    assert [piece for piece in pieces if piece not in ran.err] == []
