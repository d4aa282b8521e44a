"""Which addresses are connected to: what a name leads to is looked at once, and what was looked at is used."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time

import pytest
from misbehaving import Misbehaving, answer
from name_service import Names
from service_calls import invocation, send

from makegood.ports import Slot
from makegood.services import Registry
from makegood.services.addresses import resolve

pytestmark = pytest.mark.anyio

METADATA = "169.254.169.254"

REFUSED = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
    "::ffff:169.254.169.254",
    "::ffff:100.100.100.200",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "2001:0:102:304::5601:5601",
    "2001:db8::5efe:a9fe:a9fe",
    "2001:db8::200:5efe:a9fe:a9fe",
]
"""Link-local and metadata addresses, bare and in every form that leads to one through a gateway."""

WRITTEN = ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.16689662", "0xa9.254.0251.254", "169.254.43518"]
"""169.254.169.254 as `inet_aton` reads it."""

NAMES_OF_THIS_MACHINE = ["127.0.0.1", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("address", REFUSED)
async def test_a_name_that_leads_to_a_metadata_address_is_not_called(
    registry: Registry, names: Names, address: str
) -> None:
    names.answers["hotels.test"] = [address]
    registry.register("svc", "http://hotels.test:9/")

    reply = await send(registry, invocation())

    assert (reply.outcome, reply.code) == ("not_sent", "service_unavailable")
    assert reply.message.startswith("hotels.test leads to ")
    assert "link-local or metadata" in reply.message
    assert "allow_link_local" in reply.message


@pytest.mark.parametrize("address", [each for each in REFUSED if each.count(":") != 0])
async def test_a_literal_of_six_is_judged_like_a_name(registry: Registry, names: Names, address: str) -> None:
    registry.register("svc", f"http://[{address}]:9/")

    reply = await send(registry, invocation())

    assert reply.outcome == "not_sent"
    assert "allow_link_local" in reply.message
    assert names.asked == []


@pytest.mark.parametrize("host", [METADATA, *WRITTEN])
async def test_a_number_is_the_address_that_it_is_read_as(registry: Registry, names: Names, host: str) -> None:
    registry.register("svc", f"http://{host}:9/")

    reply = await send(registry, invocation())

    assert reply.outcome == "not_sent"
    assert f"{host} leads to {METADATA}" in reply.message
    assert names.asked == []


@pytest.mark.parametrize("other", ["127.0.0.1", "10.0.0.1", "2001:db8::1"])
async def test_one_forbidden_address_among_others_is_enough(
    registry: Registry, names: Names, server: Misbehaving, other: str
) -> None:
    names.answers["hotels.test"] = [other, METADATA]
    registry.register("svc", f"http://hotels.test:{server.port}/")

    reply = await send(registry, invocation())

    assert reply.outcome == "not_sent"
    assert server.connections == 0


@pytest.mark.parametrize("address", NAMES_OF_THIS_MACHINE)
async def test_loopback_may_be_called(registry: Registry, names: Names, server: Misbehaving, address: str) -> None:
    names.answers["hotels.test"] = [address]
    registry.register("svc", f"http://hotels.test:{server.port}")

    assert (await send(registry, invocation())).outcome == "ok"


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
async def test_loopback_as_a_number_may_be_called(registry: Registry, server: Misbehaving, host: str) -> None:
    registry.register("svc", f"http://{host}:{server.port}")

    assert (await send(registry, invocation())).outcome == "ok"


@pytest.fixture
def six() -> None:
    """This machine has IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("needs IPv6 on the loopback")


