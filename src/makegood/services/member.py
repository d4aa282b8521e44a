"""One endpoint of a pool with its state, and what is told of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from makegood.services.circuit import Circuit, CircuitState, Policy
from makegood.services.endpoint import Endpoint

LATENCIES = 256
"""So many of the latest calls to an endpoint tell how long one takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one endpoint stands.

    Attributes:
        source: Who named it: `config`, `instances` or `discovery`.
        healthy: What its health check said last; true without one.
        reason: Why it is unhealthy or its circuit is not closed; else empty.
        since_ms: Since when it is as well or unwell as it is now, by the wall clock.
        in_flight: Calls there now, reserved ones included.
        p50_ms: Half of the latest calls took at most so long; None before the first.
        p99_ms: 99 of a hundred did.
    """

    url: str
    labels: Mapping[str, str]
    source: str
    healthy: bool
    reason: str
    since_ms: int
    circuit: CircuitState
    in_flight: int
    p50_ms: float | None
    p99_ms: float | None


class Member:
    """One endpoint of a pool, for as long as anybody names it.

    Attributes:
        gone: Nobody names it any more.
        healthy: What its health check said last; `reason` if it is not.
        in_flight: Calls there now, reserved ones included.
        since_ms: Since when it is as well or unwell as it is now.
        took_s: The latest calls.
        turn: When it was chosen last, as a number that rises.
        why: What opened its circuit.
    """

    __slots__ = (
        "circuit", "endpoint", "gone", "healthy", "in_flight", "reason", "since_ms", "took_s", "turn", "why"
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, policy: Policy, now_ms: int, turn: int) -> None:
        self.endpoint = endpoint
        self.circuit = Circuit(policy)
        self.gone = False
        self.healthy = True
        self.in_flight = 0
        self.reason = ""
        self.since_ms = now_ms
        self.took_s: deque[float] = deque(maxlen=LATENCIES)
        self.turn = turn
        self.why = ""

    @property
    def well(self) -> bool:
        """Whether calls go to it."""
        return self.healthy and self.circuit.state == "closed" and not self.gone

    def may_probe(self, now_s: float) -> bool:
        """Whether one call may go to it, to see whether it has come back."""
        return self.healthy and self.circuit.state != "closed" and self.circuit.may_call(now_s)

    @property
    def probe_s(self) -> float:
        """From when on it may be probed."""
        if not self.healthy or self.circuit.state == "closed":
            return math.inf
        if self.circuit.state == "open":
            return self.circuit.probe_s
        return -math.inf if self.circuit.may_call(-math.inf) else math.inf

    def standing(self, source: str) -> Standing:
        """How it stands now."""
        took_ms = sorted(each * 1000 for each in self.took_s)
        return Standing(
            url=self.endpoint.url,
            labels=self.endpoint.labels,
            source=source,
            healthy=self.healthy,
            reason=self.reason or (self.why if self.circuit.state != "closed" else ""),
            since_ms=self.since_ms,
            circuit=self.circuit.state,
            in_flight=self.in_flight,
            p50_ms=quantile(took_ms, 0.5),
            p99_ms=quantile(took_ms, 0.99),
        )


def quantile(ordered: Sequence[float], part: float) -> float | None:
    """The nearest rank; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * part) - 1)]
