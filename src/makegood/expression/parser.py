"""Tokens into a tree, by recursive descent. Knows the grammar, not what names mean.

Nesting is counted and refused beyond 64, so that neither this parser nor anything that walks
its tree can run out of stack.
"""

from __future__ import annotations

from typing import Final

from makegood.expression import syntax
from makegood.expression.errors import ExpressionSyntaxError, shown
from makegood.expression.lexer import Token, tokenize
from makegood.expression.values import INT_MAX

DEPTH_MAX: Final = 64

_RELATIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_RESERVED: Final = frozenset(
    {
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
        "loop", "package", "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip
_KEYWORDS: Final = frozenset({"in", "true", "false", "null"})


def parse(source: str) -> syntax.Node:
    """The tree of an expression.

    Raises:
        ExpressionSyntaxError: The source is no expression, is longer than 4 KiB, or nests
            deeper than 64.
    """
    return _Parser(tokenize(source)).whole()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._token = tokens[0]
        self._depth = 0

    def whole(self) -> syntax.Node:
        if self._token.kind == "end":
            raise ExpressionSyntaxError("The expression is empty.", offset=self._token.offset)
        node = self._expression()
        if self._token.kind != "end":
            raise self._unexpected("an operator or the end")
        return node

    def _advance(self) -> Token:
        token = self._token
        self._at += 1
        self._token = self._tokens[min(self._at, len(self._tokens) - 1)]
        return token

    def _sees(self, operator: str) -> bool:
        return self._token.kind == "operator" and self._token.value == operator

    def _take(self, operator: str) -> bool:
        if not self._sees(operator):
            return False
        self._advance()
        return True

    def _expect(self, operator: str, opened: Token | None = None) -> None:
        if not self._take(operator):
            after = f" to close the {opened.value!r} at offset {opened.offset}" if opened else ""
            raise self._unexpected(f"{operator!r}{after}")

    def _unexpected(self, wanted: str) -> ExpressionSyntaxError:
        token = self._token
        found = "the end" if token.kind == "end" else shown(token.value)
        return ExpressionSyntaxError(f"Expected {wanted}, found {found}.", offset=token.offset)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            message = f"The expression nests deeper than {DEPTH_MAX}. Split it over `set` steps."
            raise ExpressionSyntaxError(message, offset=self._token.offset)

    def _expression(self) -> syntax.Node:
        self._enter()
        offset = self._token.offset
        branches: list[tuple[syntax.Node, syntax.Node]] = []
        node = self._either()
        while self._take("?"):
            value = self._either()
            self._expect(":")
            branches.append((node, value))
            node = self._either()
        self._depth -= 1
        return syntax.Conditional(offset, tuple(branches), node) if branches else node

    def _either(self) -> syntax.Node:
        offset = self._token.offset
        operands = [self._both()]
        while self._take("||"):
            operands.append(self._both())
        return operands[0] if len(operands) == 1 else syntax.Logic(offset, "||", tuple(operands))

    def _both(self) -> syntax.Node:
        offset = self._token.offset
        operands = [self._relation()]
        while self._take("&&"):
            operands.append(self._relation())
        return operands[0] if len(operands) == 1 else syntax.Logic(offset, "&&", tuple(operands))

    def _relation(self) -> syntax.Node:
        node = self._sum()
        entered = 0
        while self._token.value in _RELATIONS and self._token.kind in ("operator", "word"):
            operator = self._advance()
            node = syntax.Relation(operator.offset, str(operator.value), node, self._sum())
            self._enter()
            entered += 1
        self._depth -= entered
        return node

    def _sum(self) -> syntax.Node:
        first = self._product()
        rest: list[tuple[str, syntax.Node]] = []
        while self._sees("+") or self._sees("-"):
            operator = str(self._advance().value)
            rest.append((operator, self._product()))
        return syntax.Arithmetic(first.offset, first, tuple(rest)) if rest else first

    def _product(self) -> syntax.Node:
        first = self._unary()
        rest: list[tuple[str, syntax.Node]] = []
        while self._sees("*") or self._sees("/") or self._sees("%"):
            operator = str(self._advance().value)
            rest.append((operator, self._unary()))
        return syntax.Arithmetic(first.offset, first, tuple(rest)) if rest else first

    def _unary(self) -> syntax.Node:
        offset = self._token.offset
        operator = "!" if self._sees("!") else "-"
        count = 0
        while self._take(operator):
            count += 1
        if operator == "-" and count and self._is_number():
            node = self._member(self._negative())
            count -= 1
        else:
            node = self._member(self._primary())
        return syntax.Repeated(offset, operator, count, node) if count else node

    def _is_number(self) -> bool:
        return self._token.kind == "literal" and type(self._token.value) in (int, float)

    def _negative(self) -> syntax.Node:
        """A number after a minus: only so can the smallest integer be written."""
        token = self._advance()
        value = token.value
        assert isinstance(value, (int, float))
        return syntax.Literal(token.offset, -value)

    def _member(self, node: syntax.Node) -> syntax.Node:
        entered = 0
        while True:
            if self._take("."):
                node = self._selection(node)
            elif self._sees("["):
                opened = self._advance()
                optional = self._take("?")
                index = self._expression()
                self._expect("]", opened)
                node = syntax.Index(opened.offset, node, index, optional)
            elif self._sees("{"):
                message = "Messages such as Name{...} are not supported; a map is written {'key': value}."
                raise ExpressionSyntaxError(message, offset=self._token.offset)
            else:
                self._depth -= entered
                return node
            # Selections cost no depth: the compiler walks them in a loop.
            if isinstance(node, syntax.Call):
                self._enter()
                entered += 1

    def _selection(self, node: syntax.Node) -> syntax.Node:
        optional = self._take("?")
        token = self._token
        if token.kind == "backticked":
            self._advance()
            return syntax.Select(token.offset, node, str(token.value), optional)
        if token.kind != "word" or token.value in _KEYWORDS:
            raise self._unexpected("a field name")
        self._advance()
        name = str(token.value)
        if self._sees("(") and not optional:
            return syntax.Call(token.offset, node, name, self._arguments())
        return syntax.Select(token.offset, node, name, optional)

    def _arguments(self) -> tuple[syntax.Node, ...]:
        opened = self._advance()
        arguments: list[syntax.Node] = []
        if not self._sees(")"):
            arguments.append(self._expression())
            while self._take(","):
                arguments.append(self._expression())
        self._expect(")", opened)
        return tuple(arguments)

    def _primary(self) -> syntax.Node:
        token = self._token
        if token.kind == "literal":
            self._advance()
            if type(token.value) is int and token.value > INT_MAX:
                raise ExpressionSyntaxError("The integer does not fit into 64 bits.", offset=token.offset)
            return syntax.Literal(token.offset, token.value)
        if token.kind == "word":
            return self._word()
        if self._sees("("):
            self._advance()
            node = self._expression()
            self._expect(")", token)
            return node
        if self._sees("["):
            return self._list()
        if self._sees("{"):
            return self._map()
        if self._take("."):
            if self._token.kind != "word":
                raise self._unexpected("a name")
            return self._word(rooted=True)
        raise self._unexpected("a value")

    def _word(self, *, rooted: bool = False) -> syntax.Node:
        token = self._advance()
        name = str(token.value)
        if name in _CONSTANTS and not rooted:
            return syntax.Literal(token.offset, _CONSTANTS[name])
        if name in _RESERVED or name in _KEYWORDS:
            message = f"{name!r} is a reserved word and cannot be a name; a field is written ['{name}']."
            raise ExpressionSyntaxError(message, offset=token.offset)
        if self._sees("("):
            return syntax.Call(token.offset, None, name, self._arguments())
        return syntax.Name(token.offset, name, rooted)

    def _list(self) -> syntax.Node:
        opened = self._advance()
        elements: list[tuple[syntax.Node, bool]] = []
        while not self._sees("]"):
            optional = self._take("?")
            elements.append((self._expression(), optional))
            if not self._take(","):
                break
        self._expect("]", opened)
        return syntax.ListLiteral(opened.offset, tuple(elements))

    def _map(self) -> syntax.Node:
        opened = self._advance()
        entries: list[tuple[syntax.Node, syntax.Node, bool]] = []
        while not self._sees("}"):
            optional = self._take("?")
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression(), optional))
            if not self._take(","):
                break
        self._expect("}", opened)
        return syntax.MapLiteral(opened.offset, tuple(entries))
