"""Bad input of every kind gets a problem document and changes nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from calling import SIGNAL, Api

from makegood.api import traffic
from makegood.api.bodies import JSON_BODY_MAX
from makegood.api.table import ROUTES

pytestmark = pytest.mark.anyio

START = "/v1/executions"


async def nothing_changed(api: Api) -> None:
    assert (await api.call("GET", START)).json["executions"] == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"nope",
        b'{"workflow": "approval", "input": "\\ud800"}',
        b'{"workflow": "approval", "input": 1e400}',
        b'{"workflow": "approval", "input": NaN}',
        b'{"workflow": "approval", "input": "\xff"}',
        b'{"workflow": "approval"} {}',
        b'{"workflow": "approval", "input": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"workflow": "approval", "input": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b"\xef\xbb\xbf{}",
    ],
)
async def test_what_is_no_json_is_refused(api: Api, text: bytes) -> None:
    reply = await api.call("POST", START, body=text, media="application/json")

    assert (reply.status, reply.code) == (400, "bad_json"), reply
    await nothing_changed(api)


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({}, "", "workflow"),
        ([], "", "object"),
        ("approval", "", "object"),
        ({"workflow": 7}, "/workflow", "str"),
        ({"workflow": "A B"}, "/workflow", "regex"),
        ({"workflow": "approval", "id": "a b"}, "/id", "regex"),
        ({"workflow": "approval", "id": "x" * 101}, "/id", "regex"),
        ({"workflow": "approval", "version": 0}, "/version", ">= 1"),
        ({"workflow": "approval", "version": "1"}, "/version", "int"),
        ({"workflow": "approval", "business_key": 7}, "/business_key", "str"),
        ({"workflow": "approval", "search": []}, "/search", "object"),
        ({"workflow": "approval", "inputs": 1}, "/inputs", "Did you mean 'input'?"),
        ({"workflow": "approval", "a/b~c": 1}, "/a~1b~0c", "no field"),
    ],
)
async def test_what_has_another_shape_is_refused(api: Api, body: Any, pointer: str, words: str) -> None:
    await api.put(SIGNAL)

    reply = await api.call("POST", START, body=json.dumps(body).encode(), media="application/json")

    assert (reply.status, reply.code) == (422, "invalid_input"), reply
    assert reply.json.get("pointer", "") == pointer
    assert words in reply.json["detail"]
    await nothing_changed(api)


@pytest.mark.parametrize("media", [None, "text/plain", "application/yaml", "application/json; charset=latin-1", "json"])
async def test_other_media_types_are_refused(api: Api, media: str | None) -> None:
    reply = await api.call("POST", START, body=b"{}", media=media)

    assert (reply.status, reply.code) == (415, "unsupported_media_type")


async def test_a_compressed_body_is_refused(api: Api) -> None:
    reply = await api.call("POST", START, {"workflow": "a"}, content_encoding="gzip")

    assert reply.status == 415


async def test_a_body_that_says_it_is_too_large_is_not_read(api: Api) -> None:
    reply = await api.call("POST", START, body=b"{}", media="application/json", content_length=str(JSON_BODY_MAX + 1))

    assert (reply.status, reply.code, reply.headers["connection"]) == (413, "body_too_large", "close")
    assert api.pending == [b"{}"]


async def test_a_body_that_grows_too_large_is_not_read_to_its_end(api: Api) -> None:
    parts = [b"x" * 1024 * 1024] * 100

    reply = await api.call("POST", START, parts=parts, media="application/json")

    assert (reply.status, reply.code) == (413, "body_too_large")
    assert len(api.pending) > 90


async def test_a_payload_of_the_greatest_size_is_taken_and_one_more_is_not(api: Api) -> None:
    await api.put({"name": "big", "steps": [{"id": "a", "set": 1}]})
    most = 2 * 1024 * 1024

    taken = await api.call("POST", f"{START}?wait=20s", {"workflow": "big", "input": "x" * (most - 2)})
    refused = await api.call("POST", START, {"workflow": "big", "input": "x" * (most - 1)})

    assert (taken.status, taken.json["status"]) == (201, "completed")
    assert (refused.status, refused.code) == (422, "invalid_input")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limt=5", "Did you mean 'limit'?"),
        ("limit=0", "from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("limit=%C2%B2", "whole number"),
        ("limit=-1", "whole number"),
        ("limit=5&limit=6", "twice"),
        ("status=runing", "Did you mean 'running'?"),
        ("status=", "must be one of"),
        ("started_after=yesterday", "moment"),
        ("started_after=2030-01-31", "moment"),
        ("started_after=2030-01-31T12:00:00", "offset"),
        ("cursor=nonsense", "cursor"),
        ("cursor=99999999999999999999.a", "cursor"),
        ("workflow=%ff", "percent-encoded"),
        ("search=x", "no parameter"),
        ("search.=x", "no parameter"),
        ("wait=30s", "no parameter"),
        ("&".join(f"a{number}=1" for number in range(60)), "cannot be read"),
        ("workflow=" + "x" * 9_000, "at most"),
    ],
)
async def test_parameters_that_do_not_fit_are_refused(api: Api, query: str, words: str) -> None:
    reply = await api.call("GET", f"{START}?{query}")

    assert (reply.status, reply.code) == (400, "bad_request"), reply
    assert words in reply.json["detail"]


@pytest.mark.parametrize("cursor", ["x", "-1", "0" * 400, "1.5"])
@pytest.mark.parametrize("pages", ["steps", "history"])
async def test_a_cursor_that_cannot_be_one_is_refused(api: Api, pages: str, cursor: str) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    assert (await api.call("GET", f"/v1/executions/a/{pages}?cursor={cursor}")).code == "bad_request"


async def test_a_note_of_the_greatest_length_is_taken(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    assert (await api.call("POST", "/v1/executions/a/suspend", {"note": "\U0001f4a9" * 10_000})).status == 202
    assert (await api.call("POST", "/v1/executions/a/resume", {"note": "x" * 10_001})).status == 422


@pytest.mark.parametrize("wait", ["", "x", "-1", "301s", "10m", "1e9", "%F0%9F%92%A9"])
async def test_waits_that_do_not_fit_are_refused_and_start_nothing(api: Api, wait: str) -> None:
    await api.put(SIGNAL)

    reply = await api.call("POST", f"{START}?wait={wait}", {"workflow": "approval", "input": {"city": 1}})

    assert (reply.status, reply.code) == (400, "bad_request")
    await nothing_changed(api)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9"])
async def test_a_key_that_cannot_be_one_is_refused(api: Api, key: str) -> None:
    await api.put(SIGNAL)

    reply = await api.call("POST", START, {"workflow": "approval", "input": {"city": 1}}, idempotency_key=key)

    assert (reply.status, reply.code) == (400, "bad_request")
    await nothing_changed(api)


@pytest.mark.parametrize("told", ["x", "1", "1.", ".1", "-1.0", "1.0.0", "9" * 30])
async def test_an_event_id_that_cannot_be_one_is_refused(api: Api, told: str) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    assert (await api.call("GET", "/v1/executions/a/events", last_event_id=told)).code == "bad_request"


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/executions/", "/v1//executions", "/v1/executions/a/b/c", "/V1/executions"]
)
async def test_a_path_that_is_not_there(api: Api, path: str) -> None:
    reply = await api.call("GET", path)

    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize("route", sorted({each.path for each in ROUTES}))
async def test_a_method_that_is_not_there_names_those_that_are(api: Api, route: str) -> None:
    allowed = {each.method for each in ROUTES if each.path == route}

    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"} - allowed:
        reply = await api.call(method, route.replace("{version}", "1").replace("{", "").replace("}", ""))
        assert (reply.status, reply.code) == (405, "method_not_allowed")
        assert allowed <= set(reply.headers["allow"].split(", "))


async def test_a_body_where_none_belongs_is_refused(api: Api) -> None:
    assert (await api.call("DELETE", "/v1/services/hotels", {"x": 1})).status == 413
    assert (await api.call("GET", "/v1/services/hotels")).status == 200


async def test_requests_without_a_body_need_no_type_and_those_with_one_do(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    assert (await api.call("POST", "/v1/executions/a/suspend")).status == 202
    assert (await api.call("POST", "/v1/executions/a/resume", body=b"{}")).status == 415
    assert (await api.call("POST", "/v1/executions/a/resume", {"nota": "x"})).status == 422
    assert (await api.call("POST", "/v1/executions/a/resume", {"note": 7})).status == 422
    assert (await api.call("POST", "/v1/executions/a/resume", body=b"null", media="application/json")).status == 422
    assert (await api.call("GET", "/v1/executions/a")).json["status"] == "suspended"


@pytest.mark.parametrize(
    "body",
    [
        {"step": "a"},
        {"note": "x"},
        {"step": "a", "note": ""},
        {"step": "a", "note": "x", "as": "done"},
        {"step": "a", "note": "x", "output": 1},
        {"step": "a", "note": "x", "as": "failed", "output": 1},
    ],
)
async def test_a_resolve_that_does_not_fit(api: Api, body: Any) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    assert (await api.call("POST", "/v1/executions/a/resolve", body)).status == 422


async def test_more_signals_than_are_kept_are_turned_away(api: Api) -> None:
    await api.put({"name": "late", "steps": [{"id": "w", "wait": "1h"}, {"id": "a", "signal": "go"}]})
    await api.start("late", id="x")
    told = await asyncio.gather(*(api.call("POST", "/v1/executions/x/signals/go", n) for n in range(1_001)))

    assert sorted(each.status for each in told) == [202] * 1_000 + [429], [each for each in told if each.status != 202]
    refused = next(each for each in told if each.status == 429)
    assert (refused.code, refused.headers["retry-after"]) == ("too_many_signals", "1")


async def test_too_much_at_once_is_turned_away_and_begins_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.put(SIGNAL)
    monkeypatch.setattr(traffic, "WRITES_MAX", 3)

    told = await asyncio.gather(
        *(api.call("POST", START, {"workflow": "approval", "input": {"city": n}}) for n in range(10))
    )

    refused = [each for each in told if each.status == 429]
    assert len(refused) == 7
    assert {(each.code, each.headers["retry-after"]) for each in refused} == {("too_busy", "1")}
    assert len((await api.call("GET", START)).json["executions"]) == 3
    assert api.server.traffic.writes == 0


async def test_a_mistake_of_ours_is_told_without_its_insides(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise ValueError("secret insides")

    monkeypatch.setattr(api.server.engine.observer, "executions", broken)

    reply = await api.call("GET", START)

    assert (reply.status, reply.code) == (500, "internal_error")
    assert b"secret" not in reply.body


async def test_a_web_socket_is_closed(api: Api) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await api.door({"type": "websocket"}, None, send)  # type: ignore[arg-type]

    assert sent == [{"type": "websocket.close", "code": 1000}]
