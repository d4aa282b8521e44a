"""The tree into closures, once; what is wrong is said here, before anything runs.

Names are resolved, functions looked up, and the nodes counted, so that an evaluation pays for
a whole expression, or for one round of a macro, with a single subtraction.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, assert_never

from makegood.expression import calls, logic, operators, paths, syntax
from makegood.expression.budget import Scope
from makegood.expression.equality import equal
from makegood.expression.errors import ExpressionError, ExpressionSyntaxError, listed, shown, suggestion
from makegood.expression.parser import parse
from makegood.expression.paths import Evaluator, Key, Label, Reference, Selector
from makegood.expression.values import INT_MAX, INT_MIN, TYPES, OptionalValue, type_name

_ARITHMETIC: Final[dict[str, operators.Operator]] = {
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "/": operators.divide,
    "%": operators.remainder,
}
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Compiled(NamedTuple):
    """An expression, ready to run.

    Attributes:
        evaluator: Computes it.
        cost: Steps that one run takes before any data is looked at.
        slots: How many loop variables it needs.
        references: What it reads.
        path: Name and literal selectors, if it is nothing but that.
    """

    evaluator: Evaluator
    cost: int
    slots: int
    references: tuple[Reference, ...]
    path: tuple[Key, ...] | None


def compiled(source: str, names: Collection[str] | None, *, impure: bool) -> Compiled:
    """Compile a source text.

    Args:
        source: The expression.
        names: The names there will be; None if that is not known.
        impure: Whether `now()` and `uuid()` exist.

    Raises:
        ExpressionSyntaxError: It is no expression, or names what there is not.
    """
    tree = parse(source)
    compiler = Compiler(names, impure=impure)
    evaluator = compiler.compile(tree)
    path = None
    if isinstance(tree, (syntax.Name, syntax.Select, syntax.Index)) and compiler.plain is not None:
        path = compiler.plain
    return Compiled(evaluator, compiler.cost, compiler.slots, tuple(compiler.references), path)


class Compiler:
    """State of one compilation: the loop variables in scope, the cost so far, what is read."""

    def __init__(self, names: Collection[str] | None, *, impure: bool) -> None:
        self.names = None if names is None else frozenset(names)
        self.impure = impure
        self.cost = 0
        self.slots = 0
        self.references: list[Reference] = []
        self.plain: tuple[Key, ...] | None = None
        self._dots_max = max((name.count(".") for name in self.names or ()), default=0)
        self._variables: list[str] = []

    def compile(self, node: syntax.Node) -> Evaluator:
        """The closure that computes a node."""
        self.cost += 1
        match node:
            case syntax.Literal():
                return _constant(node.value)
            case syntax.Name() | syntax.Select() | syntax.Index():
                return self._path(node)
            case syntax.Call():
                return calls.call(self, node)
            case syntax.Logic():
                return logic.junction(tuple(map(self.compile, node.operands)), node.operator)
            case syntax.Relation():
                return self._relation(node)
            case syntax.Arithmetic():
                return self._arithmetic(node)
            case syntax.Conditional():
                branches = tuple((self.compile(test), self.compile(value)) for test, value in node.branches)
                return logic.conditional(branches, self.compile(node.otherwise))
            case syntax.Repeated():
                return _repeated(node.operator, node.times, self.compile(node.operand))
            case syntax.ListLiteral():
                self.cost += 2
                return _list(tuple((self.compile(element), optional) for element, optional in node.elements))
            case syntax.MapLiteral():
                self.cost += 2 + len(node.entries)
                return _map(tuple((self.compile(k), self.compile(v), optional) for k, v, optional in node.entries))
            case _:
                assert_never(node)

    def loop(self, variable: str, bodies: tuple[syntax.Node, ...]) -> tuple[int, tuple[Evaluator, ...], int]:
        """Compile the body of a macro: the variable's slot, the closures, and what one round costs."""
        outside, self.cost = self.cost, 1
        slot = len(self._variables)
        self._variables.append(variable)
        self.slots = max(self.slots, slot + 1)
        closures = tuple(self.compile(body) for body in bodies)
        self._variables.pop()
        cost, self.cost = self.cost, outside
        return slot, closures, cost

    def has(self, field: syntax.Select) -> Evaluator:
        """`has(operand.field)`: the operand must be there, the field may be missing."""
        base, selectors = _flattened(field)
        compiled_selectors = self._selectors(selectors)
        start, label = self._base(base, compiled_selectors, presence=True)
        if not label.selectors:
            raise calls.has_takes_a_field(field.offset)
        label = Label(label.root, label.selectors[:-1])
        return paths.presence(paths.path(start, label), label, field.field)

    def _path(self, node: syntax.Node) -> Evaluator:
        base, nodes = _flattened(node)
        selectors = self._selectors(nodes)
        start, label = self._base(base, selectors, presence=bool(selectors) and selectors[0].optional)
        fields_only = all(
            each.computed is None and type(each.key) is str and not each.optional for each in label.selectors
        )
        if isinstance(base, syntax.Name) and fields_only:
            slot = self._slot(base)
            if slot is not None:
                return paths.path_from_slot(slot, label) if label.selectors else start
            if self.plain is not None:
                return paths.path_from_bindings(label.root, label)
        return paths.path(start, label) if label.selectors else start

    def _selectors(self, nodes: list[syntax.Select | syntax.Index]) -> tuple[Selector, ...]:
        selectors = []
        for node in nodes:
            self.cost += 3 if node.optional else 0
            if isinstance(node, syntax.Select):
                selectors.append(Selector(node.field, None, node.optional))
            elif isinstance(node.key, syntax.Literal) and type(node.key.value) in (str, int):
                key = node.key.value
                assert isinstance(key, (str, int))
                selectors.append(Selector(key, None, node.optional))
            else:
                selectors.append(Selector("", self.compile(node.key), node.optional))
        return tuple(selectors)

    def _base(self, base: syntax.Node, selectors: tuple[Selector, ...], *, presence: bool) -> tuple[Evaluator, Label]:
        """Where a path starts, and what is left of it: a qualified name takes some of its fields."""
        self.plain = None
        if not isinstance(base, syntax.Name):
            start = self.compile(base)
            self.plain = None
            return start, Label("", selectors)
        slot = self._slot(base)
        if slot is not None:
            return paths.name_from_slot(slot), Label(base.name, selectors)
        root, taken = self._resolved(base, selectors)
        rest = selectors[taken:]
        if root in TYPES and (self.names is None or root not in self.names):
            start = _constant(TYPES[root]) if taken else paths.name_from_bindings(root)
            return start, Label(root, rest)
        literal = tuple(selector.key for selector in _literal_prefix(rest))
        optional = next((nth for nth, each in enumerate(rest[: len(literal)]) if each.optional), None)
        self.references.append(Reference(root, literal, base.offset, presence, optional=optional))
        if len(literal) == len(rest) and not any(selector.optional for selector in rest):
            self.plain = (root, *literal)
        return paths.name_from_bindings(root), Label(root, rest)

    def _slot(self, name: syntax.Name) -> int | None:
        if name.rooted or name.name not in self._variables:
            return None
        return len(self._variables) - 1 - self._variables[::-1].index(name.name)

    def _resolved(self, base: syntax.Name, selectors: tuple[Selector, ...]) -> tuple[str, int]:
        """The longest name that is known, and how many selectors it takes."""
        fields: list[str] = [base.name]
        for selector in selectors[: max(self._dots_max, 2)]:
            if selector.computed is not None or selector.optional or not isinstance(selector.key, str):
                break
            fields.append(selector.key)
        for count in range(len(fields), 0, -1):
            candidate = ".".join(fields[:count])
            if (self.names is not None and candidate in self.names) or candidate in TYPES:
                return candidate, count - 1
        if self.names is None:
            return base.name, 0
        raise self._unknown(base)

    def _unknown(self, base: syntax.Name) -> ExpressionSyntaxError:
        if base.name == "uint":
            message = "The type uint is not supported: there are int and double."
            return ExpressionSyntaxError(message, offset=base.offset)
        known = {*(self.names or ()), *self._variables}
        remedy = suggestion(base.name, known)
        if not remedy and known:
            remedy = f" There are: {listed(sorted(known))}."
        return ExpressionSyntaxError(f"There is no {shown(base.name)} here.{remedy}", offset=base.offset)

    def _relation(self, node: syntax.Relation) -> Evaluator:
        left = self.compile(node.left)
        if node.operator == "in" and isinstance(node.right, syntax.ListLiteral):
            constants = _constants(node.right)
            if constants is not None:
                self.cost += 1
                return _membership(left, _constant(constants))
        right = self.compile(node.right)
        if node.operator == "in":
            return _membership(left, right)
        if node.operator in _ORDER:
            return _ordering(node.operator, left, right)
        return _equality(left, right, wanted=node.operator == "==")

    def _arithmetic(self, node: syntax.Arithmetic) -> Evaluator:
        first = self.compile(node.first)
        rest = tuple((_ARITHMETIC[symbol], self.compile(operand)) for symbol, operand in node.rest)
        self.cost += len(rest) - 1
        if len(rest) == 1:
            return _binary(node.rest[0][0], first, rest[0][1])

        def chain(scope: Scope) -> object:
            value = first(scope)
            for apply, operand in rest:
                value = apply(scope, value, operand(scope))
            return value

        return chain


