"""The Grafana dashboard, deploy/grafana/makegood.json, from a table of panels. `make docs` writes it.

A figure that /metrics has and no panel shows is refused by tests/deploy, and so is the reverse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

WIDTH = 24
"""Of a row, in Grafana's units."""
HEIGHT = 8
OF = 'job=~"$job", instance=~"$instance"'
"""The replicas that are chosen at the top of the dashboard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture.

    Attributes:
        asks: What each line is called, and its PromQL; `OF` stands for the chosen replicas.
        unit: Grafana's name of it.
        doc: What a reader should make of it.
    """

    title: str
    asks: tuple[tuple[str, str], ...]
    unit: str
    doc: str
    kind: str = "timeseries"
    width: int = 12


_REQUESTS = "rate(makegood_http_requests_total{OF}[$__rate_interval])"
_ERRORS = 'rate(makegood_http_requests_total{OF, status=~"5.."}[$__rate_interval])'
_BUCKETS = "rate(makegood_http_request_seconds_bucket{OF}[$__rate_interval])"


def _rate(name: str) -> str:
    return f"rate(makegood_{name}{{OF}}[$__rate_interval])"


PANELS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Replicas",
        (
            Panel(
                title="Replicas that answer", asks=(("{{job}}", "sum by (job) (up{OF})"),), unit="none", kind="stat",
                width=6, doc="As many as are deployed. Prometheus asks each of them.",
            ),
            Panel(
                title="Requests per second", asks=(("", f"sum({_REQUESTS})"),), unit="reqps", kind="stat", width=6,
                doc="Of all replicas together.",
            ),
            Panel(
                title="Answered with an error of the server's",
                asks=(("", f"sum({_ERRORS}) / sum({_REQUESTS})"),),
                unit="percentunit", kind="stat", width=6,
                doc="503: it drains, or its database is away. For all else look at its log.",
            ),
            Panel(
                title="Records that wait to be written",
                asks=(("", "sum(makegood_records_queued{OF})"),), unit="none", kind="stat", width=6,
                doc="Small and moving: the database keeps up. Growing: it does not, or it is away.",
            ),
        ),
    ),
    (
        "Requests",
        (
            Panel(
                title="Requests by route", unit="reqps", doc="What is asked, and how often.",
                asks=(("{{method}} {{route}}", f"sum by (method, route) ({_REQUESTS})"),),
            ),
            Panel(
                title="Answers by status", unit="reqps",
                doc="409: refused by an execution's state. 422: input that does not fit. 429: callers come faster than "
                "starts can be taken; they are told when to come back. 503: draining, or the database is away.",
                asks=(("{{status}}", f"sum by (status) ({_REQUESTS})"),),
            ),
            Panel(
                title="Time to an answer", unit="s", doc="Long polls and event streams are left out.",
                asks=tuple(
                    (f"p{share}", f"histogram_quantile(0.{share}, sum by (le) ({_BUCKETS}))") for share in (50, 95, 99)
                ),
            ),
            Panel(
                title="Time to an answer by route, p99", unit="s", doc="Which route it is that takes long.",
                asks=(("{{route}}", f"histogram_quantile(0.99, sum by (le, route) ({_BUCKETS}))"),),
            ),
            Panel(
                title="Requests under way", unit="none", doc="With long polls and event streams, which cost little.",
                asks=(("{{instance}}", "makegood_http_in_flight{OF}"),),
            ),
            Panel(
                title="Records that wait to be written, by replica", unit="none",
                doc="One replica alone: its connection. All of them: the database.",
                asks=(("{{instance}}", "makegood_records_queued{OF}"),),
            ),
        ),
    ),
    (
        "Executions",
        (
            Panel(
                title="Executions started", unit="ops", doc="By workflow, children included.",
                asks=(("{{workflow}}", f"sum by (workflow) ({_rate('executions_started_total')})"),),
            ),
            Panel(
                title="Executions ended", unit="ops",
                doc="`compensation_failed` wants a person; `failed` left no effect.",
                asks=(("{{workflow}} {{state}}", f"sum by (workflow, state) ({_rate('executions_ended_total')})"),),
            ),
            Panel(
                title="Executions by state", unit="none",
                doc="In the database, up to 10,000 of each workflow and state.",
                asks=(("{{workflow}} {{state}}", "max by (workflow, state) (makegood_executions{OF})"),),
            ),
            Panel(
                title="Executions in memory, and room for more", unit="none",
                doc="No room for long: add a replica, or raise max_concurrent_executions.",
                asks=(
                    ("{{instance}}", "makegood_executions_in_memory{OF}"),
                    ("{{instance}} room", "makegood_executions_room{OF}"),
                ),
            ),
            Panel(
                title="Waiting for a person", unit="none", doc="What began to, by reason, and what is in quarantine.",
                asks=(
                    ("{{reason}}", "sum by (reason) (increase(makegood_executions_suspended_total{OF}[1h]))"),
                    ("in quarantine", "sum(increase(makegood_executions_quarantined_total{OF}[1h]))"),
                ),
            ),
            Panel(
                title="Executions that became rows", unit="none", doc="Waiting costs no memory: what for.",
                asks=(("{{awaits}}", "sum by (awaits) (increase(makegood_executions_parked_total{OF}[5m]))"),),
            ),
            Panel(
                title="How late what is due is", unit="s",
                doc="Above a few seconds: no replica has room, or the services.",
                asks=(
                    ("due", "max(makegood_due_lag_seconds{OF})"),
                    (
                        "taken in late, p99",
                        f"histogram_quantile(0.99, sum by (le) ({_rate('due_late_seconds_bucket')}))",
                    ),
                    ("inbox", "max(makegood_inbox_lag_seconds{OF})"),
                ),
            ),
            Panel(
                title="Requests from other processes that wait", unit="none",
                doc="A moment each; growing: nobody reads them.",
                asks=(("", "max(makegood_inbox_waiting{OF})"),),
            ),
        ),
    ),
    (
        "Calls",
        (
            Panel(
                title="Calls by outcome", unit="ops", doc="`unknown`: perhaps done. `lost`: a replica died meanwhile.",
                asks=(("{{service}} {{outcome}}", f"sum by (service, outcome) ({_rate('calls_total')})"),),
            ),
            Panel(
                title="Time of a call, p99", unit="s", doc="From a request to its reply.",
                asks=(
                    ("{{service}}", f"histogram_quantile(0.99, sum by (le, service) ({_rate('call_seconds_bucket')}))"),
                ),
            ),
            Panel(
                title="Calls under way", unit="none",
                doc="At most `max_concurrent` of a service, in all replicas together.",
                asks=(("{{service}}", "sum by (service) (makegood_service_places_taken{OF})"),),
            ),
            Panel(
                title="Endpoints that are not well", unit="none",
                doc="As health checks found them: `makegood services show NAME` says why.",
                asks=(("{{service}}", 'max by (service) (makegood_service_endpoints{OF, state="unhealthy"})'),),
            ),
            Panel(
                title="Endpoints that are spared", unit="none",
                doc="Their circuits are not closed in some replica: most of their calls failed there.",
                asks=(
                    (
                        "{{service}} {{state}}",
                        'max by (service, state) (makegood_service_circuits{OF, state!="closed"})',
                    ),
                ),
            ),
        ),
    ),
    (
        "Journal and replicas",
        (
            Panel(
                title="Time of a commit", unit="s", doc="One transaction, as the engine waited for it.",
                asks=tuple(
                    (f"p{share}", f"histogram_quantile(0.{share}, sum by (le) ({_rate('commit_seconds_bucket')}))")
                    for share in (50, 99)
                ),
            ),
            Panel(
                title="Records in a commit", unit="none", doc="More under load: what comes meanwhile is the next one.",
                asks=(
                    ("mean", f"sum({_rate('commit_records_sum')}) / sum({_rate('commit_records_count')})"),
                ),
            ),
            Panel(
                title="Leases lost, writes refused, replicas declared dead", unit="none",
                doc="With every replica that is killed. Otherwise: a database that is slow to answer.",
                asks=(
                    ("leases lost", "sum(increase(makegood_lease_losses_total{OF}[1h]))"),
                    ("writes refused", "sum(increase(makegood_fenced_writes_total{OF}[1h]))"),
                    ("declared dead", "sum(increase(makegood_takeovers_total{OF}[1h]))"),
                ),
            ),
            Panel(
                title="Executions taken in", unit="ops",
                doc="After a crash: taken over. Suspects: of which replicas died.",
                asks=(
                    ("after {{after}}", f"sum by (after) ({_rate('executions_resumed_total')})"),
                    ("suspects", f"sum({_rate('suspects_resumed_total')})"),
                ),
            ),
            Panel(
                title="What is logged", unit="ops", doc="By event; the reference of log events says what each means.",
                asks=(("{{event}}", f"sum by (event) ({_rate('log_events_total')}) > 0"),),
            ),
        ),
    ),
)  # fmt: skip
"""Rows with their panels, from top to bottom."""


