"""The stay with its two services, which are killed and return: the play judges by what they have on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stay_services import STAY, installed_nginx

PLAY = [sys.executable, str(STAY / "play.py")]


@pytest.mark.slow
def test_the_play_of_the_stay_keeps_its_promises(tmp_path: Path) -> None:
    installed_nginx()

    done = subprocess.run(
        PLAY, capture_output=True, text=True, timeout=240, cwd=tmp_path, check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "All as promised." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_nginx_it_says_how_to_install_it(tmp_path: Path) -> None:
    elsewhere = "import sys, runpy, shutil; shutil.which = lambda *_, **__: None; sys.path.insert(0, sys.argv[1]); "
    run = "runpy.run_path(sys.argv[1] + '/play.py', run_name='__main__')"

    done = subprocess.run(
        [sys.executable, "-c", elsewhere + run, str(STAY)], capture_output=True, text=True, timeout=60, cwd=tmp_path,
        check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr.startswith("nginx is not installed;")
    assert "apt-get install nginx-light" in done.stderr
    assert len(done.stderr.splitlines()) == 1
