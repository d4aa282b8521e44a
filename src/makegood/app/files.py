"""A definition from a file or a text, for programs that keep theirs beside the code."""

from __future__ import annotations

import os
from collections.abc import Collection

from makegood.language import load as load_text
from makegood.language.files import is_text, name_from, read_definition
from makegood.model import Definition


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
    if isinstance(source, str) and is_text(source):
        return load_text(source, name=name, services=services).definition
    path = os.fspath(source)
    raw = read_definition(path)
    return load_text(raw, source=path, name=name or name_from(path), services=services).definition
