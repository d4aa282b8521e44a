"""What holds for every test: one event loop, reproducible properties, the fast folders first."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent

ORDER = (
    "expression",
    "language",
    "core",
    "golden",
    "architecture",
    "docs",
    "deploy",
    "storage",
    "conformance",
    "services",
    "simulation",
    "scenarios",
    "app",
    "engine",
    "examples",
    "cli",
)
"""Folders of tests from fast to slow; one that is not named here runs before the last of them."""
LATE = ("app", "engine", "examples", "cli")

# No deadline per example: a shared machine stalls for longer than any example takes.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile(
    "ci", deadline=None, print_blob=True, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order by folder; within one as collected, and what takes seconds after all the rest, the longest of it first.

    So that of several that work at once none is left with minutes to go when the others have nothing more.
    """

    def place(item: pytest.Item) -> tuple[bool, bool, int]:
        slow, minutes = (item.get_closest_marker(name) is not None for name in ("slow", "minutes"))
        return slow, not minutes, _rank(item.path)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has logged may be no text: half a surrogate pair does not travel between processes."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def _rank(path: Path) -> int:
    try:
        folder = path.relative_to(HERE).parts[0]
    except ValueError:
        return 0
    return ORDER.index(folder) if folder in ORDER else len(ORDER) - len(LATE) - 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests have measured, of those that passed too."""
    reports = [each for category in ("passed", "failed") for each in terminalreporter.stats.get(category, [])]
    measured = [(each.nodeid, each.user_properties) for each in reports if each.when == "call" and each.user_properties]
    if measured:
        terminalreporter.section("measured")
    for nodeid, properties in measured:
        terminalreporter.write_line(nodeid)
        for name, value in properties:
            terminalreporter.write_line(f"    {name}: {value}")
