"""Does an expression read inside a value that may be null, and nothing around it asks first? From the tree alone.

A conditional asks by its tests, `&&` and `||` by their other operands. `has()` and `.?` do not: a null has no
fields, and to ask it for one is an error like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from makegood.expression.parser import parse
from makegood.expression.syntax import (
    Arithmetic,
    Call,
    Conditional,
    Index,
    ListLiteral,
    Literal,
    Logic,
    MapLiteral,
    Name,
    Node,
    Relation,
    Repeated,
    Select,
)  # fmt: skip

Path = tuple[str, ...]


def unasked(source: str, place: Path, asked: Collection[Path]) -> str | None:
    """The first read inside a place that nothing asks about before, as it is written.

    Args:
        source: An expression that compiles.
        place: Name and fields of the value that may be null, such as `("step", "output")`.
        asked: Other places that tell whether it is. Whoever mentions one of them, or the value itself, has asked.
    """
    return _unasked(parse(source), place, frozenset(asked))


def asks(source: str, place: Path, asked: Collection[Path]) -> bool:
    """Whether an expression asks about a place; see `unasked`."""
    return _asks(parse(source), place, frozenset(asked))


def _unasked(node: Node, place: Path, asked: frozenset[Path]) -> str | None:
    if isinstance(node, Select | Index) and _path(node.operand) == place:
        return _written(node, place)
    if isinstance(node, Conditional):
        for test, value in node.branches:
            found = _unasked(test, place, asked)
            if found is not None or _asks(test, place, asked):
                # What a test asks is known in its own branch and in all that come later.
                return found
            found = _unasked(value, place, asked)
            if found is not None:
                return found
        return _unasked(node.otherwise, place, asked)
    if isinstance(node, Logic) and any(_asks(each, place, asked) for each in node.operands):
        return None
    return next((found for each in _inside(node) if (found := _unasked(each, place, asked)) is not None), None)


def _asks(node: Node, place: Path, asked: frozenset[Path]) -> bool:
    path = _path(node)
    if path is not None:
        return path == place or any(path[: len(other)] == other for other in asked)
    if isinstance(node, Index) and _path(node.operand) == place:
        # A field that is computed is inside, as others are.
        return _asks(node.key, place, asked)
    return any(_asks(each, place, asked) for each in _inside(node))


def _path(node: Node) -> Path | None:
    """Name and fields of a plain path, or None."""
    match node:
        case Name():
            return (node.name,)
        case Select():
            operand, key = _path(node.operand), node.field
        case Index(key=Literal(value=str(key))):
            operand = _path(node.operand)
        case _:
            return None
    return None if operand is None else (*operand, key)


def _written(node: Select | Index, place: Path) -> str:
    path = _path(node)
    return ".".join(path) if path is not None else f"{'.'.join(place)}[...]"


def _inside(node: Node) -> Iterator[Node]:  # noqa: C901 - one flat table
    match node:
        case Select():
            yield node.operand
        case Index():
            yield from (node.operand, node.key)
        case Call():
            if node.target is not None:
                yield node.target
            yield from node.arguments
        case ListLiteral():
            yield from (element for element, _ in node.elements)
        case MapLiteral():
            for key, value, _ in node.entries:
                yield from (key, value)
        case Repeated():
            yield node.operand
        case Logic():
            yield from node.operands
        case Conditional():
            for test, value in node.branches:
                yield from (test, value)
            yield node.otherwise
        case Arithmetic():
            yield node.first
            yield from (operand for _, operand in node.rest)
        case Relation():
            yield from (node.left, node.right)
        case _:
            pass
