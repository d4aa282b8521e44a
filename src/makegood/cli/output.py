"""Results on stdout: JSON and lines, whatever the encoding; files written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from typing import Any

from makegood.errors import ConfigurationError


def speaks_unicode(stream: Any) -> bool:
    """Whether a stream can show any character."""
    return str(getattr(stream, "encoding", None) or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """A value as JSON that stdout can show."""
    return json.dumps(value, indent=indent, ensure_ascii=not speaks_unicode(sys.stdout))


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """One JSON document on stdout."""
    print(json_text(value, indent=indent))


def write_file(path: str, text: str) -> None:
    """Write a file whole, or leave the old one as it is.

    Raises:
        ConfigurationError: It cannot be written there.
    """
    folder = os.path.dirname(path) or "."
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, _mode_of(path))
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}. Nothing was changed; give another path."
        ) from None


def _mode_of(path: str) -> int:
    """The rights of the file that is replaced, or those that a new one would get."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
