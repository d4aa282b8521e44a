"""How to try again, how to undo, and what a failure does. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Strategy = Literal["fail_fast", "compensation", "retry"]
OnCompensationFailure = Literal["continue", "halt", "retry_forever"]
CompensationOrder = Literal["reverse", "structured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Bounded exponential waits between attempts.

    Attributes:
        initial_ms: Wait before the second attempt, in milliseconds.
        factor: Each further wait is the last one times this; at least 1.
        max_ms: No wait is longer.
        jitter: Share of each wait that is random, 0 (none) to 1: a wait lies in
            [(1 - jitter) x w, w].
    """

    initial_ms: int = 1_000
    factor: float = 2.0
    max_ms: int = 60_000
    jitter: float = 0.0

    def wait_ms(self, failures: int, random: float) -> int:
        """The wait after so many failed attempts (from 1), for a random number in [0, 1)."""
        # A double overflows beyond 2**1023; the cap is reached long before.
        grown = self.initial_ms * self.factor ** min(failures - 1, 256) if failures > 1 else self.initial_ms
        wait = min(grown, self.max_ms)
        return max(0, int(wait * (1.0 - self.jitter * random)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is tried, and what counts as worth trying again.

    Attributes:
        attempts_max: Attempts in all, the first included; at least 1.
        backoff: The waits between them.
        retry_on: Codes of rejections that are retried too.
    """

    attempts_max: int = 1
    backoff: Backoff = Backoff()
    retry_on: tuple[str, ...] = ()


DEFAULT_UNDO_RETRY = RetryPolicy(attempts_max=5)
"""Rule 16: the budget of an undo that has none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """What undoes a step.

    Attributes:
        service: Name of the service.
        method: Its method.
        has_input: Whether `input` was given; without it the snapshot of rule 9 is sent.
        input: A mapping over `step`, `input`, `steps`, and the loop's names.
        when: A condition; false skips the undo.
        retry: Its budget; None means the default, under which `not_sent` does not count.
        timeout_ms: Bound of each attempt; None means the default.
        pointer: Where it stands in the definition.
    """

    service: str
    method: str
    has_input: bool = False
    input: Any = None
    when: str | None = None
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None
    pointer: str = ""

    @property
    def call(self) -> str:
        """`service.method`."""
        return f"{self.service}.{self.method}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What calls and undos without their own get.

    Attributes:
        timeout_ms: Of a call's attempt.
        retry: Of a call.
        undo_timeout_ms: Of an undo's attempt.
        undo_retry: Of an undo.
    """

    timeout_ms: int | None = None
    retry: RetryPolicy | None = None
    undo_timeout_ms: int | None = None
    undo_retry: RetryPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorHandling:
    """What the first failure that nothing catches does.

    Attributes:
        strategy: `fail_fast`, `compensation` or `retry`.
        retry: Under `retry`, the policy of every call without its own.
        then: Under `retry`, what happens when that is used up.
    """

    strategy: Strategy = "compensation"
    retry: RetryPolicy | None = None
    then: Literal["fail_fast", "compensation"] = "fail_fast"

    @property
    def undoes(self) -> bool:
        """Whether an abort leads to compensation."""
        if self.strategy == "retry":
            return self.then == "compensation"
        return self.strategy == "compensation"
