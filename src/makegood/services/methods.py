"""Which methods a local service has, and what each wants to be given.

Found once, when the service is registered; nothing of the service is run for it. Private names never
are methods. Calling them is local.py's business.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from makegood.errors import ConfigurationError
from makegood.model.limits import LIMITS
from makegood.ports import Invocation
from makegood.services.payload import copy


@dataclass(frozen=True, slots=True)
class Call:
    """What a local service is told about the attempt beside its input.

    Attributes:
        execution_id: Which execution.
        workflow: Its workflow's name.
        step: Name of the step instance, for example `ship[3]`.
        service: The name this service was registered under.
        method: Which of its methods.
        key: Idempotency key, the same for all attempts: the same key must have one effect.
        attempt: From 1.
        deadline_ms: Milliseconds since the epoch, UTC, after which no answer is awaited.
        undo: Whether this is a compensation.
    """

    execution_id: str
    workflow: str
    step: str
    service: str
    method: str
    key: str
    attempt: int
    deadline_ms: int
    undo: bool = False

    @property
    def deadline(self) -> datetime:
        """When the answer is no longer awaited, in UTC."""
        return datetime.fromtimestamp(self.deadline_ms / 1000, UTC)

    @property
    def remaining_s(self) -> float:
        """Seconds left until then; 0 when it has passed."""
        return max(0.0, (self.deadline - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True, slots=True)
class Method:
    """How to call one method."""

    function: Callable[..., Any]
    is_async: bool
    takes_input: bool
    takes_call: bool

    def arguments(self, invocation: Invocation) -> tuple[Any, ...]:
        """What to call it with; the input is a copy that it may change.

        Raises:
            PayloadTooLarge: The input of forward work is over the limit.
        """
        arguments: list[Any] = []
        if self.takes_input:
            # An undo is never refused for its size.
            arguments.append(copy(invocation.body, None if invocation.undo else LIMITS.payload_bytes))
        if self.takes_call:
            arguments.append(_call(invocation))
        return tuple(arguments)


def _call(given: Invocation) -> Call:
    return Call(
        given.execution_id, given.workflow, given.step, given.service, given.method, given.key,
        given.attempt, given.deadline_ms, given.undo,
    )  # fmt: skip


def methods_of(service: str, target: Any) -> dict[str, Method]:
    """All that may be called.

    Raises:
        ConfigurationError: There is nothing to call, or the object is no service.
    """
    if isinstance(target, type):
        raise ConfigurationError(f"service {service!r}: {target.__name__} is a class; register an instance of it")
    functions = _functions(target)
    if not functions:
        raise ConfigurationError(
            f"service {service!r}: {type(target).__name__} has no public methods; "
            "register an URL, an object with methods, a function, or a dict of functions"
        )
    methods = {}
    for name, function in functions.items():
        try:
            methods[name] = _method(function)
        except ValueError as error:
            if isinstance(target, Mapping) or len(functions) == 1:
                raise ConfigurationError(f"service {service!r}: {name}: {error}") from None
            # An object may have public methods that are no service methods, such as `close(self, a, b, c)`.
    return methods


def _functions(target: Any) -> dict[str, Callable[..., Any]]:
    if isinstance(target, Mapping):
        return {str(name): each for name, each in target.items() if callable(each) and _public(str(name))}
    if inspect.isroutine(target) or isinstance(target, functools.partial):
        inner = target.func if isinstance(target, functools.partial) else target
        return {inner.__name__: target} if _public(inner.__name__) else {}
    found: dict[str, Callable[..., Any]] = {}
    hidden: set[str] = set()
    # What the classes define, looked at without running it: a property, or what an instance happens to
    # hold (a client, a callback), is no method; nor is what int, str and their like bring along.
    for owner in type(target).__mro__:
        for name, defined in vars(owner).items() if owner.__module__ != "builtins" else ():
            if name not in hidden and _public(name) and _is_routine(defined):
                found[name] = getattr(target, name)
            hidden.add(name)
    return found


def _is_routine(defined: Any) -> bool:
    # `isroutine` alone takes a cached_property for one.
    return (inspect.isroutine(defined) and callable(defined)) or isinstance(
        defined, staticmethod | classmethod | functools.partial | functools.partialmethod
    )


def _public(name: str) -> bool:
    return bool(name) and not name.startswith(("_", "<"))


def _method(function: Callable[..., Any]) -> Method:
    """Read from the signature what the function wants: `(input, call)`, `(input)`, `(call)` or nothing."""
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object in a dict of functions
    )
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return Method(function, is_async, takes_input=True, takes_call=False)
    required = [each for each in parameters if each.default is each.empty]
    if any(each.kind is each.KEYWORD_ONLY for each in required):
        raise ValueError("a method takes (input, call); it has arguments that must be given by name")
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if len([each for each in places if each.default is each.empty]) > 2:
        raise ValueError("a method takes (input, call), and this one demands more")
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return Method(function, is_async, takes_input=True, takes_call=True)
    if not places:
        return Method(function, is_async, takes_input=False, takes_call=False)
    if len(places) == 1 and places[0].name == "call":
        return Method(function, is_async, takes_input=False, takes_call=True)
    # A second argument with a default of its own, such as `retries=3`, is not ours to fill.
    second = places[1] if len(places) > 1 else None
    takes_call = second is not None and (second.name == "call" or second.default is second.empty)
    return Method(function, is_async, takes_input=True, takes_call=takes_call)
