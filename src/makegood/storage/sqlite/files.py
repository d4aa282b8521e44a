"""What lies at a path before it is opened, and how a database comes into being there.

Strangers keep out: nothing of executions. A file that is not ours is looked at and never written,
and never through Python's `open`: closing any descriptor of a SQLite file gives up the locks that
this process holds on it (POSIX), so looking goes through SQLite's own file layer.
"""

from __future__ import annotations

import os
import stat
from urllib.parse import quote

import apsw

from makegood.errors import StorageCorrupt, StorageUnavailable
from makegood.storage import migrate
from makegood.storage.sqlite.failures import translated, translating

APPLICATION_ID = 0x4D4B4744
"""`MKGD` in a database's header says that it is ours."""

MIGRATIONS = migrate.migrations(__package__ or "")
SCHEMA = len(MIGRATIONS)

_CHECKED_BYTES = 4 * 1024 * 1024
_MAGIC = b"SQLite format 3\x00"


def exists(path: str) -> bool:
    """Whether there is a database of ours at `path`; False when there is nothing.

    Raises:
        StorageUnavailable: Something else is there, or it cannot be reached.
        StorageCorrupt: A file that is no database, or another program's.
        StorageVersion: A newer schema.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        _check_absent(path)
        return False
    except OSError as error:
        raise StorageUnavailable(f"{path}: {error.strerror}. See that the path is right and accessible.") from error
    if stat.S_ISDIR(found.st_mode):
        raise StorageUnavailable(
            f"{path} is a folder. Give the path of a file, for example {os.path.join(path, 'makegood.db')}."
        )
    if not stat.S_ISREG(found.st_mode):
        raise StorageUnavailable(f"{path} is no regular file. Give the path of a file.")
    if found.st_size == 0:
        raise StorageCorrupt(
            f"{path} is empty (0 bytes), and makegood never leaves an empty file: its content may be lost. "
            "Restore a backup, or delete it to begin with a new database."
        )
    _check_header(path)
    return True


def _check_absent(path: str) -> None:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise StorageUnavailable(f"{path}: there is no folder {folder}. Create it, or give another path.")
    if os.path.exists(path + "-wal") and os.path.getsize(path + "-wal") > 0:
        raise StorageCorrupt(
            f"{path} is missing, but {path}-wal holds commits that belong to it. "
            "Put the database back, or delete that file too to begin with a new database."
        )


def _check_header(path: str) -> None:
    try:
        file = apsw.VFSFile("", path, [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
    except apsw.Error as error:
        raise StorageUnavailable(f"{path} cannot be read: access is denied. Make it readable for this user.") from error
    try:
        header = file.xRead(100, 0) if file.xFileSize() >= 100 else b""
    except apsw.Error as error:
        raise translated(error, path) from error
    finally:
        file.xClose()
    if not header.startswith(_MAGIC):
        raise StorageCorrupt(f"{path} is no SQLite database. It was left as it is; choose another path.")
    application = int.from_bytes(header[68:72], "big")
    if application != APPLICATION_ID:
        raise StorageCorrupt(
            f"{path} is a SQLite database of another program (application id {application:#x}). "
            "It was left as it is; choose another path."
        )
    migrate.refuse_newer(int.from_bytes(header[60:64], "big"), SCHEMA, path)


def verify(path: str) -> None:
    """Refuse a schema that this code does not read, and a damaged file as far as that is cheap.

    Raises:
        StorageVersion: Older or newer.
        StorageCorrupt: Damaged. Files beyond 4 MiB are not read for this.
    """
    with translating(path):
        connection = open_reading(path)
        try:
            migrate.require(connection.pragma("user_version"), SCHEMA, path)
            if os.path.getsize(path) <= _CHECKED_BYTES:
                found = connection.execute("PRAGMA quick_check(1)").get
                if found != "ok":
                    raise StorageCorrupt(
                        f"{path} is damaged ({found}). Nothing was written; copy it as it is and restore a backup."
                    )
        finally:
            connection.close()


def open_reading(path: str) -> apsw.Connection:
    """A connection that only reads; it works in a folder that cannot be written too."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(5_000)
        connection.pragma("user_version")
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        connection.close()
        if os.path.exists(path + "-wal") and os.path.getsize(path + "-wal"):
            raise
        # Without a writable folder there is no engine, and without a log the file is all there is.
        uri = f"file:{quote(path)}?immutable=1"
        connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: str) -> None:
    """Make an empty database. It appears under its name only when it is complete.

    Raises:
        StorageUnavailable: The folder is read-only, or the disk is full.
    """
    fresh = path + ".new"
    try:
        for suffix in ("", "-journal", "-wal", "-shm"):
            if os.path.exists(fresh + suffix):
                os.unlink(fresh + suffix)
        with translating(path):
            connection = apsw.Connection(fresh)
            try:
                connection.pragma("application_id", APPLICATION_ID)
                migrate.upgrade(SqliteSchema(connection), MIGRATIONS, path)
                connection.pragma("journal_mode", "wal")
            finally:
                connection.close()
        os.rename(fresh, path)
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageUnavailable(
            f"{path} cannot be created: {error.strerror}. Make its folder writable for this user."
        ) from error


class SqliteSchema:
    """A database that `migrate` can upgrade."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def version(self) -> int:
        """See `migrate.Schema.version`."""
        return int(self._connection.pragma("user_version"))

    def apply(self, migration: migrate.Migration) -> None:
        """See `migrate.Schema.apply`."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for _ in self._connection.execute(migration.sql):
                pass
            self._connection.pragma("user_version", migration.number)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
