"""`makegood test`: finding, playing, reporting."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from makegood.cli import _run

ROOT = Path(__file__).parents[2]
Cli = Callable[..., tuple[int, str, str]]

DEFINITION = """\
name: order
steps:
  - {id: reserve, call: stock.reserve, compensation: stock.release}
  - {id: charge, call: cards.charge, compensation: cards.refund}
"""
HOLDS = """\
- id: paid
  title: All is well
  definition: ../order.yaml
  input: {amount: 75}
  expect: {status: completed, calls: [stock.reserve, cards.charge]}
"""
FAILS = """\
- id: declined
  title: The card is no good
  definition: ../order.yaml
  services:
    cards.charge: [{reject: "a <b> & \\x01"}]
  input: {amount: 75, lines: [{sku: tea, n: 1}]}
  expect:
    status: compensated
    calls: [stock.reserve, cards.charge, cards.refund, stock.release]
    bodies: {cards.charge: {amount: 80, lines: [{sku: tea, n: 2}]}}
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs `makegood test` in a folder with two scenarios, one of which fails."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "order.yaml").write_text(DEFINITION)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "good.yaml").write_text(HOLDS)
    (tmp_path / "scenarios" / "bad.yaml").write_text(FAILS)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["makegood", "test", *words])
        code = _run()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_what_comes_as_expected_is_one_line(cli: Cli) -> None:
    code, out, _ = cli("scenarios/good.yaml")
    lines = out.splitlines()

    assert code == 0
    assert lines[0].startswith("ok    paid  All is well  (")
    assert lines[1].startswith("1 passed, 0 failed in ")
    assert len(lines) == 2


def test_what_comes_otherwise_is_told_call_by_call_and_path_by_path(cli: Cli) -> None:
    code, out, _ = cli("scenarios/bad.yaml")

    assert code == 1
    assert out.startswith("FAIL  declined  The card is no good  (")
    assert "      scenarios/bad.yaml:1\n" in out
    assert (
        "      calls:\n"
        "          expected       got\n"
        "          stock.reserve  stock.reserve\n"
        "          cards.charge   cards.charge\n"
        "        - cards.refund\n"
        "          stock.release  stock.release\n"
    ) in out
    assert "        /amount: expected 80, got 75\n        /lines/0/n: expected 2, got 1\n" in out
    assert "0 passed, 1 failed in " in out


@pytest.mark.parametrize("path", [".", "scenarios", "scenarios/*.yaml", "**/*d.yaml"])
def test_folders_and_globs_are_searched(cli: Cli, path: str) -> None:
    code, out, _ = cli(path)

    assert code == 1
    assert "1 passed, 1 failed" in out


def test_a_file_that_is_given_twice_counts_once(cli: Cli) -> None:
    assert "1 passed, 0 failed" in cli("scenarios/good.yaml", "./scenarios/good.yaml", "-k", "paid", "scenarios")[1]


@pytest.mark.parametrize(
    ("words", "passed", "failed"),
    [
        ("paid", 1, 0), ("PAID", 1, 0), ("not paid", 0, 1), ("paid or card", 1, 1), ("all is well", 1, 0),
        ("paid and well", 1, 0), ("not paid and card or all", 1, 1),
    ],
)  # fmt: skip
def test_names_are_filtered(cli: Cli, words: str, passed: int, failed: int) -> None:
    assert f"{passed} passed, {failed} failed" in cli(".", "-k", words)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.yaml"], "none.yaml: there is no such file or folder"),
        (["scenarios/*.json"], "there is no such file or folder"),
        (["order.yaml"], "order.yaml:1:1: it must be a list"),
        (["scenarios", "-k", "zzz"], "-k 'zzz' leaves none of the 2 scenarios"),
        (["scenarios", "-k", "a or"], "write words with"),
        (["empty"], "there are no scenarios in empty"),
        (["scenarios", "twice.yaml"], "the id 'paid' is taken by scenarios/good.yaml:1"),
        ([], "PATH"),
    ],
)
def test_bad_usage_exits_2(cli: Cli, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice.yaml").write_text(HOLDS.replace("../", ""))

    code, _, err = cli(*words)

    assert code == 2
    assert said in err


def test_every_file_with_mistakes_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "scenarios" / "a.yaml").write_text("- {id: a}\n")
    (tmp_path / "scenarios" / "b.yaml").write_text("- {id: b}\n")

    code, out, err = cli(".")

    assert (code, out) == (2, "")
    assert "scenarios/a.yaml:1:3: A scenario needs the key 'definition'." in err
    assert "scenarios/b.yaml:1:3: " in err


