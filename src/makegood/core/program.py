"""A definition compiled into a flat program: an array of nodes, expressions compiled. No state.

A node's index is its place in definition order. Lists of steps (the root, the branches of an if, the
body of a loop, the parts of a try) are nodes of kind `block`; they have names of their own
(`luxury/then`) and no instances. A *region* is what one failure stops: the root, each part of a try,
each branch of a parallel whose `on_failure` is `wait_all`. A *loop* is a foreach or a repeat; a
node's depth is the number of loops around it, and that is the length of its iteration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from makegood.core.formula import Formula, compile_formula
from makegood.model import (
    DEFAULT_UNDO_RETRY,
    Backoff,
    Call,
    ChildWorkflow,
    Compensation,
    Definition,
    Fail,
    Foreach,
    If,
    Mapped,
    Parallel,
    Repeat,
    RetryPolicy,
    Sequential,
    SetStep,
    SignalStep,
    Step,
    Switch,
    Try,
    Wait,
)

PIVOT_BACKOFF_MS_MAX = 300_000
"""Rule 26: retriable steps after a pivot are tried again at most this far apart."""


class Kind(StrEnum):
    """What a node is. A text, since it is a key of tables on the hot path and a plain enum hashes in Python."""

    BLOCK = "block"
    CALL = "call"
    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    IF = "if"
    SWITCH = "switch"
    FOREACH = "foreach"
    REPEAT = "repeat"
    WAIT = "wait"
    SIGNAL = "signal"
    WORKFLOW = "workflow"
    TRY = "try"
    SET = "set"
    FAIL = "fail"


LEAVES = frozenset({Kind.CALL, Kind.WAIT, Kind.SIGNAL, Kind.WORKFLOW, Kind.SET, Kind.FAIL})
LOOPS = frozenset({Kind.FOREACH, Kind.REPEAT})


@dataclass(frozen=True, slots=True)
class Undo:
    """A compensation, compiled, with the definition's defaults merged in.

    Attributes:
        retry: Its budget.
        explicit: Whether the budget was written out, so that `not_sent` counts too (rule 16).
    """

    service: str
    method: str
    input: Formula | None
    when: Formula | None
    retry: RetryPolicy
    explicit: bool
    timeout_ms: int | None

    @property
    def call(self) -> str:
        """`service.method`."""
        return f"{self.service}.{self.method}"


@dataclass(slots=True)
class Node:
    """One node of the program.

    Attributes:
        index: Its place in definition order; also its name in the state.
        name: The step's id, or the path of a wrapper or block.
        parent: Index of the node around it; -1 for the root.
        next: Index of the node after it in the same sequence; -1 for the last, and in a parallel.
        depth: Loops around it.
        region: Index of the innermost region around or at it.
        outer: Index of the innermost region around it, itself excluded; -1 for the root.
        loops: Indexes of the loops around it, outermost first.
        is_leaf: Whether it has no steps inside.
        parts: For a try: the indexes of body, handlers..., finally (or -1).
    """

    index: int
    name: str
    kind: Kind
    parent: int
    depth: int
    loops: tuple[int, ...]
    region: int = 0
    outer: int = -1
    next: int = -1
    children: tuple[int, ...] = ()
    step: Step | None = None
    when: Formula | None = None
    value: Formula | None = None
    conditions: tuple[Formula, ...] = ()
    extra: tuple[Formula | None, ...] = ()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_ms: int | None = None
    undo: Undo | None = None
    finally_: int = -1
    is_leaf: bool = False

    @property
    def call(self) -> Call:
        """The step of a call node."""
        assert isinstance(self.step, Call)
        return self.step


@dataclass(slots=True)
class Program:
    """A compiled definition. Shared by all executions of its version."""

    definition: Definition
    version: int
    nodes: list[Node] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)
    output: Formula | None = None
    signals: frozenset[str] = frozenset()

    def node(self, name: str) -> Node:
        """The node of that name."""
        return self.nodes[self.index[name]]

    def around(self, index: int) -> Iterator[int]:
        """The indexes of the nodes around a node, innermost first, itself excluded."""
        parent = self.nodes[index].parent
        while parent >= 0:
            yield parent
            parent = self.nodes[parent].parent

    def inside(self, index: int, scope: int) -> bool:
        """Whether a node is at or inside another."""
        while index > scope:
            index = self.nodes[index].parent
        return index == scope

    @property
    def services(self) -> frozenset[str]:
        """The services it calls, compensations included."""
        names = set()
        for node in self.nodes:
            if node.kind is Kind.CALL:
                names.add(node.call.service)
            if node.undo is not None:
                names.add(node.undo.service)
        return frozenset(names)


def compile_program(definition: Definition, version: int) -> Program:
    """Compile a definition that has passed the registration checks.

    Raises:
        ExpressionSyntaxError: An expression does not compile (the checks would have said so).
    """
    program = Program(definition, version)
    _Compiler(program).compile()
    return program


class _Compiler:
    """Lays the tree out in definition order, then compiles the expressions against the names."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.definition = program.definition

    def compile(self) -> None:
        self._block("", self.definition.steps, parent=-1, loops=())
        self._assign_regions()
        for node in self.program.nodes:
            if node.step is not None:
                self._formulas(node, node.step)
        steps = [node.step for node in self.program.nodes]
        self.program.signals = frozenset(step.signal for step in steps if isinstance(step, SignalStep))
        if self.definition.output is not None:
            self.program.output = self._formula(0, self.definition.output.tree)

    # --- layout ---

    def _add(self, name: str, kind: Kind, parent: int, loops: tuple[int, ...], step: Step | None) -> Node:
        node = Node(
            index=len(self.program.nodes),
            name=name,
            kind=kind,
            parent=parent,
            depth=len(loops),
            loops=loops,
            step=step,
            is_leaf=kind in LEAVES,
        )
        self.program.nodes.append(node)
        self.program.index[name] = node.index
        return node

    def _block(self, name: str, steps: tuple[Step, ...], *, parent: int, loops: tuple[int, ...]) -> int:
        block = self._add(name, Kind.BLOCK, parent, loops, None)
        self._sequence(block, steps, loops)
        return block.index

    def _sequence(self, owner: Node, steps: tuple[Step, ...], loops: tuple[int, ...]) -> None:
        owner.children = tuple(self._step(step, owner.index, loops) for step in steps)
        for here, there in zip(owner.children, owner.children[1:], strict=False):
            self.program.nodes[here].next = there

    def _step(self, step: Step, parent: int, loops: tuple[int, ...]) -> int:
        node = self._add(step.id, kind_of(step), parent, loops, step)
        inner = (*loops, node.index) if node.kind in LOOPS else loops
        match step:
            case Sequential():
                self._sequence(node, step.steps, loops)
            case Parallel():
                node.children = tuple(self._step(each, node.index, loops) for each in step.branches)
            case If() | Switch() | Foreach() | Repeat():
                node.children = tuple(
                    self._block(f"{step.id}/{label}", steps, parent=node.index, loops=inner)
                    for label, steps in branches_of(step)
                )
            case Try():
                self._try(node, step, loops)
            case _:
                pass
        return node.index

    def _try(self, node: Node, step: Try, loops: tuple[int, ...]) -> None:
        parts = [("try", step.body)]
        parts += [(f"catch/{number}", handler.steps) for number, handler in enumerate(step.handlers)]
        node.children = tuple(
            self._block(f"{step.id}/{label}", steps, parent=node.index, loops=loops) for label, steps in parts
        )
        if step.finally_:
            node.finally_ = self._block(f"{step.id}/finally", step.finally_, parent=node.index, loops=loops)

    def _assign_regions(self) -> None:
        for node in self.program.nodes:
            if node.parent < 0:
                continue
            parent = self.program.nodes[node.parent]
            node.outer = parent.region
            lone_branch = isinstance(parent.step, Parallel) and parent.step.on_failure == "wait_all"
            node.region = node.index if parent.kind is Kind.TRY or lone_branch else parent.region

    # --- expressions ---

    def _formula(
        self, at: int, tree: Any, *, condition: bool = False, impure: bool = False, inner: bool = False
    ) -> Formula:
        return compile_formula(self.program, at, tree, condition=condition, impure=impure, inner=inner)

    def _formulas(self, node: Node, step: Step) -> None:
        at = node.index
        if step.when is not None:
            node.when = self._formula(at, step.when, condition=True)
        match step:
            case Call():
                self._call(node, step)
            case ChildWorkflow():
                node.value = self._mapped(at, step.input)
                node.undo = self._undo(at, step.compensation)
            case If():
                node.conditions = (self._formula(at, step.condition, condition=True),)
            case Switch():
                node.conditions = tuple(self._formula(at, case.when, condition=True) for case in step.cases)
            case Foreach():
                node.value = self._formula(at, step.items)
            case Repeat():
                written = (step.while_, step.until)
                node.extra = tuple(
                    None if each is None else self._formula(at, each, condition=True, inner=True) for each in written
                )
            case Wait():
                node.value = None if step.until is None else self._formula(at, step.until)
            case SetStep():
                node.value = self._formula(at, step.value, impure=True)
            case Fail():
                node.value = self._formula(at, {"message": step.message, "details": step.details})
            case _:
                pass

    def _mapped(self, at: int, mapped: Mapped | None) -> Formula | None:
        return None if mapped is None else self._formula(at, mapped.tree)

    def _call(self, node: Node, step: Call) -> None:
        defaults, handling = self.definition.defaults, self.definition.error_handling
        node.value = self._mapped(node.index, step.input)
        node.timeout_ms = step.timeout_ms or defaults.timeout_ms
        strategy_retry = handling.retry if handling.strategy == "retry" else None
        node.retry = step.retry or defaults.retry or strategy_retry or RetryPolicy()
        node.undo = self._undo(node.index, step.compensation)

    def _undo(self, at: int, compensation: Compensation | None) -> Undo | None:
        if compensation is None:
            return None
        defaults = self.definition.defaults
        written = compensation.retry or defaults.undo_retry
        return Undo(
            service=compensation.service,
            method=compensation.method,
            input=self._formula(at, compensation.input) if compensation.has_input else None,
            when=self._formula(at, compensation.when, condition=True) if compensation.when is not None else None,
            retry=written or DEFAULT_UNDO_RETRY,
            explicit=written is not None,
            timeout_ms=compensation.timeout_ms or defaults.undo_timeout_ms,
        )


