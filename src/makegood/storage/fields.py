"""Generated encoders and decoders: a frozen dataclass of facts to a plain dict and back.

Only the mechanics live here; kinds, versions and JSON text are `codec`'s. The functions are
generated once at import, as `dataclasses` itself does it: each event of every execution passes
through one of them, and a generic loop over fields costs five times as much.

Rules of the shape: a field without a default is always there, one that equals its default is left
out. A value that is a `Reference` goes under `<name>_ref`, so that a user's value, whatever it
looks like, is never taken for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any

from makegood.core.events import Failure, Reference

Plain = dict[str, Any]
Encoder = Callable[[Any], Plain]
Decoder = Callable[[Plain], Any]

_SCALARS = frozenset({"str", "int", "bool", "str | None", "int | None", "Settled"})
_TUPLES = frozenset({"Iteration"})
_FAILURES = frozenset({"Failure", "Failure | None"})
_VALUES = frozenset({"Any"})


def encoder(cls: type, opening: Plain) -> Encoder:
    """A function that turns an instance of `cls` into a dict that begins with `opening`."""
    first = [f"{name!r}: {value!r}" for name, value in opening.items()]
    body: list[str] = []
    for each in fields(cls):
        if each.default is MISSING and each.type not in _VALUES:
            first.append(f"{each.name!r}: {_encoded(each, f'fact.{each.name}')}")
        else:
            body += _encode_field(each)
    lines = ["def encode(fact):", f"    out = {{{', '.join(first)}}}", *body, "    return out"]
    made: Encoder = _generated(lines, "encode", {"Reference": Reference, "failure": encode_failure})
    return made


def decoder(cls: type) -> Decoder:
    """A function that turns such a dict back; raises KeyError or TypeError for another shape."""
    arguments = [_decode_field(each) for each in fields(cls)]
    lines = ["def decode(data):", f"    return cls({', '.join(arguments)})"]
    made: Decoder = _generated(lines, "decode", {"cls": cls, "Reference": Reference, "failure": decode_failure})
    return made


def keys(cls: type) -> frozenset[str]:
    """Every key that an encoded `cls` may have."""
    names = {each.name for each in fields(cls)}
    return frozenset(names | {f"{each.name}_ref" for each in fields(cls) if each.type in _VALUES})


def encode_failure(failure: Failure) -> Plain:
    """A Failure as a dict."""
    return _encode_failure(failure)


def decode_failure(data: Plain) -> Failure:
    """And back."""
    if not _FAILURE_KEYS.issuperset(data):
        raise KeyError(*(data.keys() - _FAILURE_KEYS))
    failure: Failure = _decode_failure(data)
    return failure


def _encoded(each: Field[Any], value: str) -> str:
    return f"failure({value})" if each.type in _FAILURES else value


def _encode_field(each: Field[Any]) -> list[str]:
    lines = [f"    value = fact.{each.name}"]
    if each.type in _VALUES:
        lines += ["    if type(value) is Reference:", f"        out['{each.name}_ref'] = value.path"]
        lines += ["    else:" if each.default is MISSING else "    elif value is not None:"]
    elif each.default is None:
        lines += ["    if value is not None:"]
    else:
        lines += [f"    if value != {each.default!r}:"]
    return [*lines, f"        out[{each.name!r}] = {_encoded(each, 'value')}"]


def _decode_field(each: Field[Any]) -> str:
    name, required = each.name, each.default is MISSING
    there = f"data[{name!r}]"
    if each.type in _VALUES:
        reference = f"Reference(tuple(data['{name}_ref']))"
        missing = reference if required else f"{reference} if '{name}_ref' in data else None"
        return f"{there} if {name!r} in data else {missing}"
    if each.type in _FAILURES:
        there = f"failure({there})"
    elif each.type in _TUPLES:
        there = f"tuple({there})"
    elif required or each.type in _SCALARS:
        return there if required else f"data.get({name!r}, {each.default!r})"
    return there if required else f"{there} if {name!r} in data else {each.default!r}"


def _generated(lines: list[str], name: str, scope: dict[str, Any]) -> Any:
    exec("\n".join(lines), scope)  # noqa: S102  The text comes from our own dataclasses alone.
    return scope[name]


def check(cls: type) -> None:
    """Refuse a class whose fields this module does not know how to write."""
    for each in fields(cls):
        known = each.type in _SCALARS | _TUPLES | _FAILURES | _VALUES
        simple = each.default is MISSING or each.default is None or isinstance(each.default, (str, int, tuple))
        if not known or not simple or (each.type in _VALUES and each.default not in (MISSING, None)):
            raise TypeError(f"{cls.__name__}.{each.name}: {each.type} is not a type that the codec can write")


_FAILURE_KEYS = keys(Failure)
_encode_failure = encoder(Failure, {})
_decode_failure = decoder(Failure)
