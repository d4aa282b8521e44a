"""Files of named SQL statements: each block has a name and one line on why it is safe.

Strangers keep out: no connection, no driver, nothing of one dialect.
"""

from __future__ import annotations

import re

_BLOCK = re.compile(r"^-- name: (\w+)\n-- safe: .+\n((?:(?!-- name:).*\n?)+)", re.MULTILINE)


def named(text: str) -> dict[str, str]:
    """The blocks of a file of named statements."""
    found = {name: body.strip() for name, body in _BLOCK.findall(text)}
    if len(found) != len(re.findall(r"^-- name:", text, re.MULTILINE)):
        raise ValueError("every named statement has a name of its own and one line on why it is safe")
    return found
