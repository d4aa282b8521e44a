"""Differences as people read them: calls in two columns, JSON by the paths at which it differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from makegood.simulation.orders import Mark, aligned


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that came otherwise than expected.

    Attributes:
        key: Of the expectation, or of a check that is always made.
        message: In one line.
        details: More lines, for reading.
    """

    key: str
    message: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


def json_text(value: Any) -> str:
    """A value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False)


_SIGNS: dict[Mark, str] = {"same": " ", "missing": "-", "surplus": "+"}


def columns(expected: Sequence[Any], got: Sequence[str]) -> tuple[str, ...]:
    """What was expected beside what came, call by call; `-` never came, `+` was not expected."""
    rows = aligned(expected, got)
    width = max([len("expected"), *(len(name) for mark, name in rows if mark != "surplus")])
    lines = [f"  {'expected':{width}}  got"]
    for mark, name in rows:
        left, right = (name if mark != "surplus" else ""), (name if mark != "missing" else "")
        lines.append(f"{_SIGNS[mark]} {left:{width}}  {right}".rstrip())
    return tuple(lines)


def contains(got: Any, expected: Any) -> bool:
    """Whether a mapping has the expected keys, recursively; all else must be equal."""
    return next(differing(got, expected, subset=True), None) is None


def equal(got: Any, expected: Any) -> bool:
    """Whether two values are the same JSON; a number is equal to the same number written otherwise, true is not 1."""
    return next(differing(got, expected, subset=False), None) is None


def differing(got: Any, expected: Any, *, subset: bool, path: str = "") -> Iterator[str]:
    """Each place where two values differ, as a line. `subset`: mappings may hold more than expected."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for name, value in expected.items():
            if name in got:
                yield from differing(got[name], value, subset=subset, path=f"{path}/{name}")
            else:
                yield f"{path}/{name}: expected {json_text(value)}, and there is nothing"
        for name in got if not subset else ():
            if name not in expected:
                yield f"{path}/{name}: {json_text(got[name])} was not expected"
    elif isinstance(expected, list) and isinstance(got, list):
        if len(got) != len(expected):
            yield f"{path or '/'}: expected {len(expected)} items, got {len(got)}: {json_text(got)}"
        else:
            for number, (one, other) in enumerate(zip(got, expected, strict=True)):
                yield from differing(one, other, subset=False, path=f"{path}/{number}")
    elif isinstance(got, bool) != isinstance(expected, bool) or got != expected:
        yield f"{path or '/'}: expected {json_text(expected)}, got {json_text(got)}"
