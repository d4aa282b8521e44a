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