def kind_of(step: Step) -> Kind:
    """The kind of a step of the model."""
    return _KINDS[type(step)]


_KINDS: dict[type[Step], Kind] = {
    Call: Kind.CALL,
    Sequential: Kind.SEQUENTIAL,
    Parallel: Kind.PARALLEL,
    If: Kind.IF,
    Switch: Kind.SWITCH,
    Foreach: Kind.FOREACH,
    Repeat: Kind.REPEAT,
    Wait: Kind.WAIT,
    SignalStep: Kind.SIGNAL,
    ChildWorkflow: Kind.WORKFLOW,
    Try: Kind.TRY,
    SetStep: Kind.SET,
    Fail: Kind.FAIL,
}


def branches_of(step: If | Switch | Foreach | Repeat) -> list[tuple[str, tuple[Step, ...]]]:
    """The lists of steps inside, with the labels that name their blocks."""
    match step:
        case If():
            return [("then", step.then), ("else", step.otherwise)]
        case Switch():
            cases = [(f"case/{number}", case.steps) for number, case in enumerate(step.cases)]
            return [*cases, ("default", step.default)]
        case Foreach() | Repeat():
            return [("steps", step.steps)]


def retriable_policy(policy: RetryPolicy) -> RetryPolicy:
    """The policy of a retriable step once a pivot has succeeded: without end, bounded waits."""
    backoff = policy.backoff
    capped = Backoff(
        initial_ms=backoff.initial_ms,
        factor=backoff.factor,
        max_ms=min(backoff.max_ms, PIVOT_BACKOFF_MS_MAX),
        jitter=backoff.jitter,
    )
    return RetryPolicy(attempts_max=2**62, backoff=capped, retry_on=policy.retry_on)
