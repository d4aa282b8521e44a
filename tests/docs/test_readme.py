"""What the front page shows works: its YAML is a valid definition, its Python compiles, its commands exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from makegood.language import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "README.zh-CN.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for found, body in BLOCK.findall(text) if found == language]


@pytest.mark.parametrize("page", PAGES)
def test_yaml_examples_are_valid_definitions(page: str) -> None:
    examples = blocks(page, "yaml")
    assert examples

    for example in examples:
        loaded = load(example, source="trip.yaml")

        assert loaded.definition.name == "trip"


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_compile_and_use_public_names(page: str) -> None:
    public = set((ROOT / "tests/architecture/public_names.txt").read_text(encoding="utf-8").split())
    examples = blocks(page, "python")
    assert examples

    for example in examples:
        tree = ast.parse(example)
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mg"
        }

        assert used <= public, f"not public: {sorted(used - public)}"


def test_both_languages_show_the_same_code() -> None:
    yaml = [blocks(page, "yaml") for page in PAGES]
    commands = [blocks(page, "") for page in PAGES]

    assert yaml[0] == yaml[1]
    assert commands[0] == commands[1]


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_that_are_named_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)`", (ROOT / page).read_text(encoding="utf-8")))

    assert named <= targets
