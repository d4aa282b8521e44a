"""The tree of steps: from mappings to the model, one function for each kind.

A step that cannot be read leaves a stand-in with its id behind, so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from makegood.errors import nearest
from makegood.language import keys as k
from makegood.language.keys import Key
from makegood.language.policies import (
    read_call,
    read_compensation,
    read_defaults,
    read_error_handling,
    read_retry,
    read_search,
    read_undo_defaults,
)
from makegood.language.problems import pointed, shown
from makegood.language.reader import Reader, ReadForm
from makegood.language.values import FORMS, Unfit
from makegood.model import (
    Call,
    Case,
    ChildWorkflow,
    Fail,
    Foreach,
    Handler,
    If,
    Mapped,
    Parallel,
    Repeat,
    Sequential,
    SetStep,
    SignalStep,
    Step,
    Switch,
    Try,
    Wait,
)  # fmt: skip

Fields = dict[str, Any]


def read_step(reader: Reader, value: object, pointer: str) -> Step:
    """One step and all it holds."""
    reader.depth += 1
    try:
        if reader.depth > reader.limits.nesting:
            message = f"Steps nest deeper than {reader.limits.nesting}. Move the inner ones into a child workflow."
            reader.problems.error("nesting_too_deep", message, pointer)
            return _stand_in(reader, pointer)
        if isinstance(value, list):
            steps = _read_list(reader, value, pointer)
            return Sequential(id=pointer[1:], pointer=pointer, anonymous=True, steps=steps)
        if isinstance(value, dict):
            return _read_mapping(reader, value, pointer)
        message = f"A step must be a mapping with an id and a kind ({', '.join(k.KINDS)}), not {shown(value)}."
        reader.problems.error("wrong_type", message, pointer)
        return _stand_in(reader, pointer)
    finally:
        reader.depth -= 1


def _read_mapping(reader: Reader, value: dict[str, Any], pointer: str) -> Step:
    name = value.get("id")
    what = f"Step {shown(name)}" if isinstance(name, str) else "The step"
    kinds = [key for key in value if key in k.KINDS]
    if len(kinds) != 1:
        _no_single_kind(reader, value, kinds, pointer, what)
        identity = _identity(reader, value, None, pointer, what)
        return _stand_in(reader, pointer, identity)
    kind = k.KINDS[kinds[0]]
    identity = _identity(reader, value, kind, pointer, what)
    table = k.KIND_KEYS[kind.name]
    known = {key: inner for key, inner in value.items() if key in table and key != "id"}
    for key in value:
        if key not in table:
            reader.unknown(key, table, pointer, what, _belongs(key, kind))
    found = reader.mapping(known, table, pointer, what)
    common: Fields = {"pointer": pointer, "when": found.get("when"), **identity}
    for key in known.keys() & _NEUTRAL.keys():
        found.setdefault(key, _NEUTRAL[key])
    if kind.name not in found:
        return SetStep(value=None, **common)
    return _KINDS[kind.name](reader, found, common)


def _belongs(key: str, kind: k.Kind) -> str:
    """The remedy for a key that other kinds of step have."""
    if key == "strict_idempotent":
        return " It belongs to the service: strict_idempotent = true under [services.NAME] of the configuration."
    owners = [f"`{name}`" for name, table in k.KIND_KEYS.items() if key in table]
    if not owners:
        return ""
    return f" It belongs to {' and '.join(owners)} steps, and this is a `{kind.name}` step."


def _no_single_kind(reader: Reader, value: dict[str, Any], kinds: list[str], pointer: str, what: str) -> None:
    if kinds:
        both = " and ".join(f"`{kind}`" for kind in kinds)
        message = f"{what} has {both}, and a step has one kind. Make it two steps."
        reader.problems.error("two_kinds", message, pointed(pointer, kinds[1]), key=True)
        return
    message = f"{what} has no kind. Give it one of {', '.join(k.KINDS)}."
    for key in () if reader.problems.full else value:
        hint = nearest(key[:100], k.KINDS)
        if "Did" in hint and not any(key in table for table in k.KIND_KEYS.values()):
            message = f"{what} has no kind, and there is no key {shown(key)}.{hint}"
            reader.problems.error("no_kind", message, pointed(pointer, key), key=True)
            return
    reader.problems.error("no_kind", message, pointer)


def _identity(reader: Reader, value: dict[str, Any], kind: k.Kind | None, pointer: str, what: str) -> Fields:
    """The id, or for a wrapper without one its path."""
    path = {"id": pointer[1:], "anonymous": True}
    key = k.COMMON["id"]
    if "id" not in value:
        if kind is not None and not kind.id_optional:
            reader.missing(key, pointer, f"The `{kind.name}` step")
        return path
    name = reader.one(key, value["id"], pointed(pointer, "id"), "The step")
    if name is None:
        return path
    if name in reader.ids:
        first = reader.problems.where(pointed(reader.ids[name], "id"))
        message = f"The id {name!r} is taken by the step at {first}. Every step needs an id of its own."
        reader.problems.error("duplicate_id", message, pointed(pointer, "id"))
        return path
    reader.ids[name] = pointer
    return {"id": name, "anonymous": False}


_NEUTRAL: Fields = {"call": ("", ""), "if": "true", "foreach": [], "until": "true", "while": "false"}
"""Stands for a value that was wrong, so that the rest of its step is still checked."""


def _stand_in(reader: Reader, pointer: str, identity: Fields | None = None) -> Step:
    reader.incomplete = True
    return SetStep(pointer=pointer, value=None, **(identity or {"id": pointer[1:], "anonymous": True}))


def _read_list(reader: Reader, value: list[Any], pointer: str) -> tuple[Step, ...]:
    return tuple(read_step(reader, inner, f"{pointer}/{nth}") for nth, inner in enumerate(value))


def _steps(reader: Reader, key: Key, value: object, pointer: str, what: str) -> tuple[Step, ...]:
    if not isinstance(value, list):
        reader.incomplete = True
        raise Unfit(f"must be a list of steps, not {shown(value)}.")
    return _read_list(reader, value, pointer)


def _cases(reader: Reader, key: Key, value: object, pointer: str, what: str) -> tuple[Case, ...]:
    if not isinstance(value, list) or not value:
        reader.incomplete = True
        raise Unfit(f"must be a list of cases, {{when, steps}}, not {shown(value) if value != [] else 'an empty one'}.")
    read = []
    for nth, inner in enumerate(value):
        found = reader.mapping(inner, k.CASE, f"{pointer}/{nth}", f"{what}: case {nth + 1}")
        read.append(Case(when=found.get("when", "true"), steps=found.get("steps", ())))
    return tuple(read)


def _handlers(reader: Reader, key: Key, value: object, pointer: str, what: str) -> tuple[Handler, ...]:
    if not isinstance(value, list):
        reader.incomplete = True
        raise Unfit(f"must be a list of handlers, {{errors, as, steps}}, not {shown(value)}.")
    read = []
    for nth, inner in enumerate(value):
        found = reader.mapping(inner, k.HANDLER, f"{pointer}/{nth}", f"{what}: handler {nth + 1}")
        if found.get("errors") == ():
            message = (
                f"{what}: handler {nth + 1}: `errors` is empty. Name what it catches, or leave it out for everything."
            )
            reader.problems.error("missing_key", message, f"{pointer}/{nth}/errors")
        name = found.get("as", k.HANDLER["as"].default)
        read.append(Handler(errors=found.get("errors", ()), name=name, steps=found.get("steps", ())))
    return tuple(read)


def _wait(reader: Reader, key: Key, value: object, pointer: str, what: str) -> Fields:
    if isinstance(value, dict):
        return {"until": reader.mapping(value, k.WAIT_UNTIL, pointer, f"{what}: `wait`").get("until")}
    if isinstance(value, str) and "${" in value:
        raise Unfit('must be a duration; a moment is written {until: "${...}"}.', "bad_duration")
    return {"duration_ms": FORMS["duration"](key, value)}


def _failure(reader: Reader, key: Key, value: object, pointer: str, what: str) -> Fields:
    found = reader.mapping(value, k.FAILURE, pointer, f"{what}: `fail`")
    return {"error": found.get("error", ""), "message": found.get("message", ""), "details": found.get("details")}


FORMS_OF_MAPPINGS: dict[str, ReadForm] = {
    "branches": _steps,
    "call": read_call,
    "cases": _cases,
    "compensation": read_compensation,
    "defaults": read_defaults,
    "error_handling": read_error_handling,
    "failure": _failure,
    "handlers": _handlers,
    "retry": read_retry,
    "search": read_search,
    "steps": _steps,
    "undo_defaults": read_undo_defaults,
    "undo_retry": read_retry,
    "wait": _wait,
}


def _mapped(found: Fields, name: str) -> Mapped | None:
    return Mapped(found[name]) if name in found else None


def _call_step(reader: Reader, found: Fields, common: Fields) -> Step:
    service, method = found["call"]
    return Call(
        service=service,
        method=method,
        input=_mapped(found, "input"),
        timeout_ms=found.get("timeout"),
        ongoing_timeout_ms=found.get("ongoing_timeout"),
        retry=found.get("retry"),
        compensation=found.get("compensation"),
        read_only=found.get("read_only", False),
        pivot=found.get("pivot", False),
        retriable=found.get("retriable", False),
        compensate_on_failure=found.get("compensate_on_failure", False),
        **common,
    )


def _parallel_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return Parallel(
        branches=found["parallel"],
        max_concurrency=found.get("max_concurrency"),
        on_failure=found.get("on_failure", "drain"),
        **common,
    )


def _sequential_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return Sequential(steps=found["sequential"], **common)


def _if_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return If(condition=found["if"], then=found.get("then", ()), otherwise=found.get("else", ()), **common)


def _switch_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return Switch(cases=found["switch"], default=found.get("default", ()), **common)


def _foreach_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return Foreach(
        items=found["foreach"],
        name=found.get("as", "item"),
        index_name=found.get("index_as", "index"),
        max_concurrency=found.get("max_concurrency", 1),
        steps=found.get("steps", ()),
        **common,
    )


def _repeat_step(reader: Reader, found: Fields, common: Fields) -> Step:
    pointer = common["pointer"]
    if "until" in found and "while" in found:
        message = (
            f"Step {common['id']!r} has both `until` and `while`. Keep one: "
            "`until` is checked after each round, `while` before it."
        )
        reader.problems.error("two_conditions", message, f"{pointer}/while", key=True)
    elif "until" not in found and "while" not in found:
        reader.missing(k.KIND_KEYS["repeat"]["until"], pointer, f"Step {common['id']!r}")
    return Repeat(
        steps=found["repeat"],
        until=found.get("until"),
        while_=found.get("while"),
        max_iterations=found.get("max_iterations", 1000),
        **common,
    )


def _wait_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return Wait(**found["wait"], **common)


def _signal_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return SignalStep(
        signal=found["signal"],
        timeout_ms=found.get("timeout"),
        on_timeout=found.get("on_timeout", "fail"),
        schema=found.get("schema"),
        **common,
    )


def _workflow_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return ChildWorkflow(
        workflow=found["workflow"],
        version=found.get("version"),
        input=_mapped(found, "input"),
        compensation=found.get("compensation"),
        detached=found.get("detached", False),
        **common,
    )


def _try_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return Try(
        body=found["try"],
        handlers=found.get("catch", ()),
        finally_=found.get("finally", ()),
        compensate=found.get("compensate", True),
        **common,
    )


def _set_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return SetStep(value=found["set"], **common)


def _fail_step(reader: Reader, found: Fields, common: Fields) -> Step:
    return Fail(**found["fail"], **common)


_KINDS: dict[str, Callable[[Reader, Fields, Fields], Step]] = {
    "call": _call_step,
    "parallel": _parallel_step,
    "sequential": _sequential_step,
    "if": _if_step,
    "switch": _switch_step,
    "foreach": _foreach_step,
    "repeat": _repeat_step,
    "wait": _wait_step,
    "signal": _signal_step,
    "workflow": _workflow_step,
    "try": _try_step,
    "set": _set_step,
    "fail": _fail_step,
}
