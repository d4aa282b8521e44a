"""Reads mappings by their key tables: unknown keys, missing keys, wrong values, each with a remedy.

What the values mean is in `values` (one value), `policies` (retry, compensation) and `steps` (the tree).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from makegood.errors import nearest
from makegood.language.keys import Key, Keys
from makegood.language.problems import Problems, pointed, shown
from makegood.language.values import FORMS, Unfit
from makegood.model import Limits

ReadForm = Callable[["Reader", Key, object, str, str], object]
"""A form that spans keys: (reader, key, value, pointer, what it belongs to) to a value of the model."""


class Reader:
    """What one load carries through its tree.

    Attributes:
        ids: Pointer of every step by its id.
        incomplete: Whether some step could not be read, so that what it holds is not known.
    """

    def __init__(self, problems: Problems, limits: Limits, forms: Mapping[str, ReadForm]) -> None:
        self.problems = problems
        self.limits = limits
        self.ids: dict[str, str] = {}
        self.incomplete = False
        self.depth = 0
        self._forms = forms

    def mapping(self, value: object, keys: Keys, pointer: str, what: str) -> dict[str, Any]:
        """The values of a mapping's keys, without those that are missing or wrong."""
        if not isinstance(value, dict):
            known = ", ".join(keys)
            self.problems.error(
                "wrong_type", f"{what} must be a mapping with the keys {known}, not {shown(value)}.", pointer
            )
            return {}
        read: dict[str, Any] = {}
        for name, inner in value.items():
            key = keys.get(name)
            if key is None:
                self.unknown(name, keys, pointer, what)
            else:
                self._value(key, inner, pointed(pointer, name), what, read)
        for key in keys.values():
            if key.required and key.name not in value:
                self.missing(key, pointer, what)
        return read

    def unknown(self, name: str, keys: Keys, pointer: str, what: str, hint: str = "") -> None:
        """A key that is not there."""
        if self.problems.full:
            return
        remedy = hint or nearest(name[:100], keys)
        message = f"{what} has no key {shown(name)}.{remedy}"
        self.problems.error("unknown_key", message, pointed(pointer, name), key=True)

    def missing(self, key: Key, pointer: str, what: str) -> None:
        """A key that must be there."""
        self.problems.error("missing_key", f"{what} needs the key `{key.name}`: {_lower(key.says)}", pointer)

    def one(self, key: Key, value: object, pointer: str, what: str) -> Any:
        """The value of one key, or None when it is wrong."""
        read: dict[str, Any] = {}
        self._value(key, value, pointer, what, read)
        return read.get(key.name)

    def _value(self, key: Key, value: object, pointer: str, what: str, into: dict[str, Any]) -> None:
        if value is None and key.form not in ("any", "wait"):
            message = f"{what}: `{key.name}` has no value. Give it one, or leave the key out."
            self.problems.error("no_value", message, pointer)
            return
        try:
            form = self._forms.get(key.form)
            if form is None:
                into[key.name] = FORMS[key.form](key, value)
            else:
                into[key.name] = form(self, key, value, pointer, what)
        except Unfit as unfit:
            self.problems.error(unfit.code, f"{what}: `{key.name}` {unfit.complaint}", pointer)


def _lower(says: str) -> str:
    return says[:1].lower() + says[1:] if says[1:2].islower() else says
