"""Services that name their OpenAPI description: what `check`, `run` and a server make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_runs import Cli

from recording_service import Answer, RecordingService

PRICED = {"type": "object", "required": ["price"], "properties": {"price": {"type": "integer"}}}
GUEST = {"type": "object", "required": ["guest"], "properties": {"guest": {"type": "string"}}}


def body(schema: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/reserve": {"post": {"requestBody": body(GUEST), "responses": {"200": body(PRICED)}}},
        "/cancel": {"post": {}},
    },
}
GOOD = """\
name: trip
steps:
  - {id: hotel, call: hotels.reserve, input: {guest: ada}, compensation: hotels.cancel}
output: ${steps.hotel.price}
"""
BAD = """\
name: trip
steps:
  - {id: hotel, call: hotels.reserve, input: {gest: ada}, compensation: hotels.cansel}
output: ${steps.hotel.prize}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    return tmp_path


def configured(folder: Path, url: str, openapi: str, *more: str) -> None:
    lines = ["[services.hotels]", f'url = "{url}"', f'openapi = "{openapi}"', *more]
    (folder / "makegood.toml").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("form", ["hotels.json", "hotels.yaml"])
def test_check_holds_calls_to_a_file_beside_the_configuration(cli: Cli, folder: Path, form: str) -> None:
    (folder / "conf").mkdir()
    (folder / "conf" / form).write_text(json.dumps(DESCRIPTION))
    configured(folder / "conf", "http://hotels", form)

    good = cli("check", "good.yaml", "--config", "conf/makegood.toml")
    bad = cli("check", "bad.yaml", "--config", "conf/makegood.toml")

    assert (good.code, good.out) == (0, "")
    assert bad.code == 2
    assert [line.split(": ", 1)[0] for line in bad.out.splitlines()] == ["bad.yaml:3:46", "bad.yaml:3:73"]
    assert "'guest', which is not sent" in bad.out
    assert "Did you mean 'cancel'?" in bad.out


def test_what_a_description_does_not_name_and_does_not_forbid_is_a_warning(cli: Cli, folder: Path) -> None:
    (folder / "hotels.json").write_text(json.dumps(DESCRIPTION))
    (folder / "odd.yaml").write_text(GOOD.replace("{guest: ada}", "{guest: ada, night: 1}").replace("price", "prize"))
    configured(folder, "http://hotels", "hotels.json")

    ran = cli("check", "odd.yaml")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "odd.yaml:3:66: warning: Step 'hotel': POST /reserve knows no 'night'. Known: guest.",
        "odd.yaml:4:11: warning: `output`: POST /reserve describes no 'prize' in steps.hotel. Did you mean 'price'?",
    ]


def test_check_asks_an_url(cli: Cli, folder: Path, service: RecordingService) -> None:
    service.pages["/openapi.json?v=1"] = Answer(200, DESCRIPTION)
    configured(folder, service.url, f"{service.url}/openapi.json?v=1")

    assert cli("check", "bad.yaml").code == 2
    assert cli("check", "good.yaml").out == ""


@pytest.mark.parametrize(
    ("openapi", "why"),
    [
        ("nowhere.json", "nowhere.json cannot be read: No such file or directory"),
        ("broken.json", "broken.json cannot be read: "),
        ("other.json", "other.json is Swagger 2.0"),
        ("{url}/gone.json", "gone.json cannot be fetched: HTTP 404."),
        ("http://127.0.0.1:1/openapi.json", "cannot be fetched: "),
        ("http://169.254.169.254/openapi.json", "a link-local or metadata address"),
    ],
)
def test_a_description_that_cannot_be_had_is_a_warning_and_stops_nothing(
    cli: Cli, folder: Path, service: RecordingService, openapi: str, why: str
) -> None:
    (folder / "broken.json").write_text('{"openapi": ')
    (folder / "other.json").write_text('{"swagger": "2.0"}')
    configured(folder, service.url, openapi.replace("{url}", service.url))
    service.answers["reserve"] = Answer(200, {"price": 7})

    checked = cli("check", "good.yaml")
    ran = cli("run", "good.yaml", "--input", "{}")

    assert checked.code == 0
    assert "good.yaml:3:23: warning: What the service 'hotels' describes could not be held against" in checked.out
    assert why in checked.out
    assert "Traceback" not in checked.out + ran.err
    assert (ran.code, ran.out.strip()) == (0, "7")


@pytest.mark.parametrize(("answered", "code"), [({"price": 7}, 0), ({"price": "7"}, 3), ({}, 3)])
def test_replies_that_do_not_fit_are_unknown_and_undone(
    cli: Cli, folder: Path, service: RecordingService, answered: Any, code: int
) -> None:
    (folder / "hotels.json").write_text(json.dumps(DESCRIPTION))
    configured(folder, service.url, "hotels.json", "validate = true")
    service.answers["reserve"] = Answer(200, answered)

    ran = cli("run", "good.yaml", "--id", "t", "--input", "{}")

    assert ran.code == code
    assert [call[0] for call in service.calls] == (["reserve"] if code == 0 else ["reserve", "cancel"])
    if code:
        step = cli("show", "t", "--json").json["steps"][0]
        assert (step["forward"], step["error"]["code"]) == ("unknown", "invalid_reply")
        assert "the answer is not what the service describes: at /" in step["error"]["message"]


def test_to_validate_there_must_be_a_description(cli: Cli, folder: Path) -> None:
    (folder / "makegood.toml").write_text('[services.hotels]\nurl = "http://hotels"\nvalidate = true\n')

    ran = cli("check", "good.yaml")

    assert ran.code == 2
    assert "`validate` needs `openapi`" in ran.err


def test_methods_that_are_ordinary_requests_are_found_by_verb_and_path(cli: Cli, folder: Path) -> None:
    room = {"put": {"requestBody": body(GUEST)}, "delete": {}}
    (folder / "hotels.json").write_text(json.dumps({"openapi": "3.1.0", "paths": {"/rooms/{id}": room}}))
    path = 'path = "/rooms/{input.room}"'
    verbs = f'methods = {{reserve = {{verb = "PUT", {path}}}, cancel = {{verb = "%s", {path}}}}}'
    configured(folder, "http://hotels", "hotels.json", verbs % "DELETE")
    good = cli("check", "good.yaml")
    configured(folder, "http://hotels", "hotels.json", verbs % "PATCH")
    bad = cli("check", "good.yaml")

    assert (good.code, good.out) == (0, "")
    assert bad.code == 2
    assert "hotels.cancel, which is sent as PATCH /rooms/{input.room}, and hotels.json describes no" in bad.out


@pytest.mark.parametrize("schema", [{"type": "file"}, {"pattern": "("}, {"$ref": "#/nowhere"}, {"required": "id"}, 7])
def test_a_schema_that_is_none_stops_nothing(cli: Cli, folder: Path, service: RecordingService, schema: Any) -> None:
    paths = {"/reserve": {"post": {"responses": {"200": body(schema)}}}, "/cancel": {"post": {}}}
    (folder / "hotels.json").write_text(json.dumps({"openapi": "3.1.0", "paths": paths}))
    configured(folder, service.url, "hotels.json", "validate = true")
    service.answers["reserve"] = Answer(200, {"price": 7})

    ran = cli("run", "good.yaml", "--input", "{}")

    assert (ran.code, ran.out.strip()) == (0, "7")
    assert "Traceback" not in ran.err
