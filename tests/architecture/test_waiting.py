"""A test waits for what happens, not for time to pass: sleeping is either too short or too long."""

from __future__ import annotations

import ast

from sources import Source, all_tests, dotted

SLEEPS = ("time.sleep", "asyncio.sleep", "anyio.sleep", "sleep")
ALLOWED = {
    "tests/api/scenario_plays.py": "plays scenarios in which people act at a moment of a real clock",
    "tests/engine/engine_plays.py": "plays scenarios in which people act at a moment of a real clock",
    "tests/engine/test_engine_outage.py": "executions come evenly at a rate, which is what is measured",
    "tests/services/misbehaving.py": "a server that is slow on purpose",
}
"""Files that may sleep, each with its reason: the passing of time is what they test or play."""


def test_tests_do_not_wait_by_sleeping() -> None:
    found = [
        f"{source.path}:{node.lineno}"
        for source in all_tests()
        if source.path.as_posix() not in ALLOWED
        for node in _sleeps(source)
    ]

    assert not found, "wait for an event, a future or a row, with a bound; or name the file above:\n" + "\n".join(found)


def _sleeps(source: Source) -> list[ast.Call]:
    """Calls that let time pass. `sleep(0)` only lets others run."""
    return [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        if dotted(node.func) in SLEEPS
        if not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]
