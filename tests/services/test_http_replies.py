"""Every row of "Calling a service over HTTP", against a server that does it."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from misbehaving import (
    Behaviour,
    Misbehaving,
    answer,
    flood,
    flood_chunked,
    hang,
    then_close,
    then_reset,
    trickle,
)
from service_calls import invocation, send

from makegood.core.outcome import Reply
from makegood.services import Registry

pytestmark = pytest.mark.anyio


async def ask(
    registry: Registry, server: Misbehaving, behaviour: bytes | Behaviour, *, timeout_ms: int = 5000, **more: Any
) -> Reply:
    """What the registry makes of this behaviour; the request is sent exactly once."""
    server.on("do", behaviour)
    registry.register("svc", server.url)
    before = len(server.received)
    reply = await send(registry, invocation(timeout_ms=timeout_ms, **more))
    assert len(server.received) == before + 1
    return reply


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (b'{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        (b"", None),
        (b" \r\n", None),
        (b"null", None),
        (b'"\\u0000"', "\x00"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"[" * 200 + b"]" * 200, json.loads("[" * 200 + "]" * 200)),
    ],
)
async def test_success_with_json_or_nothing_is_ok(
    registry: Registry, server: Misbehaving, body: bytes, output: Any
) -> None:
    reply = await ask(registry, server, answer(body))

    assert (reply.outcome, reply.output, reply.status) == ("ok", output, 200)


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "299 Whatever"])
async def test_every_2xx_is_ok(registry: Registry, server: Misbehaving, status: str) -> None:
    reply = await ask(registry, server, answer(b"7", status=status))

    assert (reply.outcome, reply.output, reply.status) == ("ok", 7, int(status[:3]))


async def test_no_content_is_ok_without_a_length(registry: Registry, server: Misbehaving) -> None:
    reply = await ask(registry, server, b"HTTP/1.1 204 No Content\r\n\r\n")

    assert (reply.outcome, reply.output, reply.status) == ("ok", None, 204)


@pytest.mark.parametrize(("seconds", "poll_after_ms"), [("2", 2000), ("0.25", 250), ("0", 0)])
async def test_accepted_with_poll_after_is_ongoing(
    registry: Registry, server: Misbehaving, seconds: str, poll_after_ms: int
) -> None:
    reply = await ask(registry, server, answer(b"ignored", status="202 X", headers={"Makegood-Poll-After": seconds}))

    assert (reply.outcome, reply.poll_after_ms, reply.status) == ("ongoing", poll_after_ms, 202)


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "inf", ""])
async def test_poll_after_that_is_no_number_is_unreadable(
    registry: Registry, server: Misbehaving, seconds: str
) -> None:
    reply = await ask(registry, server, answer(b"", status="202 X", headers={"Makegood-Poll-After": seconds}))

    assert (reply.outcome, reply.code) == ("unknown", "invalid_reply")


async def test_rejection_keeps_what_the_service_said(registry: Registry, server: Misbehaving) -> None:
    body = {"error": {"code": "sold_out", "message": "no room", "details": {"left": 0}}}

    reply = await ask(registry, server, answer(json.dumps(body), status="409 Conflict"))

    assert reply == Reply("rejected", code="sold_out", message="no room", details={"left": 0}, status=409)


async def test_rejection_keeps_a_problem_document(registry: Registry, server: Misbehaving) -> None:
    problem = {"type": "https://x/y", "title": "Sold out", "status": 422, "detail": "no room in Rome", "rooms": 0}
    headers = {"Content-Type": "application/problem+json"}

    reply = await ask(registry, server, answer(json.dumps(problem), status="422 X", headers=headers))

    assert reply == Reply("rejected", code="http_422", message="no room in Rome", details=problem, status=422)


async def test_a_problem_document_may_name_its_code(registry: Registry, server: Misbehaving) -> None:
    reply = await ask(registry, server, answer('{"title": "Sold out", "code": "sold_out"}', status="422 X"))

    assert (reply.code, reply.message) == ("sold_out", "Sold out")


@pytest.mark.parametrize("body", [b"", b"<html>", b'"text"', b'{"error": {"code": 7}}', b'{"error": []}'])
async def test_rejection_without_a_code_is_named_after_its_status(
    registry: Registry, server: Misbehaving, body: bytes
) -> None:
    reply = await ask(registry, server, answer(body, status="404 Not Found"))

    assert (reply.outcome, reply.code, reply.status) == ("rejected", "http_404", 404)


@pytest.mark.parametrize("status", [400, 401, 403, 405, 410, 418, 499])
async def test_every_other_4xx_is_a_rejection(registry: Registry, server: Misbehaving, status: int) -> None:
    reply = await ask(registry, server, answer(b"", status=f"{status} X"))

    assert (reply.outcome, reply.code) == ("rejected", f"http_{status}")


@pytest.mark.parametrize("status", [408, 425, 429])
async def test_not_done_is_not_sent_and_says_when_to_come_again(
    registry: Registry, server: Misbehaving, status: int
) -> None:
    reply = await ask(registry, server, answer(b"", status=f"{status} X", headers={"Retry-After": "3"}))

    assert (reply.outcome, reply.code, reply.retry_after_ms) == ("not_sent", f"http_{status}", 3000)


async def test_retry_after_may_be_a_date(registry: Registry, server: Misbehaving) -> None:
    date = formatdate(time.time() + 60, usegmt=True)

    reply = await ask(registry, server, answer(b"", status="503 X", headers={"Retry-After": date}))

    assert reply.retry_after_ms is not None
    assert 50_000 < reply.retry_after_ms <= 60_000


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [("Sun, 06 Nov 1994 08:49:37 GMT", 0), ("soon", None), ("-5", None), ("999999999", 86_400_000)],
)
async def test_retry_after_is_bounded_and_nonsense_is_ignored(
    registry: Registry, server: Misbehaving, text: str, expected_ms: int | None
) -> None:
    reply = await ask(registry, server, answer(b"", status="429 X", headers={"Retry-After": text}))

    assert reply.retry_after_ms == expected_ms


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_5xx_is_unknown_but_answered(registry: Registry, server: Misbehaving, status: int) -> None:
    body = '{"error": {"code": "boom", "message": "it broke", "details": [1]}}'

    reply = await ask(registry, server, answer(body, status=f"{status} X", headers={"Retry-After": "1"}))

    assert reply == Reply(
        "unknown", code="service_error", message="it broke", details=[1], status=status, retry_after_ms=1000
    )


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_a_redirect_is_not_followed(registry: Registry, server: Misbehaving, status: int) -> None:
    headers = {"Location": f"{server.url}/elsewhere"}

    reply = await ask(registry, server, answer(b"", status=f"{status} X", headers=headers))

    assert (reply.outcome, reply.code, reply.status, reply.answered) == ("unknown", "invalid_reply", status, True)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"{} {}", b"nope", b"NaN", b"Infinity", b"1e400", b"-1e400", b'"\\ud800"', b'"a\\ud800b"',
        b'"\\udc00"', b'"\\ud800\\u0041"', b'"\xed\xa0\x80"', b'"\xff"', b'"\x00"', b"\xef\xbb\xbf1", b"01",
        b"[" * 201 + b"]" * 201, b"[" * 20_000 + b"]" * 20_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"a":' * 201 + b"1" + b"}" * 201, b"9" * 5000,
    ],
    ids=lambda body: repr(body[:16]),
)  # fmt: skip
async def test_json_that_cannot_be_kept_is_an_invalid_reply(
    registry: Registry, server: Misbehaving, body: bytes
) -> None:
    reply = await ask(registry, server, answer(body))

    assert (reply.outcome, reply.code, reply.status, reply.answered) == ("unknown", "invalid_reply", 200, True)


async def test_a_compressed_body_is_refused_unopened(registry: Registry, server: Misbehaving) -> None:
    reply = await ask(registry, server, answer(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}))

    assert (reply.outcome, reply.code) == ("unknown", "invalid_reply")
    assert server.received[0].header("accept-encoding") == "identity"


@pytest.mark.parametrize("behaviour", [flood, flood_chunked])
async def test_a_body_over_the_limit_is_cut_off(registry: Registry, server: Misbehaving, behaviour: Behaviour) -> None:
    reply = await ask(registry, server, behaviour)

    assert (reply.outcome, reply.code, reply.answered) == ("unknown", "reply_too_large", True)
    await server.until(lambda: server.lost == 1)


async def test_a_body_of_exactly_the_limit_is_read(registry: Registry, server: Misbehaving) -> None:
    text = b'"' + b"x" * (2 * 1024 * 1024 - 2) + b'"'

    reply = await ask(registry, server, answer(text))

    assert reply.outcome == "ok"
    assert len(reply.output) == len(text) - 2


@pytest.mark.parametrize(
    "behaviour",
    [
        hang,
        trickle(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000),
        trickle(b"1" * 1000, head=answer(b"", length=1000)),
        trickle(b"1\r\n2\r\n" * 1000, head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        trickle(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ],
    ids=["hang", "head", "body", "chunks", "interim"],
)
async def test_the_deadline_bounds_everything(registry: Registry, server: Misbehaving, behaviour: Behaviour) -> None:
    start = time.monotonic()

    reply = await ask(registry, server, behaviour, timeout_ms=200)

    assert (reply.outcome, reply.code, reply.answered) == ("unknown", "call_timeout", False)
    assert time.monotonic() - start < 1
    await server.until(lambda: server.lost == 1)


@pytest.mark.parametrize(
    "behaviour",
    [
        then_reset(b""),
        then_reset(b"HTTP/1.1 200 OK\r\n"),
        then_reset(answer(b"{}", length=100)),
        then_reset(b"HTTP/1.1 200 OK\r\n\r\n{}"),
        then_close(b""),
        then_close(b"HTTP/1.1 200 OK\r\nCont"),
        then_close(answer(b"{}", length=100)),
        then_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        then_close(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
async def test_a_connection_lost_after_sending_is_unknown(
    registry: Registry, server: Misbehaving, behaviour: Behaviour
) -> None:
    reply = await ask(registry, server, behaviour)

    assert (reply.outcome, reply.code, reply.answered) == ("unknown", "connection_reset", False)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100,
    ],
    ids=lambda raw: repr(raw[:40]),
)
async def test_what_is_not_http_is_an_invalid_reply(registry: Registry, server: Misbehaving, raw: bytes) -> None:
    reply = await ask(registry, server, raw)

    assert (reply.outcome, reply.code, reply.answered) == ("unknown", "invalid_reply", True)


@pytest.mark.parametrize(
    "behaviour",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(b'{"a":1}'),
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n4\r\n":1}\r\n0\r\nTrailer: x\r\n\r\n',
        then_close(b'HTTP/1.1 200 OK\r\n\r\n{"a":1}'),
        then_close(b'HTTP/1.0 200 OK\r\n\r\n{"a":1}'),
        b'HTTP/1.1 200 OK\nContent-Length: 7\n\n{"a":1}',
        b'HTTP/1.1 200\r\nContent-Length: 7, 7\r\n\r\n{"a":1}',
        trickle(answer(b'{"a":1}'), every_s=0.001),
        trickle(
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n', every_s=0.001
        ),
    ],
    ids=["interim", "chunked", "to-end", "http10", "lf", "repeated-length", "byte-by-byte", "chunks-byte-by-byte"],
)
async def test_unusual_but_valid_http_is_understood(
    registry: Registry, server: Misbehaving, behaviour: bytes | Behaviour
) -> None:
    reply = await ask(registry, server, behaviour)

    assert (reply.outcome, reply.output) == ("ok", {"a": 1})


async def test_more_than_the_stated_length_is_not_read_as_the_next_answer(
    registry: Registry, server: Misbehaving
) -> None:
    reply = await ask(registry, server, answer(b"1HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n9", length=1))
    again = await ask(registry, server, answer(b"2"))

    assert (reply.output, again.output) == (1, 2)
    assert [each.connection for each in server.received] == [0, 1]
