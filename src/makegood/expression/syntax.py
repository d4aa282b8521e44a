"""The tree that the parser builds and the compiler reads. Data only.

Chains that people write long (`a && b && c`, `a + b + c`, `p ? x : q ? y : z`) are one node
with many parts, so that the depth of the tree is the depth of nesting and nothing else.
Every node has its character offset in the source.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Literal(NamedTuple):
    """A number, text, bytes, true, false or null."""

    offset: int
    value: object


class Name(NamedTuple):
    """An identifier. `rooted` ones are written `.name` and skip the loop variables."""

    offset: int
    name: str
    rooted: bool = False


class Select(NamedTuple):
    """`operand.field`, or `operand.?field` when optional."""

    offset: int
    operand: Node
    field: str
    optional: bool = False


class Index(NamedTuple):
    """`operand[index]`, or `operand[?index]` when optional."""

    offset: int
    operand: Node
    key: Node
    optional: bool = False


class Call(NamedTuple):
    """`name(arguments)`, or `target.name(arguments)`."""

    offset: int
    target: Node | None
    name: str
    arguments: tuple[Node, ...]


class ListLiteral(NamedTuple):
    """`[a, ?b]`: elements, each with whether it is optional."""

    offset: int
    elements: tuple[tuple[Node, bool], ...]


class MapLiteral(NamedTuple):
    """`{k: v, ?k: v}`: key, value, and whether the entry is optional."""

    offset: int
    entries: tuple[tuple[Node, Node, bool], ...]


class Repeated(NamedTuple):
    """`!` or `-`, as often as it was written."""

    offset: int
    operator: str
    times: int
    operand: Node


class Logic(NamedTuple):
    """Operands joined by `&&` or by `||`."""

    offset: int
    operator: str
    operands: tuple[Node, ...]


class Conditional(NamedTuple):
    """`test ? value : test ? value : otherwise`."""

    offset: int
    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node


class Arithmetic(NamedTuple):
    """Operands of one precedence, from the left: `+ -` or `* / %`."""

    offset: int
    first: Node
    rest: tuple[tuple[str, Node], ...]


class Relation(NamedTuple):
    """`left operator right` with `== != < <= > >= in`."""

    offset: int
    operator: str
    left: Node
    right: Node


Node: TypeAlias = (
    Literal
    | Name
    | Select
    | Index
    | Call
    | ListLiteral
    | MapLiteral
    | Repeated
    | Logic
    | Conditional
    | Arithmetic
    | Relation
)
