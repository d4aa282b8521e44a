"""The definitions of the how-to pages do what the pages say: the scenarios of a page's name play them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from pages import ROOT, blocks

from makegood.cli.testing.running import Wish, run

HOW_TO = sorted((ROOT / "docs/howto").glob("*.md"))
SCENARIOS = Path(__file__).with_name("howto")
NAME = re.compile(r"^name: (\S+)$", re.MULTILINE)


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_definitions_of_a_page_do_what_it_says(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {found[1]: each.text for each in blocks("yaml") if each.page == page and (found := NAME.search(each.text))}
    for name, text in shown.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    scenarios = SCENARIOS / f"{page.stem}.yaml"
    shutil.copy(scenarios, tmp_path / "page.scenarios.yaml")

    code = run(Wish(paths=(str(tmp_path),), only=None, crash=False, verbose=False, junit=None, json=False))

    assert code == 0, capsys.readouterr().out
    assert [name for name in shown if f"{name}.yaml" not in scenarios.read_text(encoding="utf-8")] == []
