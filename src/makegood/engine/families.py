"""Definitions that know each other through a store: parents and the children they call (rule 26).

Only reads. What is unknown when a parent is registered is looked at again when it calls the child.
"""

from __future__ import annotations

from contextlib import suppress

from makegood.errors import DefinitionError
from makegood.language import Callee, callees, check_children, check_parents, load_canonical, pivots
from makegood.language.problems import Problems
from makegood.model import Definition
from makegood.ports import Journal


async def pivots_of_children(store: Journal, definition: Definition) -> dict[Callee, tuple[str, ...]]:
    """The pivots of the stored definitions that a definition calls as children."""
    found: dict[Callee, tuple[str, ...]] = {}
    for name, version in callees(definition):
        stored = await store.definition(name, version)
        if stored is not None and name != definition.name:
            found[name, version] = pivots(load_canonical(stored.tree))
    return found


async def check_family(store: Journal, definition: Definition) -> None:
    """Refuse a definition that would make a workflow with a pivot a child.

    Raises:
        DefinitionError: It calls one that has a pivot, or it has a pivot and the newest version of another calls it.
    """
    problems = Problems(definition.name)
    check_children(definition, await pivots_of_children(store, definition), problems)
    if pivots(definition):
        check_parents(definition, await _others(store, definition), await _version(store, definition), problems)
    problems.refuse()


async def _others(store: Journal, definition: Definition) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    for each in await store.definitions():
        if each.name != definition.name:
            # One that a newer makegood stored is not understood, and not run here either.
            with suppress(DefinitionError):
                found[f"workflow {each.name!r} (version {each.version})"] = load_canonical(each.tree)
    return found


async def _version(store: Journal, definition: Definition) -> int:
    """The version that a definition will get if its content is new."""
    if definition.version is not None:
        return definition.version
    newest = await store.definition(definition.name)
    return 1 if newest is None else newest.version + 1
