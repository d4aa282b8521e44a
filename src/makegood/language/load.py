"""The doors of the language: text or tree in, a checked definition out, or every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from makegood.errors import Problem
from makegood.language import keys as k
from makegood.language.check import check
from makegood.language.check_families import Callee
from makegood.language.problems import GiveUp, Problems, shown
from makegood.language.reader import Reader
from makegood.language.seed import from_seed_form, is_seed_form
from makegood.language.steps import FORMS_OF_MAPPINGS
from makegood.language.text import Format, read_text
from makegood.language.tree import json_copy
from makegood.model import LIMITS, Definition, Limits, Mapped
from makegood.model.contract import Contract, Unread


@dataclass(frozen=True, slots=True)
class Loaded:
    """A definition without mistakes, and what is probably not meant in it."""

    definition: Definition
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What the caller knows beside the definition itself."""

    name: str | None
    expect_name: str | None
    services: Collection[str] | None
    services_discoverable: bool
    limits: Limits
    contracts: Mapping[str, Contract | Unread] = field(default_factory=dict)
    children: Mapping[Callee, tuple[str, ...]] = field(default_factory=dict)


def load(  # noqa: PLR0913 - what a caller may know of a text
    text: str | bytes,
    *,
    format: Format | None = None,  # noqa: A002 the word users know
    source: str = "definition",
    name: str | None = None,
    expect_name: str | None = None,
    services: Collection[str] | None = None,
    services_discoverable: bool = False,
    contracts: Mapping[str, Contract | Unread] | None = None,
    children: Mapping[Callee, tuple[str, ...]] | None = None,
    limits: Limits = LIMITS,
) -> Loaded:
    """A definition from YAML or JSON text.

    Args:
        text: The text; bytes are UTF-8.
        format: Left out, the suffix of `source` says, or else the first characters.
        source: What messages call the text, for example the file's name.
        name: The workflow's name when the text gives none.
        expect_name: The name that the text must give when it gives one.
        services: The services there are; None leaves the services unchecked.
        services_discoverable: Whether a service that is not among them may still be found later, so
            that it is a warning.
        contracts: What services say of their methods, by service: calls are held to it.
        children: The pivots of other workflows that are known, by how a step may call them: `(name, None)`,
            `(name, version)`. One that has some is refused as a child.
        limits: Bounds on size and depth.

    Raises:
        DefinitionError: The definition has mistakes. All that were found, with line and column.
    """
    problems = Problems(source)
    wish = _Wish(
        name=name, expect_name=expect_name, services=services,
        services_discoverable=services_discoverable, contracts=contracts or {}, children=children or {}, limits=limits,
    )  # fmt: skip
    return _loaded(lambda: read_text(text, format, problems, limits), problems, wish)


def load_tree(
    tree: object,
    *,
    source: str = "definition",
    name: str | None = None,
    expect_name: str | None = None,
    services: Collection[str] | None = None,
    services_discoverable: bool = False,
    contracts: Mapping[str, Contract | Unread] | None = None,
    limits: Limits = LIMITS,
) -> Loaded:
    """A definition from a tree of plain Python values; as `load`, with pointers instead of lines.

    Raises:
        DefinitionError: The definition has mistakes.
    """
    problems = Problems(source)
    wish = _Wish(
        name=name, expect_name=expect_name, services=services,
        services_discoverable=services_discoverable, contracts=contracts or {}, limits=limits,
    )  # fmt: skip
    return _loaded(lambda: json_copy(tree, problems, limits), problems, wish)


def load_canonical(tree: object) -> Definition:
    """A definition from a tree that `load` made once. Its references are not checked again.

    The tree is kept, not copied.

    Raises:
        DefinitionError: The tree is no definition: it was not made by `load`, or by a newer version.
    """
    problems = Problems("stored definition")
    reader = Reader(problems, LIMITS, FORMS_OF_MAPPINGS)
    definition = _read(reader, tree)
    problems.refuse()
    return definition


def _loaded(read: Callable[[], object], problems: Problems, wish: _Wish) -> Loaded:
    with suppress(GiveUp):
        return _judged(read(), problems, wish)
    problems.refuse()
    raise AssertionError("whoever gives up has said why")


def _judged(tree: object, problems: Problems, wish: _Wish) -> Loaded:
    if isinstance(tree, dict) and is_seed_form(tree):
        tree, problems.origins = from_seed_form(tree, problems)
        problems.refuse()
    tree = _named(tree, problems, wish)
    reader = Reader(problems, wish.limits, FORMS_OF_MAPPINGS)
    definition = _read(reader, tree)
    check(
        definition,
        problems,
        services=wish.services,
        discoverable=wish.services_discoverable,
        contracts=wish.contracts,
        children=wish.children,
        incomplete=reader.incomplete,
    )
    problems.refuse()
    return Loaded(definition, problems.warnings)


def _named(tree: object, problems: Problems, wish: _Wish) -> object:
    """The tree with the caller's name when it has none of its own."""
    if not isinstance(tree, dict):
        return tree
    own = tree.get("name")
    if "name" not in tree:
        name = wish.name or wish.expect_name
        return {"name": name, **tree} if name else tree
    if wish.expect_name is not None and own != wish.expect_name:
        message = (
            f"The definition is named {shown(own)}, and {wish.expect_name!r} is expected here. "
            "Change one of them, or leave `name` out."
        )
        problems.error("name_mismatch", message, "/name")
    return tree


def _read(reader: Reader, tree: object) -> Definition:
    found = reader.mapping(tree, k.TOP, "", "The definition")
    if isinstance(tree, dict) and tree.get("steps") == []:
        reader.problems.error("no_steps", "The definition needs at least one step.", "/steps")
    optional: dict[str, Any] = {field: found[name] for name, field in _SAME.items() if name in found}
    return Definition(
        name=found.get("name", ""),
        steps=found.get("steps", ()),
        output=Mapped(found["output"]) if "output" in found else None,
        tree=tree,
        **optional,
    )


_SAME = {
    "version": "version",
    "description": "description",
    "error_handling": "error_handling",
    "on_compensation_failure": "on_compensation_failure",
    "compensation_order": "compensation_order",
    "timeout": "timeout_ms",
    "defaults": "defaults",
    "input_schema": "input_schema",
    "business_key": "business_key",
    "search": "search",
}
"""Keys whose value goes into the field of that name as it is."""
