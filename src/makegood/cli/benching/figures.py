"""Take every figure, turn by turn, and say what came out."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from makegood.cli.benching import ceilings, loops, on_postgres, ours
from makegood.cli.benching.databases import Databases
from makegood.cli.benching.work import STEPS, Taken, median
from makegood.cli.loop import run_async

COMMITS = STEPS + 1
"""Records of one five-step workflow: its start, then one for each step that settles."""


@dataclass(slots=True)
class Figures:
    """Every measured value by name, one for each repetition.

    Attributes:
        loop_steps: What N is in the names.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    loop_steps: int = 0

    def add(self, name: str, value: float) -> None:
        """One more."""
        self.values.setdefault(name, []).append(value)

    def spread(self, name: str) -> tuple[float, float, float]:
        """Least, median, most."""
        values = self.values[name]
        return min(values), median(values), max(values)

    def ratio(self, name: str, ceiling: str) -> float:
        """Median of the ratios of each repetition."""
        return median([ours_ / bare for ours_, bare in zip(self.values[name], self.values[ceiling], strict=True)])

    def growth(self, name: str) -> float:
        """What 2N takes, measured in what N takes; of each the least, which the machine's moods disturb least."""
        return min(self.values[f"{name} of 2N{UNITS[name]}"]) / min(self.values[f"{name} of N{UNITS[name]}"])


SECTIONS = ("steps", "alone", "http", "loops", "start-up")
"""What can be measured by itself."""
ON_POSTGRES = ("postgres", "starts", "due")
"""What needs a PostgreSQL server besides."""


def measure(
    repetitions: int,
    workflows: int,
    loop_steps: int,
    sections: Collection[str],
    say: Callable[[str], None],
    *,
    databases: Databases | None = None,
    due: int = 100_000,
) -> Figures:
    """The measurements of these sections, the repetitions interleaved, so that a machine's moods meet all alike.

    Args:
        databases: Where those of PostgreSQL are taken.
        due: So many executions are due in one of them.
    """
    figures = Figures(loop_steps=loop_steps)
    with tempfile.TemporaryDirectory(prefix="makegood-bench-") as name:
        folder = Path(name)
        for number in range(repetitions):
            for section in (each for each in SECTIONS if each in sections):
                say(f"repetition {number + 1} of {repetitions}: {section}")
                _take(figures, section, folder, workflows)
            for section in (each for each in ON_POSTGRES if each in sections):
                assert databases is not None
                say(f"repetition {number + 1} of {repetitions}: {section}")
                run_async(_take_on_postgres(figures, section, databases, workflows, due))
    return figures


async def _take_on_postgres(figures: Figures, section: str, databases: Databases, workflows: int, due: int) -> None:
    try:
        match section:
            case "postgres":
                await on_postgres.steps(figures.add, databases, workflows)
            case "starts":
                await on_postgres.starts(figures.add, databases, workflows)
            case _:
                await on_postgres.due(figures.add, databases, due)
    finally:
        await databases.drop()


