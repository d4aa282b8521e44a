"""What `bench` prints, not how fast anything is: figures are never tested."""

from __future__ import annotations

import socket

import pytest
from cli_runs import Cli
from tests.postgres_cluster import cluster, installed

from makegood.cli.benching import databases
from makegood.cli.benching.databases import free_port


def test_bench_measures_what_is_asked_for_and_judges_that_alone(cli: Cli) -> None:
    ran = cli("bench", "--only", "loops", "--repetitions", "1", "--loop-steps", "100", "--json")

    names = set(ran.json["figures"])
    assert ran.code == 0
    assert ran.json["loop_steps"] == 100
    assert {"foreach of 2N, s", "second half of a repeat of N, s", "state of a foreach of N, bytes/step"} <= names
    assert {each["name"] for each in ran.json["goals"]} == {
        f"{what}: 2N against N"
        for kind in ("foreach", "repeat")
        for what in (f"{kind}, CPU s", f"second half of a {kind}, CPU s", f"state of a {kind}, bytes/step")
    }


def test_bench_names_the_section_that_was_meant(cli: Cli) -> None:
    refused = cli("bench", "--only", "loop")

    assert refused.code == 2
    assert "'loops'" in refused.err


def test_bench_measures_postgresql_in_databases_of_its_own_and_drops_them(cli: Cli) -> None:
    server = cluster()

    ran = cli(
        "bench", "--database", server.dsn("postgres"), "--only", "postgres", "--only", "starts", "--only", "due",
        "--repetitions", "1", "--workflows", "50", "--due", "30", "--json",
    )  # fmt: skip

    assert ran.code == 0, ran.err
    assert all(value > 0 for values in ran.json["figures"].values() for value in values)
    assert set(ran.json["figures"]) == {
        "bare group commit on PostgreSQL, steps/s",
        "engine on PostgreSQL, steps/s",
        "engine on PostgreSQL, CPU us/step",
        "starts over HTTP on PostgreSQL, starts/s",
        "30 due, all claimed after, s",
        "the API meanwhile, p50 ms",
        "the API meanwhile, p99 ms",
    }
    assert not server.ask("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'makegood_bench%'")


def test_bench_starts_a_server_of_its_own_and_stops_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    installed()
    ports: list[int] = []

    def chosen() -> int:
        ports.append(free_port())
        return ports[-1]

    monkeypatch.setattr(databases, "free_port", chosen)

    ran = cli("bench", "--postgres", "--only", "postgres", "--repetitions", "1", "--workflows", "50")

    assert ran.code == 0, ran.err
    assert "engine on PostgreSQL" in ran.out
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0])).close()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--only", "due"), 2, "--postgres"),
        (("--database", "./makegood.db"), 2, "postgresql://"),
        (("--database", "postgresql://x@127.0.0.1:1/x", "--only", "postgres"), None, "could not make one"),
        (("--postgres", "--only", "due"), None, "PostgreSQL is not installed"),
    ],
)
def test_bench_says_what_it_needs_for_postgresql(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int | None, told: str
) -> None:
    monkeypatch.setattr(databases, "binaries", lambda: None)

    refused = cli("bench", *words, "--repetitions", "1")

    assert refused.code == code if code else refused.code > 1
    assert told in " ".join(refused.err.split())
    assert "Traceback" not in refused.err
