"""PostgreSQL for the measurements: a server of its own for their time, or databases of their own on one there is.

Strangers keep out: nothing is measured here.
"""

from __future__ import annotations

import ctypes
import glob
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from makegood.errors import ConfigurationError

STARTS_S = 60.0
"""So long a server may take until it answers."""
SETTINGS = ("listen_addresses=127.0.0.1", "shared_buffers=256MB", "max_wal_size=4GB", "max_connections=100")
"""Otherwise as PostgreSQL comes: a commit is on the disk when it is answered."""


class Databases:
    """Databases made for the measurements, and dropped after them.

    Args:
        server: A connection string; its role has to be allowed to create databases.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._made: list[str] = []

    async def new(self, template: str | None = None) -> str:
        """The connection string of a new one.

        Args:
            template: The connection string of one that nobody uses, to make a copy of.

        Raises:
            ConfigurationError: It cannot be made.
        """
        name = f"makegood_bench_{os.getpid()}_{next(self._numbers)}"
        of = "template1" if template is None else urlsplit(template).path.lstrip("/")
        await self._ask(f'CREATE DATABASE {name} TEMPLATE "{of}"')
        self._made.append(name)
        # What made it is not written out in the middle of what is measured.
        with suppress(ConfigurationError):
            await self._ask("CHECKPOINT")
        return urlsplit(self._server)._replace(path=f"/{name}").geturl()

    async def drop(self) -> None:
        """Drop all that were made."""
        made, self._made = self._made, []
        for each in made:
            await self._ask(f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")

    async def _ask(self, statement: str) -> None:
        try:
            connection = await asyncpg.connect(self._server)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise ConfigurationError(
                f"bench needs databases of its own, and could not make one: {error}. Name a server and a role "
                "that may create databases, or let --postgres start a server."
            ) from None


@contextmanager
def private_server() -> Iterator[str]:
    """A PostgreSQL server in a temporary folder, stopped and removed afterwards; its connection string.

    Raises:
        ConfigurationError: There are no programs of PostgreSQL here, or they do not start.
    """
    programs = binaries()
    if programs is None:
        raise ConfigurationError(
            "--postgres starts a server of its own, and PostgreSQL is not installed: initdb and postgres are neither "
            "on the PATH nor in /usr/lib/postgresql. Install it, or name a server with --database."
        )
    user = unprivileged()
    with tempfile.TemporaryDirectory(prefix="makegood-bench-", ignore_cleanup_errors=True) as name:
        if user:
            os.chown(name, user["user"], user["group"])
        data, port = f"{name}/data", free_port()
        made = [f"{programs}/initdb", "-D", data, "-U", "makegood", "-A", "trust", "-E", "UTF8", "--locale=C"]
        _done(subprocess.run(made, check=False, capture_output=True, text=True, cwd=name, **user))  # noqa: S603
        settings = [word for each in SETTINGS for word in ("-c", each)]
        with Path(name, "log").open("w+b") as log:
            server = subprocess.Popen(  # noqa: S603 - the program that was found
                [f"{programs}/postgres", "-D", data, "-p", str(port), "-k", name, *settings],
                stdout=log, stderr=log, cwd=name, preexec_fn=die_with_parent, **user,  # noqa: PLW1509
            )  # fmt: skip
            try:
                _until_it_answers(server, port, Path(name, "log"))
                yield f"postgresql://makegood@127.0.0.1:{port}/postgres"
            finally:
                server.send_signal(signal.SIGINT)
                server.wait(STARTS_S)


def _done(ran: subprocess.CompletedProcess[str]) -> None:
    if ran.returncode:
        raise ConfigurationError(f"initdb failed: {ran.stderr.strip()[-500:]}")


def _until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + STARTS_S
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            if b"ready to accept connections" in log.read_bytes():
                return
        time.sleep(0.05)
    raise ConfigurationError(f"PostgreSQL did not start: {log.read_text(errors='replace').strip()[-500:]}")


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest if there are several."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda each: float(each.split("/")[4]))
    on_path = shutil.which("initdb")
    config = shutil.which("pg_config")
    if config and not found and not on_path:
        asked = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)  # noqa: S603
        found = [each for each in (f"{asked.stdout.strip()}/initdb",) if Path(each).exists()]
    every = [*found, *([on_path] if on_path else [])]
    # Where a link on the path leads to, all the programs are.
    return Path(every[-1]).resolve().parent if every else None


def unprivileged() -> dict[str, Any]:
    """How to start a process that refuses to run as root.

    Raises:
        ConfigurationError: There is no other user.
    """
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise ConfigurationError("PostgreSQL does not run as root, and there is no user that it could run as.")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """In a child: it stops at once when whoever measures is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
