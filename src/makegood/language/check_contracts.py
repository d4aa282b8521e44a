"""Does a definition fit what its services say of themselves: their methods, inputs and outputs?

Only what is certain is an error: a method that is not there, a value that can never fit. A field that a
description does not name, and does not forbid either, is a warning. What depends on values that nobody
knows before the run is left to the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from makegood.errors import nearest
from makegood.expression import (
    ExpressionError,
    ExpressionSyntaxError,
    Reference,
    compile_expression,
    compile_template,
)  # fmt: skip
from makegood.language.check_schemas import InvalidSchema, compile_schema
from makegood.language.descent import Absent, Schemas, fields, kinds, lacking, required
from makegood.language.order import parts, walk
from makegood.language.problems import Problems, pointed, shown
from makegood.model import Call, ChildWorkflow, Definition, Foreach, Step
from makegood.model.contract import Contract, Operation, Unread
from makegood.model.policies import Compensation

_OPEN = object()
"""A value of which nothing is known before the run."""
_UNDO_BODY = dict.fromkeys(
    ("execution_id", "workflow", "step", "iteration", "outcome", "input", "output", "forward_key", "error"), _OPEN
)
"""What a compensation without an input of its own sends (rule 9)."""


def check_contracts(definition: Definition, contracts: Mapping[str, Contract], problems: Problems) -> None:
    """Report each call that its service's description does not allow."""
    checker = _Checker(definition, contracts, problems)
    for step in walk(definition.steps):
        if problems.full:
            return
        if isinstance(step, Call):
            checker.call(step)
        undo = step.compensation if isinstance(step, Call | ChildWorkflow) else None
        if undo is not None:
            checker.undo(step, undo)


def check_read(definition: Definition, unread: Mapping[str, Unread], problems: Problems) -> None:
    """Warn where a call goes unchecked because its service's description cannot be had: once for each service."""
    told = set()
    for step in walk(definition.steps):
        if isinstance(step, Call) and step.service in unread and step.service not in told:
            told.add(step.service)
            message = (
                f"What the service {step.service!r} describes could not be held against its calls: "
                f"{unread[step.service].why}"
            )
            problems.warning("description_unread", message, f"{step.pointer}/call")


class _Checker:
    def __init__(self, definition: Definition, contracts: Mapping[str, Contract], problems: Problems) -> None:
        self._contracts = contracts
        self._problems = problems
        self._input = Schemas(definition.input_schema) if definition.input_schema is not None else None
        self._outputs = Outputs(definition, contracts)

    def call(self, step: Call) -> None:
        what = f"Step {step.id!r}"
        operation = self._operation(step.service, step.method, what, f"{step.pointer}/call")
        if operation is None or operation.takes is None:
            return
        fit = _Fit(self, operation, what, f"{step.pointer}/input", self._problems)
        if step.input is not None:
            fit.tree(step.input.tree)
        elif self._input is not None:
            fit.schema(self._input, f"{step.pointer}/call")

    def undo(self, step: Step, undo: Compensation) -> None:
        what = f"Step {step.id!r}: its compensation"
        operation = self._operation(undo.service, undo.method, what, undo.pointer)
        if operation is None or operation.takes is None:
            return
        if undo.has_input:
            _Fit(self, operation, what, f"{undo.pointer}/input", self._problems, undone=step.id).tree(undo.input)
        else:
            _Fit(self, operation, what, undo.pointer, self._problems, whole=True).tree(_UNDO_BODY)

    def _operation(self, service: str, method: str, what: str, pointer: str) -> Operation | None:
        contract = self._contracts.get(service)
        if contract is None:
            return None
        operation = contract.operations.get(method)
        if operation is None:
            if (request := contract.requests.get(method)) is not None:
                why = f"which is sent as {request}, and {contract.source} describes no such operation."
            else:
                why = f"and {contract.source} describes no such method.{nearest(method, contract.operations)}"
            self._problems.error("unknown_method", f"{what} calls {service}.{method}, {why}", pointer)
        return operation

    def known(self, text: str, undone: str | None) -> Any:
        """The schema, with its root, of what one `${...}` gives; None where that is open."""
        try:
            read = compile_template(text).references
        except ExpressionSyntaxError:
            return None
        if len(read) != 1 or not _is_path(text, read[0]):
            return None
        root, path = read[0].root, read[0].path
        if root == "input":
            return None if self._input is None else (self._input, self._input.at(path))
        if root == "step" and undone is not None and path[:1] == ("output",):
            return self._outputs.own(undone, path[1:])
        return self._outputs.schema(path) if root == "steps" else None


