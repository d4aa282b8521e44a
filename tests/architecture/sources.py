"""The code as data: every module of the package, and every test, parsed once."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "makegood"
TESTS = ROOT / "tests"


@dataclass(frozen=True, slots=True)
class Source:
    path: Path
    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The room it belongs to: `core`, `ports`; empty for the facade."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    def imports(self) -> list[tuple[int, str]]:
        """Line and full name of everything it imports, wherever the import stands."""
        found: list[tuple[int, str]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        return found


@cache
def modules() -> tuple[Source, ...]:
    return tuple(_read(path, "makegood", PACKAGE) for path in sorted(PACKAGE.rglob("*.py")))


@cache
def all_tests() -> tuple[Source, ...]:
    return tuple(_read(path, "tests", TESTS) for path in sorted(TESTS.rglob("*.py")))


def _read(path: Path, package: str, base: Path) -> Source:
    parts = [package, *path.relative_to(base).with_suffix("").parts]
    if parts[-1] == "__init__":
        parts.pop()
    text = path.read_text(encoding="utf-8")
    return Source(path.relative_to(ROOT), ".".join(parts), text, ast.parse(text, str(path)))


def dotted(node: ast.expr) -> str:
    """`datetime.now` of a call's target; empty when it is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""
