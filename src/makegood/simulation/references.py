"""Whether what a scenario names is there in its definition: a name that nothing has makes a check that cannot fail."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from makegood.core.program import Kind, Program, compile_program
from makegood.errors import nearest
from makegood.language.problems import Problems, pointed
from makegood.model import Definition


@dataclass(frozen=True, slots=True)
class Names:
    """What there is to name.

    Attributes:
        forward: Methods (`service.method`) that steps call.
        undo: Methods that undo.
        steps: Ids of steps.
    """

    forward: frozenset[str]
    undo: frozenset[str]
    steps: frozenset[str]

    @property
    def methods(self) -> frozenset[str]:
        """All methods."""
        return self.forward | self.undo

    @property
    def services(self) -> frozenset[str]:
        """All services."""
        return frozenset(method.partition(".")[0] for method in self.methods)


def names_of(programs: Sequence[Program]) -> Names:
    """The names of some compiled definitions."""
    nodes = [node for program in programs for node in program.nodes]
    return Names(
        frozenset(node.call.call for node in nodes if node.kind is Kind.CALL),
        frozenset(node.undo.call for node in nodes if node.undo is not None),
        frozenset(node.name for node in nodes if node.step is not None),
    )


def check_references(
    problems: Problems, raw: Mapping[str, Any], pointer: str, definitions: Sequence[Definition]
) -> None:
    """Note every name of a scenario that its definitions have not."""
    names = names_of([compile_program(each, 1) for each in definitions])
    for where, given, kind in _named(raw, pointer):
        name = given
        if kind == "methods" and given.endswith(".*"):
            name, kind = given.removesuffix(".*"), "services"  # noqa: PLW2901 - every method of a service
        known: Collection[str] = getattr(names, kind)
        if name not in known:
            message = f"Nothing in the definition {_WHAT[kind]} {name!r}.{nearest(name, known)}"
            # A name that is a key is marked itself, and not the value behind it.
            problems.error("unknown_name", message, where, key=where == pointed(where.rpartition("/")[0], given))


_WHAT = {
    "methods": "calls the method",
    "undo": "is undone by the method",
    "services": "calls the service",
    "steps": "is a step called",
}


def _named(raw: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, str, str]]:
    """Each name with its place and what it must be the name of."""
    yield from _each(raw.get("services", {}), "methods", pointed(pointer, "services"))
    for key in ("down", "unregistered", "unwell"):
        yield from _each(raw.get(key, ()), "services", pointed(pointer, key))
    for number, action in enumerate(raw.get("actions", ())):
        if "step" in action and action.get("answer") is None:
            yield pointed(pointer, "actions", number, "step"), action["step"].split("[")[0], "steps"
    expect, inner = raw["expect"], pointed(pointer, "expect")
    for key in ("calls", "bodies", "bodies_in_order", "same_key", "max_in_flight"):
        yield from _each(expect.get(key, ()), "methods", pointed(inner, key))
    for number, gap in enumerate(expect.get("gaps_ms", ())):
        yield from _each(gap[:2], "methods", pointed(inner, "gaps_ms", number))
    yield from _each(expect.get("after_deadline", ()), "undo", pointed(inner, "after_deadline"))
    for key in ("effects", "uncompensated_steps"):
        yield from _each(expect.get(key, ()), "steps", pointed(inner, key))
    if "error_step" in expect:
        yield pointed(inner, "error_step"), expect["error_step"], "steps"


def _each(value: Any, kind: str, pointer: str) -> Iterator[tuple[str, str, str]]:
    """The keys of a mapping, or the texts of a list of any depth."""
    if isinstance(value, str):
        yield pointer, value, kind
        return
    for place, inner in enumerate(value):
        if isinstance(value, Mapping):
            yield pointed(pointer, inner), inner, kind
        else:
            yield from _each(inner, kind, pointed(pointer, place))
