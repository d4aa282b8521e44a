"""The statements of `queries.sql` by name, and batches of rows as few statements.

Strangers keep out: no connection, no values. All SQL of this room but the inbox file's stands in
`queries.sql`.

Why batches are one statement and not `executemany`: apsw lets go of the interpreter lock for every
step and must win it back after each. Beside a busy event loop that costs up to 5 ms, so 200 rows
as 200 steps took 290 ms where one statement of 200 rows took 25 ms (measured, two cores).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any

from makegood.storage.statements import named

SIZES = (256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
"""Rows in one statement. Few sizes keep the prepared statements few; a batch is at most a handful."""

_ROW = re.compile(r"\((?:\?, )*\?\)(?!.*\((?:\?, )*\?\))", re.DOTALL)


QUERIES = named(resources.files(__package__).joinpath("queries.sql").read_text("utf-8"))
"""Name to statement."""


@cache
def repeated(name: str, rows: int) -> str:
    """The statement of that name for so many rows of values at once."""
    statement = QUERIES[name]
    found = _ROW.search(statement)
    assert found is not None, f"{name} has no row of values"
    return statement[: found.end()] + f",{found.group()}" * (rows - 1) + statement[found.end() :]


def chunks(name: str, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any], int]]:
    """The statements, with their values and numbers of rows, that write all of `rows` in order."""
    at, left = 0, len(rows)
    while left:
        size = next(each for each in SIZES if each <= left)
        yield repeated(name, size), [value for row in rows[at : at + size] for value in row], size
        at, left = at + size, left - size
