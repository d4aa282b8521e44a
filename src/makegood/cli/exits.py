"""What the exit code of a command says. Scripts rely on these numbers."""

from __future__ import annotations

COMPLETED = 0
"""Done; of `run` and `watch`: the execution completed."""
FAILED = 1
"""Of `run` and `watch`: the execution failed. Of a request (`cancel`, `retry`, ...): it was refused."""
USAGE = 2
"""Bad usage, a bad definition, configuration or input, or no such execution."""
COMPENSATED = 3
"""The execution was aborted, and everything that has a compensation is undone."""
COMPENSATION_FAILED = 4
"""The execution was aborted, and at least one effect could not be undone."""
UNFINISHED = 5
"""The execution is suspended, or still going on at `--timeout`."""
STORAGE = 6
"""The database cannot be used, or another engine holds it."""
BUG = 70
"""A mistake of makegood itself."""
OUTPUT = 74
"""The output cannot be written: the disk is full, for example."""
INTERRUPTED = 130
"""Stopped by SIGINT or SIGTERM; what was under way can be resumed."""
BROKEN_PIPE = 141
"""Whoever read the output has gone."""

BY_STATUS = {
    "completed": COMPLETED,
    "failed": FAILED,
    "superseded": FAILED,
    "compensated": COMPENSATED,
    "compensation_failed": COMPENSATION_FAILED,
}
"""The exit code of an execution that has ended; every other state is `UNFINISHED`."""


def exit_of(status: str) -> int:
    """The exit code for the state of an execution."""
    return BY_STATUS.get(status, UNFINISHED)
