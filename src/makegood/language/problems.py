"""The list of mistakes a load has found. It knows where things stand; it judges nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from makegood.errors import DefinitionError, Problem

if TYPE_CHECKING:
    from makegood.language.places import Places

PROBLEMS_MAX = 100
"""Nobody reads more, and a hostile text must not make us write more."""

_SHOWN_MAX = 60


class GiveUp(Exception):
    """Internal: what has been read so far cannot be judged any further."""


def shown(value: object) -> str:
    """A value as a message quotes it: short, on one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        cut = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}..."
        return repr(cut)
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else "a very long number"
    return repr(value) if isinstance(value, float) else f"a Python {type(value).__name__}"


def pointed(pointer: str, *parts: str | int) -> str:
    """The JSON pointer one or more steps deeper."""
    for part in parts:
        token = str(part).replace("~", "~0").replace("/", "~1")
        pointer = f"{pointer}/{token}"
    return pointer


class Problems:
    """Collects what is wrong, with the place in the text when there is a text.

    Attributes:
        places: Where each value stands; None when the definition came as a tree.
        origins: Pointers in the tree that is read, mapped to pointers in the tree that was given,
            where a form was turned into another.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: Places | None = None
        self.origins: Mapping[str, str] = {}
        self._found: list[Problem] = []
        self._more = 0

    def error(
        self, code: str, message: str, pointer: str = "", *, key: bool = False, offset: int | None = None
    ) -> None:
        """One mistake. `key` points at the key and not at its value; `offset` into a scalar's text."""
        self._add(code, message, pointer, key=key, offset=offset, severity="error")

    def warning(
        self, code: str, message: str, pointer: str = "", *, key: bool = False, offset: int | None = None
    ) -> None:
        """Something that is allowed and probably not meant."""
        self._add(code, message, pointer, key=key, offset=offset, severity="warning")

    def at(self, code: str, message: str, line: int, column: int) -> None:
        """One mistake in the text itself, before there is a tree."""
        if self._room():
            self._found.append(Problem(message, "", line, column, code))

    def where(self, pointer: str) -> str:
        """A place as a message mentions it."""
        pointer = self._original(pointer)
        if self.places is None:
            return pointer or "the top"
        return f"line {self.places.locate(pointer)[0]}"

    @property
    def full(self) -> bool:
        """Whether nothing more is kept, so that looking for more is vain."""
        return len(self._found) >= PROBLEMS_MAX

    @property
    def failed(self) -> bool:
        """Whether an error was found."""
        return any(problem.severity == "error" for problem in self._found)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings, in the order of the text."""
        return tuple(p for p in self._ordered() if p.severity == "warning")

    def refuse(self) -> None:
        """Raises DefinitionError when an error was found."""
        errors = [p for p in self._ordered() if p.severity == "error"]
        if errors:
            if self._more:
                more = f"There are {self._more} more problems; only the first {PROBLEMS_MAX} are listed."
                errors.append(Problem(more, code="more_problems"))
            raise DefinitionError(errors, self.source)

    def _room(self) -> bool:
        if len(self._found) < PROBLEMS_MAX:
            return True
        self._more += 1
        return False

    def _add(self, code: str, message: str, pointer: str, *, key: bool, offset: int | None, severity: str) -> None:
        if not self._room():
            return
        pointer = self._original(pointer)
        line = column = None
        if self.places is not None:
            line, column = self.places.locate(pointer, key=key, offset=offset)
        self._found.append(Problem(message, pointer, line, column, code, severity))

    def _original(self, pointer: str) -> str:
        """The pointer into what was given: the nearest known ancestor's, and what follows it."""
        if not self.origins:
            return pointer
        head, tail = pointer, ""
        while head and head not in self.origins:
            head, _, last = head.rpartition("/")
            tail = f"/{last}{tail}"
        return self.origins.get(head, head) + tail

    def _ordered(self) -> list[Problem]:
        return sorted(self._found, key=lambda p: (p.line or 0, p.column or 0))
