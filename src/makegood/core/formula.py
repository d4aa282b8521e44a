"""An expression at its place in the program: which steps, loops and handlers it can see.

Only what an expression names is put before it, so evaluating costs what it reads and the context is
never copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from makegood.expression import (
    Expression,
    Impure,
    ValueMapping,
    compile_expression,
    compile_mapping,
    evaluate_condition,
)
from makegood.model import Foreach, Try

if TYPE_CHECKING:
    from makegood.core.program import Program


@dataclass(frozen=True, slots=True)
class Formula:
    """A compiled expression and what it reads.

    Attributes:
        code: The compiled condition or mapping.
        at: Index of the node where it stands.
        inner: Whether it sees the inside of the loop at `at` (a repeat's conditions).
        steps: Names of the steps that it reads, with their nodes.
        items: For each loop name that it reads: name, loop's node, whether the index is meant.
        errors: For each caught error that it reads: its name, and the try's node.
        roots: The other names that it reads: `input`, `execution`, `step`.
        path: The whole of it is this one path, or None.
        condition: Whether it must give a bool.
    """

    code: Expression | ValueMapping
    at: int
    inner: bool
    steps: tuple[tuple[str, int], ...]
    items: tuple[tuple[str, int, bool], ...]
    errors: tuple[tuple[str, int], ...]
    roots: frozenset[str]
    path: tuple[str | int, ...] | None
    condition: bool = False

    def evaluate(self, bindings: dict[str, Any], impure: Impure | None = None) -> Any:
        """The value; of a condition, a bool. Raises ExpressionError and kin."""
        if self.condition:
            return evaluate_condition(self.code, bindings)  # type: ignore[arg-type]
        return self.code.evaluate(bindings, impure=impure)


def compile_formula(program: Program, at: int, tree: Any, *, condition: bool, impure: bool, inner: bool) -> Formula:
    """Compile one condition (bare source) or mapping (a tree with `${...}`)."""
    code = compile_expression(tree, impure=impure) if condition else compile_mapping(tree, impure=impure)
    steps: dict[str, int] = {}
    roots: set[str] = set()
    items: dict[str, tuple[str, int, bool]] = {}
    names = _loop_names(program, at)
    caught = _caught_names(program, at)
    errors: dict[str, int] = {}
    for reference in code.references:
        if reference.root == "steps" and reference.path:
            name = str(reference.path[0])
            steps[name] = program.index[name]
        elif reference.root in names:
            items[reference.root] = (reference.root, *names[reference.root])
        elif reference.root in caught:
            errors[reference.root] = caught[reference.root]
        else:
            roots.add(reference.root)
    return Formula(
        code=code,
        at=at,
        inner=inner,
        steps=tuple(steps.items()),
        items=tuple(items.values()),
        errors=tuple(errors.items()),
        roots=frozenset(roots),
        path=code.path,
        condition=condition,
    )


def _loop_names(program: Program, at: int) -> dict[str, tuple[int, bool]]:
    names: dict[str, tuple[int, bool]] = {}
    for loop in program.nodes[at].loops:
        step = program.nodes[loop].step
        if isinstance(step, Foreach):
            names[step.name] = (loop, False)
            names[step.index_name] = (loop, True)
    return names


def _caught_names(program: Program, at: int) -> dict[str, int]:
    """The names of caught errors that a node sees, with the try of each; the innermost wins."""
    names: dict[str, int] = {}
    inner = at
    for outer in program.around(at):
        step = program.nodes[outer].step
        if isinstance(step, Try) and inner in program.nodes[outer].children[1:]:
            handler = step.handlers[program.nodes[outer].children.index(inner) - 1]
            names.setdefault(handler.name, outer)
        inner = outer
    return names
