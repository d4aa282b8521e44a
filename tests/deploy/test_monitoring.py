"""The dashboard, the alerts and the scrape example: every figure they ask for is one that a server gives."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
from artefacts import DEPLOY, ROOT, one
from offered import parsed

from makegood.api.metrics import METRICS
from makegood.api.table import ROUTES
from makegood.engine.log import names as logged

DASHBOARD = json.loads((DEPLOY / "grafana/makegood.json").read_text(encoding="utf-8"))
ALERTS = one(DEPLOY / "prometheus/alerts.yaml")
SCRAPES = one(DEPLOY / "prometheus/prometheus.yaml")["scrape_configs"]
PROMETHEUS_OWN = {"up": {"job", "instance"}}
"""What Prometheus itself says of what it asks; every sample has these labels."""


def panels() -> list[dict[str, object]]:
    return [each for each in DASHBOARD["panels"] if each["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for panel in panels():
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    for group in ALERTS["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])


EXPRESSIONS = [pytest.param(where, expression, id=where) for where, expression in expressions()]


@pytest.fixture(scope="module")
def measured() -> dict[str, set[str]]:
    """Every sample that a server may give: its labels, by name. tests/api holds servers against the same table."""
    found: dict[str, set[str]] = {}
    for each in METRICS:
        for part in ("_bucket", "_sum", "_count") if each.kind == "histogram" else ("",):
            found[each.name + part] = {*each.labels, *(["le"] if part == "_bucket" else [])}
    return found


def asked(expression: str) -> dict[str, set[str]]:
    """The samples that an expression asks for, and the labels it filters and groups them by."""
    text = expression.replace("$__rate_interval", "5m")
    promql_parser.parse(text)
    names: dict[str, set[str]] = {}
    for name, filters in re.findall(r"\b([a-z_]+)\{([^}]*)\}", text):
        names.setdefault(name, set()).update(re.findall(r"(\w+)\s*[=!]", filters))
    groups = {label.strip() for found in re.findall(r"\bby \(([^)]*)\)", text) for label in found.split(",")}
    bare = set(re.findall(r"\b(makegood_\w+)\b", text)) - set(names)
    return {name: filters | groups for name, filters in {**names, **{name: set() for name in bare}}.items()}


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_every_expression_asks_for_what_there_is(where: str, expression: str, measured: dict[str, set[str]]) -> None:
    known = {**measured, **PROMETHEUS_OWN}
    wanted = asked(expression)

    assert wanted
    assert set(wanted) <= set(known)
    for name, labels in wanted.items():
        assert labels <= known[name] | {"job", "instance"}, name


def test_everything_that_is_measured_is_on_the_dashboard(measured: dict[str, set[str]]) -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name in asked(target["expr"])}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in measured}

    missing = families - {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}

    assert not missing, "add a panel in tools/dashboard.py"


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_log_events_that_are_filtered_by_are_logged(where: str, expression: str) -> None:
    for events in re.findall(r'event=~?"([^"]+)"', expression):
        assert set(events.split("|")) <= set(vars(logged).values())


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_routes_and_statuses_that_are_filtered_by_can_be_there(where: str, expression: str) -> None:
    for route in re.findall(r'route!?="([^"]+)"', expression):
        assert route in {each.path for each in ROUTES}


def test_legends_name_labels_of_their_expression() -> None:
    for panel in panels():
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = re.search(r"\bby \(([^)]*)\)", target["expr"])
            offered = set(re.split(r",\s*", grouped[1])) if grouped else {"job", "instance"}
            assert named <= offered, panel["title"]


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_dashboard_is_what_its_table_says() -> None:
    sys.path.insert(0, str(ROOT))
    from tools import dashboard

    assert (DEPLOY / "grafana/makegood.json").read_text(encoding="utf-8") == dashboard.text()


def test_metrics_are_scraped_with_a_token_where_they_are() -> None:
    for scrape in SCRAPES:
        assert scrape["metrics_path"] in {route.path for route in ROUTES}
        assert scrape["authorization"]["type"] == "Bearer"
        assert re.fullmatch(r"makegood[\w-]*", scrape["job_name"])


def test_pods_that_are_scraped_are_those_that_are_deployed() -> None:
    from artefacts import SETS, kind

    (rule,) = [each for scrape in SCRAPES for each in scrape.get("relabel_configs", ()) if each.get("action") == "keep"]
    for name in ("base", "helm-defaults"):
        template = kind(SETS[name], "Deployment")["spec"]["template"]
        labels = {f"__meta_kubernetes_pod_label_{re.sub(r'[^a-zA-Z0-9]', '_', label)}": value
                  for label, value in template["metadata"]["labels"].items()}  # fmt: skip
        port = template["spec"]["containers"][0]["ports"][0]["containerPort"]
        labels["__meta_kubernetes_pod_container_port_number"] = str(port)

        assert ";".join(labels[each] for each in rule["source_labels"]) == rule["regex"]


def test_commands_in_the_comments_exist() -> None:
    found = [
        line.split("makegood ", 1)[1].split()
        for path in (DEPLOY / "prometheus").iterdir()
        for line in Path(path).read_text(encoding="utf-8").splitlines()
        if line.startswith("#   makegood ")
    ]

    assert found
    for words in found:
        parsed(words)
