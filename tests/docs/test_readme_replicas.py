"""The replicas of the front page are started and asked as it says, by a shell and curl."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT
from tests.examples.example_services import example_services
from tests.postgres_cluster import database, free_port

LINES = re.compile(r"^```\n(for port in .*?)^```", re.MULTILINE | re.DOTALL)
DEFINITION = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
DSN = "postgresql://makegood@127.0.0.1/trips"


def said(page: str, pattern: re.Pattern[str]) -> str:
    found = pattern.search(page)
    assert found is not None
    return found[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None and not os.environ.get("CI"), reason="curl is not installed")
def test_three_replicas_in_five_lines(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = said(page, LINES)
    assert len(lines.splitlines()) == 5
    (tmp_path / "trip.yaml").write_text(said(page, DEFINITION), encoding="utf-8")
    (tmp_path / "examples").mkdir()
    for port in ("8081", "8082", "8083"):
        lines = lines.replace(port, str(free_port()))
    with example_services() as services, database() as dsn:
        configured = (
            (ROOT / "examples/makegood.toml")
            .read_text(encoding="utf-8")
            .replace("127.0.0.1:9000", f"127.0.0.1:{services.port}")
        )
        (tmp_path / "examples/makegood.toml").write_text(configured, encoding="utf-8")
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
        }
        with (tmp_path / "answers").open("w") as answers:
            # In a session of their own, so that what runs in the background can be ended with it.
            shell = subprocess.Popen(
                ["sh", "-c", lines.replace(DSN, dsn)], cwd=tmp_path, env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=answers, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                assert shell.wait(60) == 0
            finally:
                os.killpg(shell.pid, signal.SIGKILL)
                shell.wait(30)
    told = (tmp_path / "answers").read_text(encoding="utf-8")
    assert json.loads(told[told.rindex('{"id":"trip-2"') :])["status"] == "completed", told
