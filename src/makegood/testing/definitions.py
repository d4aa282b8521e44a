"""From whatever a test has of a workflow to a compiled one. A definition that is played often is compiled once."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from makegood.engine.definitions import Registered, compiled
from makegood.errors import InputError
from makegood.language import load, load_tree
from makegood.language.files import is_text, name_from, read_definition
from makegood.model import Definition

Source = Definition | Mapping[str, Any] | str | os.PathLike[str]
"""A definition, a tree of plain values, YAML or JSON text, or a path."""

KEPT_MAX = 64
_kept: OrderedDict[int, tuple[Definition, Registered]] = OrderedDict()


def registered_of(source: Source) -> Registered:
    """A workflow, ready to be started.

    Raises:
        DefinitionError: It has mistakes.
        InputError: It is none of what is taken, or a file that cannot be read.
    """
    definition = _definition(source)
    kept = _kept.get(id(definition))
    if kept is not None and kept[0] is definition:
        return kept[1]
    registered = compiled(definition, definition.version or 1)
    # The definition is kept with its id, so that the id is never another's.
    _kept[id(definition)] = (definition, registered)
    if len(_kept) > KEPT_MAX:
        _kept.popitem(last=False)
    return registered


def _definition(source: Source) -> Definition:
    if isinstance(source, Definition):
        return source
    if isinstance(source, Mapping):
        return load_tree(source).definition
    if isinstance(source, str) and is_text(source):
        return load(source).definition
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"a definition is a Definition, a mapping, YAML or JSON text or a path, not {source!r}")
    path = os.fspath(source)
    return load(read_definition(path), source=path, name=name_from(path)).definition
