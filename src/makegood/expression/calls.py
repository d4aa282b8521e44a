"""Calls into closures: the macros, the functions of the table, and what to say of any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from makegood.expression import logic, regex, syntax
from makegood.expression.budget import Scope
from makegood.expression.errors import ExpressionError, ExpressionSyntaxError, shown, suggestion
from makegood.expression.formatting import clauses_in
from makegood.expression.functions import FUNCTIONS
from makegood.expression.operators import no_overload
from makegood.expression.paths import Evaluator

if TYPE_CHECKING:
    from makegood.expression.compiler import Compiler

_MACROS: Final = {
    "all": (2,), "exists": (2,), "exists_one": (2,), "existsOne": (2,), "filter": (2,), "map": (2, 3),
}  # fmt: skip
_LAZY: Final = {"orValue": logic.or_value, "or": logic.or_optional}
_IMPURE: Final = ("now", "uuid")
_UNSUPPORTED: Final = {
    "uint": "Unsigned integers are not supported: use int(x).",
    "optMap": "optMap is not supported: use hasValue() and value().",
    "optFlatMap": "optFlatMap is not supported: use hasValue() and value().",
    "greatest": "Use max([a, b]).",
    "least": "Use min([a, b]).",
}


def call(compiler: Compiler, node: syntax.Call) -> Evaluator:
    """The closure for a call.

    Raises:
        ExpressionSyntaxError: There is no such function, or not with these arguments.
    """
    if node.target is None:
        if node.name == "has":
            return _has(compiler, node)
        if node.name in _IMPURE:
            return _impure(compiler, node)
    elif node.name in _MACROS:
        return _macro(compiler, node, node.target)
    elif node.name in _LAZY:
        _check_count(node, (1,), ())
        return _LAZY[node.name](compiler.compile(node.target), compiler.compile(node.arguments[0]))
    elif isinstance(node.target, syntax.Name) and f"{node.target.name}.{node.name}" in FUNCTIONS:
        node = syntax.Call(node.offset, None, f"{node.target.name}.{node.name}", node.arguments)
    return _function(compiler, node)


def has_takes_a_field(offset: int) -> ExpressionSyntaxError:
    """The error for `has()` of anything but a field."""
    message = "has() takes one field, such as has(x.name); for a computed key write 'key' in x."
    return ExpressionSyntaxError(message, offset=offset)


def _has(compiler: Compiler, node: syntax.Call) -> Evaluator:
    if len(node.arguments) != 1:
        raise has_takes_a_field(node.offset)
    field = node.arguments[0]
    if not isinstance(field, syntax.Select) or field.optional:
        raise has_takes_a_field(node.offset)
    return compiler.has(field)


def _impure(compiler: Compiler, node: syntax.Call) -> Evaluator:
    name = node.name
    if not compiler.impure:
        message = f"{name}() exists only in a `set` step, where its value is journaled once."
        raise ExpressionSyntaxError(message, offset=node.offset)
    if node.arguments:
        raise ExpressionSyntaxError(f"{name}() takes no arguments.", offset=node.offset)

    def ask(scope: Scope) -> object:
        if scope.impure is None:
            raise ExpressionError(f"{name}() has no source here.")
        return scope.impure.now() if name == "now" else scope.impure.uuid()

    return ask


def _macro(compiler: Compiler, node: syntax.Call, target: syntax.Node) -> Evaluator:
    name = node.name
    if len(node.arguments) not in _MACROS[name]:
        form = "x, value" if name == "map" else "x, condition"
        raise ExpressionSyntaxError(f"{name} is written list.{name}({form}).", offset=node.offset)
    variable, *bodies = node.arguments
    if not isinstance(variable, syntax.Name) or variable.rooted:
        message = f"The first argument of {name} is a plain name for the element."
        raise ExpressionSyntaxError(message, offset=variable.offset)
    source = compiler.compile(target)
    slot, closures, cost = compiler.loop(variable.name, tuple(bodies))
    if name == "map":
        return logic.mapped(source, slot, closures[-1], cost, closures[0] if len(closures) > 1 else None)
    if name == "filter":
        return logic.filtered(source, slot, closures[0], cost)
    if name in ("exists_one", "existsOne"):
        return logic.exactly_one(source, slot, closures[0], cost)
    return logic.quantified(source, slot, closures[0], cost, name)


def _function(compiler: Compiler, node: syntax.Call) -> Evaluator:
    function = FUNCTIONS.get(node.name)
    if function is None:
        raise _unknown(node)
    _check_count(node, function.method, function.free)
    compiler.cost += function.steps - 1
    if node.name == "format":
        _check_format(node)
    nodes = node.arguments if node.target is None else (node.target, *node.arguments)
    arguments = tuple(compiler.compile(each) for each in nodes)
    if node.name == "matches" and isinstance(nodes[1], syntax.Literal):
        return _match(arguments[0], nodes[1])
    return _applied(function.compute, arguments)


def _applied(compute: Callable[..., object], arguments: tuple[Evaluator, ...]) -> Evaluator:
    if len(arguments) == 1:
        only = arguments[0]
        return lambda scope: compute(scope, only(scope))
    if len(arguments) == 2:
        first, second = arguments
        return lambda scope: compute(scope, first(scope), second(scope))
    return lambda scope: compute(scope, *[argument(scope) for argument in arguments])


def _match(text: Evaluator, node: syntax.Literal) -> Evaluator:
    """`matches` with a literal pattern: compiled, and refused, at registration."""
    if not isinstance(node.value, str):
        raise ExpressionSyntaxError("matches takes its pattern as text.", offset=node.offset)
    try:
        pattern = regex.compiled(node.value)
    except ExpressionError as error:
        raise ExpressionSyntaxError(str(error), offset=node.offset) from None

    def match(scope: Scope) -> bool:
        value = text(scope)
        if type(value) is not str:
            raise no_overload("matches", value)
        return regex.search(scope, pattern, value)

    return match


def _check_count(node: syntax.Call, method: tuple[int, ...], free: tuple[int, ...]) -> None:
    allowed = free if node.target is None else method
    count = len(node.arguments)
    if count in allowed:
        return
    if not allowed:
        form = f"x.{node.name}(...)" if free == () else f"{node.name}(...)"
        raise ExpressionSyntaxError(f"{node.name} is called as {form}.", offset=node.offset)
    wanted = " or ".join(str(each) for each in allowed)
    raise ExpressionSyntaxError(f"{node.name} takes {wanted} arguments, not {count}.", offset=node.offset)


def _check_format(node: syntax.Call) -> None:
    """A literal text and a literal list: every argument must be used."""
    template, arguments = node.target, node.arguments[0]
    if not isinstance(template, syntax.Literal) or not isinstance(template.value, str):
        return
    if not isinstance(arguments, syntax.ListLiteral) or any(optional for _, optional in arguments.elements):
        return
    wanted, given = clauses_in(template.value), len(arguments.elements)
    if given > wanted:
        message = f"format has {given} arguments, and the text asks for {wanted}."
        raise ExpressionSyntaxError(message, offset=node.offset)


def _unknown(node: syntax.Call) -> ExpressionSyntaxError:
    if node.name in _UNSUPPORTED:
        return ExpressionSyntaxError(_UNSUPPORTED[node.name], offset=node.offset)
    known = [*FUNCTIONS, *_MACROS, *_LAZY, "has", *_IMPURE]
    remedy = suggestion(node.name, known) or " Conditions and ${...} are CEL; the reference lists the functions."
    return ExpressionSyntaxError(f"There is no function {shown(node.name)}.{remedy}", offset=node.offset)
