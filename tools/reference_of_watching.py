"""The pages of what can be watched: metrics and log events, written from the code."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tools.reference import SOURCE, TEXTS, code, page, rows, settled

from makegood.api.metrics import LABEL_VALUES_MAX, METRICS, OTHER
from makegood.cli.logs import MESSAGE
from makegood.engine.log import names

LEVELS = ("info", "warning", "error")
HEAD = ("time", "level", "event")


def metrics() -> str:
    """Every metric of `/metrics`."""
    told = (
        (code(each.name), each.kind, ", ".join(code(label) for label in each.labels) or "–", each.doc)
        for each in METRICS
    )
    bounded = f"Of workflows and services the first {LABEL_VALUES_MAX} are told apart; all others are `{OTHER}`."
    return page(
        "Metrics",
        "src/makegood/api/metrics.py",
        TEXTS["intro"]["metrics"],
        rows(("name", "kind", "labels", "meaning"), told),
        bounded,
    )


# --- log events --------------------------------------------------------------------------------


@dataclass
class Told:
    """Where and how an event is logged: its levels and facts."""

    levels: set[str] = field(default_factory=set)
    facts: dict[str, None] = field(default_factory=dict)


def log_events() -> str:
    """Every event of the log, with its levels and facts."""
    found = logged()
    stable = {value for name, value in vars(names).items() if not name.startswith("_")}
    settled("the log events", stable, TEXTS["log_events"])
    settled("the log events that are logged", stable, found)
    told = (
        (
            code(each),
            ", ".join(level for level in LEVELS if level in found[each].levels),
            ", ".join(code(fact) for fact in found[each].facts) or "–",
            TEXTS["log_events"][each],
        )
        for each in sorted(stable)
    )
    other = [(code(MESSAGE), "warning, error", "`logger`, `message`, `trace`", TEXTS["other_log_lines"]["message"])]
    return page(
        "Log events",
        "src/makegood/engine/log.py",
        TEXTS["intro"]["log_events"],
        rows(("event", "level", "facts", "meaning"), [*told, *other]),
    )


def logged() -> dict[str, Told]:
    """Every event that the sources log."""
    found: dict[str, Told] = defaultdict(Told)
    for path in sorted(SOURCE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for level, call in _calls(function):
                    event = str(getattr(names, ast.unparse(call.args[0]).partition(".")[2]))
                    found[event].levels |= set(level)
                    found[event].facts |= dict.fromkeys(_facts(call, function))
    return found


def _calls(function: ast.AST) -> Iterator[tuple[tuple[str, ...], ast.Call]]:
    """Calls that log: `log.warning(names.X, ...)`, and those of a `told` that is one of two levels."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not node.args or not _is_name(node.args[0]):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in LEVELS:
            yield (called.attr,), node
        elif isinstance(called, ast.Name):
            chosen = (each for each in ast.walk(function) if isinstance(each, ast.Assign))
            values = [each.value for each in chosen if ast.unparse(each.targets[0]) == called.id]
            yield tuple(each for each in LEVELS if any(f"log.{each}" in ast.unparse(value) for value in values)), node


def _is_name(node: ast.expr) -> bool:
    of_names = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "names"
    return of_names and ast.unparse(node).partition(".")[2] in vars(names)


def _facts(call: ast.Call, function: ast.AST) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(keyword.value):
                assert isinstance(node.value, ast.Dict)
                yield from (str(each.value) for each in node.value.keys if isinstance(each, ast.Constant))


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/log-events.md": log_events,
    "docs/reference/metrics.md": metrics,
}