def _flattened(node: syntax.Node) -> tuple[syntax.Node, list[syntax.Select | syntax.Index]]:
    """What a path starts from, and its selectors in order."""
    nodes: list[syntax.Select | syntax.Index] = []
    while isinstance(node, (syntax.Select, syntax.Index)):
        nodes.append(node)
        node = node.operand
    nodes.reverse()
    return node, nodes


def _literal_prefix(selectors: tuple[Selector, ...]) -> list[Selector]:
    literal = []
    for selector in selectors:
        if selector.computed is not None:
            break
        literal.append(selector)
    return literal


def _constants(node: syntax.ListLiteral) -> list[object] | None:
    if all(isinstance(element, syntax.Literal) and not optional for element, optional in node.elements):
        return [element.value for element, _ in node.elements if isinstance(element, syntax.Literal)]
    return None


def _constant(value: object) -> Evaluator:
    def constant(_scope: Scope) -> object:
        return value

    return constant


def _membership(left: Evaluator, right: Evaluator) -> Evaluator:
    def member(scope: Scope) -> bool:
        return operators.contains(scope, left(scope), right(scope))

    return member


def _ordering(symbol: str, left: Evaluator, right: Evaluator) -> Evaluator:
    compare = _ORDER[symbol]

    def ordered(scope: Scope) -> bool:
        one = left(scope)
        other = right(scope)
        if type(one) is int and type(other) is int:
            return compare(one, other)
        return compare(*operators.sides(scope, symbol, one, other))

    return ordered


