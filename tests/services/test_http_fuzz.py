"""Whatever a server answers, a call ends in a reply, in time, and its place is given back."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from misbehaving import Misbehaving, Received, answer, reset
from service_calls import invocation

from makegood.core.outcome import Outcome
from makegood.ports import Slot
from makegood.services import Registry, ServiceConfig
from makegood.services.circuit import Policy

pytestmark = pytest.mark.anyio

ANSWERS = 200
TIMEOUT_MS = 300
SLACK_S = 2.0
"""Of a busy machine, beyond the deadline."""

STATUSES = [
    "200 OK",
    "202 OK",
    "204 No",
    "302 Found",
    "304 No",
    "404 No",
    "429 No",
    "503 No",
    "999 No",
    "100 Go",
    "101 Up",
]
HEADERS = [
    "Content-Length: 5", "Content-Length: 0", "Content-Length: -1", "Content-Length: 99999999999",
    "Content-Length: 5, 6",
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked", "Connection: close",
    "Content-Encoding: gzip", "Makegood-Poll-After: x", "Makegood-Poll-After: 1", "Retry-After: \u00ff",
    "Retry-After: Fri, 31 Dec 99999 00:00:00 GMT", " folded", "no colon", ": nameless", "X: \x00",
    "Location: http://169.254.169.254/",
]  # fmt: skip
PIECES = [
    b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n",
    b"ffffffffffff\r\n", b"-1\r\n", b"5;ext=1\r\nhello\r\n",
    b"5\r\nhelloX", b"\r\n", b"\n", b"null", b"[" * 300, b'"\xff"', b'{"a":1e999}', b"{", b"1" * 5000, b"\x00" * 10,
]  # fmt: skip


def garbage(chance: random.Random) -> bytes:
    """An answer that is nearly HTTP, or not at all."""
    if chance.random() < 0.2:
        body = chance.choice([b"null", b'{"a":1}', b"<html>"])
        return answer(body, status=chance.choice(["200 OK", "404 No", "503 No"]))
    if chance.random() < 0.2:
        return chance.randbytes(chance.choice([0, 1, 7, 100, 70_000]))
    head = [f"HTTP/1.{chance.choice('01129')} {chance.choice(STATUSES)}"]
    head += chance.sample(HEADERS, chance.randrange(3))
    ending = chance.choice(["\r\n", "\r\n", "\n", "\r"])
    raw = (ending.join(head) + ending * 2).encode("latin-1")
    raw += b"".join(chance.choice(PIECES) for _ in range(chance.randrange(5)))
    for _ in range(chance.choice([0, 0, 1, 3])):
        at = chance.randrange(len(raw))
        raw = raw[:at] + chance.randbytes(1) + raw[at + 1 :]
    return raw


@pytest.mark.parametrize("seed", range(3))
async def test_every_answer_is_some_reply_in_time(server: Misbehaving, seed: int) -> None:
    chance = random.Random(seed)

    async def answer_somehow(_: Received, writer: asyncio.StreamWriter) -> None:
        raw = garbage(chance)
        for _piece in range(chance.choice([1, 1, 3])):
            cut = chance.randrange(len(raw) + 1)
            writer.write(raw[:cut])
            await writer.drain()
            raw = raw[cut:]
        writer.write(raw)
        end = chance.choice([writer.close, lambda: reset(writer), None])
        if end is None:
            await asyncio.Event().wait()
        else:
            end()

    # Its circuit would open at once, and rightly so.
    registry = Registry(policy=Policy(calls_least=10**9))
    methods = {"do": {}, "mapped": {"output": {"a": "${reply.body.a}"}, "outcomes": {"404": "ok", "302": "ongoing"}}}
    server.on("do", answer_somehow)
    server.on("mapped", answer_somehow)
    registry.register("svc", ServiceConfig(name="svc", urls=(server.url,), methods=methods, max_concurrent=8))
    seen: set[Outcome] = set()
    slowest_s = 0.0

    async def call_often() -> None:
        nonlocal slowest_s
        for _ in range(ANSWERS // 8):
            assert registry.reserve("svc") is Slot.GRANTED
            begun = time.monotonic()
            reply = await registry.invoke(
                invocation(method=chance.choice(["do", "mapped"]), body={}, timeout_ms=TIMEOUT_MS)
            )
            slowest_s = max(slowest_s, time.monotonic() - begun)
            seen.add(reply.outcome)
            assert "internal error" not in reply.message
            assert (reply.code == "") == (reply.outcome in ("ok", "ongoing"))

    await asyncio.gather(*(call_often() for _ in range(8)))
    await registry.aclose()

    assert registry.in_flight("svc") == 0
    assert slowest_s < TIMEOUT_MS / 1000 + SLACK_S
    assert {"ok", "unknown", "rejected"} <= seen
