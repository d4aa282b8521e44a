"""The engine's lock: `flock` on `<path>.lock`, which dies with its process.

Strangers keep out: no database. The file is never deleted, because whoever has the deleted one open
would hold a lock that nobody else can see. Its text only says who holds it; the lock is the truth.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass

from makegood.errors import StorageHeld, StorageUnavailable

_TRIES = 20
_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a database.

    Attributes:
        pid: Its process, 0 when it has not told yet.
        host: Name of its machine.
        command: Its command line.
        started_at_ms: When it took the lock.
    """

    pid: int = 0
    host: str = ""
    command: str = ""
    started_at_ms: int = 0

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "a process that has not told its number yet"
        where = f" on {self.host}" if self.host and self.host != socket.gethostname() else ""
        return f"{who}{where}" + (f" ({self.command})" if self.command else "")


def lock_path(path: str) -> str:
    """The lock file of a database; all names of one file have the same."""
    return os.path.realpath(path) + ".lock"


class EngineLock:
    """Held from `take` until `release` or the end of the process."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._fd: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            StorageHeld: Another engine has it.
            StorageUnavailable: The lock file cannot be written.
        """
        try:
            fd = os.open(lock_path(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageUnavailable(
                f"cannot write the lock file {lock_path(self._path)}: {error.strerror}. "
                "An engine needs to write to the database's folder; readers do not."
            ) from error
        if not _locked(fd):
            holder = _read(fd)
            os.close(fd)
            raise StorageHeld(
                f"{self._path} is held by {holder}. One SQLite file takes one engine at a time: "
                "stop that one, or use another file.",
                holder=str(holder),
            )
        self._fd = fd
        self._write(fd)

    def release(self) -> None:
        """Give it back. May be called twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @staticmethod
    def _write(fd: int) -> None:
        me = Holder(
            pid=os.getpid(),
            host=socket.gethostname(),
            command=" ".join(sys.argv)[:200],
            started_at_ms=time.time_ns() // 1_000_000,
        )
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(asdict(me)).encode(), 0)
        except OSError:  # A full disk: the lock holds all the same, it only does not say whose it is.
            pass


def lock_holder(path: str) -> Holder | None:
    """Who holds the database of that path, or None when no engine is alive."""
    try:
        fd = os.open(lock_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(fd)
    else:
        return None
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    # `lock_holder` holds it for an instant in order to look; an engine holds it for longer.
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(_PAUSE_S)
    return False


def _read(fd: int) -> Holder:
    try:
        told = json.loads(os.pread(fd, 4096, 0))
        return Holder(**{name: told[name] for name in ("pid", "host", "command", "started_at_ms")})
    except (OSError, ValueError, KeyError, TypeError):
        return Holder()
