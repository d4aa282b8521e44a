"""A tree of JSON whose texts are templates: the `input`, `output` and `set` of a definition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from makegood.expression.budget import BUDGET_STEPS, Impure, Scope
from makegood.expression.errors import ExpressionSyntaxError
from makegood.expression.jsonform import DEPTH_MAX, reference_to_json, to_json_built
from makegood.expression.paths import Key, Reference
from makegood.expression.template import Template, compile_template

Build = Callable[[Scope], Any]


class ValueMapping:
    """A compiled mapping. Immutable, and safe to share.

    Attributes:
        tree: What it was compiled from.
        references: What its expressions read; each has the pointer of its text in the tree.
        path: Name and selectors if the whole tree is one text `${path}`; otherwise None.
        constant: There is no expression in it.
    """

    __slots__ = ("_build", "_slots", "_value", "constant", "path", "references", "tree")

    def __init__(self, tree: object, names: Collection[str] | None, *, impure: bool) -> None:
        compilation = _Compilation(names, impure=impure)
        self.tree = tree
        self._build, self._value = compilation.compile(tree, "", 0)
        self._slots = compilation.slots
        self.constant = self._build is None
        self.references: tuple[Reference, ...] = tuple(compilation.references)
        self.path: tuple[Key, ...] | None = compilation.path if isinstance(tree, str) else None

    def evaluate(
        self, bindings: Mapping[str, object], *, budget: int = BUDGET_STEPS, impure: Impure | None = None
    ) -> Any:
        """The tree with its texts evaluated, as plain JSON data; one budget for all of them.

        Parts of the bindings that are referred to are passed on as they are, not copied.

        Raises:
            BudgetExceeded: It would take more steps than `budget`.
            ExpressionError: A value is missing, or has no JSON form.
        """
        if self._build is None:
            return self._value
        return self._build(Scope(bindings, budget, self._slots, impure))


def compile_mapping(tree: object, *, names: Collection[str] | None = None, impure: bool = False) -> ValueMapping:
    """Compile a tree of JSON whose texts are templates; keys are literal.

    Args:
        tree: None, bool, int, float, str, list or dict with text keys.
        names: As for `compile_expression`.
        impure: As for `compile_expression`.

    Raises:
        ExpressionSyntaxError: A text is wrong; `pointer` says which, `offset` where in it.
    """
    return ValueMapping(tree, names, impure=impure)


class _Compilation:
    def __init__(self, names: Collection[str] | None, *, impure: bool) -> None:
        self._names = names
        self._impure = impure
        self.slots = 0
        self.references: list[Reference] = []
        self.path: tuple[Key, ...] | None = None

    def compile(self, tree: Any, pointer: str, depth: int) -> tuple[Build | None, object]:
        """How a subtree is built, or None and the value it always has."""
        if depth > DEPTH_MAX:
            raise ExpressionSyntaxError(f"The tree nests deeper than {DEPTH_MAX}.", offset=0, pointer=pointer)
        if isinstance(tree, str):
            return self._text(tree, pointer)
        if isinstance(tree, list):
            return self._list(tree, pointer, depth)
        if isinstance(tree, dict):
            return self._map(tree, pointer, depth)
        return None, tree

    def _text(self, text: str, pointer: str) -> tuple[Build | None, object]:
        if "${" not in text:
            return None, text
        try:
            template = compile_template(text, names=self._names, impure=self._impure)
        except ExpressionSyntaxError as error:
            error.pointer = pointer
            raise
        if template.constant:
            return None, template.evaluate({})
        self.references.extend(each._replace(pointer=pointer) for each in template.references)
        self.slots = max(self.slots, template.slots)
        self.path = template.path
        return _evaluated(template), None

    def _list(self, items: list[object], pointer: str, depth: int) -> tuple[Build | None, object]:
        parts = [self.compile(item, f"{pointer}/{position}", depth + 1) for position, item in enumerate(items)]
        if all(build is None for build, _ in parts):
            values = [value for _, value in parts]
            same = all(value is item for value, item in zip(values, items, strict=True))
            return None, items if same else values

        def build_list(scope: Scope) -> list[object]:
            return [value if build is None else build(scope) for build, value in parts]

        return build_list, None

    def _map(self, entries: dict[str, object], pointer: str, depth: int) -> tuple[Build | None, object]:
        parts = {key: self.compile(value, f"{pointer}/{_escaped(key)}", depth + 1) for key, value in entries.items()}
        if all(build is None for build, _ in parts.values()):
            values = {key: value for key, (_, value) in parts.items()}
            same = all(values[key] is value for key, value in entries.items())
            return None, entries if same else values
        pairs = tuple((key, build, value) for key, (build, value) in parts.items())

        def build_map(scope: Scope) -> dict[str, object]:
            return {key: value if build is None else build(scope) for key, build, value in pairs}

        return build_map, None


def _evaluated(template: Template) -> Build:
    if template.path is not None:
        return lambda scope: reference_to_json(scope, template.run(scope))
    return lambda scope: to_json_built(scope, template.run(scope))


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
