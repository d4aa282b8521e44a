"""The simple forms of values: one function for each, from what was written to what the model holds.

A form knows its own value and nothing around it; what spans several keys is read in `policies` and `steps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from makegood.errors import nearest
from makegood.expression import ExpressionError
from makegood.expression.times import parse_timestamp
from makegood.language.durations import parse_duration_ms
from makegood.language.keys import Key
from makegood.language.problems import shown

SERVICE = re.compile(r"\w[\w-]{0,99}")
METHOD = re.compile(r"[\w~-][\w.:/~-]{0,199}")

RESERVED_NAMES = frozenset(("input", "steps", "execution", "step", "error"))
_LANGUAGE_NAMES = frozenset(
    (
        "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
        "namespace", "null", "optional", "package", "return", "true", "var", "void", "while",
    )
)  # fmt: skip


class Unfit(Exception):
    """A value does not have its form. `complaint` continues a sentence that begins with the key."""

    def __init__(self, complaint: str, code: str = "wrong_type") -> None:
        self.complaint = complaint
        self.code = code
        super().__init__(complaint)


def _string(key: Key, value: object) -> str:
    if not isinstance(value, str):
        quote = " Quote it to make it a string." if isinstance(value, bool | int | float) else ""
        raise Unfit(f"must be a string, not {shown(value)}.{quote}")
    return value


def _text(key: Key, value: object) -> str:
    text = _string(key, value)
    if not re.fullmatch(key.pattern, text):
        raise Unfit(
            f"must look like {key.pattern}, which {shown(text)} does not.{_lowered(key, text)}", f"bad_{key.name}"
        )
    return text


def _lowered(key: Key, text: str) -> str:
    """A name that would do, when one is near."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:200]).lower()
    better = re.sub(r"[^a-z0-9_]+", "_", words).strip("_")[:63]
    return f" Write {better!r}." if better and re.fullmatch(key.pattern, better) else ""


def _local(key: Key, value: object) -> str:
    text = _text(key, value)
    allowed = {"error"} if key.default == "error" else set()
    if text in RESERVED_NAMES - allowed or text in _LANGUAGE_NAMES:
        raise Unfit(
            f"cannot be {text!r}, which means something else in expressions. Choose another name.", "reserved_name"
        )
    return text


def _flag(key: Key, value: object) -> bool:
    if not isinstance(value, bool):
        raise Unfit(f"must be true or false, not {shown(value)}.")
    return value


def _choice(key: Key, value: object) -> str:
    if not isinstance(value, str) or value not in key.options:
        hint = nearest(value, key.options) if isinstance(value, str) else ""
        raise Unfit(
            f"must be one of {', '.join(key.options)}, not {shown(value)}.{hint if 'Did' in hint else ''}", "bad_choice"
        )
    return value


def _whole(key: Key, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise Unfit(f"must be a whole number, not {shown(value)}.")
    _bounded(key, value)
    return int(value)


def _number(key: Key, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"must be a number, not {shown(value)}.")
    _bounded(key, value)
    return float(value)


def _bounded(key: Key, value: float) -> None:
    if not key.least <= value <= key.most:
        raise Unfit(f"must be from {int(key.least)} to {int(key.most)}, not {shown(value)}.", "out_of_range")


def _duration(key: Key, value: object) -> int:
    try:
        return parse_duration_ms(value)
    except ValueError as error:
        complaint = str(error)
        raise Unfit(f"{complaint}; {shown(value)} was found.", "bad_duration") from None


def _timeout(key: Key, value: object) -> int:
    milliseconds = _duration(key, value)
    if milliseconds == 0:
        raise Unfit("must be longer than zero. Leave it out for the default.", "bad_duration")
    return milliseconds


def _condition(key: Key, value: object) -> str:
    """A bare expression that gives a bool; YAML's true and false are two."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _expression(key, value)


def _expression(key: Key, value: object) -> str:
    if not isinstance(value, str):
        raise Unfit(f"must be an expression (a string), not {shown(value)}.")
    if not value.strip():
        raise Unfit("is empty; write an expression, or leave the key out.", "invalid_expression")
    return value


def _codes(key: Key, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Unfit(f"must be a list of error codes, such as [sold_out], not {shown(value)}.")
    for code in value:
        if not isinstance(code, str) or not code:
            raise Unfit(f"must be a list of error codes, such as [sold_out], and {shown(code)} in it is none.")
    return tuple(value)


def _code(key: Key, value: object) -> str:
    text = _string(key, value)
    if not text:
        raise Unfit("must not be empty.")
    return text


def _service(key: Key, value: object) -> str:
    text = _string(key, value)
    if "." in text:
        raise Unfit(
            f"must be a service's name without a dot, not {shown(text)}: the method has a key of its own.",
            "bad_service",
        )
    if not SERVICE.fullmatch(text):
        raise Unfit(f"must be letters, digits, _ and -, not {shown(text)}.", "bad_service")
    return text


def _method(key: Key, value: object) -> str:
    text = _string(key, value)
    if not METHOD.fullmatch(text) or ".." in text or "//" in text:
        raise Unfit(
            f"must be a method's name (letters, digits, and _ - . : / ~ inside), not {shown(text)}.", "bad_method"
        )
    return text


def target(key: Key, value: str) -> tuple[str, str]:
    """Service and method of `service.method`: the service ends at the first dot."""
    service, dot, method = value.partition(".")
    if not dot or not SERVICE.fullmatch(service):
        raise Unfit(f"must be service.method, such as hotels.reserve, not {shown(value)}.", "bad_call")
    if not METHOD.fullmatch(method) or ".." in method or "//" in method:
        raise Unfit(
            f"names no method after {service!r}, such as {service}.reserve; {shown(value)} was found.", "bad_call"
        )
    return service, method


def _items(key: Key, value: object) -> object:
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.startswith("${") and value.endswith("}"):
        return value
    wrapped = f' Write "${{{value[:60]}}}".' if isinstance(value, str) and "${" not in value and value else ""
    raise Unfit(
        f'must be one "${{...}}" that gives a list, or a list; {shown(value)} is neither.{wrapped}', "not_a_list"
    )


def is_timestamp(text: str) -> bool:
    """Whether the step that waits for it will understand it."""
    try:
        parse_timestamp(text)
    except ExpressionError:
        return False
    return True


def _moment(key: Key, value: object) -> object:
    if isinstance(value, str) and ("${" in value or is_timestamp(value)):
        return value
    raise Unfit(
        "must be a timestamp with a time zone, such as 2030-01-31T12:00:00Z, "
        f'or a "${{...}}" that gives one, not {shown(value)}.',
        "bad_timestamp",
    )


def _schema(key: Key, value: object) -> object:
    if not isinstance(value, dict | bool):
        raise Unfit(f"must be a JSON Schema (a mapping), not {shown(value)}.")
    return value


def _any(key: Key, value: object) -> object:
    return value


FORMS: dict[str, Callable[[Key, object], object]] = {
    "any": _any,
    "choice": _choice,
    "code": _code,
    "codes": _codes,
    "condition": _condition,
    "duration": _duration,
    "expression": _expression,
    "flag": _flag,
    "id": _text,
    "items": _items,
    "local": _local,
    "method": _method,
    "moment": _moment,
    "number": _number,
    "schema": _schema,
    "service": _service,
    "string": _string,
    "text": _text,
    "timeout": _timeout,
    "whole": _whole,
}
"""Forms by name, as the key tables cite them."""
