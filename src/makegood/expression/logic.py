"""`&&`, `||`, the conditional, and the macros over lists: what decides which parts are evaluated.

An error in one operand of `&&` and `||`, or for one element in all() and exists(), counts only
if no other operand or element decides the result.
"""

from __future__ import annotations

from typing import Any, Final

from makegood.expression.budget import Scope
from makegood.expression.errors import BudgetExceeded, ExpressionError
from makegood.expression.operators import no_overload
from makegood.expression.paths import Evaluator
from makegood.expression.values import OptionalValue, type_name

_ABSORBED_STEPS: Final = 10


def junction(operands: tuple[Evaluator, ...], operator: str) -> Evaluator:
    """Operands joined by `&&`, which false decides, or by `||`, which true does."""
    decisive = operator == "||"
    neutral = not decisive

    def decide(scope: Scope) -> bool:
        value: object
        failure: ExpressionError | None = None
        for operand in operands:
            try:
                value = operand(scope)
            except ExpressionError as error:
                absorb(scope, error)
                failure = failure or error
                continue
            if value is decisive:
                return decisive
            if value is not neutral:
                scope.spend(_ABSORBED_STEPS)
                failure = failure or no_overload(operator, value)
        if failure is not None:
            raise failure
        return neutral

    return decide


def absorb(scope: Scope, error: ExpressionError) -> None:
    """Keep an error for later, which nothing may come of; running out of budget is none of these.

    Without its traceback it holds on to nothing, least of all to the frame that holds on to it.
    """
    if isinstance(error, BudgetExceeded):
        raise error
    scope.spend(_ABSORBED_STEPS)
    error.with_traceback(None)


def conditional(branches: tuple[tuple[Evaluator, Evaluator], ...], otherwise: Evaluator) -> Evaluator:
    """`test ? value : ... : otherwise`."""

    def choose(scope: Scope) -> object:
        for test, value in branches:
            verdict = test(scope)
            if verdict is True:
                return value(scope)
            if verdict is not False:
                raise no_overload("The test before ?", verdict)
        return otherwise(scope)

    return choose


def quantified(source: Evaluator, slot: int, predicate: Evaluator, cost: int, name: str) -> Evaluator:
    """`all(x, predicate)`, which one false decides, or `exists(x, predicate)`, which one true does."""
    decisive = name == "exists"
    neutral = not decisive

    def decide(scope: Scope) -> bool:
        value: object
        failure: ExpressionError | None = None
        slots = scope.slots
        for element in elements(scope, source(scope), name):
            scope.left -= cost
            if scope.left < 0:
                raise scope.exhausted()
            slots[slot] = element
            try:
                value = predicate(scope)
            except ExpressionError as error:
                absorb(scope, error)
                failure = failure or error
                continue
            if value is decisive:
                return decisive
            if value is not neutral:
                scope.spend(_ABSORBED_STEPS)
                failure = failure or no_overload(name, value)
        if failure is not None:
            raise failure
        return neutral

    return decide


def exactly_one(source: Evaluator, slot: int, predicate: Evaluator, cost: int) -> Evaluator:
    """`exists_one(x, predicate)`; an error for any element is one of the whole."""
    test = filtered(source, slot, predicate, cost, "exists_one")

    def decide(scope: Scope) -> bool:
        return len(test(scope)) == 1

    return decide


def filtered(source: Evaluator, slot: int, predicate: Evaluator, cost: int, name: str = "filter") -> Evaluator:
    """`filter(x, predicate)`: the elements, or keys, for which it is true."""

    def select(scope: Scope) -> list[object]:
        kept: list[object] = []
        slots = scope.slots
        for element in elements(scope, source(scope), name):
            scope.left -= cost
            if scope.left < 0:
                raise scope.exhausted()
            slots[slot] = element
            verdict = predicate(scope)
            if verdict is True:
                kept.append(element)
            elif verdict is not False:
                raise no_overload(name, verdict)
        scope.built.add(id(kept))
        return kept

    return select


def mapped(source: Evaluator, slot: int, transform: Evaluator, cost: int, predicate: Evaluator | None) -> Evaluator:
    """`map(x, transform)`, or `map(x, predicate, transform)` of those for which it is true."""

    def collect(scope: Scope) -> list[object]:
        results: list[object] = []
        slots = scope.slots
        for element in elements(scope, source(scope), "map"):
            scope.left -= cost
            if scope.left < 0:
                raise scope.exhausted()
            slots[slot] = element
            if predicate is not None:
                verdict = predicate(scope)
                if verdict is False:
                    continue
                if verdict is not True:
                    raise no_overload("map", verdict)
            results.append(transform(scope))
        scope.built.add(id(results))
        return results

    return collect


def elements(scope: Scope, value: Any, name: str) -> list[Any]:
    """What a macro runs over: the elements of a list, or the keys of a map."""
    if type(value) is list:
        return value
    if type(value) is dict:
        scope.spend(len(value))
        return list(value)
    raise ExpressionError(f"{name}() runs over a list or a map, not over {type_name(value)}.")


def or_value(optional: Evaluator, otherwise: Evaluator) -> Evaluator:
    """`x.orValue(y)`; `y` is evaluated only if there is no `x`."""

    def choose(scope: Scope) -> object:
        value = optional(scope)
        if type(value) is not OptionalValue:
            raise no_overload("orValue", value)
        return value.value if value.present else otherwise(scope)

    return choose


def or_optional(optional: Evaluator, otherwise: Evaluator) -> Evaluator:
    """`x.or(y)` of optionals; `y` is evaluated only if there is no `x`."""

    def choose(scope: Scope) -> object:
        value = optional(scope)
        if type(value) is OptionalValue and not value.present:
            value = otherwise(scope)
        if type(value) is not OptionalValue:
            raise no_overload("or", value)
        return value

    return choose