def _equality(left: Evaluator, right: Evaluator, *, wanted: bool) -> Evaluator:
    def compare(scope: Scope) -> bool:
        return equal(scope, left(scope), right(scope)) is wanted

    return compare


def _binary(symbol: str, left: Evaluator, right: Evaluator) -> Evaluator:
    apply = _ARITHMETIC[symbol]
    if symbol not in ("+", "-"):
        return lambda scope: apply(scope, left(scope), right(scope))
    exact: Callable[[Any, Any], Any] = operator.add if symbol == "+" else operator.sub

    def compute(scope: Scope) -> object:
        one = left(scope)
        other = right(scope)
        if type(one) is int and type(other) is int:
            result = exact(one, other)
            if INT_MIN <= result <= INT_MAX:
                return result
        return apply(scope, one, other)

    return compute


def _repeated(symbol: str, count: int, operand: Evaluator) -> Evaluator:
    """`!` or `-` so many times; an even number of them still wants the right type."""
    odd = count % 2 == 1

    def invert(scope: Scope) -> object:
        value = operand(scope)
        if symbol == "!":
            if type(value) is not bool:
                raise operators.no_overload("!", value)
            return not value if odd else value
        return operators.negate(value) if odd or type(value) not in (int, float) else value

    return invert


def _list(parts: tuple[tuple[Evaluator, bool], ...]) -> Evaluator:
    if not any(optional for _, optional in parts):
        closures = tuple(part for part, _ in parts)

        def build(scope: Scope) -> list[object]:
            items = [part(scope) for part in closures]
            scope.built.add(id(items))
            return items

        return build

    def build_some(scope: Scope) -> list[object]:
        items = []
        for part, optional in parts:
            value = part(scope)
            if not optional:
                items.append(value)
            elif _optional(value).present:
                items.append(value.value)
        scope.built.add(id(items))
        return items

    return build_some


def _map(parts: tuple[tuple[Evaluator, Evaluator, bool], ...]) -> Evaluator:
    def build(scope: Scope) -> dict[object, object]:
        entries: dict[object, object] = {}
        for key_part, value_part, optional in parts:
            key = key_part(scope)
            if type(key) not in (str, int, bool):
                raise ExpressionError(f"A map key is a string, an int or a bool, not {type_name(key)}.")
            value = value_part(scope)
            if optional:
                if not _optional(value).present:
                    continue
                value = value.value
            if key in entries:
                raise ExpressionError(f"The key {shown(key)} stands twice in one map.")
            entries[key] = value
        scope.built.add(id(entries))
        return entries

    return build


def _optional(value: object) -> OptionalValue:
    if type(value) is not OptionalValue:
        raise ExpressionError(f"After ? an optional is expected, such as x.?field, not {type_name(value)}.")
    return value
