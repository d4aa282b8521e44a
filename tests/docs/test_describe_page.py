"""The page on descriptions says what `check` says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks

from makegood.cli import _run

PAGE = ROOT / "docs/howto/describe-a-service.md"


def test_the_messages_of_the_page_are_those_of_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    described, stay = [each.text for each in blocks("yaml") if each.page == PAGE]
    (settings,) = [each.text for each in blocks("toml") if each.page == PAGE]
    errors, warning = [each.text for each in blocks("text") if each.page == PAGE]
    monkeypatch.chdir(tmp_path)
    Path("hotels.yaml").write_text(described)
    Path("makegood.toml").write_text(settings)
    typo = stay.replace("steps.hotel.price", "steps.hotel.prize")
    cancel = '{call: hotels.cancel, input: {guest: "${step.input.guest}"}}'
    broken = typo.replace("nights: 2", "nights: 0").replace(cancel, "hotels.cansel").replace("guest:", "gest:")

    def check(text: str) -> tuple[int, str]:
        Path("stay.yaml").write_text(text)
        monkeypatch.setattr(sys, "argv", ["makegood", "check", "stay.yaml"])
        return _run(), capsys.readouterr().out

    assert check(stay) == (0, "")
    assert check(broken) == (2, errors)
    assert check(typo) == (0, warning)
    # JSON is read as well.
    Path("hotels.yaml").write_text(json.dumps({"openapi": "3.1.0", "paths": {}}))
    assert "describes no such method" in check(stay)[1]
