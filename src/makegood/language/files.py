"""Files of definitions and of what goes with them: read within bounds, with one set of words for what is wrong.

Strangers keep out: what is in a file. What is too large for its reader comes a byte longer than the bound.
"""

from __future__ import annotations

import os
import re

from makegood.errors import InputError
from makegood.language.keys import NAME
from makegood.model import LIMITS

_NAME = re.compile(NAME)


def read_bounded(path: str, what: str, bytes_max: int) -> bytes:
    """The content of a file; of one that is larger than allowed, the first `bytes_max + 1` bytes.

    Args:
        path: Of the file.
        what: What should be in it, as messages call it: `the workflow definition`.
        bytes_max: What its reader takes at most.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(bytes_max + 1)
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder. Give the path of a file with {what}.") from None
    except (OSError, ValueError) as error:
        never = "a path has no null character" if "\0" in path else "no file can have this path"
        why = error.strerror if isinstance(error, OSError) else never
        raise InputError(f"{path}: {what} cannot be read: {why}. See that the path is right and readable.") from None


def read_definition(path: str) -> bytes:
    """The bytes of a definition's file, one more than the limit at most.

    Raises:
        InputError: It cannot be read.
    """
    return read_bounded(path, "the workflow definition", LIMITS.definition_bytes)


def name_from(path: str) -> str | None:
    """The name that a definition without one takes from its file, if the file's name can be one."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return stem if _NAME.fullmatch(stem) else None


def is_text(source: str) -> bool:
    """Whether this is a definition's text itself, and no path: it has a line break, or begins with `{`."""
    return "\n" in source or source.lstrip().startswith("{")
