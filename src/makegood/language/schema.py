"""The JSON Schema of the language, for editors, made from the key tables.

It knows the shape of a definition and nothing of its meaning: references, pivots and order are checked on loading.
"""

from __future__ import annotations

from typing import Any

from makegood.language import keys as k
from makegood.language.keys import Key, Keys

JsonSchema = dict[str, Any]

_UNIT = r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d)"
_ISO = r"P(?=.)([0-9]+W)?([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?"
_CALL_PATTERN = r"^[^.\s]+\.\S+$"

_DURATION: JsonSchema = {
    "description": "250ms, 30s, 5m, 2h, 7d, ISO-8601 such as PT5M, or a number of seconds.",
    "anyOf": [{"type": "string", "pattern": f"^({_UNIT}|{_ISO})$"}, {"type": "number", "minimum": 0}],
}
_CONDITION: JsonSchema = {
    "description": "An expression that gives true or false, without ${...}.",
    "anyOf": [{"type": "string", "minLength": 1}, {"type": "boolean"}],
}


def _ref(name: str) -> JsonSchema:
    return {"$ref": f"#/$defs/{name}"}


_FORMS: dict[str, JsonSchema] = {
    "any": {},
    "branches": _ref("steps"),
    "call": _ref("call"),
    "cases": {"type": "array", "items": _ref("case"), "minItems": 1},
    "code": {"type": "string", "minLength": 1},
    "codes": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "compensation": _ref("compensation"),
    "condition": _ref("condition"),
    "defaults": _ref("defaults"),
    "duration": _ref("duration"),
    "error_handling": _ref("error_handling"),
    "expression": {"type": "string", "minLength": 1},
    "failure": _ref("failure"),
    "flag": {"type": "boolean"},
    "handlers": {"type": "array", "items": _ref("handler")},
    "items": {"anyOf": [{"type": "string", "pattern": r"^\$\{[\s\S]*\}$"}, {"type": "array"}]},
    "method": {"type": "string", "pattern": r"^\S+$"},
    "moment": {"type": "string", "minLength": 1},
    "retry": _ref("retry"),
    "schema": {"type": ["object", "boolean"]},
    "search": {
        "type": "object",
        "propertyNames": {"pattern": f"^{k.ATTRIBUTE}$"},
        "additionalProperties": {"type": "string", "minLength": 1},
    },
    "service": {"type": "string", "pattern": r"^[^.\s]+$"},
    "steps": _ref("steps"),
    "string": {"type": "string"},
    "timeout": _ref("duration"),
    "undo_defaults": _ref("undo_defaults"),
    "undo_retry": _ref("undo_retry"),
    "wait": _ref("wait"),
}


def schema() -> JsonSchema:
    """A JSON Schema 2020-12 of workflow definitions; closed, and with a description on every key."""
    steps_of_kinds = [_ref(f"{name}_step") for name in k.KINDS]
    top = _mapping(k.TOP)
    # A workflow without steps is refused; a branch without any is not.
    top["properties"]["steps"]["minItems"] = 1
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "makegood workflow definition",
        **top,
        "$defs": {
            "steps": {"type": "array", "items": _ref("step")},
            "step": {"anyOf": [*steps_of_kinds, {"description": "A sequence in short.", **_ref("steps")}]},
            **{f"{name}_step": _step(name) for name in k.KINDS},
            "duration": _DURATION,
            "condition": _CONDITION,
            **_policies(),
        },
    }


def _policies() -> JsonSchema:
    target = {"type": "string", "pattern": _CALL_PATTERN}
    undo = _mapping(k.COMPENSATION)
    undo["oneOf"] = [{"required": ["call"]}, {"required": ["service", "method"]}]
    strategy = {"enum": list(k.STRATEGIES)}
    return {
        "call": {"anyOf": [target, _mapping(k.CALL_TARGET)]},
        "compensation": {"anyOf": [target, undo]},
        "retry": _mapping(k.RETRY),
        "undo_retry": _mapping(k.UNDO_RETRY),
        "defaults": _mapping(k.DEFAULTS),
        "undo_defaults": _mapping(k.UNDO_DEFAULTS),
        "error_handling": {"anyOf": [strategy, _mapping(k.ERROR_HANDLING)]},
        "case": _mapping(k.CASE),
        "handler": _mapping(k.HANDLER),
        "failure": _mapping(k.FAILURE),
        "wait": {"anyOf": [_ref("duration"), _mapping(k.WAIT_UNTIL)]},
    }


def _step(name: str) -> JsonSchema:
    kind = k.KINDS[name]
    made = _mapping(k.KIND_KEYS[name])
    made["required"] += [name] if kind.id_optional else [name, "id"]
    made["description"] = f"{kind.key.says} Output: {kind.output}."
    if name == "repeat":
        made["oneOf"] = [{"required": ["until"]}, {"required": ["while"]}]
    return made


def _mapping(keys: Keys) -> JsonSchema:
    return {
        "type": "object",
        "properties": {key.name: _value(key) for key in keys.values()},
        "required": [key.name for key in keys.values() if key.required],
        "additionalProperties": False,
    }


def _value(key: Key) -> JsonSchema:
    described: JsonSchema = {"description": key.says}
    if key.default is not None:
        described["default"] = key.default
    return described | _form(key)


def _form(key: Key) -> JsonSchema:
    match key.form:
        case "choice":
            return {"enum": list(key.options)}
        case "whole":
            return {"type": "integer", "minimum": int(key.least), "maximum": int(key.most)}
        case "number":
            return {"type": "number", "minimum": key.least, "maximum": key.most}
        case "id" | "local" | "text":
            return {"type": "string", "pattern": f"^{key.pattern}$"}
        case form:
            return dict(_FORMS[form])
