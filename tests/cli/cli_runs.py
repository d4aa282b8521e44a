"""What a command of these tests leaves, and commands in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Ran]


class Elsewhere:
    """A command in a process of its own, in the current folder; killed at the end if it still runs."""

    def __init__(self, *words: str, stderr: int = subprocess.DEVNULL) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKEGOOD_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "makegood", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=stderr, env=environment, text=True,
        )  # fmt: skip

    def end(self) -> tuple[int, str]:
        """Wait for its end; the exit code and what it printed."""
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
