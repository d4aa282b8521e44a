"""What users give on the command line, read and checked: files, JSON, durations, `name=URL`."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

from makegood.errors import ConfigurationError, InputError
from makegood.language import parse_duration_ms
from makegood.language.files import read_bounded

INPUT_BYTES_MAX = 64 * 1024 * 1024
"""More is not even read; what an execution takes is less, and the engine says how much."""

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def read_file(path: str, what: str, bytes_max: int = INPUT_BYTES_MAX) -> bytes:
    """The content of a file; `-` is stdin.

    Raises:
        InputError: It cannot be read.
    """
    if path == "-":
        return _read_stdin(what, bytes_max)
    return _bounded(read_bounded(path, what, bytes_max), path, what, bytes_max)


def _read_stdin(what: str, bytes_max: int) -> bytes:
    if sys.stdin is None:
        raise InputError(f"{what} is to come from stdin, and stdin is closed. Give it as JSON, or as @file.")
    try:
        raw = sys.stdin.buffer.read(bytes_max + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{what} is to come from stdin, which cannot be read: {error}. Give it as @file.") from None
    return _bounded(raw, "stdin", what, bytes_max)


def _bounded(raw: bytes, source: str, what: str, bytes_max: int) -> bytes:
    if len(raw) > bytes_max:
        raise InputError(f"{source}: {what} has more than {bytes_max} bytes. Is this the right file?")
    return raw


def read_json_argument(text: str, option: str) -> Any:
    """The value of an option that takes JSON, `@file` or `-`.

    Raises:
        InputError: It cannot be read or is no JSON; the message says where.
    """
    if text == "-":
        return parse_json(read_file("-", f"the value of {option}"), "stdin")
    if text.startswith("@"):
        if text == "@":
            raise InputError(f"{option} @ names no file. Write {option} @input.json, for example.")
        return parse_json(read_file(text[1:], f"the value of {option}"), text[1:])
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{option} is not UTF-8. Put the value in a file and give {option} @file.") from None
    return parse_json(raw, option)


def parse_json(raw: bytes, source: str) -> Any:
    """A value from JSON text, without the numbers that JSON does not have.

    Raises:
        InputError: `source:line:column: ...`.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{source}:{line}: the text is not UTF-8. Save it as UTF-8.") from None
    if not text.strip():
        raise InputError(f"{source}: there is nothing to read. Give a JSON value, for example {{}}.")
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}.{_hint(text)}"
        ) from None
    except RecursionError:
        raise InputError(f"{source}: the JSON is nested too deeply.") from None
    except ValueError as error:
        raise InputError(f"{source}: this is not JSON that can be taken: {error}") from None


def _hint(text: str) -> str:
    """A remedy for the commonest slip: the shell ate the quotes, or a file was meant."""
    start = text.lstrip()
    if start[:1] in '{["' or start[:1].isdigit():
        return ""
    return f" A text needs its quotes: '\"{start[:20]}\"'. For a file, write @{start.split()[0][:40]}"


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large for a double")
    return number


def read_duration_s(text: str, option: str) -> float:
    """A duration in the language's own words, or a number of seconds; in seconds.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        return parse_duration_ms(float(text) if _NUMBER.fullmatch(text) else text) / 1000
    except ValueError as error:
        raise ConfigurationError(f"{option} {text!r} {error}.") from None


def read_services(given: list[str]) -> dict[str, str]:
    """`--service name=URL`, by name. That each URL is one is checked where the service is registered.

    Raises:
        ConfigurationError: One is written otherwise, or a name comes twice.
    """
    services: dict[str, str] = {}
    for each in given:
        name, equals, url = each.partition("=")
        if not equals or not name or not url:
            raise ConfigurationError(
                f"--service {each!r}: write --service name=URL, for example hotels=http://127.0.0.1:9000."
            )
        if name in services:
            raise ConfigurationError(
                f"--service {name}=... is given twice. Keep one; several urls go into makegood.toml."
            )
        services[name] = url
    return services
