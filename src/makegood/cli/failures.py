"""From an error to a message and an exit code. Nobody sees a traceback for a mistake of their own."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from makegood.cli import exits
from makegood.errors import Fenced, MakegoodError, Refused, ServerUnavailable, StorageError


def exit_code_of(error: MakegoodError) -> int:
    """The exit code of a deliberate error."""
    match error:
        case StorageError() | Fenced() | ServerUnavailable():
            return exits.STORAGE
        case Refused():
            return exits.FAILED
        case _:
            return exits.USAGE


def report(error: BaseException) -> int:
    """Say on stderr what went wrong; the exit code."""
    match error:
        case KeyboardInterrupt():
            return exits.INTERRUPTED
        case MakegoodError():
            complain("\n".join([str(error), *getattr(error, "__notes__", ())]))
            return exit_code_of(error)
        case BrokenPipeError():
            return exits.BROKEN_PIPE
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF):
            complain(f"the output cannot be written: {os.strerror(error.errno)}")
            return exits.OUTPUT
        case _:
            complain("this is a bug of makegood; please report it with what follows.")
            if sys.stderr is not None:
                traceback.print_exception(error)
            return exits.BUG


def complain(message: str) -> None:
    """One message on stderr; a stderr that is closed takes nothing."""
    try:
        if sys.stderr is not None:
            print(message, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass
