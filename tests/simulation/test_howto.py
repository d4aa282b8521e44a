"""`docs/howto/test-a-saga.md`: its Python runs, its scenarios hold, its commands work."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from makegood.cli import _run
from makegood.simulation.expectation import differences
from makegood.simulation.scenario import play_on_core, read_scenario_file

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "docs/howto/test-a-saga.md").read_text(), re.MULTILINE | re.DOTALL)


def test_there_are_only_blocks_that_are_tested() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "yaml", "sh"}


def test_its_python_runs_one_block_after_the_other() -> None:
    names: dict[str, object] = {}
    for language, text in BLOCKS:
        if language == "python":
            exec(compile(text, "test-a-saga.md", "exec"), names)
    tests = [each for name, each in names.items() if name.startswith("test_")]

    assert len(tests) == 2
    for each in tests:
        each()  # type: ignore[operator]


def test_its_scenarios_hold(tmp_path: Path) -> None:
    definition, scenarios = (text for language, text in BLOCKS if language == "yaml")
    for text in (definition, scenarios):
        file = tmp_path / text.splitlines()[0].removeprefix("# ")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    found = read_scenario_file(str(tmp_path / "scenarios/order.yaml"))

    assert [differences(each, play_on_core(each)) for each in found] == [[]]


def test_its_commands_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]

    assert len(lines) == 4
    for line in lines:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        assert _run() == 0, line
