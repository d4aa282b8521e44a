"""Rule 26 across definitions: a workflow with a pivot is nobody's child, unless detached.

A parent must be able to undo what its child did, and behind a pivot nothing is undone. Who knows which
definitions there are (files side by side, a store) says which pivots they have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from makegood.language.check_pivot import pivots
from makegood.language.order import walk
from makegood.language.problems import Problems
from makegood.model import ChildWorkflow, Definition

Callee = tuple[str, int | None]
"""A workflow as a step calls it: name, and version if one is given."""


def callees(definition: Definition) -> frozenset[Callee]:
    """The workflows that a definition calls as children which are not detached."""
    return frozenset((step.workflow, step.version) for step in _calls(definition))


def check_children(definition: Definition, known: Mapping[Callee, tuple[str, ...]], problems: Problems) -> None:
    """Report each call of a child that has a pivot.

    Args:
        known: The pivots of other definitions, by what a step may call them; itself it knows.
    """
    own = pivots(definition)
    known = {**known, (definition.name, None): own}
    if definition.version is not None:
        known[definition.name, definition.version] = own
    for step in _calls(definition):
        found = known.get((step.workflow, step.version))
        if found:
            message = (
                f"Step {step.id!r} calls the workflow {step.workflow!r} as a child, and that has the pivot "
                f"{found[0]!r}, behind which nothing can be undone. "
                "Write detached: true, or call a workflow without a pivot."
            )
            problems.error("pivot_in_child", message, step.pointer)


def check_parents(definition: Definition, parents: Mapping[str, Definition], version: int, problems: Problems) -> None:
    """Report each call by which other definitions have this one, which has pivots, as their child.

    Args:
        parents: Other definitions, by what a message calls them.
        version: That this one has, or will get.
    """
    found = pivots(definition)
    if not found:
        return
    pivot = next(step for step in walk(definition.steps) if step.id == found[0])
    for title, parent in parents.items():
        for step in _calls(parent):
            if step.workflow == definition.name and step.version in {None, version}:
                message = (
                    f"Step {pivot.id!r} is a pivot, and {title} calls this workflow as a child in its step "
                    f"{step.id!r}: behind a pivot nothing can be undone. Make that call detached: true first, "
                    "or have it name an earlier version."
                )
                problems.error("pivot_of_child", message, f"{pivot.pointer}/pivot", key=True)


def _calls(definition: Definition) -> Iterator[ChildWorkflow]:
    for step in walk(definition.steps):
        if isinstance(step, ChildWorkflow) and not step.detached:
            yield step
