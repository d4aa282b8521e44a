"""Definitions in Python: each builder answers the tree that YAML would give, and `workflow` loads it.

Nothing is checked before `workflow`, and nothing here means more than the keys it writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from makegood.language.load import load_tree
from makegood.model import Definition

Tree = dict[str, Any]
"""A step, as the language writes it."""

Duration = str | int | float | timedelta
Steps = Sequence["Tree | Sequence[Any]"] | Tree
"""Steps in order, or a single one."""


class _Unset:
    """What was not given; None is a value that may be sent."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


def workflow(name: str, *steps: Tree | Sequence[Any], **top_level: Any) -> Definition:
    """A definition of these steps, in order.

    Args:
        name: The workflow's name.
        steps: What the builders below answer; a list is a sequence.
        top_level: The keys of a definition: `error_handling`, `timeout`, `output`, ...

    Raises:
        DefinitionError: It has mistakes; all that were found, with JSON pointers.
    """
    tree = {"name": name, **_given(**top_level), "steps": list(steps)}
    return load_tree(tree, source=f"workflow {name!r}").definition


def call(  # noqa: PLR0913 every key of the language by its name
    id: str,  # noqa: A002 the language's word
    method: str | Mapping[str, str],
    *,
    input: Any = UNSET,  # noqa: A002 the language's word
    timeout: Duration | None = None,
    ongoing_timeout: Duration | None = None,
    retry: Mapping[str, Any] | None = None,
    compensation: str | Mapping[str, Any] | None = None,
    read_only: bool | None = None,
    pivot: bool | None = None,
    retriable: bool | None = None,
    compensate_on_failure: bool | None = None,
    when: str | None = None,
) -> Tree:
    """Call `service.method`."""
    return _given(
        id=id,
        call=method,
        when=when,
        input=input,
        timeout=timeout,
        ongoing_timeout=ongoing_timeout,
        retry=retry,
        compensation=compensation,
        read_only=read_only,
        pivot=pivot,
        retriable=retriable,
        compensate_on_failure=compensate_on_failure,
    )


def sequential(*id_and_steps: str | Tree | Sequence[Any], when: str | None = None) -> Tree:
    """Steps one after another; the first argument may be an id."""
    name, steps = _named(id_and_steps)
    return _given(id=name, when=when, sequential=steps)


def parallel(
    *id_and_branches: str | Tree | Sequence[Any],
    max_concurrency: int | None = None,
    on_failure: Literal["drain", "wait_all"] | None = None,
    when: str | None = None,
) -> Tree:
    """Branches side by side; the first argument may be an id, and a list is a sequence."""
    name, branches = _named(id_and_branches)
    return _given(id=name, when=when, parallel=branches, max_concurrency=max_concurrency, on_failure=on_failure)


def when(
    id: str | None,  # noqa: A002 the language's word
    condition: str | bool,
    *,
    then: Steps,
    otherwise: Steps | None = None,
    when: str | None = None,
) -> Tree:
    """`if`: one branch or the other. The id may be None."""
    tree = _given(id=id, when=when, then=_steps(then))
    tree["if"] = condition
    if otherwise is not None:
        tree["else"] = _steps(otherwise)
    return tree


def switch(
    id: str,  # noqa: A002 the language's word
    *cases: tuple[str | bool, Steps],
    default: Steps | None = None,
    when: str | None = None,
) -> Tree:
    """The first case whose condition is true; each case is a condition and its steps."""
    told = [{"when": condition, "steps": _steps(steps)} for condition, steps in cases]
    return _given(id=id, when=when, switch=told, default=None if default is None else _steps(default))


def foreach(
    id: str,  # noqa: A002 the language's word
    items: str | Sequence[Any],
    *steps: Tree | Sequence[Any],
    item: str | None = None,
    index: str | None = None,
    max_concurrency: int | None = None,
    when: str | None = None,
) -> Tree:
    """The steps once for each item. `item` and `index` name the two in expressions."""
    tree = _given(id=id, when=when, foreach=items, index_as=index, max_concurrency=max_concurrency, steps=list(steps))
    if item is not None:
        tree["as"] = item
    return tree


