"""`makegood check`, `schema` and `graph`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import Cli


def test_check_tells_every_problem_of_every_file(cli: Cli, trip: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nsteps:\n  - {id: a, cal: s.m}\n  - {id: a, call: s.m, retri: 3}\n")

    ran = cli("check", trip, "bad.yaml", "nope.yaml")

    assert ran.code == 2
    places = [line.split(": ")[0] for line in ran.out.splitlines()]
    assert [place for place in places if place.startswith("bad.yaml:3:")]
    assert [place for place in places if place.startswith("bad.yaml:4:")]
    assert places[-1] == "nope.yaml:1:1"
    assert ran.err == ""


def test_check_of_a_sound_file_is_silent(cli: Cli, trip: str) -> None:
    ran = cli("check", trip)

    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_check_warns_and_still_answers_0(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "risky.yaml").write_text(
        "name: risky\nsteps:\n  - {id: mail, call: hotels.mail}\n  - {id: pay, call: hotels.pay}\n"
    )

    ran = cli("check", "risky.yaml")
    found = cli("check", "risky.yaml", "--json").json

    assert ran.code == 0
    assert "risky.yaml:3:" in ran.out
    assert "warning: " in ran.out
    assert [(each["file"], each["severity"]) for each in found] == [("risky.yaml", "warning")]


def test_check_knows_the_services_it_is_given(cli: Cli, trip: str) -> None:
    assert cli("check", trip, "--service", "cars=http://x").code == 2
    assert cli("check", trip, "--service", "hotels=http://x").code == 0


PARENT = """\
name: order
steps:
  - {id: hotel, call: hotels.reserve, compensation: hotels.cancel}
  - {id: bill, workflow: billing}
"""
BILLING = "name: billing\nsteps:\n  - {id: pay, call: hotels.charge, pivot: true}\n"


@pytest.mark.parametrize("files", [("order.yaml", "billing.yaml"), ("billing.yaml", "order.yaml")])
def test_check_knows_the_definitions_that_it_is_given_together(
    files: tuple[str, str], cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "order.yaml").write_text(PARENT)
    (tmp_path / "billing.yaml").write_text(BILLING)

    assert cli("check", "order.yaml").code == 0
    ran = cli("check", *files)

    assert (ran.code, ran.out.count("\n")) == (2, 1)
    assert ran.out.startswith("order.yaml:4:5: Step 'bill' calls the workflow 'billing' as a child, and that has the")


def test_put_refuses_a_pivot_in_a_child_and_stores_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text(PARENT)
    (tmp_path / "billing.yaml").write_text(BILLING)
    assert cli("workflows", "put", "billing.yaml").code == 0
    parent = cli("workflows", "put", "order.yaml")
    assert cli("workflows", "put", "order.yaml", "--database", "b.db").code == 0
    child = cli("workflows", "put", "billing.yaml", "--database", "b.db")

    assert (parent.code, child.code) == (2, 2)
    assert parent.err.startswith("order.yaml:4:5: Step 'bill' calls the workflow 'billing'")
    assert "workflow 'order' (version 1) calls this workflow as a child in its step 'bill'" in child.err
    assert [each["name"] for each in cli("workflows", "list", "--json").json] == ["billing"]
    assert [each["name"] for each in cli("workflows", "list", "--json", "--database", "b.db").json] == ["order"]


def test_put_checks_the_services_before_it_stores_anything(cli: Cli, trip: str, tmp_path: Path) -> None:
    ran = cli("workflows", "put", trip, "--service", "cars=http://x")

    assert ran.code == 2
    assert "calls the service 'hotels', and it is not registered" in ran.err
    assert not (tmp_path / "makegood.db").exists()


def test_schema_is_json_schema(cli: Cli) -> None:
    assert "json-schema.org" in cli("schema").json["$schema"]


@pytest.mark.parametrize(
    ("words", "start"),
    [((), "<svg"), (("--format", "mermaid"), "flowchart"), (("--format", "json"), "{"), (("--format", "svg"), "<svg")],
)
def test_graph_goes_to_stdout(words: tuple[str, ...], start: str, cli: Cli, trip: str) -> None:
    assert cli("graph", trip, *words).out.startswith(start)


@pytest.mark.parametrize(("name", "start"), [("x.svg", "<svg"), ("x.mmd", "flowchart"), ("x.json", "{")])
def test_graph_takes_its_form_from_the_file_s_suffix(
    name: str, start: str, cli: Cli, trip: str, tmp_path: Path
) -> None:
    ran = cli("graph", trip, "--output", name)

    assert (ran.code, ran.out) == (0, "")
    assert (tmp_path / name).read_text().startswith(start)


def test_graph_json_is_json(cli: Cli, trip: str) -> None:
    assert json.loads(cli("graph", trip, "--format", "json").out)["name"] == "trip"