class _Fit:
    """Holds one mapping to what an operation takes."""

    def __init__(
        self,
        checker: _Checker,
        operation: Operation,
        what: str,
        pointer: str,
        problems: Problems,
        *,
        whole: bool = False,
        undone: str | None = None,
    ) -> None:
        self._checker = checker
        self._operation = operation
        self._what = what
        self._pointer = pointer
        self._problems = problems
        self._whole = whole
        self._undone = undone
        self._schemas = Schemas(operation.takes)

    def tree(self, tree: Any) -> None:
        self._value(tree, self._operation.takes, [])

    def schema(self, given: Schemas, pointer: str) -> None:
        """The workflow's own input is sent as it is: what it is known to lack is missing here."""
        have, want = given.flat(given.root), self._schemas.flat(self._operation.takes)
        if have is None or want is None:
            return
        for name in dict.fromkeys(required(want)):
            if isinstance(given.at([name]), Absent):
                message = (
                    f"{self._what} sends the workflow's input as it is, and {self._operation.where} demands "
                    f"{shown(name)}, which `input_schema` does not name. Give the step an `input`."
                )
                self._problems.warning("missing_input", message, pointer)

    def _say(self, code: str, why: str, way: list[str | int], *, certain: bool = True) -> None:
        report = self._problems.error if certain else self._problems.warning
        report(code, f"{self._what}: {why}", self._pointer if self._whole else pointed(self._pointer, *way))

    def _value(self, value: Any, schema: Any, way: list[str | int]) -> None:
        if value is _OPEN or self._problems.full:
            return
        if _is_constant(value) and (not isinstance(value, dict | list) or self._schemas.flat(schema) is None):
            self._constant(value, schema, way)
            return
        found = self._schemas.flat(schema)
        if found is None:
            return
        allowed = kinds(found)
        if isinstance(value, str):
            self._expression(value, allowed, way)
        elif isinstance(value, dict):
            self._kind("object", "a mapping", allowed, way)
            self._fields(value, found, way)
        elif isinstance(value, list):
            self._kind("array", "a list", allowed, way)
            for nth, each in enumerate(value):
                items = [part["items"] for part in found if "items" in part and "prefixItems" not in part]
                if len(items) == 1:
                    self._value(each, items[0], [*way, nth])

    def _kind(self, kind: str, given: str, allowed: frozenset[str] | None, way: list[str | int]) -> None:
        if allowed is not None and kind not in allowed:
            why = f"{self._operation.where} takes {_listed(allowed)} here, and this is {given}."
            self._say("input_misfit", why, way)

    def _expression(self, text: str, allowed: frozenset[str] | None, way: list[str | int]) -> None:
        if allowed is None:
            return
        if not _is_whole(text):
            self._kind("string", "a text", allowed, way)
            return
        known = self._checker.known(text, self._undone)
        if known is None or known[1] is None or isinstance(known[1], Absent):
            return
        schemas, schema = known
        flat = schemas.flat(schema)
        given = None if flat is None else kinds(flat)
        if given and not given & allowed:
            why = f"{self._operation.where} takes {_listed(allowed)} here, and {shown(text)} gives {_listed(given)}."
            self._say("input_misfit", why, way)

    def _fields(self, value: dict[str, Any], found: tuple[dict[str, Any], ...], way: list[str | int]) -> None:
        named = fields(found)
        for name in dict.fromkeys(required(found)):
            if name not in value:
                self._say("missing_input", f"{self._operation.where} demands {shown(name)}, which is not sent.", way)
        for name, each in value.items():
            if name in named:
                self._value(each, named[name], [*way, name])
                continue
            told = lacking(found, name)
            if told == "forbidden" or (told == "unnamed" and not self._whole):
                why = f"{self._operation.where} knows no {shown(name)}.{nearest(name[:100], named)}"
                self._say("unknown_input", why, [*way, name], certain=told == "forbidden")

    def _constant(self, value: Any, schema: Any, way: list[str | int]) -> None:
        root = self._schemas.root
        beside = {key: root[key] for key in ("components", "$defs") if isinstance(root, dict) and key in root}
        whole = {**schema, **beside} if isinstance(schema, dict) else schema
        try:
            wrong = next(iter(compile_schema(whole).iter_errors(_unescaped(value))), None)
        except InvalidSchema:
            return  # The description's own mistake: nothing can be said by it.
        if wrong is not None:
            why = f"{self._operation.where} does not take this: {wrong.message[:300]}."
            self._say("input_misfit", why, [*way, *wrong.instance_path])


