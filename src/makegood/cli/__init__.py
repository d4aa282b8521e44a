"""The command line. `main` is its door; every module here either declares commands or does one of them."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    code = _run()
    sys.exit(_flushed(code))


def _run() -> int:
    _hold_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # What a stream cannot show is better escaped than a crash; JSON escapes by itself.
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        from makegood.cli.program import app

        app(prog_name="makegood")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException as error:  # noqa: BLE001 - the last one to hear of it
        from makegood.cli.failures import report

        return report(error)
    return 0


def _hold_standard_streams() -> None:
    """Put nothing in the place of a standard stream that is closed, so that no file or socket gets its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given, and that is this one.
            os.open(os.devnull, os.O_RDWR)


def _flushed(code: int) -> int:
    """Write out what is still held; a reader who has gone is no reason for a traceback."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            from makegood.cli.failures import report

            problem = report(error)
            code = code or problem
            # Python would try once more while it shuts down, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code
