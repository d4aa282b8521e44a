"""Ways through a JSON Schema: what it says of the value at a path, as far as it says anything for certain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from makegood.errors import nearest
from makegood.language.schema_mistakes import TYPES

_REFERENCES_MAX = 32
_TYPES = frozenset(TYPES)
_CHOICES = ("anyOf", "oneOf", "not", "if", "dependentSchemas", "$dynamicRef")


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such field.

    Attributes:
        field: The first that is not there.
        holder: How many steps of the path lead to what lacks it.
        certain: Whether the schema forbids further fields; otherwise it only names none of that name.
        hint: The nearest that there is.
    """

    field: str
    holder: int
    certain: bool
    hint: str


class Schemas:
    """One schema, whole in itself: the root that its references start from."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def flat(self, schema: Any) -> tuple[dict[str, Any], ...] | None:
        """The parts of a schema that all hold together, references followed; None where it leaves a choice."""
        found: list[dict[str, Any]] = []
        waiting = [schema]
        for _ in range(_REFERENCES_MAX):
            if not waiting:
                return tuple(found)
            part = waiting.pop()
            if not isinstance(part, dict):
                if part is not True:
                    return None
                continue
            if any(word in part for word in _CHOICES):
                return None
            if "$ref" in part:
                waiting.append(self._at(part["$ref"]))
            waiting.extend(part.get("allOf", ()))
            found.append(part)
        return None

    def _at(self, reference: Any) -> Any:
        place = self.root
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        for token in reference[1:].split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            if not isinstance(place, dict) or key not in place:
                return None
            place = place[key]
        return place

    def at(self, path: Sequence[str | int]) -> Any:
        """The schema of the value at a path, an `Absent`, or None where nothing is certain."""
        schema = self.root
        for nth, key in enumerate(path):
            parts = self.flat(schema)
            if parts is None:
                return None
            types = kinds(parts)
            if isinstance(key, int):
                if types is not None and "array" not in types:
                    return None
                items = [part["items"] for part in parts if "items" in part and "prefixItems" not in part]
                schema = items[0] if len(items) == 1 else None
            elif types is not None and "object" not in types:
                return Absent(str(key), nth, certain=True, hint="")
            else:
                schema = self._field(parts, key, nth)
            if schema is None or isinstance(schema, Absent):
                return schema
        return schema

    def _field(self, parts: tuple[dict[str, Any], ...], key: str, nth: int) -> Any:
        named = fields(parts)
        if key in named:
            return named[key]
        told = lacking(parts, key)
        return None if told is None else Absent(key, nth, certain=told == "forbidden", hint=nearest(key[:100], named))


def fields(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The fields that are named, each with its schema."""
    return {name: schema for part in parts for name, schema in (part.get("properties") or {}).items()}


def lacking(parts: Sequence[dict[str, Any]], name: str) -> Literal["forbidden", "unnamed"] | None:
    """How a field is told of that none of the parts names: not allowed, or allowed and not named. None if it may be."""
    more_allowed = False
    for part in parts:
        more = part.get("additionalProperties")
        if "patternProperties" in part or (more is not None and more is not False):
            more_allowed = True
        elif more is False and name not in (part.get("properties") or {}):
            return "forbidden"
    return None if more_allowed or not fields(parts) else "unnamed"


def required(parts: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The fields that must be there."""
    for part in parts:
        yield from part.get("required") or ()


def kinds(parts: Sequence[dict[str, Any]]) -> frozenset[str] | None:
    """The types of JSON that it may be; `integer` is a `number` too. None where that is open."""
    allowed: frozenset[str] | None = None
    for part in parts:
        given = part.get("type")
        if given is None:
            continue
        these = frozenset([given] if isinstance(given, str) else map(str, given) if isinstance(given, list) else ())
        if not these or not these <= _TYPES:
            return None  # Whatever that means.
        allowed = these if allowed is None else frozenset(each for each in allowed if each in these)
    if allowed is not None and "number" in allowed:
        allowed |= {"integer"}
    return allowed
