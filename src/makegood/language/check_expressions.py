"""Every expression of a definition: does it compile, with the names there are in its place?

Goes through all steps and hands each text to the compiler with its names, and what it reads to
`check_references`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from makegood.expression import (
    Expression,
    ExpressionError,
    ExpressionSyntaxError,
    Reference,
    Template,
    Timestamp,
    compile_expression,
    compile_template,
)  # fmt: skip
from makegood.language.check_contracts import Outputs
from makegood.language.check_references import Reader, References
from makegood.language.order import Part, Ways, parts
from makegood.language.problems import Problems, pointed, shown
from makegood.language.values import is_timestamp
from makegood.model import (
    Call,
    ChildWorkflow,
    Compensation,
    Definition,
    Fail,
    Foreach,
    If,
    Repeat,
    SetStep,
    Step,
    Switch,
    Try,
    Wait,
)  # fmt: skip
from makegood.model.contract import Contract

BASE = ("input", "steps", "execution")

_CONSTANT_BUDGET = 1_000


@dataclass(frozen=True, slots=True)
class _Scope:
    """The names around a step.

    Attributes:
        loops: Names of the items and indexes of the loops around it.
        errors: Names of the errors of the handlers around it.
    """

    loops: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*BASE, *self.loops, *self.errors)


def check_expressions(
    definition: Definition, problems: Problems, ways: Ways, contracts: Mapping[str, Contract], *, incomplete: bool
) -> None:
    """Report every expression that does not compile, or reads what it cannot."""
    checker = _Checker(problems, References(ways, incomplete=incomplete), Outputs(definition, contracts))
    checker.steps(definition.steps, _Scope())
    top = Reader(None, "The definition")
    if definition.output is not None:
        checker.mapping(definition.output.tree, "/output", BASE, replace(top, what="`output`"))
    if definition.business_key is not None:
        reader = replace(top, what="`business_key`")
        constant = checker.expression(definition.business_key, "/business_key", ("input",), reader)
        if constant is not None and not _is_key(constant[0]):
            message = (
                f"`business_key` must give a string or a whole number, and this always gives {_kind(constant[0])}."
            )
            problems.error("bad_business_key", message, "/business_key")
    for name, source in definition.search:
        reader = replace(top, what=f"`search`: {shown(name)}")
        checker.expression(source, pointed("/search", name), ("input",), reader)


class _Checker:
    def __init__(self, problems: Problems, references: References, outputs: Outputs) -> None:
        self._problems = problems
        self._references = references
        self._outputs = outputs

    def steps(self, steps: tuple[Step, ...], scope: _Scope) -> None:
        for step in steps:
            self._step(step, scope)

    def _step(self, step: Step, scope: _Scope) -> None:
        reader = Reader(step.id, _title(step), scope.errors)
        if step.when is not None:
            self.condition(step.when, f"{step.pointer}/when", scope.names, reader)
        self._own(step, scope, reader)
        if isinstance(step, Call | ChildWorkflow) and step.compensation is not None:
            self._compensation(step.compensation, scope, reader)
        for part in parts(step):
            self.steps(part.steps, self._inner(step, part, scope))

    def _own(self, step: Step, scope: _Scope, reader: Reader) -> None:
        """What the step itself computes."""
        at, names = step.pointer, scope.names
        match step:
            case Repeat():
                self._round(step, names, replace(reader, sees_inside=True))
            case Call() | ChildWorkflow():
                if step.input is not None:
                    self.mapping(step.input.tree, f"{at}/input", names, reader)
            case If():
                self.condition(step.condition, f"{at}/if", names, reader)
            case Switch():
                for nth, case in enumerate(step.cases):
                    self.condition(case.when, f"{at}/switch/{nth}/when", names, reader)
            case Foreach():
                self._items(step.items, f"{at}/foreach", names, reader)
            case Wait():
                self._moment(step.until, f"{at}/wait/until", names, reader)
            case SetStep():
                self.mapping(step.value, f"{at}/set", names, reader, impure=True)
            case Fail():
                self.mapping(step.message, f"{at}/fail/message", names, reader)
                self.mapping(step.details, f"{at}/fail/details", names, reader)
            case _:
                pass

    def _items(self, items: Any, pointer: str, names: tuple[str, ...], reader: Reader) -> None:
        """A list, or one expression that gives one: several would be joined as text."""
        if self.mapping(items, pointer, names, reader) and isinstance(items, str):
            try:
                compile_expression(items[2:-1], names=names)
            except ExpressionSyntaxError:
                message = f"{reader.what}: `foreach` takes one ${{...}} that gives a list; several give a text."
                self._problems.error("not_a_list", message, pointer)
                return
            constant = _constant(compile_template(items, names=names))
            if constant is not None and not isinstance(constant[0], list):
                message = f"{reader.what}: `foreach` takes a list, and this always gives {_kind(constant[0])}."
                self._problems.error("not_a_list", message, pointer)

    def _moment(self, until: Any, pointer: str, names: tuple[str, ...], reader: Reader) -> None:
        """A moment, or an expression that gives one."""
        if self.mapping(until, pointer, names, reader) and isinstance(until, str) and "${" in until:
            constant = _constant(compile_template(until, names=names))
            if constant is not None and not _is_moment(constant[0]):
                message = (
                    f"{reader.what}: `until` takes a timestamp with a time zone, such as 2030-01-31T12:00:00Z, "
                    f"and this always gives {_kind(constant[0])}."
                )
                self._problems.error("bad_timestamp", message, pointer)

    def _round(self, step: Repeat, names: tuple[str, ...], reader: Reader) -> None:
        if step.until is not None:
            self.condition(step.until, f"{step.pointer}/until", names, reader)
        if step.while_ is not None:
            self.condition(step.while_, f"{step.pointer}/while", names, reader)

    def _compensation(self, undo: Compensation, scope: _Scope, reader: Reader) -> None:
        # An undo may run long after the handler that knew the error, so the error has no name there.
        names = (*BASE, *scope.loops, "step")
        reader = replace(reader, what=f"{reader.what}: `compensation`", errors=(), undo=True)
        if undo.has_input:
            self.mapping(undo.input, f"{undo.pointer}/input", names, reader)
        if undo.when is not None:
            self.condition(undo.when, f"{undo.pointer}/when", names, reader)

    def _inner(self, step: Step, part: Part, scope: _Scope) -> _Scope:
        """The names in one of a step's lists."""
        if isinstance(step, Foreach):
            if step.name == step.index_name:
                message = f"{_title(step)}: the item and its index are both named {step.name!r}. Rename one of them."
                self._problems.error("shadowed_name", message, f"{step.pointer}/index_as")
            self._unshadowed(step, step.name, f"{step.pointer}/as", scope)
            self._unshadowed(step, step.index_name, f"{step.pointer}/index_as", scope)
            return replace(scope, loops=(*scope.loops, step.name, step.index_name))
        if isinstance(step, Try) and part.name.startswith("catch "):
            nth = int(part.name.removeprefix("catch "))
            name = step.handlers[nth].name
            if name in scope.loops:
                self._unshadowed(step, name, f"{step.pointer}/catch/{nth}/as", scope)
            return replace(scope, errors=(*scope.errors, name))
        return scope

    def _unshadowed(self, step: Step, name: str, pointer: str, scope: _Scope) -> None:
        if name in scope.loops or name in scope.errors:
            key = pointer.rpartition("/")[2]
            message = (
                f"{_title(step)}: the name {name!r} is already used around this step. Choose another with `{key}`."
            )
            self._problems.error("shadowed_name", message, pointer)

    def condition(self, source: str, pointer: str, names: tuple[str, ...], reader: Reader) -> None:
        """A bare expression that gives a bool."""
        constant = self.expression(source, pointer, names, reader)
        if constant is not None and not isinstance(constant[0], bool):
            message = (
                f"{reader.what}: a condition must give true or false, and this one "
                f"always gives {_kind(constant[0])}. Compare it with something."
            )
            self._problems.error("condition_not_bool", message, pointer)

    def expression(self, source: str, pointer: str, names: tuple[str, ...], reader: Reader) -> tuple[Any] | None:
        """A bare expression. Answers its value when that depends on nothing."""
        try:
            compiled = compile_expression(source, names=names)
        except ExpressionSyntaxError as error:
            self._wrong(source, error, pointer, reader)
            return None
        self._read(compiled.references, reader, pointer, [])
        return _constant(compiled)

    def _wrong(self, source: str, error: ExpressionSyntaxError, pointer: str, reader: Reader) -> None:
        bare = source.strip()
        if bare.startswith("${") and bare.endswith("}"):
            message = f"{reader.what}: an expression stands here without ${{...}}. Write {bare[2:-1].strip()[:100]}"
            self._problems.error("wrapped_expression", message, pointer)
            return
        self._problems.error("invalid_expression", f"{reader.what}: {error.message}", pointer, offset=error.offset)

    def mapping(self, tree: Any, pointer: str, names: tuple[str, ...], reader: Reader, *, impure: bool = False) -> bool:
        """A tree whose texts may hold `${...}`. Answers whether all of them compile."""
        sound = True
        for text, way in texts(tree):
            try:
                compiled = compile_template(text, names=names, impure=impure)
            except ExpressionSyntaxError as error:
                message = f"{reader.what}: {error.message}"
                at = pointed(pointer, *way)
                self._problems.error("invalid_expression", message, at, offset=error.offset)
                sound = False
                continue
            self._read(compiled.references, reader, pointer, way)
        return sound

    def _read(self, references: tuple[Reference, ...], reader: Reader, pointer: str, way: list[str | int]) -> None:
        """What one text reads. A pointer into it is made only for a problem: keys may be very long."""
        if self._problems.full:
            return
        for reference in references:
            found = self._references.complaint(reference, reader)
            if found is not None:
                self._problems.error(*found, pointed(pointer, *way), offset=reference.offset)
                continue
            lacking = self._outputs.complaint(reference, reader.step, undo=reader.undo)
            if lacking is not None:
                code, message = lacking
                # What a description does not name may come all the same, unless it says that it never does.
                report = self._problems.warning if code == "undeclared_output" else self._problems.error
                report(code, f"{reader.what}: {message}", pointed(pointer, *way), offset=reference.offset)


def _constant(compiled: Expression | Template) -> tuple[Any] | None:
    """The value of what depends on nothing, or None; also when it has none."""
    if compiled.references:
        return None
    try:
        return (compiled.evaluate({}, budget=_CONSTANT_BUDGET),)
    except ExpressionError:
        return None


def _is_key(value: object) -> bool:
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


def _is_moment(value: object) -> bool:
    return isinstance(value, Timestamp) or (isinstance(value, str) and is_timestamp(value))


def texts(tree: Any) -> Iterator[tuple[str, list[str | int]]]:
    """The texts that hold an expression, each with the way to it."""
    way: list[str | int] = []

    def within(value: Any) -> Iterator[tuple[str, list[str | int]]]:
        if isinstance(value, str):
            if "${" in value:
                yield value, way
            return
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for token, each in inner:
            way.append(token)
            yield from within(each)
            way.pop()

    return within(tree)


def _title(step: Step) -> str:
    return "The step" if step.anonymous else f"Step {step.id!r}"


def _kind(value: object) -> str:
    return shown(value) if isinstance(value, str | int | float | dict | list) or value is None else "something else"
