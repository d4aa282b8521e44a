"""The cases of cel-spec in Python values, and whether an answer is the expected one."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from makegood.errors import MakegoodError
from makegood.expression import CelType, evaluate

_CASES = Path(__file__).parent / "cel_spec" / "public.jsonl"


class Case(NamedTuple):
    """One line of the file."""

    key: str
    group: str
    expression: str
    bindings: dict[str, object]
    expect: Any


def cases() -> list[Case]:
    """All cases, in the order of the file."""
    found = []
    for line in _CASES.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        group = f"{raw['file']}/{raw['section']}"
        bindings = {name: decoded(value) for name, value in raw["bindings"].items()}
        found.append(Case(f"{group}/{raw['name']}", group, raw["expr"], bindings, raw["expect"]))
    return found


def failure(case: Case) -> str | None:
    """What is wrong with the answer to a case; None if it is right."""
    wants_error = case.expect == {"error": True}
    try:
        value = evaluate(case.expression, case.bindings)
    except MakegoodError as error:
        return None if wants_error else f"{case.key}: {case.expression}: {error}"
    if wants_error:
        return f"{case.key}: {case.expression}: an error was expected, not {value!r}"
    expected = decoded(case.expect)
    if not same(value, expected):
        return f"{case.key}: {case.expression}: {value!r} instead of {expected!r}"
    return None


def decoded(raw: Any) -> Any:
    """A value from its form in the file."""
    if isinstance(raw, list):
        return [decoded(item) for item in raw]
    if not isinstance(raw, dict):
        return raw
    if len(raw) == 1:
        (tag, body), *_ = raw.items()
        if tag == "$double":
            return float(body)
        if tag == "$bytes":
            return base64.b64decode(body)
        if tag == "$timestamp":
            return evaluate("timestamp(x)", {"x": body})
        if tag == "$duration":
            return evaluate("duration(x)", {"x": body})
        if tag == "$type":
            return CelType(body)
        if tag == "$map":
            return {decoded(key): decoded(value) for key, value in body}
    return {key: decoded(value) for key, value in raw.items()}


def same(one: Any, other: Any) -> bool:
    """Strict sameness: 1, 1.0 and true are three values, -0.0 is not 0.0, NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1.0, one) == math.copysign(1.0, other)
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        keyed = {(type(key), key): value for key, value in other.items()}
        return len(one) == len(other) and all(
            (type(key), key) in keyed and same(value, keyed[type(key), key]) for key, value in one.items()
        )
    return bool(one == other)
