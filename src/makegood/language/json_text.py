"""JSON text to a tree and its places, without recursion. Nothing here knows what a workflow is.

Stricter than Python's own reader: no duplicate keys, no NaN, no lone surrogates, a bounded depth; and
it knows where each value stands.
"""

from __future__ import annotations

import json.decoder
import re
from collections.abc import Callable
from typing import Any, NoReturn

from makegood.language.places import Place, line_column
from makegood.language.problems import GiveUp, Problems, shown
from makegood.language.scalars import NotANumber, fraction, whole_number
from makegood.model import Limits

_scanned: Callable[[str, int, bool], tuple[str, int]] = json.decoder.scanstring  # type: ignore[attr-defined]
"""The C scanner of the standard library: typeshed does not list it, and it is there in all versions."""

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[-+.\w]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}


def read_json(text: str, problems: Problems, limits: Limits) -> tuple[object, Place]:
    """The tree of a JSON text and where its values stand.

    Raises:
        GiveUp: The text cannot be read to its end; the problem says why.
    """
    return _Reader(text, problems, limits).read()


class _Reader:
    def __init__(self, text: str, problems: Problems, limits: Limits) -> None:
        self._text = text
        self._at = 0
        self._problems = problems
        self._limits = limits
        self._nodes = 0
        self._lines = _Lines(text)
        self._stack: list[tuple[dict[str, Any] | list[Any], Place]] = []

    def read(self) -> tuple[object, Place]:
        self._skip()
        if self._at >= len(self._text):
            self._problems.at("empty", "There is no definition in this text.", 1, 1)
            raise GiveUp
        root = self._value()
        while self._stack:
            self._member()
        self._skip()
        if self._at < len(self._text):
            self._stop("Something follows the end of the definition; remove it.")
        return root

    def _member(self) -> None:
        """The next member of the innermost container, or its end."""
        container, place = self._stack[-1]
        end = "}" if isinstance(container, dict) else "]"
        self._skip()
        if self._peek() == end:
            self._at += 1
            self._stack.pop()
            return
        if container:
            self._comma(end)
        if isinstance(container, list):
            assert isinstance(place.children, list)
            value, inner = self._value()
            container.append(value)
            place.children.append(inner)
        else:
            self._pair(container, place)

    def _comma(self, end: str) -> None:
        if self._peek() != ",":
            self._stop(f"A , or {end} is missing here.")
        self._at += 1
        self._skip()
        if self._peek() == end:
            self._stop(f"There is a comma too many before {end}.")

    def _pair(self, container: dict[str, Any], place: Place) -> None:
        assert isinstance(place.children, dict)
        if self._peek() != '"':
            self._stop("A key in double quotes must stand here.")
        start = self._at
        key = self._string()
        self._skip()
        if self._peek() != ":":
            self._stop("A colon is missing after the key.")
        self._at += 1
        self._skip()
        line, column = self._lines.of(start)
        if key in container:
            first = place.children[key].key_line
            message = f"The key {shown(key)} is already there in line {first}. Remove one of them."
            self._problems.at("duplicate_key", message, line, column)
            # Read past it: what it holds is still part of the text.
            self._value()
            return
        value, inner = self._value()
        inner.key_line, inner.key_column = line, column
        container[key] = value
        place.children[key] = inner

    def _value(self) -> tuple[object, Place]:
        self._nodes += 1
        line, column = self._lines.of(self._at)
        if self._nodes > self._limits.definition_nodes:
            self._stop(
                f"The definition has more than {self._limits.definition_nodes} mappings, lists and values. "
                "Split it into child workflows.",
                "too_many_nodes",
            )
        first = self._peek()
        if first == '"':
            index = self._at
            text = self._string()
            return text, Place(line, column, index, '"', text)
        if first in ("{", "["):
            return self._open(first, Place(line, column))
        return self._literal(), Place(line, column)

    def _open(self, first: str, place: Place) -> tuple[object, Place]:
        value: dict[str, Any] | list[Any] = {} if first == "{" else []
        place.children = {} if first == "{" else []
        self._stack.append((value, place))
        if len(self._stack) > self._limits.json_depth:
            self._stop(f"The text nests deeper than {self._limits.json_depth} mappings and lists.", "too_deep")
        self._at += 1
        return value, place

    def _string(self) -> str:
        start = self._at
        try:
            value, self._at = _scanned(self._text, start + 1, True)  # noqa: FBT003 positional in C
        except json.JSONDecodeError as error:
            self._at = error.pos
            self._stop(_string_problem(error.msg))
        if _SURROGATE.search(value):
            self._at = start
            self._stop("This string holds half of a surrogate pair, which is no character.", "bad_character")
        return value

    def _literal(self) -> object:
        number = _NUMBER.match(self._text, self._at)
        word = _WORD.match(self._text, self._at)
        if number and word and number.end() == word.end():
            try:
                value = fraction(number[0]) if number[1] or number[2] else whole_number(number[0])
            except NotANumber as error:
                self._stop(f"{error}.", "bad_number")
            self._at = number.end()
            return value
        if word and word[0] in _WORDS:
            self._at = word.end()
            return _WORDS[word[0]]
        if word and word[0].lstrip("-+") in ("NaN", "Infinity"):
            self._stop(f"{word[0]} is no JSON number; quote it to make it a string.", "bad_number")
        if word:
            self._stop(f"{shown(word[0])} is no JSON value; strings stand in double quotes.")
        if self._at >= len(self._text):
            self._stop("The text ends too early: something is never closed.")
        return self._stop(f"{shown(self._peek())} cannot stand here; a value is missing.")

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _stop(self, message: str, code: str = "json_syntax") -> NoReturn:
        line, column = self._lines.of(min(self._at, len(self._text)))
        self._problems.at(code, message, line, column)
        raise GiveUp


class _Lines:
    """Line and column of indexes that mostly grow, in time that the text's length bounds."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line, self._begin = 1, 0

    def of(self, index: int) -> tuple[int, int]:
        if index < self._begin:
            return line_column(self._text, index)
        while (found := self._text.find("\n", self._begin, index)) >= 0:
            self._line, self._begin = self._line + 1, found + 1
        return self._line, index - self._begin + 1


def _string_problem(message: str) -> str:
    if message.startswith("Unterminated"):
        return "This string is never closed."
    if message.startswith("Invalid control"):
        return "A string cannot hold a raw line break or control character: write \\n or \\u00XX."
    return "This escape is no JSON escape; a backslash is written \\\\."
