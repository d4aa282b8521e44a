"""Size and names: a module that is opened is read to its end, and its name says what is in it."""

from __future__ import annotations

import ast

from sources import Source, modules

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
PORT_METHODS_MAX = 12

LONG_MODULES = {
    "makegood.core.evolve": "one table of all events, and what each does, frozen together",
    "makegood.core.events": "every event that can be recorded, each with what its fields mean",
    "makegood.engine.client": "the engine's facade: every public method, each with what it promises",
    "makegood.ports": "everything that the engine asks of the world, in one place",
    "makegood.core.flow": "one table of all kinds of steps: how each begins and goes on",
}
LONG_FUNCTIONS = {
    "makegood.core.evolve.evolve": "one flat match over all events that ends in assert_never",
}
FORBIDDEN_WORDS = ("common", "helper", "manager", "misc", "util")


def test_modules_are_short() -> None:
    long = {source.name: len(source.text.splitlines()) for source in modules()}
    found = {name: lines for name, lines in long.items() if lines > MODULE_LINES_MAX and name not in LONG_MODULES}

    assert not found, f"more than {MODULE_LINES_MAX} lines: split by what a reader looks for: {found}"


def test_functions_are_short() -> None:
    found = {name: lines for name, lines in _functions() if lines > FUNCTION_LINES_MAX and name not in LONG_FUNCTIONS}

    assert not found, f"more than {FUNCTION_LINES_MAX} lines: {found}"


def test_exceptions_are_still_needed() -> None:
    lines = {source.name: len(source.text.splitlines()) for source in modules()}
    functions = dict(_functions())

    stale = [name for name in LONG_MODULES if lines.get(name, 0) <= MODULE_LINES_MAX]
    stale += [name for name in LONG_FUNCTIONS if functions.get(name, 0) <= FUNCTION_LINES_MAX]

    assert not stale, f"no longer an exception; take it off the list: {stale}"


def test_ports_are_narrow() -> None:
    ports = next(source for source in modules() if source.name == "makegood.ports")
    methods = {
        each.name: sum(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in each.body)
        for each in ports.tree.body
        if isinstance(each, ast.ClassDef)
    }

    assert {name: count for name, count in methods.items() if count > PORT_METHODS_MAX} == {}


def test_names_say_what_is_inside() -> None:
    found = [
        str(source.path)
        for source in modules()
        for word in FORBIDDEN_WORDS
        if any(word in part for part in source.name.split("."))
    ]

    assert not found, f"a name of this kind says nothing: {found}"


def test_every_module_says_what_lives_there() -> None:
    silent = [str(source.path) for source in modules() if not (ast.get_docstring(source.tree) or _is_empty(source))]

    assert not silent


def _is_empty(source: Source) -> bool:
    return not source.tree.body


def _functions() -> list[tuple[str, int]]:
    return [found for source in modules() for found in _inside(source.name, source.tree)]


def _inside(name: str, tree: ast.AST) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((f"{name}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found += _inside(f"{name}.{node.name}", node)
    return found
