"""Pages that are written from the code, links, and locks are up to date: the same checks as `make check`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("tool", ["tools/docs.py", "tools/locks.py"])
def test_nothing_is_out_of_date(tool: str) -> None:
    done = subprocess.run([sys.executable, tool, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
