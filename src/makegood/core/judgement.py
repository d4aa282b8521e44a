"""One judgement under way: the state, the moment, and the events decided so far.

Everything that decides goes through `emit`, which records an event and applies it at once, so that
what is judged next sees it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from makegood.core.events import Event, Failure, Iteration
from makegood.core.evolve import evolve
from makegood.core.formula import Formula
from makegood.core.lookup import bindings
from makegood.core.program import Node, Program
from makegood.core.state import State
from makegood.errors import MakegoodError
from makegood.expression import Timestamp
from makegood.model import LIMITS, Limits
from makegood.model.fact import fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration lets the core decide by.

    Attributes:
        execution_timeout_ms: Bound of an execution whose definition names none; None: no bound.
        call_timeout_ms: Bound of an attempt that nothing else bounds.
        clock_skew_ms: Added to the deadline of a request whose process died (rule 13).
        undo_wait_ms: How long an undo that cannot be sent is repeated (rule 16).
        limits: The limits.
    """

    execution_timeout_ms: int | None = 3_600_000
    call_timeout_ms: int = 30_000
    clock_skew_ms: int = 500
    undo_wait_ms: int = 900_000
    limits: Limits = LIMITS


@fact
class Moment:
    """When a judgement is made, and its share of chance.

    Attributes:
        now_ms: Milliseconds since the epoch, UTC.
        seed: Random bits that nobody else has; jitter and `uuid()` follow from them.
    """

    now_ms: int
    seed: int = 0


@dataclass(slots=True)
class Judgement:
    """What one input leads to."""

    state: State
    moment: Moment
    settings: Settings
    events: list[Event] = field(default_factory=list)
    starts: int = 0
    weight: int = 0
    draws: int = 0

    @property
    def program(self) -> Program:
        """The compiled definition."""
        return self.state.program

    @property
    def now_ms(self) -> int:
        """The time of the judgement."""
        return self.moment.now_ms

    def emit(self, event: Event) -> None:
        """Decide: record the event and apply it."""
        self.events.append(event)
        evolve(self.state, event, self.moment.now_ms)

    @property
    def full(self) -> bool:
        """Whether the record has no room for another start."""
        limits = self.settings.limits
        return self.starts >= limits.starts_per_record or self.weight >= limits.record_bytes

    def weigh(self, value: Any) -> None:
        """Count a value towards the record's size, roughly. A record's first start alone is not weighed."""
        if self.starts > 1:
            self.weight += _weight(value, self.settings.limits.record_bytes)

    def random(self) -> float:
        """A number in [0, 1) that follows from the moment's seed."""
        return int.from_bytes(self._draw()[:6], "big") / 2**48

    def _draw(self) -> bytes:
        self.draws += 1
        return hashlib.sha256(f"{self.moment.seed}:{self.draws}".encode()).digest()

    def evaluate(self, formula: Formula, iteration: Iteration, extra: dict[str, Any] | None = None) -> Any:
        """The value of an expression here and now. Raises ExpressionError and kin."""
        return formula.evaluate(bindings(self.state, formula, iteration, extra), self)

    def now(self) -> Timestamp:
        """`now()` in a `set`."""
        return Timestamp(self.moment.now_ms * 1_000_000)

    def uuid(self) -> str:
        """`uuid()` in a `set`: an UUID of version 8 (RFC 9562)."""
        digits = self._draw()[:16].hex()
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def expression_failure(error: MakegoodError, node: Node | None = None, iteration: Iteration = ()) -> Failure:
    """The failure of a step whose expression has no value (rule 5)."""
    step = None if node is None else node.name
    return Failure(error.code, str(error), None, "failed", step, iteration)


def _weight(value: Any, enough: int) -> int:
    """The size of a value as JSON, roughly; not counted further than `enough`."""
    found = 0
    open_ = [value]
    while open_ and found < enough:
        each = open_.pop()
        found += 8
        if isinstance(each, str):
            found += len(each)
        elif isinstance(each, dict):
            open_.extend(each)
            open_.extend(each.values())
        elif isinstance(each, list):
            open_.extend(each)
    return found
