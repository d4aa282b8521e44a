"""The commands of each example's README, as a reader enters them: each ends with the exit code that stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from example_services import EXAMPLES, ExampleServices
from stay_services import STAY, stay_services

pytestmark = pytest.mark.slow

READMES = sorted(EXAMPLES.glob("*/README.md"))
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"\((\d+)\)")


def commands(readme: Path) -> list[tuple[str, int]]:
    """Each `makegood` command with the exit code that its comment, or the row of its input, foretells."""
    text = readme.read_text(encoding="utf-8")
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("makegood ")]
    return [(line.partition("  #")[0], _foretold(line, text)) for line in lines]


def _foretold(line: str, text: str) -> int:
    told = line.partition("  #")[2]
    given = re.search(r"inputs/([\w-]+\.json)", line)
    if not told and given is not None:
        row = re.search(rf"^\| `{re.escape(given[1])}` \|([^|]*)\|", text, re.MULTILINE)
        assert row is not None, f"no row foretells how {given[1]} ends"
        told = row[1]
    code = CODE.search(told)
    assert code is not None or not told, f"no exit code is foretold: {told}"
    return 0 if code is None else int(code[1])


@pytest.fixture
def checkout(services: ExampleServices, tmp_path: Path) -> Path:
    """A folder with the examples, whose configuration leads to the services that run."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    _lead(tmp_path / "examples" / "makegood.toml", {"http://127.0.0.1:9000": services.address})
    return tmp_path


def _lead(configuration: Path, addresses: dict[str, str]) -> None:
    text = configuration.read_text()
    for written, real in addresses.items():
        text = text.replace(written, real)
    configuration.write_text(text)


def test_the_commands_of_the_stay_end_as_its_readme_says(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with stay_services(tmp_path_factory.mktemp("services")) as addresses:
        _lead(checkout / "examples" / "stay" / "makegood.toml", addresses)
        test_the_commands_of_a_readme_end_as_it_says(STAY / "README.md", checkout)


@pytest.mark.parametrize(
    "readme", [each for each in READMES if each.parent != STAY], ids=lambda readme: readme.parent.name
)
def test_the_commands_of_a_readme_end_as_it_says(readme: Path, checkout: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src")}
    assert len(commands(readme)) >= 4

    for command, code in commands(readme):
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command.partition(" > ")[0])],
            capture_output=True, text=True, timeout=60, cwd=checkout, env=environment, check=False,
        )  # fmt: skip

        assert done.returncode == code, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert "warning" not in done.stderr.lower()
