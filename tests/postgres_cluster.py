"""A private PostgreSQL for the tests, from the binaries that are installed: started when first asked for.

One cluster for a session of tests, one database for each test (from a template). It listens on a
loopback port and a socket in its own folder, and dies with the process that started it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from makegood.cli.benching.databases import binaries, die_with_parent, free_port, unprivileged

READY = "database system is ready to accept connections"
READY_TO_READ = "database system is ready to accept read-only connections"
SETTINGS = {
    # A kill of the server loses nothing that the operating system has; only a power cut would.
    "fsync": "off",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "autovacuum_naptime": "5s",
    "max_wal_size": "512MB",
    "log_checkpoints": "off",
    "listen_addresses": "127.0.0.1",
}

TABLES = (
    "search_attribute", "journal", "execution", "definition", "request", "keyed_request", "lease", "worker", "service",
    "instance", "endpoint_health", "description", "service_wait",
)  # fmt: skip
EMPTY = (
    """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
"""
    + "".join(f"DELETE FROM makegood.{each};\n" for each in TABLES)
    + """
ALTER TABLE makegood.worker ALTER COLUMN id RESTART;
ALTER TABLE makegood.request ALTER COLUMN id RESTART;
"""
)


class Process:
    """A server whose log says when it is ready."""

    def __init__(self, command: list[str], ready: str, **given: Any) -> None:
        self.lines: deque[str] = deque(maxlen=200)
        self._is_ready = threading.Event()
        self._ready = ready
        self.popen = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, which takes no lock
            **given,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._is_ready.wait(60) or self.popen.poll() is not None:
            self.stop(signal.SIGQUIT)
            raise RuntimeError(f"{command[0]} did not start:\n{''.join(self.lines)}")

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(line)
            if self._ready in line:
                self._is_ready.set()
        self._is_ready.set()

    def stop(self, how: signal.Signals) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(how)
        self.popen.wait(60)
        self._reader.join(60)
        assert self.popen.stderr is not None
        self.popen.stderr.close()


class Cluster:
    """A running server.

    Args:
        standby_of: Follow that one, and take no writes until it is promoted.

    Attributes:
        port: On 127.0.0.1.
    """

    def __init__(self, programs: Path, *, standby_of: Cluster | None = None) -> None:
        self._programs = programs
        self._as = unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="makegood-pg-", dir="/tmp"))
        if self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self.port = free_port()
        self._names = itertools.count(1)
        self._spare: list[str] = []
        data = str(self.folder / "data")
        if standby_of is None:
            command = [str(programs / "initdb"), "-D", data, "-U", "makegood", "-A", "trust", "-E", "UTF8",
                       "--locale=C", "--no-sync"]  # fmt: skip
        else:
            command = [str(programs / "pg_basebackup"), "-D", data, "-U", "makegood", "-h", "127.0.0.1",
                       "-p", str(standby_of.port), "-R", "-X", "stream", "-c", "fast", "--no-sync"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self._as)
        self._process = self._start(READY if standby_of is None else READY_TO_READ)

    def _start(self, ready: str = READY) -> Process:
        settings = [each for name, value in SETTINGS.items() for each in ("-c", f"{name}={value}")]
        command = [
            str(self._programs / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port),
            "-k", str(self.folder), *settings,
        ]  # fmt: skip
        return Process(command, ready, cwd=self.folder, **self._as)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends it in order, SIGQUIT as a crash does."""
        self._process.stop(how)

    def start(self) -> None:
        self._process = self._start()

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- databases ---

    def dsn(self, database: str, port: int | None = None) -> str:
        return f"postgresql://makegood@127.0.0.1:{port or self.port}/{database}"

    def ask(self, database: str, statement: str, *values: Any) -> list[Any]:
        """Run one statement from outside, wherever the caller is; without values it may be several."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.dsn(database), statement_cache_size=0)
            try:
                if ";" in statement:
                    await connection.execute(statement)
                    return []
                return await connection.fetch(statement, *values)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()

    def create(self) -> str:
        """The name of a new database that has our schema."""
        if self._spare:
            return self._spare.pop()
        name = f"test_{os.getpid()}_{next(self._names)}"
        self._template()
        self.ask("postgres", f"CREATE DATABASE {name} TEMPLATE makegood_template")
        return name

    def create_empty(self) -> str:
        name = f"test_{os.getpid()}_{next(self._names)}"
        self.ask("postgres", f"CREATE DATABASE {name}")
        return name

    def give_back(self, name: str) -> None:
        """Empty it for the next test, which is quicker than a new one."""
        self.ask(name, EMPTY)
        self._spare.append(name)

    def drop(self, name: str) -> None:
        self.ask("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @functools.cache  # noqa: B019 - there is one cluster
    def _template(self) -> None:
        from makegood.storage.postgres import PostgresStore

        async def prepare() -> None:
            store = PostgresStore(self.dsn("makegood_template"))
            await store.statuses()
            await store.aclose()

        self.ask("postgres", "CREATE DATABASE makegood_template")
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, prepare()).result()


def installed() -> Path:
    """The programs. Without PostgreSQL a test is skipped, but fails where `CI` is set."""
    programs = binaries()
    if programs is None:
        message = "PostgreSQL is not installed (initdb and postgres are looked for in PATH and /usr/lib/postgresql)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return programs


@functools.cache
def cluster() -> Cluster:
    """The cluster of this session."""
    made = Cluster(installed())
    atexit.register(made.close)
    return made


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The connection string of a database of its own."""
    server = cluster()
    name = server.create()
    try:
        yield server.dsn(name)
    finally:
        server.give_back(name)


def statement(dsn: str) -> Callable[..., list[Any]]:
    """Runs statements on the database of a connection string, from outside."""
    return functools.partial(cluster().ask, dsn.rpartition("/")[2].partition("?")[0])


@contextlib.contextmanager
def bouncer(mode: str = "transaction", pool: int = 3) -> Iterator[int]:
    """A pgbouncer before the cluster, with few connections behind it; its port."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        message = "pgbouncer is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    server, port = cluster(), free_port()
    settings = server.folder / f"bouncer-{port}.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=makegood\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        f"pool_mode = {mode}\ndefault_pool_size = {pool}\nmax_client_conn = 200\nunix_socket_dir =\n"
    )
    process = Process([program, str(settings)], "process up", cwd=server.folder, **unprivileged())
    try:
        yield port
    finally:
        process.stop(signal.SIGINT)
