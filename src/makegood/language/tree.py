"""A tree that came without text: is it JSON, and within the limits? Copies it, so that nobody changes it later."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import NoReturn

from makegood.language.durations import duration_text
from makegood.language.problems import GiveUp, Problems, pointed, shown
from makegood.language.scalars import DIGITS_MAX
from makegood.model import Limits

_BITS_MAX = DIGITS_MAX * 10 // 3


def json_copy(tree: object, problems: Problems, limits: Limits) -> object:
    """A copy of plain dicts, lists, strings, numbers, booleans and nulls.

    Tuples become lists, and a `timedelta` becomes the text of its duration.

    Raises:
        GiveUp: The tree is no JSON or exceeds a limit; the problem says why.
    """
    return _Copier(problems, limits).copy(tree)


class _Copier:
    def __init__(self, problems: Problems, limits: Limits) -> None:
        self._problems = problems
        self._limits = limits
        self._nodes = 0
        self._bytes = 0
        # The way to the value at hand; a pointer is only made of it for a problem.
        self._way: list[str | int] = []

    def copy(self, value: object) -> object:
        """Recursive: the depth is bounded, which also ends a tree that holds itself."""
        self._nodes += 1
        most = self._limits.definition_nodes
        if self._nodes > most:
            message = f"The definition has more than {most} mappings, lists and values."
            self._stop("too_many_nodes", f"{message} Split it into child workflows.", whole=True)
        if not isinstance(value, Mapping | list | tuple):
            return self._scalar(value)
        if len(self._way) >= self._limits.json_depth:
            message = f"The definition nests deeper than {self._limits.json_depth} mappings and lists."
            self._stop("too_deep", message, whole=True)
        if isinstance(value, Mapping):
            return {self._key(key): self._inner(key, inner) for key, inner in value.items()}
        return [self._inner(nth, inner) for nth, inner in enumerate(value)]

    def _inner(self, token: str | int, value: object) -> object:
        self._way.append(token)
        copied = self.copy(value)
        self._way.pop()
        return copied

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            self._stop("bad_key", f"A key must be a string, not {shown(key)}.")
        return self._text(key)

    def _scalar(self, value: object) -> object:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            if value.bit_length() > _BITS_MAX:
                self._stop("bad_number", f"A number has more than {DIGITS_MAX} digits; make it a string.")
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                self._stop("bad_number", f"{value} is no JSON number.")
            return float(value)
        if isinstance(value, timedelta):
            return duration_text(value)
        only = "only mappings, lists, strings, numbers, booleans and null are"
        return self._stop("not_json", f"{shown(value)} is not JSON: {only}.")

    def _text(self, value: str) -> str:
        try:
            self._bytes += len(value.encode())
        except UnicodeEncodeError:
            message = "This string holds half of a surrogate pair, which is no character."
            self._stop("bad_character", message)
        most = self._limits.definition_bytes
        if self._bytes > most:
            message = f"The definition is longer than {most} bytes. Split it into child workflows."
            self._stop("too_large", message, whole=True)
        # A plain string also of a member of an enumeration, whose str() is its name.
        return str.__str__(value)

    def _stop(self, code: str, message: str, *, whole: bool = False) -> NoReturn:
        self._problems.error(code, message, "" if whole else pointed("", *self._way))
        raise GiveUp
