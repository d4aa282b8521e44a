"""Where each value of a definition stands in its text. Built by the two text readers, asked by nobody else
but the list of problems."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Place:
    """Where one value stands. Lines and columns count from 1, indexes from 0.

    Attributes:
        line: Of the value's first character.
        column: Of the value's first character.
        index: Of the value's first character in the text; -1 when it is not known.
        style: `"`, `'`, `|` or `>` for a scalar written so; empty for a plain one.
        scalar: The string that was read, when it is one.
        key_line: Of the key before it; 0 when there is none.
        key_column: Of the key before it.
        children: The places inside, by key or in order.
    """

    line: int
    column: int
    index: int = -1
    style: str = ""
    scalar: str | None = None
    key_line: int = 0
    key_column: int = 0
    children: dict[str, Place] | list[Place] | None = None


def line_column(text: str, index: int) -> tuple[int, int]:
    """Line and column of a character, both from 1."""
    line = text.count("\n", 0, index) + 1
    return line, index - text.rfind("\n", 0, index)


class Places:
    """A text and the places of the values read from it."""

    def __init__(self, text: str, root: Place) -> None:
        self._text = text
        self._root = root

    def locate(self, pointer: str, *, key: bool = False, offset: int | None = None) -> tuple[int, int]:
        """Line and column of what a JSON pointer points at, or of the nearest thing around it."""
        place = self._root
        for token in pointer.split("/")[1:]:
            inner = _child(place, token.replace("~1", "/").replace("~0", "~"))
            if inner is None:
                # Something is missing there: the mapping that lacks it is the place.
                return place.line, place.column
            place = inner
        if key and place.key_line:
            return place.key_line, place.key_column
        if offset is not None and place.scalar is not None and place.index >= 0:
            return self._inside(place, offset)
        return place.line, place.column

    def _inside(self, place: Place, offset: int) -> tuple[int, int]:
        """A character of a scalar where text and value agree for certain, or else the scalar's start."""
        scalar = place.scalar or ""
        offset = max(0, min(offset, len(scalar)))
        if place.style == "|":
            return self._in_block(place, scalar, offset)
        start = 1 if place.style in ('"', "'") else 0
        certain = "\n" not in scalar and self._text.startswith(scalar, place.index + start)
        if place.style == ">" or not certain:
            return place.line, place.column
        return place.line, place.column + start + offset

    def _in_block(self, place: Place, scalar: str, offset: int) -> tuple[int, int]:
        before = scalar[:offset]
        nth = before.count("\n")
        wanted = scalar.split("\n")[nth]
        lines = self._text[place.index :].split("\n", nth + 2)
        found = lines[nth + 1].rstrip("\r") if len(lines) > nth + 1 else ""
        if not found.endswith(wanted) or found[: len(found) - len(wanted)].strip(" "):
            return place.line, place.column
        column = len(found) - len(wanted) + (offset - (before.rfind("\n") + 1)) + 1
        return place.line + nth + 1, column


def _child(place: Place, token: str) -> Place | None:
    if isinstance(place.children, dict):
        return place.children.get(token)
    if isinstance(place.children, list) and token.isascii() and token.isdigit() and len(token) < 9:
        index = int(token)
        return place.children[index] if index < len(place.children) else None
    return None
