"""The tree that the parser builds and the compiler reads. Data only.

Chains that people write long (`a && b && c`, `a + b + c`, `p ? x : q ? y : z`) are one node
with many parts, so that the depth of the tree is the depth of nesting and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """Part of an expression.

    Attributes:
        offset: Character offset in the source.
    """

    offset: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number, text, bytes, true, false or null."""

    value: object


@dataclass(frozen=True, slots=True)
class Name(Node):
    """An identifier. `rooted` ones are written `.name` and skip the loop variables."""

    name: str
    rooted: bool = False


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`operand.field`, or `operand.?field` when optional."""

    operand: Node
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`operand[index]`, or `operand[?index]` when optional."""

    operand: Node
    index: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`name(arguments)`, or `target.name(arguments)`."""

    target: Node | None
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    """`[a, ?b]`: elements, each with whether it is optional."""

    elements: tuple[tuple[Node, bool], ...]


@dataclass(frozen=True, slots=True)
class MapLiteral(Node):
    """`{k: v, ?k: v}`: key, value, and whether the entry is optional."""

    entries: tuple[tuple[Node, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Repeated(Node):
    """`!` or `-`, as often as it was written."""

    operator: str
    count: int
    operand: Node


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """Operands joined by `&&` or by `||`."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`test ? value : test ? value : otherwise`."""

    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """Operands of one precedence, from the left: `+ -` or `* / %`."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Relation(Node):
    """`left operator right` with `== != < <= > >= in`."""

    operator: str
    left: Node
    right: Node