def repeat(
    id: str,  # noqa: A002 the language's word
    *steps: Tree | Sequence[Any],
    until: str | bool | None = None,
    while_: str | bool | None = None,
    max_iterations: int | None = None,
    when: str | None = None,
) -> Tree:
    """The steps again and again, until or while a condition holds."""
    tree = _given(id=id, when=when, repeat=list(steps), until=until, max_iterations=max_iterations)
    if while_ is not None:
        tree["while"] = while_
    return tree


def wait(
    id: str,  # noqa: A002 the language's word
    duration: Duration | None = None,
    *,
    until: str | None = None,
    when: str | None = None,
) -> Tree:
    """Do nothing for a time, or until a moment."""
    return _given(id=id, when=when, wait=duration if until is None else {"until": until})


def signal(
    id: str,  # noqa: A002 the language's word
    name: str,
    *,
    timeout: Duration | None = None,
    on_timeout: Literal["fail", "continue"] | None = None,
    schema: Any = None,
    when: str | None = None,
) -> Tree:
    """Wait for a signal of that name; its payload is the output."""
    return _given(id=id, when=when, signal=name, timeout=timeout, on_timeout=on_timeout, schema=schema)


def child(
    id: str,  # noqa: A002 the language's word
    workflow: str,
    *,
    version: int | None = None,
    input: Any = UNSET,  # noqa: A002 the language's word
    compensation: str | Mapping[str, Any] | None = None,
    detached: bool | None = None,
    when: str | None = None,
) -> Tree:
    """Run another workflow as a child."""
    return _given(
        id=id, when=when, workflow=workflow, version=version, input=input, compensation=compensation, detached=detached
    )


def try_(
    id: str,  # noqa: A002 the language's word
    *steps: Tree | Sequence[Any],
    catch: Sequence[Mapping[str, Any]] | None = None,
    finally_: Steps | None = None,
    compensate: bool | None = None,
    when: str | None = None,
) -> Tree:
    """A scope whose failure is undone and handled on its own; `catch` holds what `on_error` answers."""
    tree = _given(id=id, when=when, catch=None if catch is None else list(catch), compensate=compensate)
    tree["try"] = list(steps)
    if finally_ is not None:
        tree["finally"] = _steps(finally_)
    return tree


def on_error(*steps: Tree | Sequence[Any], errors: Sequence[str] | None = None, name: str | None = None) -> Tree:
    """A handler of `try_`: for these codes or classes, or for every error."""
    tree = _given(errors=None if errors is None else list(errors), steps=list(steps))
    if name is not None:
        tree["as"] = name
    return tree


def set_(id: str, value: Any, *, when: str | None = None) -> Tree:  # noqa: A002 the language's word
    """Compute a value."""
    return _given(id=id, when=when) | {"set": value}


def fail(
    id: str,  # noqa: A002 the language's word
    error: str,
    message: Any = UNSET,
    *,
    details: Any = UNSET,
    when: str | None = None,
) -> Tree:
    """End as a definite failure."""
    return _given(id=id, when=when, fail=_given(error=error, message=message, details=details))


def _given(**keys: Any) -> Tree:
    """The keys that have a value. None is one only where it can be sent: `input`, `output` and the like."""
    sendable = ("input", "output", "message", "details")
    return {
        key: value
        for key, value in keys.items()
        if not isinstance(value, _Unset) and (value is not None or key in sendable)
    }


def _named(arguments: tuple[Any, ...]) -> tuple[str | None, list[Any]]:
    if arguments and isinstance(arguments[0], str):
        return arguments[0], list(arguments[1:])
    return None, list(arguments)


def _steps(steps: Any) -> list[Any]:
    return [steps] if isinstance(steps, Mapping) else list(steps)
