"""SQLite's errors in our words: what happened, to which file, and what to do.

Strangers keep out: no SQL, and nothing is decided here but the wording.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from makegood.errors import StorageCorrupt, StorageError, StorageUnavailable

REFUSALS = (apsw.ConstraintError, apsw.TooBigError, apsw.MismatchError, UnicodeEncodeError, OverflowError, TypeError)
"""What one row did wrong: the others of its batch can still be written."""

_WORDS: dict[type[apsw.Error], tuple[type[StorageError], str]] = {
    apsw.FullError: (StorageUnavailable, "the disk or the quota is full. Make room; nothing was written"),
    apsw.IOError: (
        StorageUnavailable,
        "reading or writing failed. Look at the disk and the system's log, then start again",
    ),
    apsw.ReadOnlyError: (StorageUnavailable, "it is read-only. Make the file and its folder writable for this user"),
    apsw.PermissionsError: (
        StorageUnavailable,
        "access is denied. Make the file and its folder writable for this user",
    ),
    apsw.CantOpenError: (
        StorageUnavailable,
        "it cannot be opened. See that the file and its folder exist and are accessible",
    ),
    apsw.BusyError: (
        StorageUnavailable,
        "another process keeps it locked. See which one has it open, a backup perhaps",
    ),
    apsw.LockedError: (StorageUnavailable, "another connection keeps it locked. Try again"),
    apsw.NoMemError: (StorageUnavailable, "there is not enough memory"),
    apsw.ProtocolError: (
        StorageUnavailable,
        "the locking protocol of its file system failed. Do not keep it on a network drive",
    ),
    apsw.CorruptError: (StorageCorrupt, "it is damaged. Nothing was written; copy it as it is and restore a backup"),
    apsw.NotADBError: (
        StorageCorrupt,
        "it is no SQLite database, or it is encrypted. Nothing was written; choose another path",
    ),
}


def translated(error: apsw.Error, path: str) -> StorageError:
    """The error to raise for one of SQLite's."""
    for cls, (ours, words) in _WORDS.items():
        if isinstance(error, cls):
            return ours(f"{path}: {words}. (SQLite: {error})")
    return StorageError(f"{path}: SQLite refused with {type(error).__name__}: {error}")


@contextmanager
def translating(path: str) -> Iterator[None]:
    """Raise SQLite's errors in our words."""
    try:
        yield
    except apsw.Error as error:
        raise translated(error, path) from error
