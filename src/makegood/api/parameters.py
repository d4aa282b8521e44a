"""The parameters that URLs take: how each is read, and how it is described. Nothing is looked up here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from makegood.api.problems import bad_request
from makegood.core.state import ENDS
from makegood.errors import nearest
from makegood.language.durations import parse_duration_ms

STATUSES = ("running", "suspended", "compensating", *sorted(ENDS), "superseded")
WAIT_MS_MAX = 300_000
SEARCH = "search."
"""What begins the name of a parameter that asks for a search attribute."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Attributes:
        read: From its text to its value; raises ValueError with what is wrong.
        doc: One sentence for the reference.
        schema: JSON Schema of its text.
        default: What holds when it is left out.
    """

    name: str
    read: Callable[[str], Any]
    doc: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    default: Any = None


def whole(name: str, doc: str, *, least: int, most: int, default: int | None = None) -> Parameter:
    """A whole number between two others."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 12 and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    if default is not None:
        schema["default"] = default
    return Parameter(name, read, doc, schema, default)


ATTEMPT = whole("attempt", "Of the address, as it was given.", least=1, most=999_999_999)
TOKEN = Parameter("token", str, "Of the address, as it was given.")


def choice(name: str, doc: str, options: tuple[str, ...], default: str | None = None) -> Parameter:
    """One of some words."""

    def read(text: str) -> str:
        if text not in options:
            raise ValueError(f"must be one of {', '.join(options)}.{nearest(text[:100], options)}")
        return text

    schema: dict[str, Any] = {"type": "string", "enum": list(options)}
    if default is not None:
        schema["default"] = default
    return Parameter(name, read, doc, schema, default)


def _text(text: str) -> str:
    if not text or len(text) > 1_000:
        raise ValueError("must be a text of 1 to 1000 characters")
    return text


def _moment_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("must be a moment with its offset, for example 2030-01-31T12:00:00Z") from None


def _wait_ms(text: str) -> int:
    found = re.fullmatch(_WAIT, text, re.ASCII)
    if found is None:
        raise ValueError("must be a duration, for example 30s")
    # A number alone is seconds.
    wait_ms = parse_duration_ms(text if found[2] else float(text))
    if wait_ms > WAIT_MS_MAX:
        raise ValueError(f"must be at most {WAIT_MS_MAX // 1000}s")
    return wait_ms


_WAIT = r"[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m)?"
_SOME = {"type": "string", "minLength": 1, "maxLength": 1000}
WAIT = Parameter(
    "wait",
    _wait_ms,
    "Answer at the end, at most so much later: `30s`, or a number of seconds; with the current state otherwise.",
    {"type": "string", "pattern": f"^{_WAIT}$", "examples": ["30s"]},
)
CURSOR = Parameter("cursor", _text, "Where the last page ended.", _SOME)
LIST = (
    Parameter("workflow", _text, "Only of this workflow.", _SOME),
    choice("status", "Only in this state.", STATUSES),
    Parameter("business_key", _text, "Only with this business key.", _SOME),
    Parameter("waiting_for", _text, "Only those that wait for this service, none of whose endpoints is well.", _SOME),
    Parameter(
        "started_after", _moment_ms, "Only those that started after this moment.",
        {"type": "string", "format": "date-time"},
    ),
    Parameter(
        "search",
        _text,
        "Each parameter `search.NAME=TEXT`: only those whose search attribute NAME is TEXT, or a value whose JSON is.",
        {
            "type": "object",
            "propertyNames": {"pattern": "^search\\.[a-z][a-z0-9_]{0,30}$"},
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 100},
            "maxProperties": 5,
        },
    ),
    whole("limit", "So many at most.", least=1, most=1_000, default=50),
    CURSOR,
)  # fmt: skip


def read_parameters(given: Mapping[str, str], known: tuple[Parameter, ...]) -> dict[str, Any]:
    """The value of every parameter; `search` is a mapping.

    Raises:
        Unacceptable: One is unknown or does not fit.
    """
    if not given and not known:
        return {}
    by_name = {each.name: each for each in known}
    values: dict[str, Any] = {name: each.default for name, each in by_name.items()}
    if "search" in by_name:
        values["search"] = {}
    for name, text in given.items():
        searched = "search" in by_name and name.startswith(SEARCH) and len(name) > len(SEARCH)
        found = by_name.get("search" if searched else name)
        if found is None or name == "search":
            names = [f"{SEARCH}NAME" if each == "search" else each for each in by_name]
            raise bad_request(f"There is no parameter {name[:100]!r} here.{nearest(name[:100], names)}")
        try:
            value = found.read(text)
        except ValueError as error:
            raise bad_request(f"The parameter {name[:100]!r} {error}.") from None
        if searched:
            values["search"][name.removeprefix(SEARCH)] = value
        else:
            values[name] = value
    return values
