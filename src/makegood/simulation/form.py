"""The format of scenario files as tables: which keys there are, what each takes. Mistakes become problems with a place.

Whether the names in a scenario are names of its definition is asked in `references`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from makegood.core.state import ENDS
from makegood.errors import nearest
from makegood.language.problems import Problems, pointed, shown

Check = Callable[[Problems, Any, str], None]
"""Looks at a value and notes what is wrong with it; the text is the value's pointer."""

STATUSES = (*sorted(ENDS), "suspended")
TRIGGERS = ("after_calls", "at_ms", "at_end")
DEEDS = ("cancel", "suspend", "resume", "retry", "compensate", "resolve", "start")
KINDS = ("ok", "reject", "status", "hang", "reset", "ongoing", "bad_json")


# --- what a value may be -------------------------------------------------------------------------


def anything(problems: Problems, value: Any, pointer: str) -> None:
    """Any JSON."""


def text(problems: Problems, value: Any, pointer: str) -> None:
    """A text with something in it."""
    if not isinstance(value, str) or not value:
        _wrong(problems, value, pointer, "a text")


def flag(problems: Problems, value: Any, pointer: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        _wrong(problems, value, pointer, "true or false")


def only_true(problems: Problems, value: Any, pointer: str) -> None:
    """True: the key alone says it all."""
    if value is not True:
        _wrong(problems, value, pointer, "true")


def number(problems: Problems, value: Any, pointer: str) -> None:
    """A number from 0, fractions allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        _wrong(problems, value, pointer, "a number from 0")


def whole(least: int = 0, most: int | None = None) -> Check:
    """A whole number within bounds."""
    bounds = f"a whole number from {least}" + ("" if most is None else f" to {most}")

    def check(problems: Problems, value: Any, pointer: str) -> None:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not fits or (most is not None and value > most):
            _wrong(problems, value, pointer, bounds)

    return check


def one_of(*names: str) -> Check:
    """One of some words."""

    def check(problems: Problems, value: Any, pointer: str) -> None:
        if value not in names:
            hint = nearest(value, names) if isinstance(value, str) else ""
            problems.error(
                "wrong_value", f"{_name(pointer)} must be one of {', '.join(names)}, not {shown(value)}.{hint}", pointer
            )

    return check


def list_of(each: Check, least: int = 0) -> Check:
    """A list of such values."""

    def check(problems: Problems, value: Any, pointer: str) -> None:
        if not isinstance(value, list) or len(value) < least:
            _wrong(problems, value, pointer, "a list" if not least else f"a list of at least {least}")
            return
        for number_, inner in enumerate(value):
            each(problems, inner, pointed(pointer, number_))

    return check


def map_of(each: Check) -> Check:
    """A mapping from any name to such values."""

    def check(problems: Problems, value: Any, pointer: str) -> None:
        if not isinstance(value, Mapping):
            _wrong(problems, value, pointer, "a mapping")
            return
        for name, inner in value.items():
            each(problems, inner, pointed(pointer, name))

    return check


def record(what: str, keys: Mapping[str, Check], required: Collection[str] = ()) -> Check:
    """A mapping with these keys and no others."""

    def check(problems: Problems, value: Any, pointer: str) -> None:
        if not isinstance(value, Mapping):
            problems.error("wrong_type", f"{what} must be a mapping, not {shown(value)}.", pointer)
            return
        for name, inner in value.items():
            known = keys.get(name)
            if known is None:
                problems.error(
                    "unknown_key",
                    f"{what} has no key {shown(name)}.{nearest(name, keys)}",
                    pointed(pointer, name),
                    key=True,
                )
            else:
                known(problems, inner, pointed(pointer, name))
        for name in required:
            if name not in value:
                problems.error("missing_key", f"{what} needs the key {name!r}.", pointer)

    return check


def _wrong(problems: Problems, value: Any, pointer: str, wanted: str) -> None:
    problems.error("wrong_type", f"{_name(pointer)} must be {wanted}, not {shown(value)}.", pointer)


def _name(pointer: str) -> str:
    names = [part for part in pointer.split("/") if part and not part.isdigit()]
    return names[-1].replace("~1", "/").replace("~0", "~") if names else "it"


# --- replies and actions ---------------------------------------------------------------------------

_EVERY_REPLY: dict[str, Check] = {"delay_ms": whole(), "effect": flag, "effect_ms": whole()}
_REPLIES: dict[str, dict[str, Check]] = {
    "ok": {"ok": anything},
    "reject": {"reject": text},
    "status": {"status": whole(100, 599), "body": anything, "headers": map_of(anything)},
    "hang": {"hang": only_true},
    "reset": {"reset": only_true},
    "ongoing": {"ongoing": only_true, "poll_after_s": number},
    "bad_json": {"bad_json": only_true},
}


def reply(problems: Problems, value: Any, pointer: str) -> None:
    """One reply of a script."""
    if not isinstance(value, Mapping):
        problems.error("wrong_type", f"A reply must be a mapping such as {{ok: {{}}}}, not {shown(value)}.", pointer)
        return
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) != 1:
        there = ", ".join(map(str, value)) or "none"
        hints = "".join(dict.fromkeys(nearest(str(name), KINDS) for name in value if name not in _EVERY_REPLY))
        hint = hints if "Did you mean" in hints and not kinds else ""
        problems.error(
            "bad_reply",
            f"A reply needs exactly one of {', '.join(KINDS)}; this one has the keys {there}.{hint}",
            pointer,
        )
        return
    kind = kinds[0]
    required = ("effect",) if kind in {"hang", "reset"} else ()
    record(f"A reply of the kind {kind!r}", {**_REPLIES[kind], **_EVERY_REPLY}, required)(problems, value, pointer)


script = list_of(reply, least=1)

_TRIGGERS: dict[str, Check] = {"after_calls": whole(1), "at_ms": whole(), "at_end": one_of(*STATUSES)}


def action(problems: Problems, value: Any, pointer: str) -> None:
    """Something that happens from outside."""
    if not isinstance(value, Mapping):
        problems.error("wrong_type", f"An action must be a mapping, not {shown(value)}.", pointer)
        return
    deed: dict[str, Check] = {"do": one_of(*DEEDS), "signal": text}
    arguments: dict[str, Check] = {}
    if "signal" in value:
        arguments = {"payload": anything}
    elif value.get("do") == "resolve":
        arguments = {"step": text, "note": text}
    record("An action", {**_TRIGGERS, **deed, **arguments, "answer": whole(200, 599)})(problems, value, pointer)
    _exactly_one(problems, value, pointer, "An action", TRIGGERS)
    _exactly_one(problems, value, pointer, "An action", ("do", "signal"))
    if value.get("do") == "resolve" and "step" not in value:
        problems.error("missing_key", "An action that resolves needs the key 'step'.", pointer)


def _exactly_one(problems: Problems, value: Mapping[str, Any], pointer: str, what: str, names: Collection[str]) -> None:
    found = [name for name in names if name in value]
    if len(found) != 1:
        there = f"has {' and '.join(found)}" if found else "has none of them"
        problems.error("not_exactly_one", f"{what} needs exactly one of {', '.join(names)}; this one {there}.", pointer)


# --- expectations and scenarios ----------------------------------------------------------------------


def order(problems: Problems, value: Any, pointer: str) -> None:
    """Names of methods, in lists within lists."""
    if not isinstance(value, list):
        _wrong(problems, value, pointer, "a list")
        return
    for number_, each in enumerate(value):
        (order if isinstance(each, list) else text)(problems, each, pointed(pointer, number_))


def gap(problems: Problems, value: Any, pointer: str) -> None:
    """`[a, b, N]`."""
    if not isinstance(value, list) or len(value) != 3:
        problems.error("wrong_type", f"A gap must be [method, method, milliseconds], not {shown(value)}.", pointer)
        return
    for number_, check in enumerate((text, text, whole())):
        check(problems, value[number_], pointed(pointer, number_))


_EXPECT: dict[str, Check] = {
    "status": one_of(*STATUSES),
    "refused": one_of("definition", "start"),
    "calls": order,
    "error_code": text,
    "error_step": text,
    "suppressed_codes": list_of(text),
    "output": anything,
    "uncompensated_steps": list_of(text),
    "bodies": map_of(anything),
    "bodies_in_order": map_of(list_of(anything)),
    "same_key": list_of(text),
    "effects": map_of(whole()),
    "max_in_flight": map_of(whole()),
    "gaps_ms": list_of(gap),
    "after_deadline": list_of(text),
    "allow_overlap": flag,
}


def expect(problems: Problems, value: Any, pointer: str) -> None:
    """What must come of a scenario."""
    record("`expect`", _EXPECT)(problems, value, pointer)
    if not isinstance(value, Mapping):
        return
    _exactly_one(problems, value, pointer, "`expect`", ("status", "refused"))
    vain = [name for name in value if name in _EXPECT and name not in {"refused", "status"}]
    if "refused" in value and vain:
        problems.error("vain", f"What is refused makes no calls and has no end: leave out {', '.join(vain)}.", pointer)


def definition(problems: Problems, value: Any, pointer: str) -> None:
    """A definition, or the path of one."""
    if not isinstance(value, Mapping) and not (isinstance(value, str) and value):
        _wrong(problems, value, pointer, "a definition, or the path of a file with one")


_SPELL: dict[str, Check] = {"from_ms": whole(), "until_ms": whole()}

scenario = record(
    "A scenario",
    {
        "id": text,
        "title": text,
        "rules": list_of(whole(1)),
        "definition": definition,
        "workflows": list_of(definition),
        "input": anything,
        "services": map_of(script),
        "down": list_of(text),
        "unwell": map_of(list_of(record("A time in which a service is unwell", _SPELL))),
        "wait_ms": whole(),
        "unregistered": list_of(text),
        "actions": list_of(action),
        "expect": expect,
        "crash_safe": flag,
    },
    required=("id", "definition", "expect"),
)
