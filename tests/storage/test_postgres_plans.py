"""Among a million executions every list, claim and look finds its rows by an index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.postgres_cluster import cluster, statement

from makegood.ports import Query
from makegood.storage.postgres.reader import query_statement
from makegood.storage.postgres.sql import QUERIES

pytestmark = pytest.mark.slow

ROWS = 1_000_000
FILL = f"""
INSERT INTO makegood.worker (node, format_max, state, ended_at)
SELECT 'n', 1, CASE WHEN n = 1 THEN 'alive' ELSE 'dead' END, CASE WHEN n = 1 THEN NULL ELSE clock_timestamp() END
FROM generate_series(1, 5) AS n;
INSERT INTO makegood.definition SELECT 'w' || n, 1, '{{}}', '', ARRAY['s'], 1, 1 FROM generate_series(0, 49) AS n;
INSERT INTO makegood.execution (id, workflow, version, start_hash, started_at_ms, started_by, business_key, root,
    search, format_min, status, pivoted, parked, wake_at_ms, ended_at_ms, overdue, owner)
SELECT 'e' || n, 'w' || n % 50, 1, 'h', n, 1, CASE WHEN n % 3 = 0 THEN 'k' || n END, 'e' || n, '{{}}', 1,
    CASE WHEN n % 100 = 0 THEN 'running' WHEN n % 100 = 1 THEN 'failed' ELSE 'completed' END, false,
    n % 100 = 0 AND n % 200 = 0, CASE WHEN n % 200 = 0 THEN n END, CASE WHEN n % 100 <> 0 THEN n END, false,
    CASE WHEN n % 200 = 100 THEN 2 + n % 3 END
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO makegood.journal SELECT 'e' || n, 0, '{{}}' FROM generate_series(1, {ROWS}) AS n;
INSERT INTO makegood.search_attribute
SELECT 'e' || n, 'city', '"c' || n % 1000 || '"', 'c' || n % 1000, n FROM generate_series(1, {ROWS}) AS n;
INSERT INTO makegood.service_wait
SELECT 'e' || n * 10, 's' || n % 5, n, 'step' FROM generate_series(1, 50000) AS n;
INSERT INTO makegood.request (execution_id, kind, body, verdict, settled_at)
SELECT 'e' || n, 'cancel', '{{}}', CASE WHEN n > 10 THEN '' END, CASE WHEN n > 10 THEN clock_timestamp() END
FROM generate_series(1, 50000) AS n;
ANALYZE;
"""
LISTS = {
    "all": Query(limit=50),
    "a page": Query(limit=50, before=(500_000, "e500000")),
    "workflow": Query(limit=50, workflow="w7"),
    "status": Query(limit=50, status="failed"),
    "workflow and status": Query(limit=50, workflow="w7", status="running"),
    "business key": Query(limit=50, business_key="k300"),
    "started after": Query(limit=50, started_after_ms=999_990),
    "search attribute": Query(limit=50, search={"city": "c7"}),
    "two attributes": Query(limit=50, search={"city": "c7", "town": "x"}, workflow="w7"),
    "waiting": Query(limit=50, waiting_for="s1"),
    "nothing": Query(limit=50, workflow="no such"),
}
SMALL = {"worker", "lease", "definition", "keyed_request"}
"""Tables of a few rows, which are read as they are."""


@pytest.fixture(scope="module")
def explain() -> Iterator[Any]:
    name = cluster().create_empty()
    dsn = cluster().dsn(name)
    import asyncio

    from makegood.storage.postgres.keeping import upgrade

    asyncio.run(upgrade(dsn))
    ask = statement(dsn)
    ask(FILL)

    def plan(text: str, *values: Any) -> list[str]:
        """The tables that are read from beginning to end."""
        found = json.loads(ask(f"EXPLAIN (FORMAT JSON) {text}", *values)[0][0])
        return [each for each in _scanned(found[0]["Plan"]) if each not in SMALL]

    yield plan
    cluster().drop(name)


def _scanned(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and "Relation Name" in node:
        yield node["Relation Name"]
    for each in node.get("Plans", ()):
        yield from _scanned(each)


@pytest.mark.timeout(600)
def test_lists_use_indexes(explain: Any) -> None:
    found = {name: explain(*_flat(query_statement(query))) for name, query in LISTS.items()}

    assert {name: tables for name, tables in found.items() if tables} == {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("claim", (1, 1, 5_000, 500, 1, ["s"])),
        ("claim_these", (1, 1, 5_000, 5, ["e100", "e200"], True, 1)),
        ("claim_waiting", (1, 1, "s1", 5_000, 100, 1, ["s"], None)),
        ("claim_waiting", (1, 1, "s1", 5_000, 100, 1, None, ["e100", "e200"])),
        ("waited_for", (["s1", "s2", "none"], 1, ["s"])),
        ("waiting", ("s1", 100)),
        ("count_waiting", ("s1",)),
        ("next_wake", (1, ["s"])),
        ("load", ("e5", 0, 100)),
        ("at_rest", (["e1", "e2"],)),
        ("requests", (1, 100)),
        ("requests_for", ("e5", 100)),
        ("next_positions", (["e5"],)),
        ("key_holder", ("w1", "k1")),
        ("purge", (500, 200)),
        ("clear_crashes", (["e1"],)),
        ("counts", ("w7", 10_000, ["running", "failed"])),
        ("request", ("k",)),
    ],
)
def test_what_is_asked_all_the_time_uses_indexes(explain: Any, name: str, values: tuple[Any, ...]) -> None:
    assert explain(QUERIES[name], *values) == []


def _flat(made: tuple[str, list[Any]]) -> list[Any]:
    return [made[0], *made[1]]