def text() -> str:
    """The dashboard as Grafana imports it."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    panels: list[dict[str, Any]] = []
    x = y = 0
    for row, inside in PANELS:
        y += HEIGHT if x else 0
        place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": row, "collapsed": False, "gridPos": place, "panels": []}
        )
        x, y = 0, y + 1
        for panel in inside:
            if x + panel.width > WIDTH:
                x, y = 0, y + HEIGHT
            place = {"h": HEIGHT, "w": panel.width, "x": x, "y": y}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_panel(panel)})
            x += panel.width
    return {
        "title": "makegood",
        "uid": "makegood",
        "description": "Replicas of makegood, by what they say at /metrics.",
        "tags": ["makegood"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_SOURCE, _variable("job", "up"), _variable("instance", 'up{job=~"$job"}')]},
        "panels": panels,
    }


_DATA = {"type": "prometheus", "uid": "${source}"}
_SOURCE = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(name: str, of: str) -> dict[str, Any]:
    regex = {"job": "/makegood.*/"}.get(name, "")
    return {
        "name": name, "label": name.capitalize(), "type": "query", "datasource": _DATA, "refresh": 2, "sort": 1,
        "query": {"query": f"label_values({of}, {name})", "refId": name}, "regex": regex,
        "includeAll": True, "multi": True, "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": _DATA, "expr": ask.replace("OF", OF), "legendFormat": legend}
        for at, (legend, ask) in enumerate(panel.asks)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    return {
        "type": panel.kind, "title": panel.title, "description": panel.doc, "datasource": _DATA, "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": {},
    }  # fmt: skip