def _take(figures: Figures, section: str, folder: Path, workflows: int) -> None:
    match section:
        case "steps":
            _in_process(figures, folder, workflows)
        case "alone":
            _alone(figures, folder)
        case "http":
            with http_service() as url:
                _http(figures, folder, url, workflows // 2)
        case "loops":
            _loops(figures, folder)
        case _:
            _start_up(figures)


def _in_process(figures: Figures, folder: Path, workflows: int) -> None:
    bare = run_async(ceilings.group_commit(ours.new_database(folder, "bare"), workflows))
    figures.add("bare group commit, steps/s", bare.steps_per_s)
    engine = run_async(ours.in_process(ours.new_database(folder, "engine"), workflows))
    figures.add("engine on SQLite, steps/s", engine.steps_per_s)
    figures.add("engine on SQLite, CPU us/step", engine.cpu_us_per_step)
    memory = run_async(ours.in_process(":memory:", workflows))
    figures.add("engine in memory, steps/s", memory.steps_per_s)
    figures.add("engine in memory, CPU us/step", memory.cpu_us_per_step)
    loop = run_async(ceilings.no_journal(workflows * 10))
    figures.add("event loop alone, steps/s", loop.steps_per_s)


def _alone(figures: Figures, folder: Path) -> None:
    commits = ceilings.Commits(ours.new_database(folder, "commits"), COMMITS)
    engine, bare = run_async(ours.alone_s(ours.new_database(folder, "alone"), 300, commits.once))
    commits.close()
    figures.add(f"{COMMITS} commits one after another, p50 ms", median(bare) * 1000)
    figures.add("one workflow alone, p50 ms", median(engine) * 1000)


def _http(figures: Figures, folder: Path, url: str, workflows: int) -> None:
    bare = run_async(ceilings.calls(url, workflows))
    figures.add("bare HTTP loop, calls/s", bare.steps_per_s)
    figures.add("bare HTTP loop, CPU us/call", bare.cpu_us_per_step)
    engine = run_async(ours.over_http(ours.new_database(folder, "http"), url, workflows))
    figures.add("engine over HTTP, steps/s", engine.steps_per_s)
    figures.add("engine over HTTP, CPU us/step", engine.cpu_us_per_step)
    figures.add("the same less the bare loop, CPU us/step", engine.cpu_us_per_step - bare.cpu_us_per_step)
    apart = run_async(ours.over_http(":memory:", url, workflows))
    figures.add("engine's share, database apart, CPU us/step", apart.cpu_us_per_step - bare.cpu_us_per_step)


def _loops(figures: Figures, folder: Path) -> None:
    for kind in loops.KINDS:
        for label, steps in (("N", figures.loop_steps), ("2N", 2 * figures.loop_steps)):
            database = ours.new_database(folder, "loop")
            _add_times(figures, f"{kind} of {label}", run_async(loops.whole(kind, database, steps)))
            if f"state of a {kind} of {label}, bytes/step" not in figures.values:
                # The same every time.
                taken = run_async(loops.bytes_per_step(database, steps))
                figures.add(f"state of a {kind} of {label}, bytes/step", taken)
            database = ours.new_database(folder, "half")
            half = run_async(loops.second_half(kind, database, steps))
            _add_times(figures, f"second half of a {kind} of {label}", half)


def _add_times(figures: Figures, name: str, taken: Taken) -> None:
    figures.add(f"{name}, s", taken.wall_s)
    figures.add(f"{name}, CPU s", taken.cpu_s)


UNITS: dict[str, str] = {
    name: unit
    for kind in loops.KINDS
    for name, unit in (
        (kind, ", CPU s"),
        (f"second half of a {kind}", ", CPU s"),
        (f"state of a {kind}", ", bytes/step"),
    )
}
"""How the names of what is compared at N and at 2N end. Of time the CPU's: what a busy disk takes is not linear."""


def _start_up(figures: Figures) -> None:
    figures.add("python alone, ms", _process_ms("pass"))
    figures.add("import makegood, ms", _process_ms("import makegood") - figures.values["python alone, ms"][-1])
    figures.add("makegood --help, ms", _process_ms(None))


def _process_ms(code: str | None) -> float:
    command = [sys.executable, "-m", "makegood", "--help"] if code is None else [sys.executable, "-c", code]
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - this interpreter
        times.append((time.perf_counter() - begun) * 1000)
    return median(times)


@contextmanager
def http_service() -> Iterator[str]:
    """A service in a process of its own; where it is."""
    command = [sys.executable, "-m", "makegood.cli.benching.server"]
    with subprocess.Popen(  # noqa: S603 - this interpreter
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = process.stdout.readline().strip()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stdin.close()


Goal = tuple[str, str, Callable[[Figures], float], Callable[[float], bool]]


def _twice(name: str, most: float) -> Goal:
    """What twice the steps may take at most, in what the steps take."""
    return (
        f"{name}{UNITS[name]}: 2N against N", f"<= {most}", lambda f: f.growth(name), lambda v: v <= most,
    )  # fmt: skip


GOALS: tuple[Goal, ...] = (
    (
        "in-process steps on SQLite, steps/s", ">= 8000",
        lambda f: f.spread("engine on SQLite, steps/s")[1], lambda v: v >= 8000,
    ),
    (
        "the same, share of the bare group commit", ">= 0.25",
        lambda f: f.ratio("engine on SQLite, steps/s", "bare group commit, steps/s"), lambda v: v >= 0.25,
    ),
    (
        "CPU that the engine adds to an HTTP step, us", "<= 90",
        lambda f: f.spread("engine's share, database apart, CPU us/step")[1], lambda v: v <= 90,
    ),
    (
        "one workflow alone, times its commits", "<= 2",
        lambda f: f.ratio("one workflow alone, p50 ms", f"{COMMITS} commits one after another, p50 ms"),
        lambda v: v <= 2,
    ),
    *(_twice(name, 1.1 if name.startswith("state") else 2.2) for name in UNITS),
    (
        "in-process steps on PostgreSQL, share of the bare", ">= 0.25",
        lambda f: f.ratio("engine on PostgreSQL, steps/s", "bare group commit on PostgreSQL, steps/s"),
        lambda v: v >= 0.25,
    ),
    (
        "starts over HTTP on PostgreSQL, starts/s", ">= 4000",
        lambda f: f.spread("starts over HTTP on PostgreSQL, starts/s")[1], lambda v: v >= 4000,
    ),
    (
        "100,000 due, all claimed after, s", "<= 30",
        lambda f: f.spread("100,000 due, all claimed after, s")[1], lambda v: v <= 30,
    ),
    (
        "the API meanwhile, p99 ms", "<= 1000",
        lambda f: f.spread("the API meanwhile, p99 ms")[1], lambda v: v <= 1000,
    ),
    ("import makegood, ms", "<= 150", lambda f: f.spread("import makegood, ms")[1], lambda v: v <= 150),
    ("makegood --help, ms", "<= 250", lambda f: f.spread("makegood --help, ms")[1], lambda v: v <= 250),
)  # fmt: skip
"""What is aimed at: what, how much, how it follows from the figures, whether it holds."""


def as_lines(figures: Figures) -> Iterator[str]:
    """The figures for people."""
    yield f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if any("of 2N" in name for name in figures.values):
        yield f"N is {figures.loop_steps:,} steps of one execution; state: tracemalloc, what stays in memory of it"
    yield f"{'':44} {'least':>10} {'median':>10} {'most':>10}"
    for name in figures.values:
        least, middle, most = figures.spread(name)
        yield f"{name:44} {least:10,.1f} {middle:10,.1f} {most:10,.1f}"
    yield ""
    for name, goal, found, holds in _judged(figures):
        yield f"{name:44} {found:10,.2f}  goal {goal}: {'holds' if holds else 'missed'}"


def _judged(figures: Figures) -> Iterator[tuple[str, str, float, bool]]:
    """The goals whose figures were taken: what, how much, what was found, whether it holds."""
    for name, goal, value, holds in GOALS:
        try:
            found = value(figures)
        except KeyError:
            continue
        yield name, goal, found, holds(found)


def as_json(figures: Figures) -> dict[str, Any]:
    """The figures for programs."""
    return {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "loop_steps": figures.loop_steps,
        "figures": figures.values,
        "goals": [
            {"name": name, "goal": goal, "value": found, "holds": holds}
            for name, goal, found, holds in _judged(figures)
        ],
    }
