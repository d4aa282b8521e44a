"""A TOML file as a tree, and the line on which each of its keys stands. Nothing here knows our keys."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from makegood.errors import ConfigurationError, InputError
from makegood.language.files import read_bounded

BYTES_MAX = 1024 * 1024

_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_AT = re.compile(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TomlText:
    """What a file says.

    Attributes:
        source: What messages call it.
        tree: Its tables.
        lines: The line, from 1, of each header and key that could be found.
    """

    source: str
    tree: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """`file:line` of a key, or of the nearest table around it, or the file alone."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.source}:{self.lines[path]}" if path else self.source


def read_toml(path: str) -> TomlText:
    """Read a file.

    Raises:
        ConfigurationError: It cannot be read, or is no TOML; the message says where.
    """
    try:
        raw = read_bounded(path, "the configuration", BYTES_MAX)
    except InputError as error:
        raise ConfigurationError(str(error)) from None
    if len(raw) > BYTES_MAX:
        raise ConfigurationError(f"{path}: a configuration has at most {BYTES_MAX} bytes. Is this the right file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: the file is not UTF-8. Save it as UTF-8.") from None
    return parse_toml(text, os.fspath(path))


def parse_toml(text: str, source: str) -> TomlText:
    """Read a text. Raises as `read_toml`."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(_located(str(error), source, text)) from None
    except (RecursionError, ValueError) as error:
        raise ConfigurationError(f"{source}: the file is no TOML that can be read: {error}") from None
    return TomlText(source, tree, _lines(text))


def _located(message: str, source: str, text: str) -> str:
    found = _AT.fullmatch(message)
    if found is None:
        return f"{source}: this is not TOML: {message}"
    line, column = found[2] or str(text.count("\n") + 1), found[3] or "1"
    return f"{source}:{line}:{column}: this is not TOML: {found[1]}"


def _lines(text: str) -> dict[Path, int]:
    """Where keys stand, as far as one look at each line can tell: for messages only."""
    found: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key[1])), number)
    return found


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
