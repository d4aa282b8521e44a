"""PostgreSQL's errors in our words, and what is known of a statement that met one.

Strangers keep out: no SQL, no connection. A statement is a transaction here, so an error of the
server's that is none of its connection means that nothing was written.
"""

from __future__ import annotations

import asyncpg

from makegood.errors import StorageCorrupt, StorageError, StorageUnavailable


class Lost(Exception):
    """The connection broke, or its server stopped: nobody knows whether the statement was committed."""


class Again(Exception):
    """The server gave up this transaction in favour of another; the same may succeed now."""


class RecordRefused(Exception):
    """A value of one record is refused by the database: the others can be written without it."""


_LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, EOFError)
_STOPPING = ("57P01", "57P02", "57P03", "57P04")
_AGAIN = ("40001", "40P01", "40003", "55P03")
_REFUSED = ("21", "22", "23", "54")
_WORDS = {
    "25006": "it is read-only. Connect to the primary: with several hosts, target_session_attrs=read-write",
    "28000": "the server refuses this user or this kind of connection. Look at the user, sslmode and pg_hba.conf",
    "28P01": "the password is wrong. Look at the connection string or the password file",
    "3D000": "there is no such database. Create it (createdb), or correct the name",
    "42501": "this user may not do that. Grant it CREATE on the database and all on the schema makegood",
    "53100": "the server's disk is full. Make room; nothing was written",
    "53200": "the server is out of memory",
    "53300": "the server has no connection left. Raise max_connections, or put a pooler in between",
    "57P03": "the server is starting or stopping. Try again",
}


def sorted_out(error: Exception) -> Exception:
    """What an error of the driver means for the statement that met it: `Lost`, `Again`,
    `RecordRefused`, or the error itself, after which nothing was written."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        if isinstance(error, asyncpg.PostgresConnectionError) or code in _STOPPING:
            return Lost(str(error))
        if code in _AGAIN:
            return Again(str(error))
        if code[:2] in _REFUSED:
            return RecordRefused(str(error))
        return error  # type: ignore[no-any-return]
    if isinstance(error, (asyncpg.DataError, UnicodeEncodeError, OverflowError)):
        return RecordRefused(str(error))
    if isinstance(error, _LOST):
        return Lost(repr(error))
    return error


def unreachable(error: Exception, shown: str) -> StorageError:
    """The error to raise when there is no connection, and nothing was sent."""
    code = getattr(error, "sqlstate", None) or ""
    words = _WORDS.get(code)
    if words is not None:
        return StorageUnavailable(f"{shown}: {words}. (PostgreSQL: {error})")
    if isinstance(error, TimeoutError):
        return StorageUnavailable(f"{shown} does not answer. See that the server runs and that the address is right.")
    return StorageUnavailable(
        f"{shown} cannot be reached ({str(error) or type(error).__name__}). "
        "See that the server runs and that the connection string is right."
    )


def translated(error: Exception, shown: str) -> StorageError:
    """The error to raise for one of the server's, after which nothing was written."""
    code = getattr(error, "sqlstate", None) or ""
    if isinstance(error, (Lost, Again)):
        return StorageUnavailable(f"{shown}: the connection was lost, or the server gave up ({error}).")
    if code in _WORDS or code[:2] in ("53", "57", "58"):
        words = _WORDS.get(code, "the server cannot do it now")
        return StorageUnavailable(f"{shown}: {words}. (PostgreSQL: {error})")
    if code[:2] == "XX":
        return StorageCorrupt(f"{shown}: the server found its data damaged. Look at its log. (PostgreSQL: {error})")
    return StorageError(f"{shown}: PostgreSQL refused with {type(error).__name__} {code}: {error}")
