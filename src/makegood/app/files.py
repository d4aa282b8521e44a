"""A definition from a file or a text, for programs that keep theirs beside the code."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from makegood.errors import InputError
from makegood.language import load as load_text
from makegood.model import LIMITS, Definition

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def load(
    source: str | os.PathLike[str], *, name: str | None = None, services: Collection[str] | None = None
) -> Definition:
    """A workflow definition in YAML or JSON.

    Args:
        source: A path, or the text itself: a str with a line break, or one that begins with `{`.
        name: The workflow's name when the definition gives none; otherwise the file's name.
        services: The services there are, so that others are refused; None leaves them unchecked.

    Raises:
        DefinitionError: It has mistakes; all that were found, with line and column.
        InputError: The file cannot be read.
    """
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        return load_text(source, name=name, services=services).definition
    path = os.fspath(source)
    raw = read_definition(path)
    return load_text(raw, source=path, name=name or name_from(path), services=services).definition


def read_definition(path: str) -> bytes:
    """The bytes of a definition's file, a little more than the limit at most.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(LIMITS.definition_bytes + 1)
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder. Give the path of a workflow definition.") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a path has no null character"
        raise InputError(
            f"{path}: the workflow definition cannot be read: {why}. See that the path is right and readable."
        ) from None


def name_from(path: str) -> str | None:
    """The name that a definition without one takes from its file, if the file's name can be one."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return stem if _NAME.fullmatch(stem) else None
