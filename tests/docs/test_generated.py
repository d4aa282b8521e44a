"""Pages that are written from the code, links, and locks are up to date: the same checks as `make check`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = {"rules.md"}


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(ROOT))
    from tools import reference as module

    return module


@pytest.mark.parametrize("tool", ["tools/docs.py", "tools/locks.py"])
def test_nothing_is_out_of_date(tool: str) -> None:
    done = subprocess.run([sys.executable, tool, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", sorted((ROOT / "docs/reference").glob("*.md")), ids=lambda page: page.name)
def test_a_page_of_the_reference_says_that_it_is_generated(page: Path) -> None:
    first = page.read_text(encoding="utf-8").split("\n", 1)[0]

    assert first.startswith("<!-- Written by `make docs` from ") or page.name in BY_HAND


def test_a_code_without_a_text_is_refused(reference) -> None:
    with pytest.raises(reference.Missing, match="says nothing of the codes: new_code"):
        reference.settled("the codes", {"old_code", "new_code"}, {"old_code"})


def test_a_text_without_a_code_is_refused(reference) -> None:
    with pytest.raises(reference.Missing, match="explains the codes that are not there: old_code"):
        reference.settled("the codes", set(), {"old_code"})


def test_every_code_that_the_tests_of_the_language_expect_is_found_in_its_source(reference) -> None:
    found = reference.problem_codes()

    assert {"unknown_step", "not_yet_run", "yaml_syntax", "bad_id", "unknown_service", "uncompensated_call"} <= found
