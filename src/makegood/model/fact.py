"""How the values of the hot path are made: frozen to the type checker, plain at run time.

A frozen dataclass sets its fields through `object.__setattr__`, which makes birth about five times
as dear, and several facts are born with every step: together a quarter of the engine's time. Nobody
changes them; the type checker sees to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def fact(cls: type[T]) -> type[T]:
    """A slotted value that is compared by content and must not be changed."""
    made: Any = dataclass(slots=True, unsafe_hash=True)(cls)
    return made  # type: ignore[no-any-return]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def named_fact(cls: type[T]) -> type[T]:
    """A fact whose fields are given by name."""
    made: Any = dataclass(slots=True, unsafe_hash=True, kw_only=True)(cls)
    return made  # type: ignore[no-any-return]
