"""References to secrets: `env:NAME` and `file:/path`. The only place where their values are read.

Rule: a value leaves this module only towards the wire; messages name the reference, never the value.
"""

from __future__ import annotations

import os
from pathlib import Path

_FILE_BYTES_MAX = 64 * 1024
_files: dict[str, tuple[tuple[int, int, int], str]] = {}


class MissingSecret(Exception):
    """The reference leads nowhere; the message names it."""


def is_reference(text: str) -> bool:
    """Whether a setting's value names a secret instead of being one."""
    return text.startswith(("env:", "file:"))


def resolve(reference: str) -> str:
    """The value behind a reference, read anew when a file has changed. Plain text is itself.

    Raises:
        MissingSecret: No such variable, or the file cannot be read.
    """
    kind, colon, name = reference.partition(":")
    if colon and kind == "env":
        value = os.environ.get(name)
        if value is None:
            raise MissingSecret(f"{reference}: the environment variable is not set")
        return value
    if colon and kind == "file":
        return _from_file(reference, name)
    return reference


def _from_file(reference: str, name: str) -> str:
    try:
        found = os.stat(name)
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = _files.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        if found.st_size > _FILE_BYTES_MAX:
            raise MissingSecret(f"{reference}: the file is larger than {_FILE_BYTES_MAX} bytes")
        # Editors and `echo` end a file with a newline that is no part of the secret.
        value = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise MissingSecret(f"{reference}: the file cannot be read ({type(error).__name__})") from None
    _files[name] = (stamp, value)
    return value
