"""Definitions and services over HTTP; the process itself."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import yaml
from calling import CALLS, SIGNAL, Api

from makegood.api import door
from makegood.services import documents
from recording_service import Answer, RecordingService

pytestmark = pytest.mark.anyio

BROKEN = """\
name: trip
steps:
  - id: a
    call: hotels.reserve
  - id: b
    cal: hotels.pay
"""


async def put(api: Api, text: str, name: str = "trip", media: str = "application/yaml", **headers: str) -> Any:
    return await api.call("PUT", f"/v1/workflows/{name}", body=text.encode(), media=media, **headers)


async def test_a_definition_is_registered_once_and_anew_when_it_changes(api: Api) -> None:
    first = await put(api, yaml.safe_dump(CALLS))
    again = await api.call("PUT", "/v1/workflows/trip", CALLS)
    other = await api.call("PUT", "/v1/workflows/trip", {**CALLS, "timeout": "1h"})
    back = await api.call("PUT", "/v1/workflows/trip", CALLS)

    assert [each.status for each in (first, again, other, back)] == [201, 200, 201, 201]
    assert [each.json["version"] for each in (first, again, other, back)] == [1, 1, 2, 3]
    assert first.json["warnings"] == []
    assert first.headers["location"] == "/v1/workflows/trip/versions/1"


async def test_warnings_are_told_with_their_places(api: Api) -> None:
    text = "steps:\n  - {id: a, call: hotels.reserve}\n  - {id: b, call: hotels.pay}\n"

    warnings = (await put(api, text)).json["warnings"]

    assert [(each["code"], each["line"], each["severity"]) for each in warnings] == [
        ("uncompensated_call", 2, "warning")
    ]


async def test_a_registration_under_a_key_answers_what_it_answered(api: Api) -> None:
    text = yaml.safe_dump(CALLS)
    first = await put(api, text, idempotency_key="k")
    await api.call("PUT", "/v1/workflows/trip", {**CALLS, "timeout": "1h"})

    again = await put(api, text, idempotency_key="k")
    other = await put(api, text + "timeout: 2h\n", idempotency_key="k")

    assert (again.status, again.json) == (200, first.json)
    assert (other.status, other.code) == (409, "idempotency_key_reused")
    assert (await api.call("GET", "/v1/workflows/trip")).json["version"] == 2


async def test_mistakes_are_told_with_their_places(api: Api) -> None:
    reply = await put(api, BROKEN)

    assert (reply.status, reply.code) == (422, "invalid_definition")
    problem = reply.json["problems"][0]
    assert (problem["line"], problem["column"], problem["pointer"]) == (6, 5, "/steps/1/cal")
    assert "call" in problem["message"]
    assert (await api.call("GET", "/v1/workflows")).json == {"workflows": []}


@pytest.mark.parametrize(
    ("name", "text", "media", "status", "code"),
    [
        ("trap", yaml.safe_dump(CALLS), "application/yaml", 422, "invalid_definition"),
        ("trip", yaml.safe_dump(CALLS), "text/yaml", 415, "unsupported_media_type"),
        ("trip", yaml.safe_dump(CALLS), "application/json", 422, "invalid_definition"),
        ("trip", "name: trip\nsteps: [{id: a, call: hostels.reserve}]", "application/yaml", 422, "invalid_definition"),
        ("Trip", "steps: [{id: a, set: 1}]", "application/yaml", 422, "invalid_definition"),
        ("trip", "a: &a [*a]", "application/yaml", 422, "invalid_definition"),
        ("trip", '{"steps": [{"id": "a", "set": "\\ud800"}]}', "application/json", 422, "invalid_definition"),
        ("trip", "[" * 100_000, "application/json", 422, "invalid_definition"),
        ("trip", "", "application/json", 422, "invalid_definition"),
        ("trip", "x" * (1024 * 1024 + 1), "application/yaml", 413, "body_too_large"),
    ],
)  # fmt: skip
async def test_what_is_no_definition_changes_nothing(
    api: Api, name: str, text: str, media: str, status: int, code: str
) -> None:
    reply = await put(api, text, name, media)

    assert (reply.status, reply.code) == (status, code), reply
    assert (await api.call("GET", "/v1/workflows")).json == {"workflows": []}


async def test_a_definition_without_a_name_takes_that_of_the_path(api: Api) -> None:
    assert (await put(api, "steps: [{id: a, set: 1}]", "small")).status == 201
    assert (await api.call("GET", "/v1/workflows/small")).json["definition"]["name"] == "small"


async def test_the_older_form_is_taken(api: Api) -> None:
    older = {
        "steps": [{"ServiceCall": {"id": "a", "service_name": "hotels", "method": "reserve", "compensation": None}}],
        "error_handling": "FailFast",
    }

    assert (await api.call("PUT", "/v1/workflows/older", older)).status == 201
    reply = await api.call("POST", "/v1/executions?wait=20s", {"workflow": "older", "input": 5})
    assert reply.json["output"] == {"reserved": 5}


async def test_definitions_are_listed_shown_and_drawn(api: Api) -> None:
    await api.put(SIGNAL)
    await api.put(CALLS)
    await api.put({**CALLS, "timeout": "1h"})
    await api.start("approval", {"city": 1})

    listed = (await api.call("GET", "/v1/workflows")).json["workflows"]
    assert [(each["name"], each["version"], each["executions"]) for each in listed] == [
        ("approval", 1, {"running": 1}),
        ("trip", 2, {}),
    ]
    assert listed[0]["description"] == "Waits to be approved."
    assert "timeout" not in (await api.call("GET", "/v1/workflows/trip/versions/1")).json["definition"]
    assert (await api.call("GET", "/v1/workflows/trip")).json["definition"]["timeout"] == "1h"
    for path in ("/v1/workflows/trip/graph", "/v1/workflows/trip/versions/1/graph"):
        assert (await api.call("GET", path)).json
        assert (await api.call("GET", f"{path}?format=svg")).body.startswith(b"<svg")
        assert (await api.call("GET", f"{path}?format=mermaid")).headers["content-type"].startswith("text/plain")
    assert (await api.call("GET", "/v1/workflows/trip/graph?format=png")).code == "bad_request"


@pytest.mark.parametrize("path", ["trop", "trip/versions/7", "trip/versions/x", "trip/versions/0", "trop/graph"])
async def test_what_is_not_registered_is_not_found(api: Api, path: str) -> None:
    await api.put(CALLS)

    reply = await api.call("GET", f"/v1/workflows/{path}")

    assert (reply.status, reply.code) == (404, "not_found")


# --- services ----------------------------------------------------------------------------------


async def test_services_come_and_go(api: Api) -> None:
    body = {"url": "http://127.0.0.1:9/cars", "headers": {"X-Token": "secret", "X-Other": "env:T"}, "max_concurrent": 3}

    made = await api.call("PUT", "/v1/services/cars", body)
    changed = await api.call("PUT", "/v1/services/cars", {**body, "timeout_seconds": 2})
    listed = (await api.call("GET", "/v1/services")).json["services"]

    assert (made.status, changed.status) == (201, 200)
    assert [(each["url"], each["healthy"]) for each in made.json["endpoints"]] == [("http://127.0.0.1:9/cars", True)]
    assert (made.json["source"], made.json["fault"]) == ("database", None)
    assert made.json["headers"] == {"X-Token": "***", "X-Other": "env:T"}
    assert changed.json["timeout_seconds"] == 2.0
    assert [(each["name"], each["local"]) for each in listed] == [("cars", False), ("hotels", True)]
    assert (await api.call("DELETE", "/v1/services/cars")).status == 204
    assert (await api.call("GET", "/v1/services/cars")).status == 404
    assert (await api.call("DELETE", "/v1/services/cars")).status == 404


async def test_a_service_of_another_make_is_told_as_it_was_given(api: Api) -> None:
    body = {
        "url": "https://127.0.0.1:9/cars",
        "auth": {"user": "ada", "password": "env:CARS"},
        "tls": {"ca": "/etc/ca.pem"},
        "methods": {"reserve": {"verb": "PUT", "path": "/cars/{input.car}", "output": "${reply.body.id}"}},
    }

    made = await api.call("PUT", "/v1/services/cars", body)
    wrong = {**body, "methods": {"reserve": {"verb": "PUTT"}}}
    refused = await api.call("PUT", "/v1/services/cars", wrong)

    assert made.status == 201
    assert {key: made.json[key] for key in body if key != "url"} == {key: body[key] for key in body if key != "url"}
    assert refused.status == 422
    assert "'PUTT' is no verb. Did you mean 'PUT'?" in refused.json["detail"]


async def test_a_service_under_a_key(api: Api) -> None:
    body = {"url": "http://127.0.0.1:9/cars"}

    assert (await api.call("PUT", "/v1/services/cars", body, idempotency_key="k")).status == 201
    assert (await api.call("PUT", "/v1/services/cars", body, idempotency_key="k")).status == 200
    other = await api.call("PUT", "/v1/services/cars", {**body, "max_concurrent": 1}, idempotency_key="k")
    assert other.status == 409
    assert (await api.call("DELETE", "/v1/services/cars", idempotency_key="k")).status == 204
    assert (await api.call("DELETE", "/v1/services/cars", idempotency_key="k")).status == 204


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "ftp://x"},
        {"url": "http://user:pw@x"},
        {"url": "http://x", "urls": ["http://y"]},
        {"url": "http://x", "max_concurrent": 0},
        {"url": "http://x", "timeout_seconds": "ten"},
        {"url": "http://x", "time_out": 1},
        {"url": "http://x", "headers": {"Host": "y"}},
        {"url": "http://x", "headers": {"A": "b\r\nc: d"}},
        [],
        "http://x",
    ],
)
async def test_what_is_no_service_is_not_added(api: Api, body: Any) -> None:
    reply = await api.call("PUT", "/v1/services/cars", body)

    assert reply.status == 422, reply
    assert (await api.call("GET", "/v1/services/cars")).status == 404


async def test_a_service_that_was_added_is_called(api: Api) -> None:
    await api.call("PUT", "/v1/services/cars", {"url": "http://127.0.0.1:1"})
    await api.put({"name": "ride", "steps": [{"id": "a", "call": "cars.go"}]})

    reply = await api.call("POST", "/v1/executions?wait=20s", {"workflow": "ride", "input": 1})

    assert (reply.json["status"], reply.json["error"]["code"]) == ("compensated", "service_unavailable")


# --- the process -------------------------------------------------------------------------------


async def test_the_process_tells_how_it_is(api: Api) -> None:
    assert (await api.call("GET", "/healthz")).json == {"status": "ok", "node": "test"}
    assert (await api.call("GET", "/readyz")).json == {"status": "ok", "node": "test"}
    assert (await api.call("HEAD", "/healthz")).status == 200
    text = (await api.call("GET", "/metrics")).body.decode()
    assert 'makegood_http_requests_total{method="GET",route="/healthz",status="200"}' in text
    assert "makegood_http_in_flight 1.0" in text


async def test_a_closed_engine_is_not_ready(api: Api) -> None:
    await api.server.engine.aclose()

    assert (await api.call("GET", "/readyz")).status == 503
    assert (await api.call("GET", "/healthz")).status == 200
    reply = await api.call("POST", "/v1/executions", {"workflow": "trip"})
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")


DESCRIPTION = {"openapi": "3.1.0", "paths": {"/reserve": {"post": {}}}}


async def test_a_definition_is_held_to_what_its_services_describe(api: Api) -> None:
    with RecordingService() as service:
        body = {"url": service.url, "openapi": f"{service.url}/openapi.json"}
        await api.call("PUT", "/v1/services/cars", body)
        steps = [{"id": "a", "call": "cars.reserv", "read_only": True}]
        unread = await api.call("PUT", "/v1/workflows/w1", {"steps": steps})
        service.pages["/openapi.json"] = Answer(200, DESCRIPTION)
        refused = await api.call("PUT", "/v1/workflows/w2", {"steps": steps})

    assert (unread.status, unread.json["warnings"][0]["code"]) == (201, "description_unread")
    assert (refused.status, refused.json["problems"][0]["code"]) == (422, "unknown_method")
    assert refused.json["problems"][0]["pointer"] == "/steps/0/call"
    told = (await api.call("GET", "/v1/services/cars")).json
    assert (told["openapi"], told["openapi_fault"]) == (body["openapi"], None)


async def test_what_a_service_described_before_holds_while_it_is_away(api: Api) -> None:
    steps = [{"id": "a", "call": "cars.reserv", "read_only": True}]
    with RecordingService() as service:
        service.pages["/openapi.json"] = Answer(200, DESCRIPTION)
        await api.call("PUT", "/v1/services/cars", {"url": service.url, "openapi": f"{service.url}/openapi.json"})
        assert (await api.call("PUT", "/v1/workflows/w1", {"steps": steps})).status == 422
    # Another replica, or this one after a restart, has read nothing by itself.
    api.server.contracts._kept.clear()
    refused = await api.call("PUT", "/v1/workflows/w2", {"steps": steps})

    assert (refused.status, refused.json["problems"][0]["code"]) == (422, "unknown_method")
    assert "cannot be fetched" in (await api.call("GET", "/v1/services/cars")).json["openapi_fault"]


async def test_a_description_that_never_comes_is_a_warning_in_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert documents.FETCH_MS / 1000 < door.ANSWER_S
    monkeypatch.setattr(documents, "FETCH_MS", 200)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        made = await api.call("PUT", "/v1/services/cars", {"url": url, "openapi": f"{url}/o.json", "validate": True})
        steps = [{"id": "a", "call": "cars.reserve", "read_only": True}]
        put = await api.call("PUT", "/v1/workflows/w1", {"steps": steps})

    assert (made.status, put.status) == (201, 201)
    assert "cannot be fetched" in made.json["openapi_fault"]
    assert [each["code"] for each in put.json["warnings"]] == ["description_unread"]


async def test_no_file_of_the_server_is_read_for_a_client(api: Api) -> None:
    reply = await api.call("PUT", "/v1/services/cars", {"url": "http://cars", "openapi": "/etc/passwd"})

    assert reply.status == 422
    assert "only the server's own configuration may name files" in reply.json["detail"]
