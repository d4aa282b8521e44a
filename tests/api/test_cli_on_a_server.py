"""The command line as a client: the same output from a server as from the database itself."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "cli"))

from cli_runs import Elsewhere

from makegood.cli import _run
from served import Served

pytestmark = pytest.mark.slow

TRIP = """\
name: trip
description: Two steps and a signal.
search: {city: input.city}
steps:
  - {id: a, set: "${input.city}"}
  - {id: go, signal: go}
output: {told: "${steps.go}"}
"""


class Runs:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]):
        self._monkeypatch, self._capsys, self._words = monkeypatch, capsys, words

    def __call__(self, *words: str, place: bool = True) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["makegood", *words, *(self._words if place else ())])
        self._capsys.readouterr()
        code = _run()
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trip.yaml").write_text(TRIP)
    with Served(tmp_path, ("--database", "s.db")) as running:
        yield running


@pytest.fixture
def there(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runs:
    """Commands at the server."""
    return Runs(monkeypatch, capsys, ("--server", served.url))


@pytest.fixture
def here(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runs:
    """The same on the database beside it."""
    return Runs(monkeypatch, capsys, ("--database", "s.db"))


def test_a_life_from_the_shell(there: Runs, here: Runs) -> None:
    assert there("workflows", "put", "trip.yaml")[:2] == (0, "trip version 1\n")
    assert there("workflows", "put", "trip.yaml")[:2] == (0, "trip version 1 (unchanged)\n")
    code, out, err = there("start", "trip", "--input", '{"city": "Rome"}', "--id", "x")
    assert (code, out) == (0, "x\n")
    assert "running" in err
    assert there("start", "trip", "--input", '{"city": "Oslo"}', "--id", "x")[0] == 2
    assert there("signal", "x", "gone", "--payload", "1")[0] == 2
    assert there("suspend", "x", "--note", "lunch", "--by", "ada")[:2] == (
        0, "suspend accepted: execution x is suspended.\n",
    )  # fmt: skip
    assert there("watch", "x")[0] == 5
    assert there("resume", "x")[0] == 0
    assert there("signal", "x", "go", "--payload", '{"n": 1}')[0] == 0
    assert there("cancel", "x")[0] == 1

    for words in (("list",), ("show", "x"), ("history", "x"), ("list", "--search", "city=Rome"), ("workflows", "list")):
        for form in ((), ("--json",)):
            told, kept = there(*words, *form), here(*words, *form)
            assert told == kept, words
            assert told[1], words
    assert there("workflows", "show", "trip") == here("workflows", "show", "trip")
    assert there("list", "--search", "city=Oslo")[1] == ""
    assert "ada" in there("history", "x")[1]
    code, out, err = there("watch", "x")
    assert code == 0
    assert "completed" in err
    assert there("watch", "x", "--json")[1] == there("show", "x", "--json")[1]


def test_an_end_is_waited_for(there: Runs) -> None:
    (Path.cwd() / "quick.yaml").write_text(
        "steps: [{id: a, fail: {error: no, message: no}}]\nerror_handling: fail_fast\n"
    )
    there("workflows", "put", "quick.yaml")

    code, out, _ = there("start", "quick", "--wait", "20s", "--json")

    assert (code, json.loads(out)["status"]) == (1, "failed")


def test_watch_follows_live(there: Runs, served: Served) -> None:
    there("workflows", "put", "trip.yaml")
    there("start", "trip", "--input", '{"city": 1}', "--id", "x")
    with Elsewhere("watch", "x", "--server", served.url, stderr=-1) as watching:
        assert watching.process.stderr is not None
        for line in watching.process.stderr:
            if "waits for signal" in line:
                break
        there("signal", "x", "go")
        rest = watching.process.stderr.read()
        assert watching.process.wait(30) == 0
    assert "signal 'go' received" in rest
    assert "completed" in rest


def test_services_from_the_shell(there: Runs) -> None:
    assert there("services", "put", "cars", "http://127.0.0.1:9", "--set", "max_concurrent=5")[0] == 0
    assert re.search(r"cars +database +http://127\.0\.0\.1:9 +1 of 1 +0 +5", there("services", "list")[1])
    assert there("services", "put", "cars", "ftp://x")[0] == 2
    assert there("services", "remove", "cars")[0] == 0
    assert there("services", "remove", "cars")[0] == 2
    assert there("services", "put", "cars", "http://x", place=False)[0] == 2


def test_pages_of_a_list(there: Runs) -> None:
    there("workflows", "put", "trip.yaml")
    for number in range(3):
        there("start", "trip", "--input", '{"city": 1}', "--id", f"x{number}")

    _, out, _ = there("list", "--limit", "2", "--json")
    cursor = json.loads(out)["cursor"]
    rest = json.loads(there("list", "--limit", "2", "--cursor", cursor, "--json")[1])

    assert [each["id"] for each in json.loads(out)["executions"] + rest["executions"]] == ["x2", "x1", "x0"]
    assert rest["cursor"] is None


def test_mistakes_are_told_as_they_are_on_a_database(there: Runs, here: Runs) -> None:
    (Path.cwd() / "broken.yaml").write_text("steps:\n  - {id: a, call: nowhere.go}\n")

    code, _, err = there("workflows", "put", "broken.yaml")
    assert code == 2
    assert "broken.yaml:2" in err
    for words in (("show", "nobody"), ("history", "nobody"), ("watch", "nobody"), ("list", "--status", "runing")):
        told, kept = there(*words), here(*words)
        assert (told[0], kept[0]) == (2, 2)
        assert "Traceback" not in told[2]


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gone = Runs(monkeypatch, capsys, ("--server", "http://127.0.0.1:1"))

    for words in (("list",), ("show", "x"), ("watch", "x"), ("start", "x"), ("cancel", "x"), ("workflows", "list")):
        code, out, err = gone(*words)
        assert (code, out) == (6, ""), words
        assert "cannot be asked" in err
        assert "Traceback" not in err
    for words in (
        ("list", "--server", "nonsense://x"),
        ("list", "--server", "http://x:0"),
        ("list", "--server", "http://x?y"),
    ):
        assert gone(*words, place=False)[0] == 2
    assert gone("list", "--database", "x.db")[0] == 2


def test_server_and_token_come_from_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "makegood.toml").write_text('[auth]\ntokens_file = "tokens.toml"\n')
    plain = Runs(monkeypatch, capsys, ())
    token: Any = plain("token", "add", "me", "--role", "viewer")[1].strip()
    with Served(tmp_path) as served:
        monkeypatch.setenv("MAKEGOOD_SERVER", served.url)
        assert plain("list")[0] == 2
        monkeypatch.setenv("MAKEGOOD_TOKEN", token)
        assert plain("list")[0] == 0
        code, _, err = plain("start", "x")
        assert (code, "needs operator" in err) == (2, True)


def test_a_start_into_a_database_goes_on_with_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trip.yaml").write_text("steps: [{id: a, set: 5}]")
    plain = Runs(monkeypatch, capsys, ("--database", "s.db"))
    plain("workflows", "put", "trip.yaml")
    code, out, err = plain("start", "trip", "--id", "x")
    assert (code, out) == (0, "x\n")
    assert "no engine is running" in err
    assert plain("start", "trip", "--wait", "1s")[0] == 2
    with Served(tmp_path, ("--database", "s.db")) as served:
        assert served.ask("GET", "/v1/executions/x?wait=20s")[1]["output"] == 5
        assert plain("start", "trip")[0] == 6
