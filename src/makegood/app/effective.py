"""What is configured in the end: every key with its value and where it comes from, secrets masked.

Strangers keep out: nothing is read or built here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from makegood.app.config import Config
from makegood.app.keys import SECTIONS, SERVICES, keys_of
from makegood.services.secrets import is_reference

MASK = "***"
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]*)@|(\bpassword\s*=\s*)('[^']*'|\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Effective:
    """One value.

    Attributes:
        path: `storage.type`.
        value: Secrets are masked.
        origin: `makegood.toml:3`, the name of a variable, an option, or `default`.
    """

    path: str
    value: Any
    origin: str


def effective(config: Config, options: Mapping[tuple[str, str], tuple[Any, str]]) -> Iterator[Effective]:
    """Every key that holds, section by section.

    Args:
        options: What the command line says, by section and key: the value and the option's name.
    """
    services = sorted({path[1] for path in config.given if path[0] == SERVICES})
    for section in SECTIONS:
        for prefix in [(section,)] if section != SERVICES else [(section, name) for name in services]:
            for name, key in keys_of(section).items():
                given = config.given.get((*prefix, name))
                value, origin = (key.default, "default") if given is None else (given.value, given.where)
                value, origin = options.get((section, name), (value, origin))
                yield Effective(".".join((*prefix, name)), masked(name, value), origin)


def masked(name: str, value: Any) -> Any:
    """A value without what nobody should read over a shoulder."""
    if name == "headers" and value is not None:
        return {key: each if is_reference(each) else MASK for key, each in value.items()}
    if name == "secret" and value is not None and not is_reference(value):
        return MASK
    if isinstance(value, str):
        return _PASSWORD.sub(lambda found: f"{found[3]}{MASK}" if found[3] else f"{found[1]}:{MASK}@", value)
    return list(value) if isinstance(value, tuple) else value
