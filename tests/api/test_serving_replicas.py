"""Servers that share a PostgreSQL: what one of them is asked, whichever of them advances the execution."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served_replicas import Desk, everywhere, replica, replicas, told_live, until
from test_serving import refused
from tests.postgres_cluster import cluster, database, statement

from makegood.api.door import ANSWER_S
from makegood.cli import _run
from served import Served

pytestmark = pytest.mark.slow

DESK = {
    "name": "desk",
    "steps": [
        {"id": "a", "call": "desk.take", "compensation": "desk.give"},
        {"id": "b", "call": "desk.take"},
        {"id": "go", "signal": "go", "schema": {"type": "object"}},
    ],
    "output": "${steps.go}",
}
WAITS = {"name": "waits", "steps": [{"id": "go", "signal": "go"}, {"id": "again", "signal": "go"}]}


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


def opened(servers: list[Served], desk: Desk) -> None:
    """Services belong to one process, definitions to the database."""
    everywhere(servers, "PUT", "/v1/services/desk", {"url": desk.url})
    everywhere(servers[:1], "PUT", "/v1/workflows/desk", DESK)


# --- the schema ----------------------------------------------------------------------------------


def test_the_first_server_makes_the_schema_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    name = cluster().create_empty()
    try:
        dsn = cluster().dsn(name)
        with replica(tmp_path, dsn) as served:
            assert served.ask("GET", "/readyz")[0] == 200
            assert served.stop() == 0
        cluster().ask(name, "UPDATE makegood.schema_version SET version = version + 1, serves = version + 1")
        code, said = refused(tmp_path, "--listen", "127.0.0.1:0", "--database", dsn)
        assert (code, "newer" in said, "Traceback" in said) == (6, True, False), said
    finally:
        cluster().drop(name)


def test_where_there_is_no_database_it_says_so(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "--listen", "127.0.0.1:0", "--database", "postgresql://x:secret@127.0.0.1:1/none")

    assert (code, "cannot be reached" in said, "Traceback" in said, "secret" in said) == (6, True, False, False), said


# --- another replica advances it ------------------------------------------------------------------


def test_what_another_replica_advances_can_be_looked_at_and_waited_for(tmp_path: Path, dsn: str, desk: Desk) -> None:
    desk.hold()
    with replicas(tmp_path, dsn, 2) as (one, two), ThreadPoolExecutor(2) as threads:
        opened([one, two], desk)
        assert one.ask("POST", "/v1/executions", {"workflow": "desk", "id": "x"})[0] == 201
        desk.until_calls(1)
        waiting = threads.submit(two.ask, "GET", "/v1/executions/x?wait=30s")
        live = threads.submit(told_live, two, "x")
        status, told = two.ask("GET", "/v1/executions/x")
        assert (status, told["status"], [each["step"] for each in told["steps"]]) == (200, "running", ["a"])
        desk.let_go()
        desk.until_calls(2)
        assert two.ask("POST", "/v1/executions/x/signals/go", {"n": 1})[0] == 202

        assert waiting.result()[1]["output"] == {"n": 1}
        kinds = [json.loads(each)["event"] for each in live.result()]
        assert (kinds[0], kinds[-1]) == ("execution_started", "execution_completed")
        for each in (one, two):
            events = each.ask("GET", "/v1/executions/x/history")[1]["events"]
            assert [event["event"] for event in events] == kinds
            assert [step["step"] for step in each.ask("GET", "/v1/executions/x/steps")[1]["steps"]] == ["a", "b", "go"]
        assert [one.stop(), two.stop()] == [0, 0]
    assert [method for method, _ in desk.calls] == ["take", "take"]


def test_a_request_at_another_replica_is_decided_within_two_seconds(tmp_path: Path, dsn: str, desk: Desk) -> None:
    desk.hold()
    with replicas(tmp_path, dsn, 2) as (one, two):
        opened([one, two], desk)
        one.ask("POST", "/v1/executions", {"workflow": "desk", "id": "x"})
        desk.until_calls(1)
        for number, (request, wanted, verdict) in enumerate(
            [("suspend", 202, "suspended"), ("resume", 202, "running"), ("retry", 409, "running"),
             ("compensate", 409, "running"), ("cancel", 202, "running"), ("cancel", 202, "running")]
        ):  # fmt: skip
            began_s = time.monotonic()
            status, told = two.ask("POST", f"/v1/executions/x/{request}", {"note": f"note {number}"})
            assert status == wanted, (request, told)
            assert time.monotonic() - began_s < 2.0 + 1.0
            if wanted == 202:
                assert (told["verdict"], told["pending"], told["status"]) == ("accepted", False, verdict), told
        # What is refused is refused in the same words, whoever is asked.
        for target, value, wanted in (
            ("resolve", {"step": "a", "note": "n"}, 409),
            ("resolve", {"step": "none", "note": "n"}, 409),
            ("signals/none", 1, 422),
            ("signals/go", "no object", 422),
            ("rerun", {"from": "b"}, 409),
        ):
            here, there = (each.ask("POST", f"/v1/executions/x/{target}", value) for each in (one, two))
            assert (here[0], there) == (wanted, here)
        assert two.ask("POST", "/v1/executions/none/cancel")[0] == 404
        desk.let_go()
        assert two.ask("GET", "/v1/executions/x?wait=30s")[1]["status"] == "compensated"


def test_a_request_that_its_owner_does_not_answer_is_pending(tmp_path: Path, dsn: str, desk: Desk) -> None:
    desk.hold()
    with replicas(tmp_path, dsn, 2, lease_s=60.0) as (one, two):
        opened([one, two], desk)
        one.ask("POST", "/v1/executions", {"workflow": "desk", "id": "x"})
        desk.until_calls(1)
        one.process.send_signal(signal.SIGSTOP)
        try:
            status, told = two.ask("POST", "/v1/executions/x/cancel", Idempotency_Key="k")
            assert (status, told["verdict"], told["pending"], told["status"]) == (202, "pending", True, "running")
        finally:
            one.process.send_signal(signal.SIGCONT)
        desk.let_go()
        assert two.ask("GET", "/v1/executions/x?wait=30s")[1]["status"] == "compensated"
        assert two.ask("POST", "/v1/executions/x/cancel", Idempotency_Key="k")[0] == 202
        assert one.ask("POST", "/v1/executions/x/cancel", Idempotency_Key="other")[0] == 409


def test_a_failed_execution_is_rerun_from_another_replica(tmp_path: Path, dsn: str, desk: Desk) -> None:
    tree = {
        "name": "strict",
        "error_handling": "fail_fast",
        "steps": [
            {"id": "a", "call": "desk.take", "compensation": "desk.give"},
            {"id": "b", "call": "desk.take", "input": "${input.b}"},
        ],
    }
    with replicas(tmp_path, dsn, 2) as (one, two):
        opened([one, two], desk)
        everywhere([one], "PUT", "/v1/workflows/strict", tree)
        status, told = one.ask("POST", "/v1/executions?wait=30s", {"workflow": "strict", "input": {}, "id": "x"})
        assert (status, told["status"]) == (201, "failed")
        fixed = {**tree, "steps": [tree["steps"][0], {"id": "b", "call": "desk.take"}]}
        everywhere([one], "PUT", "/v1/workflows/strict", fixed)
        sent = {"from": "b", "version": 2}
        first = two.ask("POST", "/v1/executions/x/rerun", sent, Idempotency_Key="k")
        again = one.ask("POST", "/v1/executions/x/rerun", sent, Idempotency_Key="k")

        assert (first[0], again[0]) == (202, 202), (first, again)
        assert first[1]["superseded_by"] == again[1]["superseded_by"]
        successor = first[1]["superseded_by"]
        assert one.ask("GET", f"/v1/executions/{successor}?wait=30s")[1]["status"] == "completed"
        assert one.ask("POST", "/v1/executions/x/compensate")[0] == 409
        assert [method for method, _ in desk.calls] == ["take", "take"]


# --- the same again, anywhere ---------------------------------------------------------------------


def test_a_key_means_the_same_at_every_replica(tmp_path: Path, dsn: str) -> None:
    with replicas(tmp_path, dsn, 2) as (one, two):
        everywhere([one], "PUT", "/v1/workflows/waits", WAITS)
        body = {"workflow": "waits", "input": 1}
        first, again = (each.ask("POST", "/v1/executions", body, Idempotency_Key="k") for each in (one, two))
        assert (first[0], again[0]) == (201, 200)
        assert first[1]["id"] == again[1]["id"]
        assert two.ask("POST", "/v1/executions", {**body, "input": 2}, Idempotency_Key="k")[0] == 409
        signals = f"/v1/executions/{first[1]['id']}/signals/go"
        for each in (one, two, one):
            assert each.ask("POST", signals, {"n": 1}, Idempotency_Key="s")[0] == 202
        assert two.ask("POST", signals, {"n": 2}, Idempotency_Key="s")[0] == 409
        view = two.ask("GET", f"/v1/executions/{first[1]['id']}")[1]
        assert [(each["step"], each["forward"]) for each in view["steps"]] == [
            ("go", "succeeded"),
            ("again", "running"),
        ]
        assert view["status"] == "running"
        assert one.ask("PUT", "/v1/workflows/waits", {**WAITS, "description": "x"}, Idempotency_Key="w")[0] == 201
        told = two.ask("PUT", "/v1/workflows/waits", {**WAITS, "description": "x"}, Idempotency_Key="w")
        assert (told[0], told[1]["version"]) == (200, 2)


def test_starts_of_one_id_race_at_three_replicas_and_one_of_them_begins_it(
    tmp_path: Path, dsn: str, desk: Desk
) -> None:
    with replicas(tmp_path, dsn, 3) as servers, ThreadPoolExecutor(24) as threads:
        opened(servers, desk)
        asked = [
            (each, {"workflow": "desk", "id": f"x{number}", "input": 0})
            for number in range(40)
            for each in (*servers, *servers)
        ]
        answers = list(threads.map(lambda pair: pair[0].ask("POST", "/v1/executions", pair[1]), asked))
        assert Counter(status for status, _ in answers) == {201: 40, 200: 200}, answers
        odd = [
            (each, {"workflow": "desk", "id": f"y{number}", "input": place})
            for number in range(20)
            for place, each in enumerate(servers)
        ]
        answers = list(threads.map(lambda pair: pair[0].ask("POST", "/v1/executions", pair[1]), odd))
        assert Counter(status for status, _ in answers) == {201: 20, 409: 40}, answers
        desk.until_calls(2 * 60)
        begun = statement(dsn)("SELECT count(*) FROM makegood.journal WHERE position = 0")[0][0]
        assert begun == 60
        assert [each.stop() for each in servers] == [0, 0, 0]
    assert max(Counter(desk.calls).values()) == 1


# --- coming and going -----------------------------------------------------------------------------


def test_a_server_that_is_sent_away_hands_over(tmp_path: Path, dsn: str, desk: Desk) -> None:
    desk.hold()
    with replicas(tmp_path, dsn, 2, lease_s=30.0) as (one, two):
        opened([one, two], desk)
        for number in range(10):
            assert one.ask("POST", "/v1/executions", {"workflow": "desk", "id": f"x{number}"})[0] == 201
        desk.until_calls(10)
        one.process.send_signal(signal.SIGTERM)
        one.wait_for("server_stops")
        assert one.ask("GET", "/readyz")[0] == 503
        assert one.ended() == 0
        left_s = time.monotonic()
        desk.until_calls(20)
        # A lease has 30 seconds: they were given away, not taken over.
        assert time.monotonic() - left_s < 2.0 + 3.0
        desk.let_go()
        for number in range(10):
            assert two.ask("POST", f"/v1/executions/x{number}/signals/go", {})[0] == 202
            assert two.ask("GET", f"/v1/executions/x{number}?wait=30s")[1]["status"] == "completed"
        assert two.stop() == 0


def test_while_the_database_is_away_nothing_is_taken_and_probes_say_so(tmp_path: Path, dsn: str) -> None:
    with replicas(tmp_path, dsn, 1) as (one,):
        everywhere([one], "PUT", "/v1/workflows/waits", WAITS)
        one.ask("POST", "/v1/executions", {"workflow": "waits", "id": "x"})
        cluster().stop(signal.SIGQUIT)
        try:
            until(one, "GET", "/readyz", 503)
            assert one.ask("GET", "/healthz")[0] == 200
            assert one.ask("GET", "/metrics")[0] == 200
            for method, target, value in (
                ("GET", "/v1/executions", None),
                ("GET", "/v1/executions/x", None),
                ("GET", "/v1/executions/x/history", None),
                ("GET", "/v1/executions/x/events", None),
                ("GET", "/v1/executions/x?wait=1s", None),
                ("GET", "/v1/workflows", None),
                ("POST", "/v1/executions", {"workflow": "waits", "id": "y"}),
                ("POST", "/v1/executions/x/cancel", None),
                ("POST", "/v1/executions/x/signals/go", 1),
                ("PUT", "/v1/workflows/waits", {**WAITS, "description": "new"}),
            ):
                began_s = time.monotonic()
                status, told = one.ask(method, target, value)
                assert (status, told["status"]) == (503, 503), (method, target, told)
                assert time.monotonic() - began_s < ANSWER_S + 3.0, (method, target)
                assert told["code"].startswith("storage_"), told
        finally:
            cluster().start()
        until(one, "GET", "/readyz", 200)
        assert one.ask("POST", "/v1/executions", {"workflow": "waits", "id": "y"})[0] in {200, 201}
        assert one.ask("POST", "/v1/executions/x/signals/go", 1)[0] == 202
        assert one.stop() == 0
    assert "Traceback" not in "\n".join(one.said)


def test_a_server_that_lost_its_lease_says_so_and_comes_back(tmp_path: Path, dsn: str) -> None:
    with replicas(tmp_path, dsn, 2) as (one, two):
        everywhere([one], "PUT", "/v1/workflows/waits", WAITS)
        one.process.send_signal(signal.SIGSTOP)
        ask = statement(dsn)
        while ask("SELECT count(*) FROM makegood.worker WHERE state = 'dead'")[0][0] != 1:
            pass
        one.process.send_signal(signal.SIGCONT)
        one.wait_for("worker_returned")
        until(one, "GET", "/readyz", 200)
        assert one.ask("POST", "/v1/executions", {"workflow": "waits", "id": "x"})[0] == 201
        assert two.ask("GET", "/v1/executions/x")[0] == 200


# --- the command line -----------------------------------------------------------------------------


def test_the_command_line_asks_any_replica(
    tmp_path: Path, dsn: str, desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.hold()
    with replicas(tmp_path, dsn, 2) as (one, two):

        def cli(*words: str) -> tuple[int, str]:
            monkeypatch.setattr(sys, "argv", ["makegood", *words, "--server", two.url])
            code = _run()
            return code, capsys.readouterr().out

        opened([one, two], desk)
        one.ask("POST", "/v1/executions", {"workflow": "desk", "id": "x"})
        desk.until_calls(1)
        assert json.loads(cli("show", "x", "--json")[1])["status"] == "running"
        assert [cli(request, "x")[0] for request in ("suspend", "resume")] == [0, 0]
        assert cli("signal", "x", "go", "--payload", '{"n": 7}')[0] == 0
        desk.let_go()
        assert cli("watch", "x")[0] == 0
        assert one.ask("GET", "/v1/executions/x")[1]["output"] == {"n": 7}