@pytest.mark.usefixtures("six")
@pytest.mark.parametrize("host", ["[::1]", "[::1%25lo]", "hotels.test"])
async def test_loopback_of_six_may_be_called(registry: Registry, names: Names, host: str) -> None:
    names.answers["hotels.test"] = ["::1"]
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(b"1", headers={"Connection": "close"}))
        writer.close()

    async with await asyncio.start_server(serve, "::1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        registry.register("svc", f"http://{host}:{port}")
        reply = await send(registry, invocation())

    assert (reply.outcome, reply.output) == ("ok", 1)
    assert f"Host: {host.replace('%25lo', '')}:{port}\r\n".encode() in seen[0]


async def test_what_was_looked_at_is_what_is_connected_to(
    registry: Registry, names: Names, server: Misbehaving
) -> None:
    # The name changes with every question: whoever asks twice for one connection meets the other answer.
    turns = itertools.cycle([["127.0.0.1"], [METADATA]])
    names.answers["hotels.test"] = lambda: next(turns)
    registry.register("svc", f"http://hotels.test:{server.port}")

    first = await send(registry, invocation())
    asked_for_first = list(names.asked)
    await server.drop_connections()
    second = await send(registry, invocation())

    assert first.outcome == "ok"
    assert asked_for_first == ["hotels.test"]
    assert second.outcome == "not_sent"
    assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_a_metadata_address_is_not_followed(
    registry: Registry, names: Names, server: Misbehaving, status: int
) -> None:
    server.on("do", answer(status=f"{status} Moved", headers={"Location": f"http://{METADATA}/latest"}))
    registry.register("svc", server.url)

    reply = await send(registry, invocation())

    assert (reply.outcome, reply.code, reply.status) == ("unknown", "invalid_reply", status)
    assert names.asked == []


@pytest.mark.parametrize("address", REFUSED)
async def test_link_local_is_an_address_where_it_is_allowed(names: Names, address: str) -> None:
    names.answers["hotels.test"] = [address]

    assert await resolve("hotels.test", 9, allow_link_local=True) == [address]


async def test_a_name_that_nobody_knows_is_not_sent(registry: Registry, names: Names) -> None:
    registry.register("svc", "http://hotels.test:9")

    reply = await send(registry, invocation())

    assert (reply.outcome, reply.code) == ("not_sent", "service_unavailable")
    assert "hotels.test cannot be resolved" in reply.message


async def test_a_name_that_is_not_answered_keeps_no_other_from_being_asked(
    registry: Registry, names: Names, server: Misbehaving
) -> None:
    go = threading.Event()

    def hang() -> list[str]:
        go.wait(20)
        return ["127.0.0.1"]

    names.answers |= {"dead.test": hang, "hotels.test": ["127.0.0.1"]}
    registry.register("dead", f"http://dead.test:{server.port}")
    registry.register("svc", f"http://hotels.test:{server.port}")
    for _ in range(50):
        assert registry.reserve("dead") is Slot.GRANTED
    waiting = [asyncio.create_task(registry.invoke(invocation("dead", timeout_ms=15_000))) for _ in range(49)]
    late = await registry.invoke(invocation("dead", timeout_ms=50))

    reply = await send(registry, invocation(timeout_ms=5000))
    go.set()
    others = await asyncio.gather(*waiting)

    assert (late.outcome, late.message) == ("not_sent", "the name dead.test was not resolved in time")
    assert reply.outcome == "ok"
    assert names.asked.count("dead.test") == 1
    assert {each.outcome for each in others} == {"ok"}


async def test_a_name_without_an_address_is_not_sent(registry: Registry, names: Names) -> None:
    names.answers["hotels.test"] = []
    registry.register("svc", "http://hotels.test:9")

    reply = await send(registry, invocation())

    assert reply.message == "cannot connect to hotels.test:9: no address"


async def test_the_next_address_serves_where_one_refuses(registry: Registry, names: Names, server: Misbehaving) -> None:
    # Nothing listens on 127.0.0.2 at this port; everything of 127/8 is this machine.
    names.answers["hotels.test"] = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    registry.register("svc", f"http://hotels.test:{server.port}")

    assert (await send(registry, invocation())).outcome == "ok"


async def test_the_next_address_serves_where_one_is_silent(registry: Registry, names: Names) -> None:
    # The queue of the first is full, so that a connection hangs; the second listens at the same port.
    with socket.socket() as silent:
        silent.bind(("127.0.0.2", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(("127.0.0.2", port))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"1", headers={"Connection": "close"}))
            writer.close()

        names.answers["hotels.test"] = ["127.0.0.2", "127.0.0.1"]
        async with await asyncio.start_server(serve, "127.0.0.1", port):
            registry.register("svc", f"http://hotels.test:{port}")
            begun = time.monotonic()
            reply = await send(registry, invocation(timeout_ms=20_000))
            took_s = time.monotonic() - begun
        for each in fillers:
            each.close()

    assert reply.outcome == "ok"
    assert took_s < 5, "half of the deadline was spent on the silent one"


async def test_every_address_that_failed_is_named(registry: Registry, names: Names, server: Misbehaving) -> None:
    names.answers["hotels.test"] = ["127.0.0.2", "127.0.0.3"]
    registry.register("svc", f"http://hotels.test:{server.port}")

    reply = await send(registry, invocation())

    assert reply.outcome == "not_sent"
    assert "127.0.0.2: " in reply.message
    assert "127.0.0.3: " in reply.message


async def test_families_take_turns(names: Names) -> None:
    names.answers["hotels.test"] = ["2001:db8::1", "2001:db8::2", "10.0.0.1", "10.0.0.2", "10.0.0.3"]

    found = await resolve("hotels.test", 9, allow_link_local=False)

    assert found == ["2001:db8::1", "10.0.0.1", "2001:db8::2", "10.0.0.2", "10.0.0.3"]
