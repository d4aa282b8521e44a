"""The table of metrics: every name, with its kind, its labels and what it says. What is not here is not measured.

Names are stable: dashboards and alerts are written by them. A label has few values, and none is ever the id
of an execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LABEL_VALUES_MAX = 200
"""Of a label that users name (workflows, services) so many values are told apart."""
OTHER = "(other)"
"""The value that all further ones share."""

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LATE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_BATCH = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: As it is told; a counter's ends in `_total`.
        doc: One sentence, for the page and for Prometheus.
        labels: In the order in which values are given.
        buckets: Upper bounds of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


EXECUTIONS = Metric(
    name="makegood_executions", kind="gauge", labels=("workflow", "state"),
    doc="Executions in the database by state, counted at most every 15 seconds and up to 10,000 each.",
)  # fmt: skip
STARTED = Metric(
    name="makegood_executions_started_total", kind="counter", labels=("workflow",),
    doc="Executions started by this process, children included.",
)  # fmt: skip
ENDED = Metric(
    name="makegood_executions_ended_total", kind="counter", labels=("workflow", "state"),
    doc="Executions that this process saw end; one that is taken up again and ends again counts again.",
)  # fmt: skip
SUSPENDED = Metric(
    name="makegood_executions_suspended_total", kind="counter", labels=("reason",),
    doc="Executions that began to wait for a person, by reason.",
)  # fmt: skip
QUARANTINED = Metric(
    name="makegood_executions_quarantined_total", kind="counter",
    doc="Executions suspended because engines died while they advanced them, or because a child is lost.",
)  # fmt: skip
PARKED = Metric(
    name="makegood_executions_parked_total", kind="counter", labels=("awaits",),
    doc="Executions that left memory to be rows until a `service` is well, a `time` comes, or there is `news`: "
    "a signal, a child's end.",
)  # fmt: skip
RESUMED = Metric(
    name="makegood_executions_resumed_total", kind="counter", labels=("after",),
    doc="Executions taken into memory: after `rest` (parked, or left in order), or taken over after a `crash`.",
)  # fmt: skip
SUSPECTS = Metric(
    name="makegood_suspects_resumed_total", kind="counter",
    doc="Executions taken into memory that were being advanced when two engines or more died.",
)  # fmt: skip
IN_MEMORY = Metric(name="makegood_executions_in_memory", kind="gauge", doc="Executions that this process advances.")
ROOM = Metric(
    name="makegood_executions_room", kind="gauge", doc="How many more this process may take into memory.",
)  # fmt: skip
CALLS = Metric(
    name="makegood_calls_total", kind="counter", labels=("service", "outcome"),
    doc="Requests to services by what came of them: ok, rejected, not_sent, unknown, ongoing, or lost (a process "
    "died with the request under way).",
)  # fmt: skip
CALL_SECONDS = Metric(
    name="makegood_call_seconds", kind="histogram", labels=("service",), buckets=_CALL_SECONDS,
    doc="From a request to its reply.",
)  # fmt: skip
PLACES = Metric(
    name="makegood_service_places_taken", kind="gauge", labels=("service",),
    doc="Calls in flight, or about to be sent, of this process.",
)  # fmt: skip
ENDPOINTS = Metric(
    name="makegood_service_endpoints", kind="gauge", labels=("service", "state"),
    doc="Endpoints of services over HTTP by what health checks found: healthy (or never checked), unhealthy.",
)  # fmt: skip
CIRCUITS = Metric(
    name="makegood_service_circuits", kind="gauge", labels=("service", "state"),
    doc="The circuits of these endpoints, as this process has them: closed, open, half_open.",
)  # fmt: skip
COMMIT_SECONDS = Metric(
    name="makegood_commit_seconds", kind="histogram", buckets=_SECONDS,
    doc="One transaction of the journal, as the engine waited for it.",
)  # fmt: skip
COMMIT_RECORDS = Metric(
    name="makegood_commit_records", kind="histogram", buckets=_BATCH, doc="Records and rows in one transaction.",
)  # fmt: skip
QUEUED = Metric(name="makegood_records_queued", kind="gauge", doc="Records that wait for a transaction to begin.")
FENCED = Metric(
    name="makegood_fenced_writes_total", kind="counter",
    doc="Records refused because another process has the right to write them.",
)  # fmt: skip
LEASE_LOSSES = Metric(
    name="makegood_lease_losses_total", kind="counter",
    doc="How often this process lost the right to write: another declared it dead, or took the database.",
)  # fmt: skip
TAKEOVERS = Metric(
    name="makegood_takeovers_total", kind="counter",
    doc="Processes that this one declared dead, so that others take over what they advanced.",
)  # fmt: skip
DUE_LAG = Metric(
    name="makegood_due_lag_seconds", kind="gauge",
    doc="By how much the parked execution that has been due the longest is overdue.",
)  # fmt: skip
DUE_LATE = Metric(
    name="makegood_due_late_seconds", kind="histogram", buckets=_LATE_SECONDS,
    doc="By how much the moment had passed that an execution waited for when this process took it into memory.",
)  # fmt: skip
INBOX = Metric(
    name="makegood_inbox_waiting", kind="gauge",
    doc="Requests from other processes that nobody has decided yet, up to 1,000.",
)  # fmt: skip
INBOX_LAG = Metric(
    name="makegood_inbox_lag_seconds", kind="gauge", doc="How long the oldest of them has been seen to wait.",
)  # fmt: skip
LOG_EVENTS = Metric(
    name="makegood_log_events_total", kind="counter", labels=("event",), doc="What was logged, by event.",
)  # fmt: skip
HTTP_REQUESTS = Metric(
    name="makegood_http_requests_total", kind="counter", labels=("method", "route", "status"), doc="Requests answered.",
)  # fmt: skip
HTTP_SECONDS = Metric(
    name="makegood_http_request_seconds", kind="histogram", labels=("route",), buckets=_SECONDS[1:],
    doc="From a request to its answer, long polls left out.",
)  # fmt: skip
HTTP_IN_FLIGHT = Metric(name="makegood_http_in_flight", kind="gauge", doc="Requests under way.")

METRICS: tuple[Metric, ...] = (
    EXECUTIONS, STARTED, ENDED, SUSPENDED, QUARANTINED, PARKED, RESUMED, SUSPECTS, IN_MEMORY, ROOM,
    CALLS, CALL_SECONDS, PLACES, ENDPOINTS, CIRCUITS,
    COMMIT_SECONDS, COMMIT_RECORDS, QUEUED, FENCED, LEASE_LOSSES, TAKEOVERS,
    DUE_LAG, DUE_LATE, INBOX, INBOX_LAG, LOG_EVENTS,
    HTTP_REQUESTS, HTTP_SECONDS, HTTP_IN_FLIGHT,
)  # fmt: skip
"""All of them, in the order of the page."""
