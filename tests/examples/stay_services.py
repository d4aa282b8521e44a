"""The services of the stay, started as its play starts them."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from example_services import EXAMPLES

STAY = EXAMPLES / "stay"


def installed_nginx() -> str:
    """The program. Without nginx a test is skipped, but fails where `CI` is set."""
    program = runpy.run_path(str(STAY / "processes.py"))["nginx"]()
    if program is None:
        message = "nginx is not installed (it is looked for in PATH, /usr/sbin and /usr/local/sbin)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return str(program)


@contextmanager
def stay_services(folder: Path) -> Iterator[dict[str, str]]:
    """Rooms and vouchers on free ports, until the block ends.

    Returns:
        The addresses that stand in the configuration, and where the services are instead.
    """
    program = installed_nginx()
    processes = runpy.run_path(str(STAY / "processes.py"))
    rooms, desk = processes["Rooms"](folder), processes["Desk"](folder, program)
    try:
        rooms.start()
        desk.start()
        yield {
            "http://127.0.0.1:9010": f"http://127.0.0.1:{rooms.port}",
            "http://127.0.0.1:9020": f"http://127.0.0.1:{desk.port}",
        }
    finally:
        desk.kill()
        rooms.kill()
