"""Text with `${...}` in it. Knows where an expression ends, not what it says."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from makegood.expression.budget import BUDGET_STEPS, Impure, Scope, text_bytes
from makegood.expression.errors import ExpressionSyntaxError
from makegood.expression.expression import Expression, compile_expression
from makegood.expression.formatting import template_text
from makegood.expression.lexer import text_end
from makegood.expression.paths import Key, Reference

_OPENING: Final = re.compile(r"\$\$\{|\$\{")
_INSIDE: Final = re.compile(r"[^{}\"'A-Za-z_/]+|//[^\n\r]*|/|[{}]")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Template:
    """A compiled template. Immutable, and safe to share.

    Attributes:
        text: What it was compiled from.
        references: What its expressions read, with offsets in `text`.
        path: Name and selectors if the whole text is one `${path}`; otherwise None.
        constant: There is no expression in it.
    """

    __slots__ = ("_parts", "_single", "constant", "path", "references", "slots", "text")

    def __init__(self, text: str, parts: list[str | Expression], references: tuple[Reference, ...]) -> None:
        self.text = text
        self.references = references
        self._parts = parts
        only = parts[0] if len(parts) == 1 else None
        self._single = only if isinstance(only, Expression) else None
        self.path: tuple[Key, ...] | None = self._single.path if self._single else None
        self.constant = all(isinstance(part, str) for part in parts)
        self.slots = max((part.slots for part in parts if isinstance(part, Expression)), default=0)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Those in the text, in its order."""
        return tuple(part for part in self._parts if isinstance(part, Expression))

    def evaluate(
        self, bindings: Mapping[str, object], *, budget: int = BUDGET_STEPS, impure: Impure | None = None
    ) -> Any:
        """The value: that of the one expression with its type, or the parts joined as text.

        Raises:
            BudgetExceeded: It would take more steps than `budget`.
            ExpressionError: There is no value.
        """
        if self.path is not None and self._single is not None:
            return self._single.evaluate(bindings, budget=budget, impure=impure)
        return self.run(Scope(bindings, budget, self.slots, impure))

    def run(self, scope: Scope) -> Any:
        """The value within an evaluation that is under way."""
        if self._single is not None:
            return self._single.run(scope)
        texts = []
        for part in self._parts:
            text = part if isinstance(part, str) else template_text(scope, part.run(scope))
            scope.produce(text_bytes(text))
            texts.append(text)
        return "".join(texts)


def compile_template(text: str, *, names: Collection[str] | None = None, impure: bool = False) -> Template:
    """Compile a text with `${...}` in it; `$${` is a literal `${`.

    Args:
        text: The template.
        names: As for `compile_expression`.
        impure: As for `compile_expression`.

    Raises:
        ExpressionSyntaxError: An expression is none, or is not closed. Its offset is one in `text`.
    """
    parts: list[str | Expression] = []
    references: list[Reference] = []
    literal: list[str] = []
    at = 0
    while True:
        found = _OPENING.search(text, at)
        literal.append(text[at : found.start() if found else len(text)])
        if found is None:
            break
        at = found.end()
        if found.group() == "$${":
            literal.append("${")
            continue
        end = _closing(text, at)
        if any(literal):
            parts.append("".join(literal))
        literal = []
        expression = _expression(text, at, end, names, impure=impure)
        references.extend(each._replace(offset=each.offset + at) for each in expression.references)
        parts.append(expression)
        at = end + 1
    if any(literal) or not parts:
        parts.append("".join(literal))
    return Template(text, parts, tuple(references))


def _expression(text: str, start: int, end: int, names: Collection[str] | None, *, impure: bool) -> Expression:
    try:
        return compile_expression(text[start:end], names=names, impure=impure)
    except ExpressionSyntaxError as error:
        error.offset += start
        raise


def _closing(text: str, start: int) -> int:
    """Where the brace is that closes the one before `start`; braces in texts do not count."""
    depth = 1
    at = start
    while at < len(text):
        end = text_end(text, at)
        if end is not None:
            at = end
            continue
        found = _WORD.match(text, at) or _INSIDE.match(text, at)
        if found is None:
            break
        if found.group() == "{":
            depth += 1
        elif found.group() == "}":
            depth -= 1
            if depth == 0:
                return at
        at = found.end()
    raise ExpressionSyntaxError("This ${ is never closed; a literal one is written $${.", offset=start - 2)
