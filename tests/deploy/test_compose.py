"""The compose file: what it names exists, in it and in makegood."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import pytest
from artefacts import DEPLOY, DSN, ROOT, one
from offered import STOPS_S, check_served, configured, parsed, tokens_path

FILE = DEPLOY / "compose/compose.yaml"
COMPOSE = one(FILE)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["upgrade", "makegood"]
IMAGE = {"MAKEGOOD_SERVER__LISTEN": "0.0.0.0:8080"}
"""What the image itself sets; tests/deploy/test_dockerfile.py looks at it."""


@pytest.mark.parametrize("name", OURS)
def test_commands_exist_and_variables_are_read(name: str) -> None:
    parsed(SERVICES[name]["command"])

    config = configured(None, SERVICES[name]["environment"])

    assert config.storage.type == "postgres"


@pytest.mark.parametrize("name", OURS)
def test_what_a_variable_names_as_a_secret_is_given(name: str) -> None:
    service = SERVICES[name]
    named = {
        found[1]
        for value in service["environment"].values()
        if (found := re.fullmatch(r"(?:file:)?/run/secrets/(\S+)", value))
    }

    assert named == set(service["secrets"])


@pytest.mark.parametrize("name", OURS)
def test_replicas_are_confined(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_server_finds_its_configuration_and_lets_no_stranger_in() -> None:
    service = SERVICES["makegood"]
    (mounted,) = service["configs"]
    file = (FILE.parent / COMPOSE["configs"][mounted["source"]]["file"]).read_text(encoding="utf-8")

    config = configured(file, {**IMAGE, **service["environment"]})

    check_served(config)
    assert parsed(service["command"])["config"] == mounted["target"]
    assert PurePosixPath(tokens_path(config) or "").name in service["secrets"]


def test_three_replicas_have_a_port_each_of_this_machine_alone() -> None:
    service = SERVICES["makegood"]
    (port,) = service["ports"]
    found = re.fullmatch(r"127\.0\.0\.1:(\d+)-(\d+):8080", port)

    assert found is not None
    assert int(found[2]) - int(found[1]) + 1 == service["deploy"]["replicas"] == 3


def test_replicas_start_on_a_database_that_is_there_and_up_to_date() -> None:
    assert SERVICES["upgrade"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["makegood"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "upgrade": {"condition": "service_completed_successfully"},
    }
    assert SERVICES["upgrade"]["restart"] == "no"
    assert SERVICES["postgres"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]


def test_a_replica_has_the_time_that_a_graceful_stop_takes() -> None:
    assert float(SERVICES["makegood"]["stop_grace_period"].removesuffix("s")) > 2 * STOPS_S


def test_database_is_reached_by_makegood_alone() -> None:
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["database"]
    assert "ports" not in SERVICES["postgres"]
    assert {name for name, service in SERVICES.items() if "database" in service["networks"]} == {*OURS, "postgres"}


def test_what_services_name_is_defined_and_no_secret_stands_here() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert {each.partition(":")[0] for each in service.get("volumes", ())} <= set(COMPOSE["volumes"])
        assert re.search(r":\d[\w.-]*$", service["image"])
    files = {each["file"] for each in COMPOSE["secrets"].values()}
    assert all(each.startswith("./secrets/") for each in files)
    assert (FILE.parent / ".gitignore").read_text(encoding="utf-8") == "secrets/\n"
    assert DSN not in FILE.read_text(encoding="utf-8")


def test_it_is_built_of_the_dockerfile() -> None:
    build = SERVICES["makegood"]["build"]

    assert (FILE.parent / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
