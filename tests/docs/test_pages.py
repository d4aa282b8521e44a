"""What the documentation shows is so: definitions load, configurations too, Python compiles, commands exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from pages import PAGES, ROOT, Block, blocks

from makegood.app.config import load_config
from makegood.cli.program import app
from makegood.language import load

DEFINITIONS = [block for block in blocks("yaml", "json") if re.search(r"\bsteps\b", block.text)]
CONFIGURATIONS = [block for block in blocks("toml") if re.search(r"^\[", block.text, re.MULTILINE)]
PYTHON = list(blocks("python"))
GENERATED = {"docs/reference/python.md", "docs/reference/participant.md"}  # signatures, not programs
HOW_TO = sorted((ROOT / "docs/howto").glob("*.md"))
LINK = re.compile(r"\]\(([^)#\s]+)")
GLUE = {"&", "&&", "|", "||", ";", ">", "2>", ">>"}
PLACEHOLDERS = {"COMMAND", "..."}


def command_lines() -> Iterator[tuple[str, list[str]]]:
    for block in blocks("sh", ""):
        lines = re.sub(r"\\\n\s*", " ", block.text).splitlines()
        for number, line in enumerate(lines, block.line + 1):
            words = shlex.split(line, comments=True) if "makegood " in line else []
            while "makegood" in words:
                words = words[words.index("makegood") + 1 :]
                end = next((at for at, word in enumerate(words) if word in GLUE or word.endswith(";")), len(words))
                if block.page.relative_to(ROOT).as_posix() != "docs/reference/cli.md":
                    yield f"{block.page.relative_to(ROOT)}:{number}", words[:end]


COMMANDS = list(command_lines())


@pytest.mark.parametrize("block", DEFINITIONS, ids=str)
def test_a_definition_that_is_shown_loads(block: Block) -> None:
    loaded = load(block.text, source=f"{block}.{block.language}", name="example")

    assert not [each for each in loaded.warnings if each.code != "uncompensated_call"]


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_every_how_to_shows_a_whole_definition(page: Path) -> None:
    assert any(block.page == page for block in DEFINITIONS)


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=str)
def test_a_configuration_that_is_shown_loads(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "makegood.toml"
    file.write_text(block.text, encoding="utf-8")

    load_config(str(file))


@pytest.mark.parametrize("block", [each for each in PYTHON if str(each).split(":")[0] not in GENERATED], ids=str)
def test_python_that_is_shown_compiles_and_uses_public_names(block: Block) -> None:
    public = set((ROOT / "tests/architecture/public_names.txt").read_text(encoding="utf-8").split())

    tree = ast.parse(block.text)

    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mg"
    }
    assert used <= public, f"not public: {sorted(used - public)}"


@pytest.mark.parametrize(
    ("where", "words"), COMMANDS, ids=[f"{where} {' '.join(words)[:40]}" for where, words in COMMANDS]
)
def test_a_command_that_is_shown_exists(where: str, words: list[str]) -> None:
    group = typer.main.get_command(app)
    assert words, where
    if words[0].startswith("-") or PLACEHOLDERS & set(words):
        return

    while hasattr(group, "commands"):
        assert words[0] in group.commands, f"{where}: there is no command {words[0]!r}"
        group, words = group.commands[words[0]], words[1:]

    group.make_context(where, list(words))  # raises when an option or an argument is not one


def test_the_tutorial_shows_commands() -> None:
    shown = {words[0] for where, words in COMMANDS if where.startswith("docs/tutorial/first-saga.md")}

    assert {"check", "run", "list", "show", "history", "cancel"} <= shown


def test_every_page_can_be_reached_from_the_front() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        ahead += [(page.parent / link).resolve() for link in LINK.findall(page.read_text(encoding="utf-8"))]

    ours = [page for page in PAGES if not page.is_relative_to(ROOT / "examples")]
    assert [str(page.relative_to(ROOT)) for page in ours if page not in reached] == []


def test_ends_that_are_shown_are_told_as_the_command_line_tells_them() -> None:
    ended = r"completed|(failed|compensated|compensation failed); the cause: .+|suspended \(.+"
    refused = r"cannot be rerun from there: .+"
    told = re.compile(rf"execution \S+ ({ended}|{refused})")
    shown = [
        (str(block), line)
        for block in blocks("text")
        for line in block.text.splitlines()
        if line.startswith("execution ") and not line.startswith(("execution  ", "execution 01"))
    ]

    assert shown
    assert [each for each in shown if not told.fullmatch(each[1])] == []
