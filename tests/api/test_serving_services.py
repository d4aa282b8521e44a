"""Servers that share a PostgreSQL: a service put at one is everybody's, instances come and go, the sick are known."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from served_replicas import replica, replicas
from tests.postgres_cluster import database, statement

from health_desk import Clinic
from makegood.cli import _run
from served import PATIENCE_S, Served

pytestmark = pytest.mark.slow

CHECK_S = 1.0
RIDE = {"name": "ride", "steps": [{"id": "a", "call": "cars.drive"}], "output": "${steps.a.at}"}


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    with Clinic("first") as made:
        yield made


@pytest.fixture
def other() -> Iterator[Clinic]:
    with Clinic("second") as made:
        yield made


def soon(true: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Ask until it is so; what was answered."""
    give_up_at_s = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < give_up_at_s, true
    return found


def endpoints(served: Served, name: str = "cars") -> dict[str, tuple[bool, str]]:
    """Whether each endpoint is healthy, and the reason."""
    status, told = served.ask("GET", f"/v1/services/{name}")
    return {each["url"]: (each["healthy"], each["reason"]) for each in told["endpoints"]} if status == 200 else {}


def ridden(served: Served) -> str:
    """Where a new execution at that server called."""
    status, told = served.ask("POST", "/v1/executions?wait=20s", {"workflow": "ride"})
    assert (status, told["status"]) == (201, "completed"), told
    return str(told["output"])


def test_what_is_put_at_one_is_used_at_the_others_within_an_interval(
    tmp_path: Path, dsn: str, clinic: Clinic, other: Clinic
) -> None:
    interval_s = 6.0
    with replicas(tmp_path, dsn, 3, check_s=interval_s) as servers:
        assert servers[0].ask("PUT", "/v1/services/cars", {"url": clinic.url})[0] == 201
        # A definition may name it at once, whichever replica is asked.
        assert servers[1].ask("PUT", "/v1/workflows/ride", RIDE)[0] == 201
        assert [ridden(each) for each in servers] == ["first"] * 3
        for each in servers:
            soon(lambda each=each: "cars" in [one["name"] for one in each.ask("GET", "/v1/services")[1]["services"]])

        put_s = time.monotonic()
        assert servers[2].ask("PUT", "/v1/services/cars", {"url": other.url})[0] == 200
        for each in servers:
            soon(lambda each=each: list(endpoints(each)) == [other.url])
        assert time.monotonic() - put_s < interval_s
        assert [ridden(each) for each in servers] == ["second"] * 3

        assert servers[1].ask("DELETE", "/v1/services/cars")[0] == 204
        for each in servers:
            soon(lambda each=each: each.ask("GET", "/v1/services/cars")[0] == 404)


def test_an_instance_whose_lease_expires_is_not_called_any_more(
    tmp_path: Path, dsn: str, clinic: Clinic, other: Clinic
) -> None:
    with replicas(tmp_path, dsn, 3, check_s=CHECK_S) as servers:
        servers[0].ask("PUT", "/v1/services/cars", {"url": clinic.url})
        servers[0].ask("PUT", "/v1/workflows/ride", RIDE)
        renewal = {"url": other.url, "ttl_seconds": 2}

        assert servers[1].ask("PUT", "/v1/services/cars/instances/i1", renewal)[0] == 201
        until_s = time.monotonic() + 4
        while time.monotonic() < until_s:
            # Renewed all the while, for twice as long as its lease.
            assert servers[2].ask("PUT", "/v1/services/cars/instances/i1", renewal)[0] == 200
        for each in servers:
            assert list(endpoints(each)) == [clinic.url, other.url]
        soon(lambda: ridden(servers[0]) == "second")

        for each in servers:
            soon(lambda each=each: list(endpoints(each)) == [clinic.url], 2 + CHECK_S + 3)
        called = len(other.calls)
        assert [ridden(each) for each in servers * 4] == ["first"] * 12
        assert len(other.calls) == called


def test_an_endpoint_that_dies_is_known_everywhere_and_returns(
    tmp_path: Path, dsn: str, clinic: Clinic, other: Clinic
) -> None:
    service = {"urls": [clinic.url, other.url], "health": "/up", "health_timeout_seconds": 1}
    with replicas(tmp_path, dsn, 3, check_s=CHECK_S) as servers:
        servers[0].ask("PUT", "/v1/services/cars", service)
        servers[0].ask("PUT", "/v1/workflows/ride", RIDE)
        for each in servers:
            soon(lambda each=each: len(endpoints(each)) == 2)

        other.stop()
        for each in servers:
            soon(lambda each=each: not endpoints(each)[other.url][0])
            assert "cannot connect" in endpoints(each)[other.url][1]
            assert endpoints(each)[clinic.url] == (True, "")
        assert [ridden(each) for each in servers * 3] == ["first"] * 9

        other.start()
        for each in servers:
            soon(lambda each=each: endpoints(each)[other.url] == (True, ""))
        # Each is checked by one replica in an interval, not by three.
        asked, turns = len(clinic.asked), statement(dsn)("SELECT turn FROM makegood.endpoint_health ORDER BY url")
        assert asked <= sum(turn for (turn,) in turns)
        clinic.status = 503
        for each in servers:
            soon(lambda each=each: endpoints(each)[clinic.url] == (False, "HTTP 503"))


def test_a_service_that_a_file_names_too_is_the_files_there(
    tmp_path: Path, dsn: str, clinic: Clinic, other: Clinic
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "makegood.toml").write_text(f'[services.cars]\nurl = "{clinic.url}"\n')
    (tmp_path / "two").mkdir()
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(replica(tmp_path / each, dsn, each, check_s=CHECK_S)) for each in ("one", "two")
        )
        status, told = one.ask("PUT", "/v1/services/cars", {"url": other.url})
        assert (status, told["code"]) == (409, "conflict")

        assert two.ask("PUT", "/v1/services/cars", {"url": other.url})[0] == 201
        told = soon(lambda: (found := one.ask("GET", "/v1/services/cars")[1])["fault"] and found)

        assert (told["source"], list(endpoints(one))) == ("configuration", [clinic.url])
        assert (two.ask("GET", "/v1/services/cars")[1]["source"], list(endpoints(two))) == ("database", [other.url])


def test_services_from_the_shell_on_a_database(
    tmp_path: Path, dsn: str, clinic: Clinic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["makegood", "services", *words, "--database", dsn])
        code = _run()
        return code, capsys.readouterr().out

    with replicas(tmp_path, dsn, 1, check_s=CHECK_S) as (served,):
        assert run("put", "cars", clinic.url, "--set", 'health="/up"')[0] == 0
        soon(lambda: list(endpoints(served)) == [clinic.url])
        code, out = run("list", "--json")
        assert (code, [(each["name"], each["source"]) for each in json.loads(out)]) == (0, [("cars", "database")])
        assert run("check")[0] == 0

        clinic.status = 503
        code, out = run("check", "cars")
        assert (code, "unhealthy" in out, "HTTP 503" in out, "GET /up" in out) == (1, True, True, True), out
        soon(lambda: not endpoints(served)[clinic.url][0])
        code, out = run("show", "cars")
        assert (code, "unhealthy" in out, "HTTP 503" in out) == (0, True, True), out
        assert run("show", "car")[0] == 2
        assert run("remove", "cars")[0] == 0
        soon(lambda: served.ask("GET", "/v1/services/cars")[0] == 404)
        assert run("remove", "cars")[0] == 2
