"""What import contracts cannot say: calls that read a clock, packages of others, the way back to the facade."""

from __future__ import annotations

import ast
import subprocess
import sys

from sources import Source, dotted, modules

PURE = ("core", "expression", "model", "errors")
CLOCKS = tuple(
    f"{module}{cls}.{method}"
    for module in ("", "datetime.")
    for cls in ("datetime", "date")
    for method in ("now", "utcnow", "today")
)
CLOCK_MODULES = ("time.", "_time.")
EXCEPTIONS = {
    ("makegood.expression.regex", "re2"): "linear-time matching; docs/decisions/0004-regular-expressions.md",
}
HEAVY = ("apsw", "jsonschema_rs", "pydantic", "re2", "rich", "ssl", "typer", "uvloop", "yaml")
"""What an `import makegood` must not pay for: it is imported where it is first needed."""


def test_the_core_reads_no_clock() -> None:
    found = [
        f"{source.path}:{node.lineno}: {dotted(node)}"
        for source in _pure()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and (dotted(node) in CLOCKS or dotted(node).startswith(CLOCK_MODULES))
    ]

    assert not found, "time comes in as an argument:\n" + "\n".join(found)


def test_the_core_imports_no_package_of_others() -> None:
    found = [
        f"{source.path}:{line}: {name}"
        for source in _pure()
        for line, name in source.imports()
        if _foreign(name) and (source.name, name) not in EXCEPTIONS
    ]

    assert not found, "\n".join(found)


def test_no_room_imports_the_facade() -> None:
    rooms = {source.room for source in modules()}
    found = [
        f"{source.path}:{line}: {name}"
        for source in modules()
        for line, name in source.imports()
        if source.room and source.room != "__main__" and _of_facade(name, rooms)
    ]

    assert not found, "import from the room where the name lives:\n" + "\n".join(found)


def test_rooms_use_absolute_imports() -> None:
    found = [
        f"{source.path}:{node.lineno}"
        for source in modules()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert not found, "\n".join(found)


def test_importing_makegood_loads_nothing_heavy() -> None:
    code = f"import sys, makegood; print(*[name for name in {HEAVY!r} if name in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert loaded == []


def _pure() -> list[Source]:
    return [source for source in modules() if source.room in PURE]


def _foreign(name: str) -> bool:
    return name.partition(".")[0] not in {*sys.stdlib_module_names, "makegood"}


def _of_facade(name: str, rooms: set[str]) -> bool:
    parts = name.split(".")
    return parts[0] == "makegood" and name != "makegood.__version__" and (len(parts) == 1 or parts[1] not in rooms)
