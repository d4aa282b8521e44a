"""An expression as its users hold it: compiled once, evaluated often."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from makegood.expression.budget import BUDGET_STEPS, Impure, Scope
from makegood.expression.compiler import Compiled, compiled
from makegood.expression.errors import ExpressionError, Missing
from makegood.expression.paths import Key, Reference
from makegood.expression.values import type_name


class Expression:
    """A compiled expression. Immutable, and safe to share.

    Attributes:
        source: The text it was compiled from.
        references: Every place in the bindings that it reads, in the order of the text.
        path: Name and selectors if the expression is nothing but a plain path, such as
            `("steps", "hotel", "id")`; otherwise None.
    """

    __slots__ = ("_compiled", "path", "references", "source")

    def __init__(self, source: str, compilation: Compiled) -> None:
        self.source = source
        self.references: tuple[Reference, ...] = tuple(sorted(compilation.references, key=lambda each: each.offset))
        self.path: tuple[Key, ...] | None = compilation.path
        self._compiled = compilation

    @property
    def slots(self) -> int:
        """How many loop variables an evaluation needs."""
        return self._compiled.slots

    def evaluate(
        self, bindings: Mapping[str, object], *, budget: int = BUDGET_STEPS, impure: Impure | None = None
    ) -> Any:
        """The value for these bindings, which are neither copied nor changed.

        Args:
            bindings: Values of the names, as plain JSON data.
            budget: Steps that the evaluation may take.
            impure: Where `now()` and `uuid()` come from, if the expression may use them.

        Raises:
            BudgetExceeded: It would take more.
            ExpressionError: There is no value.
        """
        path = self.path
        if path is not None:
            value: Any = bindings
            try:
                for key in path:
                    # An int is an index of a list only, and counts from its beginning.
                    if type(key) is int and (type(value) is not list or key < 0):
                        break
                    value = value[key]
                else:
                    return value
            except (KeyError, TypeError, IndexError):
                pass
        return self.run(Scope(bindings, budget, self._compiled.slots, impure))

    def run(self, scope: Scope) -> Any:
        """The value within an evaluation that is under way, out of its budget.

        Raises:
            ExpressionError: There is no value.
        """
        scope.spend(self._compiled.cost)
        try:
            return self._compiled.evaluator(scope)
        except Missing as error:
            error.settle()
            raise


def compile_expression(source: str, *, names: Collection[str] | None = None, impure: bool = False) -> Expression:
    """Compile an expression of the CEL core profile.

    Args:
        source: The text, at most 4 KiB.
        names: The names that there will be, `a.b` among them if such; any other is a mistake.
            None if that is not known.
        impure: Whether `now()` and `uuid()` exist.

    Raises:
        ExpressionSyntaxError: It is no such expression.

    Source: the CEL language definition, github.com/google/cel-spec, doc/langdef.md.
    """
    return Expression(source, compiled(source, names, impure=impure))


def evaluate(source: str, bindings: Mapping[str, object], *, budget: int = BUDGET_STEPS) -> Any:
    """Compile and evaluate at once; the names are those of the bindings.

    Raises:
        ExpressionSyntaxError: It is no expression, or names what the bindings do not have.
        ExpressionError: There is no value.
    """
    return compile_expression(source, names=bindings.keys()).evaluate(bindings, budget=budget)


def evaluate_condition(expression: Expression, bindings: Mapping[str, object], *, budget: int = BUDGET_STEPS) -> bool:
    """Whether a condition holds. There is no truthiness.

    Raises:
        ExpressionError: It gives anything but a bool, or nothing.
    """
    value = expression.evaluate(bindings, budget=budget)
    if type(value) is bool:
        return value
    remedy = " Compare it: x != 0." if type(value) is int else " Compare it, for example x != null."
    raise ExpressionError(f"A condition must give a bool, and this gives {type_name(value)}.{remedy}")
