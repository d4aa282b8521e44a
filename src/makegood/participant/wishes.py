"""What a decorated function wants to be given, read from its signature once. Calls nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

GIVEN = ("input", "call", "done")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The signature of a function, and that of what the decorator makes of it.

    Attributes:
        is_method: Whether its first argument is `self`.
        wanted: Which of `input`, `call` and `done` it takes.
    """

    name: str
    is_method: bool
    wanted: tuple[str, ...]
    signature: inspect.Signature

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Wishes:
        """Read them.

        Raises:
            TypeError: It does not take a connection, or wants something that there is not.
        """
        parameters = list(inspect.signature(function).parameters.values())
        name = getattr(function, "__name__", repr(function))
        is_method = bool(parameters) and parameters[0].name == "self"
        rest = parameters[is_method:]
        if not rest or rest[0].name in GIVEN or rest[0].kind not in (rest[0].POSITIONAL_ONLY, _PLAIN):
            raise TypeError(f"{name}: its first argument is the connection to the service's database, such as `db`")
        strange = [each.name for each in rest[1:] if each.name not in GIVEN or each.kind == each.POSITIONAL_ONLY]
        if strange:
            raise TypeError(f"{name}: there is no {', '.join(strange)} to give it; after the connection it may take "
                            f"any of {', '.join(GIVEN)}")  # fmt: skip
        own = [inspect.Parameter("self", _PLAIN)] if is_method else []
        signature = inspect.Signature([*own, inspect.Parameter("input", _PLAIN), inspect.Parameter("call", _PLAIN)])
        return cls(name, is_method, tuple(each.name for each in rest[1:]), signature)

    def taken(self, given: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, Any]:
        """Apart: `self` if there is one, the input, the call.

        Raises:
            TypeError: There are more, or fewer.
        """
        if len(given) != 2 + self.is_method:
            raise TypeError(f"{self.name} is called with (input, call)")
        return given[: self.is_method], given[-2], given[-1]

    def named(self, value: Any, call: Any, done: Any) -> dict[str, Any]:
        """What it wants, by name."""
        values = {"input": value, "call": call, "done": done}
        return {name: values[name] for name in self.wanted}


_PLAIN = inspect.Parameter.POSITIONAL_OR_KEYWORD