def test_a_definition_that_is_refused_is_told_with_its_own_place(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text(DEFINITION.replace("compensation: cards", "compensations: cards"))
    (tmp_path / "inline.yaml").write_text(
        "- id: inline\n  definition:\n    name: a\n    steps: [{id: b, cal: c.d}]\n  expect: {status: completed}\n"
    )

    code, out, _ = cli("scenarios/good.yaml", "inline.yaml")

    assert code == 1
    assert "refused: expected nothing to be refused, and definition was\n" in out
    assert "order.yaml:4:38: " in out
    assert "inline.yaml:4:26: " in out


def test_programs_get_json(cli: Cli) -> None:
    code, out, _ = cli(".", "--json")
    told: dict[str, Any] = json.loads(out)

    assert (code, told["passed"], told["failed"]) == (1, 1, 1)
    bad, good = told["scenarios"]
    assert (good["id"], good["file"], good["line"], good["passed"]) == ("paid", "scenarios/good.yaml", 1, True)
    assert good["calls"][1] == {"at_ms": 0, "method": "cards.charge", "reply": "ok"}
    assert [each["key"] for each in bad["differences"]] == ["calls", "bodies"]
    assert bad["differences"][1]["details"] == ["/amount: expected 80, got 75", "/lines/0/n: expected 2, got 1"]


def test_ci_gets_a_junit_report(cli: Cli, tmp_path: Path) -> None:
    cli(".", "--junit", "report.xml")
    root = ET.parse(tmp_path / "report.xml").getroot()

    suites = {suite.get("name"): (suite.get("tests"), suite.get("failures")) for suite in root}
    assert suites == {"scenarios/bad.yaml": ("1", "1"), "scenarios/good.yaml": ("1", "0")}
    failure = root.find(".//failure")
    assert failure is not None
    assert "/amount: expected 80, got 75" in (failure.text or "")


def test_verbose_shows_the_calls(cli: Cli) -> None:
    assert "             0 ms  cards.charge: ok\n" in cli("scenarios/good.yaml", "--verbose")[1]


def test_with_crashes_every_record_is_crashed_after(cli: Cli) -> None:
    code, out, _ = cli("scenarios/good.yaml", "--crash")

    assert code == 0
    assert "ms, 5 crashes)" in out


def test_what_a_crash_changes_is_told(cli: Cli, tmp_path: Path) -> None:
    declined = FAILS.replace("cards.refund, ", "").replace("80", "75").replace("n: 2", "n: 1")
    pivot = DEFINITION.replace("compensation: cards.refund", "pivot: true")
    (tmp_path / "order.yaml").write_text(pivot)
    (tmp_path / "scenarios" / "bad.yaml").write_text(declined)

    assert cli("scenarios/bad.yaml")[0] == 0
    code, out, _ = cli("scenarios/bad.yaml", "--crash")

    assert code == 1
    assert "with a crash after record 4:\n" in out
    assert "status: expected compensated, got suspended" in out


@pytest.mark.parametrize("folder", ["examples", "tests/scenarios"])
def test_our_own_scenarios_hold_with_crashes(cli: Cli, folder: str) -> None:
    code, out, err = cli(str(ROOT / folder), "--crash")

    assert code == 0, out + err


def test_each_example_has_scenarios() -> None:
    examples = {path.parent for path in (ROOT / "examples").glob("*/*.yaml")}

    assert {path.parent.parent for path in (ROOT / "examples").glob("*/scenarios/*.yaml")} == examples
