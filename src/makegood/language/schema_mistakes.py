"""What is wrong with a JSON Schema, in words for the one who wrote it. Knows no definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from makegood.errors import nearest
from makegood.language.problems import pointed, shown

Way = tuple[str | int, ...]
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_WORDS = {
    "array": "a list", "boolean": "true or false", "integer": "a whole number", "null": "null",
    "number": "a number", "object": "a mapping", "string": "a string",
}  # fmt: skip


def complaint(error: Any) -> str:
    """What a validation error of a schema against the schema of schemas means, and where it is.

    Args:
        error: Of jsonschema_rs.
    """
    way: Way = tuple(error.instance_path)
    return f"{_at(way)}{_of_value(error, way)}"


def _of_value(error: Any, way: Way) -> str:
    kind, value = error.kind, error.instance
    keyword = next((part for part in reversed(way) if isinstance(part, str)), "")
    if keyword == "type" and kind.name in {"anyOf", "enum"}:
        return _of_type(value)
    match kind.name:
        case "type":
            if sorted(kind.types) == ["boolean", "object"]:
                return f"a schema is a mapping, or true or false, and this is {shown(value)}."
            words = " or ".join(_WORDS.get(each, each) for each in kind.types)
            return f"{keyword!r} takes {words}, not {shown(value)}."
        case "minimum":
            return f"{keyword!r} must be at least {kind.limit}, not {shown(value)}."
        case "exclusiveMinimum":
            return f"{keyword!r} must be more than {kind.limit}, not {shown(value)}."
        case "minItems":
            return f"{keyword!r} must not be empty."
        case "uniqueItems":
            return f"{keyword!r} names something twice."
        case _:
            return f"{error.message}."


def _of_type(value: Any) -> str:
    known = f"Types are {', '.join(TYPES)}."
    if isinstance(value, list) and value:
        unknown = [each for each in value if each not in TYPES]
        wrong = unknown[0] if unknown else value
    else:
        wrong = value
    if not isinstance(wrong, str):
        return f"'type' takes the name of a type, or a list of such, each once, not {shown(wrong)}. {known}"
    close = nearest(wrong[:100], TYPES)
    return f"there is no type {shown(wrong)}. {known}{close if close.startswith(' Did') else ''}"


def not_compiled(error: Any, schema: Any) -> tuple[str, Way]:
    """What a schema that follows the rules and does not compile has wrong, and the way to it.

    Args:
        error: Of jsonschema_rs: a regular expression that is none, or a reference that leads nowhere.
    """
    way: Way = tuple(getattr(error, "instance_path", None) or ())
    if way and getattr(error, "message", "").endswith('is not a "regex"'):
        return f"{_at(way)}{shown(error.instance if way[-1] == 'pattern' else way[-1])} is no regular expression.", way
    for found, target in _references(schema):
        if not _leads_somewhere(schema, target):
            there = schema.get("$defs") if isinstance(schema, dict) else None
            names = [f"#/$defs/{name}" for name in there] if isinstance(there, dict) else []
            known = nearest(target[:100], names) or " Put it under $defs."
            return f"{_at(found)}the reference {shown(target)} leads nowhere.{known}", found
    message = getattr(error, "message", None) or str(error)
    return f"{_at(way)}{message.splitlines()[0]}.", way


def _at(way: Way) -> str:
    return f"at {shown(pointed('', *way))}: " if way else ""


def _references(schema: Any) -> Iterator[tuple[Way, str]]:
    waiting: list[tuple[Way, Any]] = [((), schema)]
    while waiting:
        way, value = waiting.pop()
        if isinstance(value, dict):
            target = value.get("$ref")
            if isinstance(target, str):
                yield (*way, "$ref"), target
            waiting.extend(((*way, key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            waiting.extend(((*way, nth), inner) for nth, inner in enumerate(value))


def _leads_somewhere(schema: Any, target: str) -> bool:
    if target == "#":
        return True
    if not target.startswith("#/"):
        return False
    value = schema
    for part in target[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(value):
            value = value[int(key[:9])]
        else:
            return False
    return True
