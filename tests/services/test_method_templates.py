"""Methods with a template: which request a call becomes, and what its answer means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from misbehaving import Misbehaving, answer
from service_calls import invocation, send

from makegood.core.outcome import Reply
from makegood.errors import ConfigurationError
from makegood.services import Registry, ServiceConfig

pytestmark = pytest.mark.anyio

INPUT = {
    "room": "12a",
    "guest": {"name": "Ada Lovelace", "age": 36},
    "tags": ["red", "ü"],
    "nights": 3,
    "rate": 1.5,
    "late": True,
    "none": None,
    "empty": "",
    "no_tags": [],
}


async def called(
    registry: Registry, server: Misbehaving, method: dict[str, Any], body: Any = INPUT, **more: Any
) -> Reply:
    registry.register("svc", ServiceConfig(name="svc", urls=(f"{server.url}/api",), methods={"do": method}))
    return await send(registry, invocation(body=body, **more))


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/rooms/{input.room}", "/api/rooms/12a"),
        ("/guests/{input.guest.name}/rooms/{input.room}:book", "/api/guests/Ada%20Lovelace/rooms/12a:book"),
        ("/{input.tags.1}/", "/api/%C3%BC/"),
        ("/nights-{input.nights}/{input.rate}/{input.late}", "/api/nights-3/1.5/true"),
        ("/by/{key}/{execution}", "/api/by/01JX%3Aship%5B3%5D%3Ado/01JX"),
        ("/{workflow}/{step}/{attempt}", "/api/trip/ship%5B3%5D/1"),
        ("/a%20b", "/api/a%20b"),
        ("/", "/api/"),
    ],
)  # fmt: skip
async def test_a_path_is_filled_in(registry: Registry, server: Misbehaving, path: str, sent: str) -> None:
    reply = await called(registry, server, {"path": path})

    assert reply.outcome == "ok"
    assert server.received[0].path == sent


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("../../admin", "..%2F..%2Fadmin"),
        ("a/b", "a%2Fb"),
        ("a?b=c&d#e", "a%3Fb%3Dc%26d%23e"),
        ("%2e%2e", "%252e%252e"),
        ("...", "..."),
        ("x HTTP/1.1\r\nEvil: 1\r\n\r\n", "x%20HTTP%2F1.1%0D%0AEvil%3A%201%0D%0A%0D%0A"),
        ("\x00", "%00"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
        ("{key}", "%7Bkey%7D"),
    ],
)
async def test_what_is_filled_in_stays_in_its_segment(
    registry: Registry, server: Misbehaving, value: str, segment: str
) -> None:
    await called(registry, server, {"path": "/rooms/{input.room}/book"}, {"room": value})

    assert server.received[0].path == f"/api/rooms/{segment}/book"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"room": ".."}, "input.room"),
        ({"room": "."}, "input.room"),
        ({"room": ""}, "input.room is empty"),
        ({"room": None}, "input.room is null"),
        ({}, "input.room is missing"),
        (None, "input.room is missing"),
        ("text", "input.room is missing"),
        ({"room": ["a"]}, "input.room must be a text, a number"),
        ({"room": {"a": 1}}, "input.room must be a text, a number"),
        ({"room": "x" * 9_000}, "more than 8,000"),
        ({"room": "\ud800"}, "surrogate"),
    ],
)
async def test_what_would_leave_the_path_is_refused_and_nothing_is_sent(
    registry: Registry, server: Misbehaving, given: Any, said: str
) -> None:
    reply = await called(registry, server, {"path": "/rooms/{input.room}/book"}, given)

    assert (reply.outcome, reply.code, reply.status) == ("rejected", "invalid_request", None)
    assert said in reply.message
    assert server.connections == 0


async def test_a_segment_climbs_by_no_combination(registry: Registry, server: Misbehaving) -> None:
    reply = await called(registry, server, {"path": "/{input.a}{input.a}/x"}, {"a": "."})

    assert (reply.outcome, server.connections) == ("rejected", 0)


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ({"nights": "{input.nights}", "late": "{input.late}"}, "?nights=3&late=true"),
        ({"q": "{input.guest.name} & co"}, "?q=Ada%20Lovelace%20%26%20co"),
        ({"tag": "{input.tags}"}, "?tag=red&tag=%C3%BC"),
        ({"a b": "x"}, "?a%20b=x"),
        ({"none": "{input.none}", "gone": "{input.gone}", "no": "{input.no_tags}"}, ""),
        ({"empty": "{input.empty}"}, "?empty="),
        ({"brace": "{{{input.room}}}"}, "?brace=%7B12a%7D"),
    ],
)
async def test_a_query_is_filled_in(registry: Registry, server: Misbehaving, query: dict[str, str], sent: str) -> None:
    await called(registry, server, {"path": "/rooms", "query": query})

    assert server.received[0].path == f"/api/rooms{sent}"


@pytest.mark.parametrize("text", ["{input.guest}", "a {input.none}", "a {input.gone}", "{input.nested}"])
async def test_a_query_that_cannot_be_filled_is_refused(registry: Registry, server: Misbehaving, text: str) -> None:
    given = INPUT | {"nested": [["a"]]}

    reply = await called(registry, server, {"path": "/rooms", "query": {"q": text}}, given)

    assert (reply.outcome, reply.code, server.connections) == ("rejected", "invalid_request", 0)


@pytest.mark.parametrize(
    ("method", "verb", "body", "length"),
    [
        ({}, "POST", INPUT, True),
        ({"verb": "PUT"}, "PUT", INPUT, True),
        ({"verb": "PATCH"}, "PATCH", INPUT, True),
        ({"verb": "GET"}, "GET", None, False),
        ({"verb": "DELETE"}, "DELETE", None, False),
        ({"verb": "DELETE", "body": True}, "DELETE", INPUT, True),
        ({"verb": "PUT", "body": False}, "PUT", None, True),
        ({"body": "${input.guest}"}, "POST", INPUT["guest"], True),
        ({"body": {"who": "${input.guest.name}", "n": 1, "key": "${key}"}}, "POST",
         {"who": "Ada Lovelace", "n": 1, "key": "01JX:ship[3]:do"}, True),
        ({"body": {"sum": "${input.nights + 1}", "for": "for ${input.room}"}}, "POST",
         {"sum": 4, "for": "for 12a"}, True),
    ],
)  # fmt: skip
async def test_verb_and_body(
    registry: Registry, server: Misbehaving, method: dict[str, Any], verb: str, body: Any, length: bool
) -> None:
    await called(registry, server, method)

    request = server.received[0]
    assert request.verb == verb
    assert request.path == "/api/do"
    assert (json.loads(request.body) if request.body else None) == body
    assert (request.header("content-length") is not None) == length
    assert (request.header("content-type") is not None) == (body is not None)
    assert request.header("idempotency-key") == "01JX:ship[3]:do"


async def test_a_body_that_cannot_be_made_is_refused_and_nothing_is_sent(
    registry: Registry, server: Misbehaving
) -> None:
    reply = await called(registry, server, {"body": {"who": "${input.guest.nmae}"}})

    assert (reply.outcome, reply.code, server.connections) == ("rejected", "invalid_request", 0)
    assert "name" in reply.message


async def test_a_body_is_bounded(registry: Registry, server: Misbehaving) -> None:
    big = {"big": "x" * (1024 * 1024)}

    reply = await called(registry, server, {"body": ["${input.big}"] * 3}, big)
    undo = await called(registry, server, {"body": ["${input.big}"] * 3}, big, undo=True)

    assert (reply.outcome, reply.code) == ("not_sent", "payload_too_large")
    assert undo.outcome == "ok"


@pytest.mark.parametrize(
    ("output", "raw", "expected"),
    [
        ("${reply.body.booking}", answer(b'{"booking": {"id": 7}}'), {"id": 7}),
        ({"id": "${reply.body.id}", "room": "${input.room}"}, answer(b'{"id": 7}'), {"id": 7, "room": "12a"}),
        ("${reply.headers.location}", answer(b"", headers={"Location": "/b/7"}), "/b/7"),
        ("${reply.status}", answer(b"<html>", status="201 Created"), 201),
        ({}, answer(b"not JSON"), {}),
        ("${reply.body}", answer(b""), None),
        ("${reply.status == 204}", b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
async def test_an_output_is_mapped(
    registry: Registry, server: Misbehaving, output: Any, raw: bytes, expected: Any
) -> None:
    server.on("do", raw)

    reply = await called(registry, server, {"output": output})

    assert (reply.outcome, reply.output) == ("ok", expected)


@pytest.mark.parametrize(
    ("output", "raw"),
    [
        ("${reply.body.booking}", answer(b'{"bokking": 1}')),
        ("${reply.body}", answer(b"not JSON")),
        ("${reply.headers.location}", answer(b"1")),
        (["${reply.body}"] * 9, answer(b'"' + b"x" * 1_000_000 + b'"')),
    ],
)  # fmt: skip
async def test_an_output_that_cannot_be_mapped_leaves_the_call_unknown(
    registry: Registry, server: Misbehaving, output: Any, raw: bytes
) -> None:
    server.on("do", raw)

    reply = await called(registry, server, {"output": output})

    assert (reply.outcome, reply.code, reply.answered) == ("unknown", "invalid_reply", True)


@pytest.mark.parametrize(
    ("outcomes", "raw", "outcome", "code"),
    [
        ({"409": "ok"}, answer(b'{"id": 1}', status="409 Conflict"), "ok", ""),
        ({"409": "ok"}, answer(b"<html>", status="409 Conflict"), "ok", ""),
        ({"404": "unknown"}, answer(b"", status="404 Not Found"), "unknown", "service_error"),
        ({"503": "not_sent"}, answer(b"", status="503 Busy"), "not_sent", "http_503"),
        ({"500": "rejected"}, answer(b'{"error": {"code": "full"}}', status="500 No"), "rejected", "full"),
        ({"303": "ok"}, answer(b"", status="303 See Other", headers={"Location": "/x"}), "ok", ""),
        ({"200": "rejected"}, answer(b'{"code": "no"}'), "rejected", "no"),
        ({"202": "ok"}, answer(b"1", status="202 OK", headers={"Makegood-Poll-After": "1"}), "ok", ""),
        ({"404": "ok"}, answer(b"", status="409 Conflict"), "rejected", "http_409"),
    ],
)
async def test_a_status_means_what_the_configuration_says(
    registry: Registry, server: Misbehaving, outcomes: dict[str, str], raw: bytes, outcome: str, code: str
) -> None:
    server.on("do", raw)

    reply = await called(registry, server, {"outcomes": outcomes})

    assert (reply.outcome, reply.code) == (outcome, code)


@pytest.mark.parametrize(
    ("headers", "after_ms"),
    [({}, 1000), ({"Retry-After": "7"}, 7000), ({"Makegood-Poll-After": "0.5", "Retry-After": "7"}, 500)],
)
async def test_a_status_may_mean_that_it_goes_on(
    registry: Registry, server: Misbehaving, headers: dict[str, str], after_ms: int
) -> None:
    server.on("do", answer(b"{}", status="202 Accepted", headers=headers))

    reply = await called(registry, server, {"outcomes": {"202": "ongoing"}})

    assert (reply.outcome, reply.poll_after_ms) == ("ongoing", after_ms)


async def test_methods_without_a_template_are_sent_as_ever(registry: Registry, server: Misbehaving) -> None:
    await called(registry, server, {"verb": "PUT"})

    await send(registry, invocation(method="other", body=1))

    assert [(each.verb, each.path) for each in server.received] == [("PUT", "/api/do"), ("POST", "/api/other")]


@pytest.mark.parametrize(
    ("method", "said", "at"),
    [
        ({"verbs": "PUT"}, "no key 'verbs'. Did you mean 'verb'?", "verbs"),
        ({"verb": "put"}, "Did you mean 'PUT'?", "verb"),
        ({"verb": "HEAD"}, "is no verb", "verb"),
        ({"verb": ["GET"]}, "is no verb", "verb"),
        ({"path": "rooms"}, "begins with /", "path"),
        ({"path": 1}, "must be a text", "path"),
        ({"path": "/rooms?x=1"}, "query", "path"),
        ({"path": "/rooms/../x"}, ". or ..", "path"),
        ({"path": "/rooms/%2e%2E/x"}, ". or ..", "path"),
        ({"path": "/a//b"}, "empty segment", "path"),
        ({"path": "/a b"}, "%XX", "path"),
        ({"path": "/é"}, "%XX", "path"),
        ({"path": "/a\r\nb"}, "printed", "path"),
        ({"path": "/{input.room"}, "no partner", "path"),
        ({"path": "/{inptu.room}"}, "Did you mean 'input'?", "path"),
        ({"path": "/{input.room + 1}"}, "no placeholder", "path"),
        ({"path": "/{}"}, "no placeholder", "path"),
        ({"path": "/${input.room}"}, "without $", "path"),
        ({"path": "/{key.x}"}, "is a text", "path"),
        ({"query": {"a": 1}}, "table of texts", "query"),
        ({"query": {"a": "{x}"}}, "there is no 'x'", "query"),
        ({"body": "${inptu.room}"}, "input", "body"),
        ({"body": {"a": ["${input."]}}, "/a/0", "body"),
        ({"output": "${reply.body"}, "never closed", "output"),
        ({"output": "${rpely.body}"}, "reply", "output"),
        ({"body": "${reply.body}"}, "reply", "body"),
        ({"outcomes": {"409": "okay"}}, "Did you mean 'ok'?", "outcomes"),
        ({"outcomes": {"99": "ok"}}, "no status", "outcomes"),
        ({"outcomes": {"4xx": "ok"}}, "no status", "outcomes"),
        ({"outcomes": "ok"}, "table", "outcomes"),
    ],
)
def test_a_template_that_cannot_work_is_refused(method: dict[str, Any], said: str, at: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        ServiceConfig(name="svc", urls=("http://h",), methods={"do": method})

    assert said in str(refusal.value)
    assert "'svc'" in str(refusal.value)
    assert refusal.value.at == ("methods", "do", at)
