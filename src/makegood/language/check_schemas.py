"""The JSON Schemas inside a definition. The one place that compiles them, here and for those who validate with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from makegood.language.order import walk
from makegood.language.problems import Problems, pointed, shown
from makegood.language.schema_mistakes import complaint, not_compiled
from makegood.model import Definition, SignalStep

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REFERENCES = ("$ref", "$dynamicRef")
_DATA = frozenset(("const", "default", "enum", "examples"))


class InvalidSchema(ValueError):
    """A schema is none. `way` leads to the place in it."""

    def __init__(self, message: str, code: str, way: tuple[str | int, ...] = ()) -> None:
        self.code = code
        self.way = way
        super().__init__(message)


def compile_schema(schema: Any) -> Any:
    """A validator (`is_valid`, `iter_errors`) of a JSON Schema 2020-12 that refers to nothing outside itself.

    Raises:
        InvalidSchema: It is none.
    """
    import jsonschema_rs  # noqa: PLC0415 most definitions have no schema, and it takes long to import

    _closed(schema)
    try:
        problem = next(iter(jsonschema_rs.Draft202012Validator(_META).iter_errors(schema)), None)
        if problem is not None:
            raise InvalidSchema(complaint(problem), "invalid_schema", tuple(problem.instance_path))
        return jsonschema_rs.Draft202012Validator(schema)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        if isinstance(error, InvalidSchema):
            raise
        message, way = not_compiled(error, schema)
        raise InvalidSchema(message, "invalid_schema", way) from None


_META = {"$schema": DIALECT, "$ref": DIALECT}


def _closed(schema: Any) -> None:
    """Refuse other dialects, and references that would have to be fetched."""
    for way, keyword, value in _keywords(schema):
        if keyword in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
            message = (
                f"The reference {shown(value)} leads outside. "
                "Put the schema under $defs, and refer to it as #/$defs/name."
            )
            raise InvalidSchema(message, "remote_reference", way)
        if keyword == "$schema" and value not in (DIALECT, f"{DIALECT}#"):
            message = f"Schemas are JSON Schema 2020-12, not {shown(value)}. Leave $schema out."
            raise InvalidSchema(message, "schema_dialect", way)


def _keywords(schema: Any) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), schema)]
    while waiting:
        way, value = waiting.pop()
        if isinstance(value, dict):
            for keyword, inner in value.items():
                if isinstance(inner, str):
                    yield (*way, keyword), keyword, inner
                elif keyword not in _DATA:
                    waiting.append(((*way, keyword), inner))
        elif isinstance(value, list):
            waiting.extend(((*way, nth), inner) for nth, inner in enumerate(value))


def check_schemas(definition: Definition, problems: Problems) -> None:
    """Report every schema that is none, and signals with two."""
    _check(definition.input_schema, "/input_schema", "`input_schema`", problems)
    first: dict[str, SignalStep] = {}
    for step in walk(definition.steps):
        if not isinstance(step, SignalStep) or step.schema is None:
            continue
        pointer = f"{step.pointer}/schema"
        _check(step.schema, pointer, f"Step {step.id!r}: `schema`", problems)
        other = first.setdefault(step.signal, step)
        if not _same(other.schema, step.schema):
            message = (
                f"The signal {step.signal!r} has another schema in step "
                f"{other.id!r} ({problems.where(other.pointer)}). "
                "One name has one schema: make them the same, or name the signals apart."
            )
            problems.error("signal_schemas_differ", message, pointer, key=True)


def _check(schema: Any, pointer: str, what: str, problems: Problems) -> None:
    if schema is None:
        return
    try:
        compile_schema(schema)
    except InvalidSchema as error:
        problems.error(error.code, f"{what}: {error}", pointed(pointer, *error.way))


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    import json  # noqa: PLC0415 only where a signal is awaited twice

    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
