"""`makegood services` where no server runs: on the configuration, and on a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runs import Cli

import makegood as mg
from health_desk import Clinic


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    with Clinic() as made:
        yield made


@pytest.fixture
def configured(tmp_path: Path, clinic: Clinic) -> None:
    (tmp_path / "makegood.toml").write_text(f'[services.clinic]\nurl = "{clinic.url}"\nhealth = "/up"\n')


@pytest.mark.usefixtures("configured")
def test_the_services_of_the_configuration(cli: Cli, clinic: Clinic) -> None:
    (told,) = cli("services", "list", "--json").json

    assert (told["name"], told["source"], told["endpoints"][0]["url"]) == ("clinic", "configuration", clinic.url)
    assert "GET /up" in cli("services", "check").out
    shown = cli("services", "show", "clinic")
    assert (shown.code, clinic.url in shown.out) == (0, True)
    missing = cli("services", "show", "clini")
    assert (missing.code, "Did you mean 'clinic'" in missing.err) == (2, True)


@pytest.mark.usefixtures("configured")
def test_a_database_keeps_services(cli: Cli, clinic: Clinic) -> None:
    at = ("--database", "kept.db")
    assert cli("services", "put", "cars", clinic.url, "--set", "max_concurrent=5", *at).code == 0
    assert cli("services", "put", "clinic", "http://127.0.0.1:9", *at).code == 0

    listed = {each["name"]: each for each in cli("services", "list", "--json", *at).json}

    assert (listed["cars"]["source"], listed["cars"]["max_concurrent"]) == ("database", 5)
    assert (listed["clinic"]["source"], listed["clinic"]["endpoints"][0]["url"]) == ("configuration", clinic.url)
    assert "configuration wins" in listed["clinic"]["fault"]
    assert cli("services", "remove", "cars", *at).code == 0
    again = cli("services", "remove", "cars", *at)
    assert (again.code, "no service 'cars'" in again.err) == (2, True)


def test_what_does_not_fit_is_refused_before_anything_is_kept(cli: Cli) -> None:
    for words, said in (
        (("cars", "ftp://x"), "ftp"),
        (("cars", "http://x", "--set", "speed=9"), "speed"),
        (("no.name", "http://x"), "no.name"),
    ):
        ran = cli("services", "put", *words, "--database", "kept.db")
        assert (ran.code, said in ran.err, "Traceback" in ran.err) == (2, True, False), ran

    nowhere = cli("services", "put", "cars", "http://x")
    assert (nowhere.code, "--server" in nowhere.err, "--database" in nowhere.err) == (2, True, True)


def test_a_check_says_what_it_saw(cli: Cli, clinic: Clinic) -> None:
    at = ("--database", "kept.db")
    cli("services", "put", "sick", clinic.url, "--set", 'health="/up"', *at)
    cli("services", "put", "away", "http://127.0.0.1:1", *at)
    clinic.status = 503

    ran = cli("services", "check", "sick", "away", "--json", *at)

    sick, away = json.loads(ran.out)
    assert ran.code == 1
    assert (sick["endpoints"][0]["healthy"], sick["endpoints"][0]["reason"]) == (False, "HTTP 503")
    assert (away["endpoints"][0]["asked"], "127.0.0.1:1" in away["endpoints"][0]["reason"]) == ("a connection", True)
    clinic.status = 200
    assert cli("services", "check", "sick", *at).code == 0
    assert cli("services", "check", "sik", *at).code == 2


def test_a_file_that_an_engine_holds_is_written_by_nobody_else(cli: Cli) -> None:
    with mg.Engine("held.db"):
        held = cli("services", "put", "cars", "http://127.0.0.1:9", "--database", "held.db")
        listed = cli("services", "list", "--database", "held.db")

    assert (held.code, listed.code) == (6, 0)


@pytest.mark.usefixtures("configured")
def test_a_definition_may_call_what_the_database_keeps(cli: Cli, tmp_path: Path, clinic: Clinic) -> None:
    (tmp_path / "ride.yaml").write_text("name: ride\nsteps:\n  - {id: a, call: cars.drive, read_only: true}\n")
    at = ("--database", "kept.db")

    assert cli("workflows", "put", "ride.yaml", *at).code == 2
    cli("services", "put", "cars", clinic.url, *at)
    assert cli("workflows", "put", "ride.yaml", *at).code == 0
