"""The tree of a workflow definition, as the language reads it. Frozen; knows no text and no state.

Every step has an `id`: the user's, or for a wrapper without one its path in the tree
(`steps/1/parallel/0`), which no user's id can equal. `pointer` is the JSON pointer of the step in the
definition's canonical tree, for messages. Durations are milliseconds. Expressions are kept as
source; the core compiles them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from makegood.model.policies import (
    Compensation,
    CompensationOrder,
    Defaults,
    ErrorHandling,
    OnCompensationFailure,
    RetryPolicy,
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A JSON tree whose strings may hold `${...}`."""

    tree: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What every step has.

    Attributes:
        id: Its name, unique in the definition.
        pointer: Where it stands.
        when: Bare condition; false skips the step.
        anonymous: Whether the id is a path rather than the user's choice.
    """

    id: str
    pointer: str = ""
    when: str | None = None
    anonymous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Step):
    """Call a service's method. `input` None means the workflow's input."""

    service: str
    method: str
    input: Mapped | None = None
    timeout_ms: int | None = None
    ongoing_timeout_ms: int | None = None
    retry: RetryPolicy | None = None
    compensation: Compensation | None = None
    read_only: bool = False
    pivot: bool = False
    retriable: bool = False
    compensate_on_failure: bool = False

    @property
    def call(self) -> str:
        """`service.method`."""
        return f"{self.service}.{self.method}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequential(Step):
    """One step after another; the output is `{sequential_results: [...]}`."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel(Step):
    """Branches side by side; the output is `{parallel_results: [...]}` in branch order."""

    branches: tuple[Step, ...]
    max_concurrency: int | None = None
    on_failure: Literal["drain", "wait_all"] = "drain"


@dataclass(frozen=True, slots=True, kw_only=True)
class If(Step):
    """One of two branches, by a condition."""

    condition: str
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a switch."""

    when: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Step):
    """The first case whose condition is true, or the default."""

    cases: tuple[Case, ...]
    default: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreach(Step):
    """The steps once for each item of a list. `items` is a template that gives a list, or a list."""

    items: Any
    name: str = "item"
    index_name: str = "index"
    max_concurrency: int = 1
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat(Step):
    """The steps again and again, until or while a condition holds."""

    steps: tuple[Step, ...]
    until: str | None = None
    while_: str | None = None
    max_iterations: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Step):
    """Do nothing for a time, or until a moment (a template that gives a timestamp)."""

    duration_ms: int | None = None
    until: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalStep(Step):
    """Wait for a signal of that name; the payload is the output."""

    signal: str
    timeout_ms: int | None = None
    on_timeout: Literal["fail", "continue"] = "fail"
    schema: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWorkflow(Step):
    """Run another workflow. `input` None means the workflow's input."""

    workflow: str
    version: int | None = None
    input: Mapped | None = None
    compensation: Compensation | None = None
    detached: bool = False


@dataclass(frozen=True, slots=True)
class Handler:
    """One catch of a try. `errors` empty catches everything."""

    errors: tuple[str, ...]
    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(Step):
    """A scope: a failure inside undoes it alone and runs a handler."""

    body: tuple[Step, ...]
    handlers: tuple[Handler, ...] = ()
    finally_: tuple[Step, ...] = ()
    compensate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStep(Step):
    """Compute a value; no service is called."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail(Step):
    """End as a definite failure. `error` is a code; message and details may hold `${...}`."""

    error: str
    message: Any = ""
    details: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One version of a workflow.

    Attributes:
        name: Its name.
        version: The version asked for; None means the next one.
        tree: The canonical JSON tree: what is stored, compared and shown. Loading it again gives
            the same definition.
        timeout_ms: Bound of a whole execution; None means the configuration's.
    """

    name: str
    version: int | None = None
    description: str = ""
    steps: tuple[Step, ...]
    output: Mapped | None = None
    error_handling: ErrorHandling = field(default_factory=ErrorHandling)
    on_compensation_failure: OnCompensationFailure = "continue"
    compensation_order: CompensationOrder = "reverse"
    timeout_ms: int | None = None
    defaults: Defaults = field(default_factory=Defaults)
    input_schema: Any = None
    business_key: str | None = None
    search: tuple[tuple[str, str], ...] = ()
    tree: Any = field(default=None, compare=False)
