"""The examples load without a mistake or a warning, and call only what the example services offer."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from example_services import EXAMPLES, ExampleServices

from makegood.language import load
from makegood.language.graph import to_svg
from makegood.language.graph.words import parts
from makegood.model import Call, Step

DEFINITIONS = sorted(EXAMPLES.glob("*/*.yaml"))
INPUTS = sorted(EXAMPLES.glob("*/inputs/*.json"))
ALONE = "stay"  # has services and a configuration of its own


def configured(folder: Path = EXAMPLES) -> set[str]:
    own = folder / "makegood.toml"
    return set(tomllib.loads((own if own.exists() else EXAMPLES / "makegood.toml").read_text())["services"])


def steps_of(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        for part in parts(step):
            yield from steps_of(part.steps)


def methods(file: Path) -> set[str]:
    found = set()
    for step in steps_of(load(file.read_bytes(), source=file.name).definition.steps):
        if isinstance(step, Call):
            found.add(step.call)
            if step.compensation is not None:
                found.add(step.compensation.call)
    return found


def test_there_are_ten() -> None:
    assert [file.stem for file in DEFINITIONS] == [
        "checkout", "contacts", "rollout", "access-review", "equipment", "onboarding", "order", "purchase", "stay",
        "trip",
    ]  # fmt: skip


@pytest.mark.parametrize("file", DEFINITIONS, ids=lambda file: file.stem)
def test_it_loads_without_a_warning(file: Path) -> None:
    loaded = load(file.read_bytes(), source=file.name, services=configured(file.parent))

    assert loaded.warnings == ()


@pytest.mark.parametrize("file", DEFINITIONS, ids=lambda file: file.stem)
def test_it_has_a_picture(file: Path) -> None:
    ET.fromstring(to_svg(load(file.read_bytes(), source=file.name).definition))


@pytest.mark.parametrize("file", [each for each in DEFINITIONS if each.stem != ALONE], ids=lambda file: file.stem)
def test_the_services_offer_what_it_calls(file: Path, services: ExampleServices) -> None:
    for number, method in enumerate(sorted(methods(file))):
        assert services.call(method, f"offered-{file.stem}:s{number}:do", {})[0] == 200, method


def test_the_configuration_names_the_services_that_there_are(services: ExampleServices) -> None:
    offered = services.request("/healthz", method="GET")[1]["services"]

    assert sorted(configured()) == offered


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: f"{file.parts[-3]}-{file.stem}")
def test_each_input_stands_in_the_readme(file: Path) -> None:
    readme = (file.parents[1] / "README.md").read_text()

    assert isinstance(json.loads(file.read_text()), dict)
    assert re.search(rf"^\| `{re.escape(file.name)}` \|", readme, re.MULTILINE)
    assert f"inputs/{file.name}" in readme
