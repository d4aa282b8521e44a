"""The statements of `barrier.sql`, for a dialect and a name of the table. Knows no connection."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal

Dialect = Literal["sqlite", "postgres"]
TABLE = "makegood_barrier"
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgres")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_BLOCK = re.compile(r"^-- name: (\w+)\n((?:(?!-- name:).*\n?)+)", re.MULTILINE)
_COMMENT = re.compile(r" *-- (?!name:).*$", re.MULTILINE)
_PLACE = re.compile(r"\$\d+")


@cache
def statements(dialect: Dialect, table: str = TABLE) -> dict[str, str]:
    """By name, without the dialect at its end; those of the other dialect are left out.

    Raises:
        ValueError: `table` is not a plain name, with or without a schema.
    """
    if not _NAME.fullmatch(table):
        raise ValueError(f"a table's name is letters, digits and _, with or without a schema before it, not {table!r}")
    text = Path(__file__).with_name("barrier.sql").read_text(encoding="utf-8")
    # An index lies in its table's schema and is named without it.
    text = text.replace(f"{TABLE}_at_ms", f"{table.rpartition('.')[2]}_at_ms")
    text = re.sub(rf"\b{TABLE}\b", table, text)
    text = _COMMENT.sub("", text)
    found: dict[str, str] = {}
    for name, body in _BLOCK.findall(text):
        plain, _, end = name.rpartition("_")
        if end not in DIALECTS:
            found[name] = body.strip()
        elif end == dialect:
            found[plain] = body.strip()
    return found


@cache
def placed(statement: str, place: str) -> str:
    """With the placeholder of a driver, such as `?`, in the place of each $1, $2, ..."""
    return _PLACE.sub(place, statement)
