"""`makegood.load`: a definition from a path or from its text."""

from __future__ import annotations

from pathlib import Path

import pytest

import makegood as mg

TEXT = "name: trip\nsteps: [{id: a, call: hotels.x, read_only: true}]\n"


def test_text_and_path_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "trip.yaml").write_text(TEXT)

    assert mg.load(TEXT) == mg.load(tmp_path / "trip.yaml") == mg.load(str(tmp_path / "trip.yaml"))


def test_name_is_the_file_s_when_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "journey.yaml").write_text("steps: [{id: a, call: hotels.x, read_only: true}]")

    assert mg.load(tmp_path / "journey.yaml").name == "journey"
    assert mg.load(tmp_path / "journey.yaml", name="other").name == "other"


def test_mistakes_name_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "trip.yaml").write_text("name: trip\nsteps: [{id: a, cal: x}]")

    with pytest.raises(mg.DefinitionError, match=r"trip\.yaml:2:"):
        mg.load(tmp_path / "trip.yaml")
    with pytest.raises(mg.InputError, match="No such file"):
        mg.load("nope.yaml")


def test_services_are_checked_when_they_are_given() -> None:
    with pytest.raises(mg.DefinitionError, match="'hotels'"):
        mg.load(TEXT, services=["cars"])


def test_what_is_not_public_is_no_attribute() -> None:
    assert not hasattr(mg, "Registry")
    assert "Engine" in dir(mg)
