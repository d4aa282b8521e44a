"""What is sent, over which connection, and what happens when it cannot be sent."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from misbehaving import Misbehaving, Received, answer, hang, reset, then_close
from service_calls import invocation, send

from makegood.core.outcome import Reply
from makegood.errors import ConfigurationError
from makegood.ports import Slot
from makegood.services import Registry, ServiceConfig, tls

pytestmark = pytest.mark.anyio


@pytest.fixture
def refused() -> Iterator[str]:
    """An URL whose port refuses: bound, so that nobody else takes it, and not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def full() -> Iterator[str]:
    """An URL that takes no connection in: its queue is full and nobody accepts."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
            fillers.append(filler)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for filler in fillers:
            filler.close()


async def test_the_request_is_sent_exactly_so(registry: Registry, server: Misbehaving) -> None:
    registry.register("hotels", ServiceConfig(name="hotels", urls=(f"{server.url}/api/",), headers={"X-Team": "red"}))
    given = invocation(
        "hotels", "reserve", {"guest": "Ada", "note": "\u0000é"}, attempt=2, deadline_ms=4_102_444_800_007,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )  # fmt: skip

    await send(registry, given)

    request = server.received[0]
    assert (request.verb, request.path) == ("POST", "/api/reserve")
    assert request.json() == {"guest": "Ada", "note": "\u0000é"}
    assert dict(request.headers) == {
        "host": server.url.removeprefix("http://"),
        "content-type": "application/json",
        "content-length": str(len(request.body)),
        "user-agent": "makegood",
        "accept": "application/json",
        "accept-encoding": "identity",
        "x-team": "red",
        "idempotency-key": "01JX:ship[3]:do",
        "makegood-execution": "01JX",
        "makegood-step": "ship[3]",
        "makegood-attempt": "2",
        "makegood-deadline": "2100-01-01T00:00:00.007Z",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    assert len(request.headers) == len(dict(request.headers))


async def test_a_method_is_one_segment_of_the_path(registry: Registry, server: Misbehaving) -> None:
    registry.register("svc", server.url)

    await send(registry, invocation(method="a/../b?c d"))

    assert server.received[0].path == "/a%2F..%2Fb%3Fc%20d"


@pytest.mark.parametrize("method", ["", ".", ".."])
async def test_a_method_that_changes_the_path_is_refused(registry: Registry, server: Misbehaving, method: str) -> None:
    registry.register("svc", server.url)

    reply = await send(registry, invocation(method=method))

    assert (reply.outcome, reply.code) == ("rejected", "method_not_found")
    assert server.received == []


@pytest.mark.parametrize("what", ["key", "step", "execution_id", "traceparent"])
async def test_nothing_breaks_out_of_a_header(registry: Registry, server: Misbehaving, what: str) -> None:
    registry.register("svc", server.url)

    reply = await send(registry, invocation(**{what: "x\r\nEvil: 1"}))

    assert reply.outcome == "not_sent"
    assert server.connections == 0


async def test_a_forward_body_over_the_limit_is_not_sent(registry: Registry, server: Misbehaving) -> None:
    registry.register("svc", server.url)

    reply = await send(registry, invocation(body="x" * (2 * 1024 * 1024)))

    assert (reply.outcome, reply.code) == ("not_sent", "payload_too_large")
    assert server.connections == 0


async def test_an_undo_is_never_refused_for_its_size(registry: Registry, server: Misbehaving) -> None:
    registry.register("svc", server.url)
    body = "x" * (5 * 1024 * 1024)

    reply = await send(registry, invocation(body=body, undo=True))

    assert reply.outcome == "ok"
    assert len(server.received[0].body) == len(body) + 2


async def test_nothing_is_sent_once_the_deadline_has_passed(registry: Registry, server: Misbehaving) -> None:
    registry.register("svc", server.url)

    reply = await send(registry, invocation(timeout_ms=0))

    assert reply.outcome == "not_sent"
    assert server.connections == 0


async def test_nothing_is_sent_when_the_deadline_passes_while_connecting(server: Misbehaving) -> None:
    clock = iter([0, 0])
    registry = Registry(now_ms=lambda: next(clock, 10_000))
    registry.register("svc", server.url)

    reply = await send(registry, invocation(deadline_ms=5000))

    assert reply.outcome == "not_sent"
    assert server.received == []
    await registry.aclose()


async def test_a_connection_is_used_again(registry: Registry, server: Misbehaving) -> None:
    registry.register("svc", server.url)

    for _ in range(5):
        assert (await send(registry, invocation())).outcome == "ok"

    assert server.connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"1", headers={"Connection": "close"}),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
    ],
    ids=["close", "http10", "two-framings"],
)
async def test_a_connection_that_should_end_is_not_used_again(
    registry: Registry, server: Misbehaving, raw: bytes
) -> None:
    registry.register("svc", server.url)
    server.on("do", raw)

    replies = [await send(registry, invocation()) for _ in range(2)]

    assert [each.output for each in replies] == [1, 1]
    assert server.connections == 2


async def test_a_connection_closed_between_requests_is_noticed(registry: Registry, server: Misbehaving) -> None:
    registry.register("svc", server.url)
    await send(registry, invocation())

    await server.drop_connections()
    reply = await send(registry, invocation())

    assert reply.outcome == "ok"
    assert [each.connection for each in server.received] == [0, 1]


async def test_a_server_that_closes_after_every_answer_costs_no_request(
    registry: Registry, server: Misbehaving
) -> None:
    registry.register("svc", server.url)
    server.on("do", then_close(answer(b"1")))

    replies = [await send(registry, invocation(key=f"key{number}")) for number in range(200)]

    # Each key arrives once. Where the close met the next request the outcome is unknown, never ok twice.
    keys = [each.header("idempotency-key") for each in server.received]
    assert len(keys) == len(set(keys))
    assert {each.outcome for each in replies} <= {"ok", "unknown"}


async def test_a_refused_connection_is_not_sent(registry: Registry, refused: str) -> None:
    registry.register("svc", refused)

    reply = await send(registry, invocation())

    assert (reply.outcome, reply.code) == ("not_sent", "service_unavailable")


async def test_a_name_that_does_not_exist_is_not_sent(registry: Registry) -> None:
    registry.register("svc", "http://nowhere.invalid:81")

    reply = await send(registry, invocation())

    assert (reply.outcome, reply.code) == ("not_sent", "service_unavailable")
    assert "nowhere.invalid" in reply.message


async def test_a_connect_that_times_out_is_not_sent(registry: Registry, full: str) -> None:
    registry.register("svc", full)

    reply = await send(registry, invocation(timeout_ms=200))

    assert (reply.outcome, reply.code) == ("not_sent", "service_unavailable")


async def test_tls_that_fails_is_not_sent(registry: Registry) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        registry.register("svc", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        reply = await send(registry, invocation())

    assert (reply.outcome, reply.code) == ("not_sent", "service_unavailable")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {file}.key -out {file}"
    )
    subprocess.run(command.split(), check=True, capture_output=True, timeout=20)
    file.write_text(file.read_text() + Path(f"{file}.key").read_text())
    return file


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_spoken_with_who_can_prove_its_name(
    registry: Registry, certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls._system.cache_clear()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with Misbehaving(tls=context) as server:
        registry.register("svc", server.url)
        replies = [await send(registry, invocation()) for _ in range(3)]

        assert {each.outcome for each in replies} == {"ok" if trusted else "not_sent"}
        assert len(server.received) == (3 if trusted else 0)
        # The connection is used again, session tickets notwithstanding.
        assert {each.connection for each in server.received} == ({0} if trusted else set())
        await registry.aclose()
    tls._system.cache_clear()


async def test_tls_that_hangs_is_not_sent(registry: Registry, server: Misbehaving) -> None:
    registry.register("svc", server.url.replace("http:", "https:"))

    reply = await send(registry, invocation(timeout_ms=200))

    assert (reply.outcome, reply.code) == ("not_sent", "service_unavailable")


async def test_a_reset_on_accept_is_never_called_a_success(registry: Registry) -> None:
    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        registry.register("svc", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        outcomes = {(await send(registry, invocation())).outcome for _ in range(20)}

    assert outcomes <= {"unknown", "not_sent"}


async def test_urls_take_turns(registry: Registry, server: Misbehaving) -> None:
    async with Misbehaving() as other:
        registry.register("svc", ServiceConfig(name="svc", urls=(server.url, other.url)))
        for _ in range(4):
            await send(registry, invocation())

        assert (len(server.received), len(other.received)) == (2, 2)


async def test_an_url_that_refuses_is_passed_over_within_the_attempt(
    registry: Registry, server: Misbehaving, refused: str
) -> None:
    registry.register("svc", ServiceConfig(name="svc", urls=(refused, server.url)))

    outcomes = [(await send(registry, invocation())).outcome for _ in range(4)]

    assert outcomes == ["ok"] * 4


async def test_an_url_that_hangs_in_connecting_leaves_time_for_the_next(
    registry: Registry, server: Misbehaving, full: str
) -> None:
    registry.register("svc", ServiceConfig(name="svc", urls=(full, server.url)))

    reply = await send(registry, invocation(timeout_ms=400))

    assert reply.outcome == "ok"


async def test_only_a_failed_connect_goes_to_the_next_url(registry: Registry, server: Misbehaving) -> None:
    server.on("do", answer(b"", status="503 X"))
    async with Misbehaving() as other:
        registry.register("svc", ServiceConfig(name="svc", urls=(server.url, other.url)))

        reply = await send(registry, invocation())

        assert reply.code == "service_error"
        assert other.connections == 0


async def test_all_urls_refusing_is_not_sent(registry: Registry, refused: str) -> None:
    registry.register("svc", ServiceConfig(name="svc", urls=(refused, refused)))

    assert (await send(registry, invocation())).outcome == "not_sent"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_proxies_of_the_environment_are_ignored(
    registry: Registry, server: Misbehaving, refused: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, refused)
    registry.register("svc", server.url)

    assert (await send(registry, invocation())).outcome == "ok"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/",
        "http://100.100.100.200/", "http://2852039166/", "http://0xa9fea9fe/", "http://[64:ff9b::a9fe:a9fe]/",
    ],
)  # fmt: skip
async def test_metadata_addresses_are_refused(registry: Registry, url: str) -> None:
    registry.register("svc", url)

    reply = await send(registry, invocation(timeout_ms=1000))

    assert reply.outcome == "not_sent"
    assert "allow_link_local" in reply.message


async def test_a_cancelled_call_closes_its_connection_and_gives_its_place_back(
    registry: Registry, server: Misbehaving
) -> None:
    server.on("do", hang)
    registry.register("svc", server.url)
    assert registry.reserve("svc") is Slot.GRANTED
    call = asyncio.create_task(registry.invoke(invocation()))
    await server.until(lambda: len(server.received) == 1)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await server.until(lambda: server.lost == 1)
    assert registry.in_flight("svc") == 0


async def test_closing_abandons_open_calls(server: Misbehaving) -> None:
    registry = Registry()
    server.on("do", hang)
    registry.register("svc", server.url)
    assert registry.reserve("svc") is Slot.GRANTED
    call = asyncio.create_task(registry.invoke(invocation()))
    await server.until(lambda: len(server.received) == 1)

    await registry.aclose()

    assert (await call).code == "connection_reset"


async def test_removing_a_service_lets_its_open_calls_end(registry: Registry, server: Misbehaving) -> None:
    go = asyncio.Event()

    async def wait(_: Received, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(answer(b"1"))

    server.on("do", wait)
    registry.register("svc", server.url)
    assert registry.reserve("svc") is Slot.GRANTED
    call = asyncio.create_task(registry.invoke(invocation()))
    await server.until(lambda: len(server.received) == 1)

    registry.unregister("svc")
    go.set()

    assert (await call).output == 1
    assert registry.reserve("svc") is Slot.MISSING


async def secret_reply(registry: Registry, server: Misbehaving, reference: str) -> tuple[Reply, list[Any]]:
    registry.register("svc", ServiceConfig(name="svc", urls=(server.url,), headers={"Authorization": reference}))
    reply = await send(registry, invocation())
    return reply, [each.header("authorization") for each in server.received]


async def test_a_secret_is_read_from_the_environment(
    registry: Registry, server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTELS_TOKEN", "Bearer s3cret")

    _, seen = await secret_reply(registry, server, "env:HOTELS_TOKEN")

    assert seen == ["Bearer s3cret"]


async def test_a_secret_file_is_read_again_when_it_changes(
    registry: Registry, server: Misbehaving, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    await secret_reply(registry, server, f"file:{file}")
    file.write_text("second one\n")

    await send(registry, invocation())

    assert [each.header("authorization") for each in server.received] == ["first", "second one"]


@pytest.mark.parametrize("reference", ["env:MAKEGOOD_TEST_UNSET", "file:/nonexistent/token"])
async def test_a_missing_secret_is_named_and_nothing_is_sent(
    registry: Registry, server: Misbehaving, reference: str
) -> None:
    reply, seen = await secret_reply(registry, server, reference)

    assert (reply.outcome, seen) == ("not_sent", [])
    assert reference in reply.message


async def test_a_secret_with_a_line_break_is_refused_and_not_shown(
    registry: Registry, server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTELS_TOKEN", "s3cret\r\nEvil: 1")

    reply, seen = await secret_reply(registry, server, "env:HOTELS_TOKEN")

    assert (reply.outcome, seen) == ("not_sent", [])
    assert "s3cret" not in reply.message


def test_a_configuration_does_not_show_its_headers() -> None:
    config = ServiceConfig(name="svc", urls=("http://h",), headers={"Authorization": "s3cret"})

    assert "s3cret" not in repr(config)
    assert "'Authorization': '***'" in repr(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "S vc"}, "cannot be a service's name"),
        ({"name": "a.b"}, "no dot"),
        ({"name": "a" * 64}, "cannot be"),
        ({"urls": ("ftp://h",)}, "not an http"),
        ({"urls": ("h:80",)}, "not an http"),
        ({"urls": ("http://",)}, "not an http"),
        ({"urls": ("http://h:99999",)}, "cannot be read"),
        ({"urls": ("http://h/?a=b",)}, "query"),
        ({"urls": ("http://h/ x",)}, "printable"),
        ({"urls": ("http://h\r\nX: y",)}, "printable"),
        ({"headers": {"Host": "x"}}, "set by makegood"),
        ({"headers": {"idempotency-key": "x"}}, "set by makegood"),
        ({"headers": {"X y": "x"}}, "header's name"),
        ({"headers": {"X": "a\r\nb"}}, "cannot"),
        ({"max_concurrent": 0}, "at least 1"),
        ({"rate": 0}, "above 0"),
        ({"rate": float("nan")}, "above 0"),
        ({"rate": "2"}, "above 0"),
        ({"urls": ({"labels": {}},)}, "{url, labels}"),
        ({"urls": ({"url": "http://h", "zone": "x"},)}, "{url, labels}"),
        ({"urls": ({"url": "http://h", "labels": {"zone": 1}},)}, "label"),
        ({"urls": ({"url": "ftp://h"},)}, "not an http"),
        ({"timeout_ms": 0}, "at least 1"),
        ({"wait_ms": -1}, "at least 0"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        ServiceConfig(**({"name": "svc", "urls": ("http://h",)} | settings))


@pytest.mark.parametrize(
    "url", ["http://user:s3cret@h", {"url": "http://user:s3cret@h", "labels": {"a": 1}}], ids=["alone", "with labels"]
)
def test_credentials_in_an_url_are_refused_and_not_repeated(url: Any) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        ServiceConfig(name="svc", urls=(url,))

    assert "s3cret" not in str(refusal.value)
    assert "headers" in str(refusal.value)
