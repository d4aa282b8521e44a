"""What is measured of a server and its engine, for Prometheus. Every metric is in the table of `metrics`.

What happens often is counted in plain numbers; what stands is looked at when Prometheus asks. Strangers
keep out: nothing is decided by a figure.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from makegood.api import metrics
from makegood.api.figures import Few, Labels, Spread, Tally, gauge, spreads
from makegood.core import events
from makegood.core.events import Record
from makegood.core.outcome import Reply
from makegood.core.state import State
from makegood.engine.client import Engine
from makegood.engine.log import log, names
from makegood.engine.suspects import SUSPECT_FROM
from makegood.engine.telemetry import Telemetry
from makegood.engine.vitals import Waiting
from makegood.errors import MakegoodError
from makegood.ports import Invocation
from makegood.services import Registry
from makegood.services.member import Standing

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
LOOKED_S = 15.0
"""So long what was found in the database is told again."""

_ENDS: dict[type, str] = {
    events.ExecutionCompleted: "completed",
    events.ExecutionFailed: "failed",
    events.ExecutionCompensated: "compensated",
    events.CompensationFailed: "compensation_failed",
    events.ExecutionSuperseded: "superseded",
}
_TOLD = frozenset({*_ENDS, events.ExecutionSuspended, events.AttemptEnded})
"""The events that are counted."""
_EVENTS = frozenset(value for name, value in vars(names).items() if not name.startswith("_"))


class _Calls:
    """The calls of one service."""

    __slots__ = ("outcomes", "seconds")

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(("ok", "rejected", "not_sent", "unknown", "ongoing", "lost"), 0)
        self.seconds = Spread(metrics.CALL_SECONDS)


class Measures(Telemetry, Collector):
    """The figures of one server and of the engine in it, which tells them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Tally(metrics.HTTP_REQUESTS)
        self._request_seconds: dict[Labels, Spread] = {}
        self._workflow, self._service = Few(), Few()
        self._started = Tally(metrics.STARTED)
        self._ended = Tally(metrics.ENDED)
        self._suspended = Tally(metrics.SUSPENDED)
        self._parked = Tally(metrics.PARKED)
        self._quarantined = Tally(metrics.QUARANTINED)
        self._resumed = Tally(metrics.RESUMED, [("rest",), ("crash",)])
        self._suspects = Tally(metrics.SUSPECTS)
        self._fenced = Tally(metrics.FENCED)
        self._lease_losses = Tally(metrics.LEASE_LOSSES)
        self._lost = False
        self._due_late = Spread(metrics.DUE_LATE)
        self._takeovers = Tally(metrics.TAKEOVERS)
        self._logged = Tally(metrics.LOG_EVENTS, [(each,) for each in sorted(_EVENTS)])
        self._calls: dict[str, _Calls] = {}
        self._commit_seconds = Spread(metrics.COMMIT_SECONDS)
        self._commit_records = Spread(metrics.COMMIT_RECORDS)
        self._looks: list[tuple[metrics.Metric, Callable[[], dict[Labels, float]]]] = []
        self._waiting: Waiting | None = None
        self._looked_s = float("-inf")
        self._looking = asyncio.Lock()
        self._registry.register(self)
        _listen(self)

    # --- told by the engine ---

    def started(self, workflow: str) -> None:
        """See `Telemetry`."""
        self._started.add((self._workflow(workflow),))

    def recorded(self, state: State, record: Record) -> None:
        """See `Telemetry`."""
        for event in record.events:
            if type(event) in _TOLD:
                self._count(state, event)

    def _count(self, state: State, event: Any) -> None:
        if isinstance(event, events.AttemptEnded):
            if event.lost:
                node = state.program.node(event.step)
                call = node.undo if event.undo else node.call
                assert call is not None
                self._calls_of(call.service).outcomes["lost"] += 1
        elif isinstance(event, events.ExecutionSuspended):
            self._suspended.add((event.reason,))
            if event.reason == "quarantine":
                self._quarantined.add()
        else:
            self._ended.add((self._workflow(state.workflow), _ENDS[type(event)]))

    def call_ended(self, invocation: Invocation, reply: Reply, seconds: float) -> None:
        """See `Telemetry`."""
        calls = self._calls.get(invocation.service) or self._calls_of(invocation.service)
        calls.outcomes[reply.outcome] += 1
        calls.seconds.add(seconds)

    def _calls_of(self, service: str) -> _Calls:
        return self._calls.setdefault(self._service(service), _Calls())

    def parked(self, awaits: str) -> None:
        """See `Telemetry`."""
        self._parked.add((awaits,))

    def committed(self, appends: int, seconds: float) -> None:
        """See `Telemetry`."""
        self._commit_records.add(appends)
        self._commit_seconds.add(seconds)

    def fenced(self, appends: int) -> None:
        """See `Telemetry`."""
        self._fenced.add(count=appends)

    def cut_off(self, appends: int) -> None:
        """See `Telemetry`."""
        self._fenced.add(count=appends)
        self._lose_lease()

    def _lose_lease(self) -> None:
        """Once, whoever notices it first, until this process is back."""
        if not self._lost:
            self._lost = True
            self._lease_losses.add()

    def logged(self, event: str, facts: dict[str, Any]) -> None:
        """An event was logged, somewhere in this process."""
        if event in _EVENTS:
            self._logged.add((event,))
        if event == names.EXECUTION_RESUMED:
            crashes = facts["crashes"]
            self._resumed.add(("crash" if crashes else "rest",))
            if crashes >= SUSPECT_FROM:
                self._suspects.add()
            if facts["late_ms"] is not None:
                self._due_late.add(facts["late_ms"] / 1000)
        elif event == names.LEASE_LOST:
            self._lose_lease()
        elif event == names.WORKER_RETURNED:
            self._lost = False
        elif event == names.WORKERS_DEAD:
            self._takeovers.add(count=facts["count"])

    # --- told by the door ---

    def answered(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """A request was answered.

        Args:
            method: Of the route; "" where there is none.
            route: Its path, never the one that was asked.
            seconds: It took; None where that says nothing.
        """
        self._requests.add((method, route, str(status)))
        if seconds is not None:
            if (route,) not in self._request_seconds:
                self._request_seconds[route,] = Spread(metrics.HTTP_SECONDS)
            self._request_seconds[route,].add(seconds)

    # --- looked at ---

    def watch(self, metric: metrics.Metric, look: Callable[[], float]) -> None:
        """A figure that is looked at when it is asked for."""
        self._looks.append((metric, lambda: {(): look()}))

    def watch_engine(self, engine: Engine, registry: Registry) -> None:
        """Look at an engine, and at how many calls its services have."""
        self.watch(metrics.IN_MEMORY, lambda: engine.vitals.in_memory)
        self.watch(metrics.ROOM, lambda: engine.vitals.room)
        self.watch(metrics.QUEUED, lambda: engine.queued)
        self._looks.append((metrics.PLACES, lambda: self._places(registry)))
        health, circuits = ("healthy", "unhealthy"), ("closed", "open", "half_open")
        for metric, states, state in (
            (metrics.ENDPOINTS, health, lambda each: health[not each.healthy]),
            (metrics.CIRCUITS, circuits, lambda each: each.circuit),
        ):
            self._looks.append((metric, partial(self._standing, registry, states, state)))

    def _places(self, registry: Registry) -> dict[Labels, float]:
        found: dict[Labels, float] = {}
        for each in registry.names():
            labels = (self._service(each),)
            found[labels] = found.get(labels, 0.0) + registry.in_flight(each)
        return found

    def _standing(
        self, registry: Registry, states: Sequence[str], state: Callable[[Standing], str]
    ) -> dict[Labels, float]:
        """How many endpoints of each service are in each state."""
        found: dict[Labels, float] = {}
        for name in registry.names():
            if not registry.is_local(name):
                service = self._service(name)
                for each in states:
                    found.setdefault((service, each), 0.0)
                for standing in registry.pool(name).standing():
                    found[service, state(standing)] += 1
        return found

    async def look(self, engine: Engine) -> None:
        """See what waits in the database, unless that was just done."""
        async with self._looking:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._looked_s < LOOKED_S:
                return
            try:
                self._waiting = await engine.vitals.waiting()
            except MakegoodError:
                # Told as missing: an old figure would say that all is well.
                self._waiting = None
            self._looked_s = now_s

    # --- told to Prometheus ---

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: `collect` says all."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All of the table."""
        yield from (each.family() for each in self._tallies())
        calls = Tally(metrics.CALLS)
        for service, one in self._calls.items():
            calls.counts |= {(service, outcome): float(count) for outcome, count in one.outcomes.items()}
        yield calls.family()
        yield spreads(metrics.CALL_SECONDS, {(service,): one.seconds for service, one in self._calls.items()})
        yield spreads(metrics.HTTP_SECONDS, self._request_seconds)
        yield spreads(metrics.COMMIT_SECONDS, {(): self._commit_seconds})
        yield spreads(metrics.DUE_LATE, {(): self._due_late})
        yield spreads(metrics.COMMIT_RECORDS, {(): self._commit_records})
        for metric, look in self._looks:
            try:
                yield gauge(metric, look())
            except MakegoodError:
                # The engine is closed, or comes back as another worker.
                yield gauge(metric, {})
        yield from self._found()

    def _tallies(self) -> tuple[Tally, ...]:
        return (
            self._started, self._ended, self._suspended, self._quarantined, self._parked, self._resumed, self._suspects,
            self._fenced, self._lease_losses, self._takeovers, self._logged, self._requests,
        )  # fmt: skip

    def _found(self) -> Iterator[Metric]:
        found = self._waiting
        executions: dict[Labels, float] = {}
        for (workflow, state), count in () if found is None else found.executions.items():
            labels = (self._workflow(workflow), state)
            executions[labels] = executions.get(labels, 0.0) + count
        yield gauge(metrics.EXECUTIONS, executions)
        yield gauge(metrics.DUE_LAG, {} if found is None else {(): found.due_lag_s})
        yield gauge(metrics.INBOX, {} if found is None else {(): found.inbox})
        yield gauge(metrics.INBOX_LAG, {} if found is None else {(): found.inbox_lag_s})


def _listen(measures: Measures) -> None:
    """Have it told what is logged, for as long as anybody has it."""
    logged = weakref.WeakMethod(measures.logged)

    def tell(event: str, facts: dict[str, Any]) -> None:
        told = logged()
        if told is not None:
            told(event, facts)

    log.hears.append(tell)
    weakref.finalize(measures, log.hears.remove, tell)
