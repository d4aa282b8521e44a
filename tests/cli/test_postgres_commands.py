"""The command line on a PostgreSQL database, alone and beside engines that share it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from cli_runs import Cli, Elsewhere
from tests.postgres_cluster import cluster, database, statement

from recording_service import Answer, RecordingService


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


def test_run_looks_and_requests_work_without_a_file(
    cli: Cli, trip: str, hotels: tuple[str, str], dsn: str, service: RecordingService
) -> None:
    service.answers["charge"] = Answer(409, {"error": {"code": "no_money", "message": "empty"}})
    ran = cli("run", trip, *hotels, "--database", dsn, "--id", "a")
    again = cli("run", trip, *hotels, "--database", dsn, "--id", "a")

    assert (ran.code, again.code) == (3, 3)
    assert [each["id"] for each in cli("list", "--database", dsn, "--json").json["executions"]] == ["a"]
    assert cli("show", "a", "--database", dsn, "--json").json["status"] == "compensated"
    assert '"event": "execution_started"' in cli("history", "a", "--database", dsn, "--json").out
    assert cli("watch", "a", "--database", dsn, "--json").code == 3
    assert cli("workflows", "list", "--database", dsn, "--json").json[0]["name"] == "trip"
    refused = cli("cancel", "a", "--database", dsn)
    assert (refused.code, "compensated" in refused.err) == (1, True)


def test_a_request_goes_to_the_engine_that_runs(
    cli: Cli, trip: str, hotels: tuple[str, str], dsn: str, service: RecordingService
) -> None:
    service.hold("charge")
    with Elsewhere("run", trip, *hotels, "--database", dsn, "--id", "a", "--json") as running:
        service.wait_for("charge")
        status = cli("db", "status", "--database", dsn, "--json").json
        asked = cli("cancel", "a", "--database", dsn, "--note", "enough")
        running.process.send_signal(signal.SIGTERM)
        code, _ = running.end()

    assert len(status["engines"]) == 1
    assert status["executions"] == {"running": 1}
    assert asked.code == 0
    assert code == 130
    assert cli("show", "a", "--database", dsn, "--json").json["error"]["message"] == "enough"


def test_where_no_engine_runs_a_request_is_decided_here(
    cli: Cli, trip: str, hotels: tuple[str, str], dsn: str, service: RecordingService
) -> None:
    service.hold("charge")
    with Elsewhere("run", trip, *hotels, "--database", dsn, "--id", "a") as running:
        service.wait_for("charge")
        running.process.send_signal(signal.SIGTERM)
        running.end()

    asked = cli("cancel", "a", "--database", dsn, "--note", "enough")
    assert asked.code == 0
    service._held.pop("charge").set()
    assert cli("run", trip, *hotels, "--database", dsn, "--id", "a").code == 3


def test_purge_and_upgrade(cli: Cli, trip: str, hotels: tuple[str, str], dsn: str) -> None:
    cli("run", trip, *hotels, "--database", dsn, "--id", "a")
    statement(dsn)("UPDATE makegood.execution SET ended_at_ms = 1")
    cli("run", trip, *hotels, "--database", dsn, "--id", "b")

    assert cli("db", "upgrade", "--database", dsn).out == "the schema is up to date\n"
    assert cli("db", "purge", "--older-than", "30d", "--database", dsn, "--json").json == {"purged": 1}
    assert [each["id"] for each in cli("list", "--database", dsn, "--json").json["executions"]] == ["b"]


APPLIED = "0001 initial\n0002 services\n0003 service_wait\n0004 description\n"


def test_an_older_schema_is_refused_until_it_is_upgraded(cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    name = cluster().create_empty()
    dsn = cluster().dsn(name)
    try:
        assert "holds nothing of makegood" in cli("list", "--database", dsn).err
        assert cli("db", "upgrade", "--database", dsn).out == APPLIED
        assert cli("run", trip, *hotels, "--database", dsn).code == 0
    finally:
        cluster().drop(name)


def test_a_file_is_purged_too(cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    cli("run", trip, *hotels, "--id", "a")

    assert cli("db", "purge", "--older-than", "1d").out == "0 executions purged\n"
    assert cli("db", "purge", "--older-than", "0s").code in {0, 2}
    assert "--older-than" in cli("db", "purge", "--older-than", "soon").err