class Outputs:
    """What is known of the outputs of a definition's calls."""

    def __init__(self, definition: Definition, contracts: Mapping[str, Contract]) -> None:
        self._gives: dict[str, tuple[str, Schemas]] = {}
        self._loops: dict[str, tuple[str, ...]] = {}
        self._calls(definition.steps, (), contracts)

    def _calls(self, steps: tuple[Step, ...], loops: tuple[str, ...], contracts: Mapping[str, Contract]) -> None:
        for step in steps:
            self._loops[step.id] = loops
            if isinstance(step, Call) and (contract := contracts.get(step.service)) is not None:
                operation = contract.operations.get(step.method)
                if operation is not None and operation.gives is not None:
                    self._gives[step.id] = (operation.where, Schemas(operation.gives))
            inner = (*loops, step.id) if isinstance(step, Foreach) else loops
            for part in parts(step):
                self._calls(part.steps, inner, contracts)

    def schema(self, path: tuple[Any, ...]) -> tuple[Schemas, Any] | None:
        """The schema, with its root, of `steps.path` where it is no list of a loop's."""
        if not path or path[0] not in self._gives or self._loops[path[0]]:
            return None
        _, schemas = self._gives[path[0]]
        return schemas, schemas.at(path[1:])

    def own(self, step: str, path: tuple[Any, ...]) -> tuple[Schemas, Any] | None:
        """The same of a path into a step's output, as its compensation sees it."""
        if step not in self._gives:
            return None
        _, schemas = self._gives[step]
        return schemas, schemas.at(path)

    def complaint(self, reference: Reference, reader: str | None, *, undo: bool) -> tuple[str, str] | None:
        """Code and message, when the output has no such field.

        Args:
            reference: What is read.
            reader: The step that reads; None for the definition's own output.
            undo: Whether it is that step's compensation.
        """
        step, path = self._read(reference, reader, undo=undo)
        if step is None or not path or reference.presence:
            return None
        where, schemas = self._gives[step]
        found = schemas.at(path)
        ahead = len(reference.path) - len(path)
        firm = len(reference.path) if reference.optional is None else reference.optional
        if not isinstance(found, Absent) or firm <= ahead + found.holder:
            return None  # What is asked for with care may be missing.
        told = f"{reference.root}.{'.'.join(map(str, reference.path[: ahead + found.holder]))}"
        if found.certain:
            return "unknown_output", f"{where} never gives {shown(found.field)} in {told}.{found.hint}"
        return "undeclared_output", f"{where} describes no {shown(found.field)} in {told}.{found.hint}"

    def _read(self, reference: Reference, reader: str | None, *, undo: bool) -> tuple[str | None, tuple[Any, ...]]:
        path = reference.path
        if undo and reference.root == "step" and path[:1] == ("output",) and reader in self._gives:
            return reader, path[1:]
        if reference.root != "steps" or not path or path[0] not in self._gives:
            return None, ()
        around = self._loops.get(reader or "", ())
        loops = self._loops[path[0]]
        # From outside, what a loop's step gave is a list.
        return (path[0], path[1:]) if around[: len(loops)] == loops else (None, ())


def _is_constant(value: Any) -> bool:
    if isinstance(value, str):
        return "${" not in value.replace("$${", "")
    if isinstance(value, dict):
        return all(map(_is_constant, value.values()))
    return all(map(_is_constant, value)) if isinstance(value, list) else value is not _OPEN


def _unescaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("$${", "${")
    if isinstance(value, dict):
        return {key: _unescaped(each) for key, each in value.items()}
    return [_unescaped(each) for each in value] if isinstance(value, list) else value


def _is_whole(text: str) -> bool:
    """Whether a text is exactly one expression, whose value it keeps."""
    if not (text.startswith("${") and text.endswith("}")):
        return False
    try:
        compile_expression(text[2:-1])
    except ExpressionError:
        return False
    return True


def _is_path(text: str, reference: Reference) -> bool:
    """Whether an expression is nothing but that path."""
    bare = text[2:-1].strip()
    return bare == ".".join([reference.root, *map(str, reference.path)])


def _listed(kinds_: frozenset[str]) -> str:
    named = sorted(kinds_ - {"integer"} if "number" in kinds_ else kinds_)
    return " or ".join(named) or "nothing"
