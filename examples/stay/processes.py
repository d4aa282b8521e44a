"""The processes of the play: rooms.py, nginx and `makegood serve`. Each can be killed with `kill -9`, and return.

What a service did is read from its own disk, not from what it says.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOMS = HERE.parent / "services" / "rooms.py"
PATIENCE_S = 60
LISTENS = "makegood listens on http://127.0.0.1:"


class Broken(Exception):
    """A promise was not kept."""


def nginx() -> str | None:
    """The program, also where Debian puts it and users do not look."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def until(fact: str, holds: Callable[[], bool]) -> None:
    """Look again and again until it holds.

    Raises:
        Broken: It does not hold within a minute.
    """
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            raise Broken(f"Within {PATIENCE_S} seconds: {fact}")
        time.sleep(0.05)


def ask(
    port: int, method: str, target: str, body: bytes | None = None, kind: str = "application/json"
) -> tuple[int, Any]:
    """Status and JSON of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2 * PATIENCE_S)
    try:
        connection.request(method, target, body, {"Content-Type": kind} if body else {})
        reply = connection.getresponse()
        raw = reply.read()
        return reply.status, json.loads(raw) if raw[:1] in (b"{", b"[") else None
    finally:
        connection.close()


class Process:
    """A program that is started, killed and started again on the port that it had.

    Attributes:
        port: Where it listens; 0 before its first life.
    """

    port = 0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None

    def spawn(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Begin a life."""
        self._process = subprocess.Popen(  # noqa: S603 our own command
            command, stdin=subprocess.DEVNULL, text=True, cwd=self.folder, **options
        )  # fmt: skip
        return self._process

    def kill(self) -> None:
        """End it without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
            self._process = None


class Rooms(Process):
    """The rooms, and their own ledger."""

    def start(self) -> None:
        """Return when it listens."""
        command = [sys.executable, str(ROOMS), "--port", str(self.port), "--database", "rooms.db", "--delay-ms", "40"]
        process = self.spawn(command, stdout=subprocess.PIPE, env=environment())
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise Broken("The rooms start.")
        self.port = int(said)

    def lines(self, execution: str) -> Counter[tuple[str, str]]:
        """How often which step of an execution did what."""
        rows = self._rows("SELECT effect, what FROM ledger WHERE effect LIKE ? || ':%'", execution)
        return Counter((effect.split(":")[1], what) for effect, what in rows)

    def written(self, executions: Iterable[str]) -> int:
        """How many lines these executions have."""
        return sum(self.lines(each).total() for each in executions)

    def room(self, execution: str) -> int | None:
        """The number of the room that is the guest's; guests are called as their executions."""
        rows = self._rows("SELECT number FROM room WHERE guest = ?", execution)
        return rows[0][0] if rows else None

    def _rows(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.folder / "rooms.db")) as db:
            return db.execute(statement, values).fetchall()


class Desk(Process):
    """The nginx, and the vouchers in its folder."""

    def __init__(self, folder: Path, program: str) -> None:
        super().__init__(folder)
        self.program = program
        self.vouchers = folder / "files" / "vouchers"
        self.vouchers.mkdir(parents=True)
        (folder / "temporary").mkdir()

    def start(self) -> None:
        """Return when it answers."""
        self.port = self.port or free_port()
        text = (HERE / "nginx.conf").read_text(encoding="utf-8").replace(":9020;", f":{self.port};")
        configuration = self.folder / "nginx.conf"
        configuration.write_text(text, encoding="utf-8")
        with (self.folder / "nginx.log").open("a", encoding="utf-8") as log:
            process = self.spawn([self.program, "-p", str(self.folder), "-c", str(configuration)], stderr=log)
        until("nginx answers", lambda: self._answers(process))

    def _answers(self, process: subprocess.Popen[str]) -> bool:
        if process.poll() is not None:
            raise Broken("nginx starts. It said: " + (self.folder / "nginx.log").read_text(encoding="utf-8")[-2000:])
        with contextlib.suppress(OSError):
            return ask(self.port, "GET", "/healthz")[0] == 200
        return False

    def voucher(self, execution: str) -> Any:
        """What the file of an execution says; None where there is none."""
        file = self.vouchers / f"{execution}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def names(self) -> list[str]:
        """The files."""
        return sorted(each.name for each in self.vouchers.iterdir())


class Makegood(Process):
    """`makegood serve` with the configuration of this folder, led to the ports that there are."""

    def __init__(self, folder: Path, rooms: Rooms, desk: Desk) -> None:
        super().__init__(folder)
        self.rooms, self.desk = rooms, desk

    def start(self, **settings: str) -> None:
        """Return when it listens.

        Args:
            settings: More variables of the environment.
        """
        process = self.spawn(
            [
                sys.executable, "-m", "makegood", "serve", "--config", str(HERE / "makegood.toml"),
                "--listen", f"127.0.0.1:{self.port}",
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment(
                MAKEGOOD_SERVICES__ROOMS__URL=f"http://127.0.0.1:{self.rooms.port}",
                MAKEGOOD_SERVICES__VOUCHERS__URL=f"http://127.0.0.1:{self.desk.port}",
                **settings,
            ),
        )  # fmt: skip
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if LISTENS in line:
                self.port = int(line.partition(LISTENS)[2].split()[0].rstrip("/"))
                threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
                return
        raise Broken("makegood serve starts. It said: " + "".join(said))

    def ask(
        self, method: str, target: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, Any]:
        """One request to its API."""
        return ask(self.port, method, target, body, kind)


def _drain(stream: Any) -> None:
    with contextlib.suppress(ValueError):  # closed after a kill
        for _ in stream:
            pass


def free_port() -> int:
    """One that is free now; nginx takes no port 0."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environment(**settings: str) -> dict[str, str]:
    """Ours without settings of makegood, and with the package of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKEGOOD_")}
    source = HERE.parents[1] / "src"
    if source.is_dir():
        paths = [str(source), kept.get("PYTHONPATH", "")]
        kept["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return {**kept, **settings}
