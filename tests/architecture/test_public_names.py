"""The public surface changes on purpose: a new or lost name shows up in the diff of a text file."""

from __future__ import annotations

from pathlib import Path

import makegood

LIST = Path(__file__).with_name("public_names.txt")


def pinned() -> list[str]:
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_public_names_are_the_pinned_ones() -> None:
    assert sorted(getattr(makegood, "__all__", [])) == sorted(pinned())


def test_every_public_name_is_there() -> None:
    missing = [name for name in pinned() if not hasattr(makegood, name)]

    assert not missing


def test_public_classes_and_functions_are_documented() -> None:
    named = [(name, getattr(makegood, name)) for name in pinned()]
    silent = [name for name, value in named if callable(value) and not value.__doc__]

    assert not silent
