"""Texts with `{input.room}` in them: the path and the query of a method. No expressions, no network.

Rule: what is filled in stays where it stands. It is escaped, cannot begin another segment or parameter,
and cannot be left out of a path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote, unquote

from makegood.errors import nearest
from makegood.services.payload import encode

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)*")
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_CLIMBING = frozenset({".", ".."})
_TARGET_BYTES_MAX = 8_000
"""Of a path with its query: what every server and proxy takes (RFC 9112, section 3)."""
_MISSING = object()

Part = str | tuple[str, ...]
"""Text as it is, or the path of a value."""


class BadTemplate(ValueError):
    """The text is no template; the message says why."""


class Unfillable(ValueError):
    """The values do not fit the template; the message says which, never what it is."""


class Path:
    """A path whose segments may have placeholders.

    Args:
        text: `/rooms/{input.room}`.
        names: What a placeholder may begin with.

    Attributes:
        text: What it was compiled from.

    Raises:
        BadTemplate: It is none.
    """

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.text = text
        if not text.startswith("/"):
            raise BadTemplate("it begins with /")
        if "?" in text or "#" in text:
            raise BadTemplate("it has no ? and no #; parameters stand in query")
        self._segments = [_parts(each, names) for each in text[1:].split("/")]
        for parts in self._segments:
            literal = [each for each in parts if isinstance(each, str)]
            if any(_LITERAL.fullmatch(each) is None for each in literal):
                raise BadTemplate("it has a character that cannot stand in a path; write it as %XX")
            if len(literal) == len(parts) and unquote("".join(literal)) in _CLIMBING:
                raise BadTemplate("it has a segment . or .., which leads out of it")
        if any(not parts for parts in self._segments[:-1]):
            raise BadTemplate("it has an empty segment")

    def filled(self, values: Mapping[str, Any]) -> str:
        """The path, escaped.

        Raises:
            Unfillable: A value is missing, null, empty or no text or number, or would climb out of its segment.
        """
        return "".join("/" + self._segment(parts, values) for parts in self._segments)

    def _segment(self, parts: list[Part], values: Mapping[str, Any]) -> str:
        texts = []
        for part in parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            text = _required(part, values)
            if not text:
                raise Unfillable(f"{_named(part)} is empty, and stands in the path")
            texts.append(_escaped(part, text))
        segment = "".join(texts)
        if unquote(segment) in _CLIMBING:
            names = ", ".join(_named(each) for each in parts if not isinstance(each, str))
            raise Unfillable(f"{names}: a segment . or .. leads out of the path")
        return segment


class Query:
    """Parameters whose values may have placeholders.

    Args:
        table: Name to text. A text that is one placeholder is left out where its value is null or missing, and
            repeated where it is a list.
        names: As for `Path`.

    Raises:
        BadTemplate: A text is none.
    """

    def __init__(self, table: Mapping[str, str], names: Collection[str]) -> None:
        self._parameters = [(quote(name, safe=""), _parts(text, names)) for name, text in table.items()]

    def filled(self, values: Mapping[str, Any]) -> str:
        """`?a=1&b=2`, escaped; empty if there is no parameter.

        Raises:
            Unfillable: A value is no text, number or list of them, or one that stands among text is missing.
        """
        pairs = [f"{name}={text}" for name, parts in self._parameters for text in self._texts(parts, values)]
        return "?" + "&".join(pairs) if pairs else ""

    def _texts(self, parts: list[Part], values: Mapping[str, Any]) -> list[str]:
        if len(parts) != 1 or isinstance(parts[0], str):
            texts = [
                quote(each) if isinstance(each, str) else _escaped(each, _required(each, values)) for each in parts
            ]
            return ["".join(texts)]
        only = parts[0]
        value = _value(only, values)
        if value is None or value is _MISSING:
            return []
        return [_escaped(only, _text(only, each)) for each in (value if isinstance(value, list) else [value])]


def checked_target(path: str) -> str:
    """A path with its query, if it is not too long.

    Raises:
        Unfillable: It is.
    """
    if len(path) > _TARGET_BYTES_MAX:
        raise Unfillable(f"the path and query have {len(path):,} bytes, more than {_TARGET_BYTES_MAX:,}")
    return path


def _parts(text: str, names: Collection[str]) -> list[Part]:
    if not text.isprintable():
        raise BadTemplate("it has a character that cannot be printed")
    parts: list[Part] = []
    literal = ""
    at = 0
    for found in _TOKEN.finditer(text):
        literal += text[at : found.start()]
        at = found.end()
        if found.group() in ("{{", "}}"):
            literal += found.group()[0]
            continue
        if found[1] is None:
            raise BadTemplate(f"the {found.group()} has no partner; a brace itself is written {found.group() * 2}")
        if literal.endswith("$"):
            raise BadTemplate(
                f"a placeholder is written {{{found[1]}}}, without $; expressions are for body and output"
            )
        if literal:
            parts.append(literal)
        literal = ""
        parts.append(_dotted(found[1], names))
    literal += text[at:]
    return [*parts, literal] if literal else parts


def _dotted(text: str, names: Collection[str]) -> tuple[str, ...]:
    if _DOTTED.fullmatch(text) is None:
        raise BadTemplate(f"{{{text[:60]}}} is no placeholder; write a name with dots, such as {{input.room}}")
    path = tuple(text.split("."))
    if path[0] not in names:
        raise BadTemplate(f"{{{text[:60]}}}: there is no {path[0]!r}.{nearest(path[0], names)}")
    if path[0] != "input" and len(path) > 1:
        raise BadTemplate(f"{{{text[:60]}}}: {path[0]} is a text, and has no {path[1]!r}")
    return path


def _value(path: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    value: Any = values
    for name in path:
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and len(name) < 9 and int(name) < len(value):
            value = value[int(name)]
        else:
            return _MISSING
    return value


def _required(path: tuple[str, ...], values: Mapping[str, Any]) -> str:
    value = _value(path, values)
    if value is _MISSING or value is None:
        raise Unfillable(f"{_named(path)} is {'null' if value is None else 'missing'}")
    return _text(path, value)


def _text(path: tuple[str, ...], value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return encode(value).decode("ascii")
    raise Unfillable(f"{_named(path)} must be a text, a number or a boolean, and is none")


def _escaped(path: tuple[str, ...], text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise Unfillable(f"{_named(path)} has half a character in it (a lone surrogate)") from None


def _named(path: tuple[str, ...]) -> str:
    return ".".join(path)
