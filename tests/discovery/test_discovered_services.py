"""Services that are discovered, called: by a registry, and by an engine whose steps wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import dns.rcode
import pytest
from clockwork import Naps
from dns_server import DnsServer
from tests.recording_service import RecordingService

from makegood.core.outcome import Reply
from makegood.engine.client import Engine
from makegood.errors import ConfigurationError, DefinitionError, ExecutionEnded
from makegood.language import load
from makegood.ports import Invocation, Slot
from makegood.services import Registry, ServiceConfig
from makegood.services.discovery import Settings
from makegood.services.discovery.dns import Dns

pytestmark = pytest.mark.anyio


@pytest.fixture
def hotels() -> Iterator[RecordingService]:
    """A service on the loopback."""
    with RecordingService() as running:
        yield running


class Told:
    """Who is told that a service may be asked again."""

    def __init__(self, registry: Registry) -> None:
        self._news = asyncio.Event()
        registry.on_free = lambda _: self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def registry(dns_server: DnsServer, naps: Naps) -> AsyncIterator[Registry]:
    """A registry that finds services in the DNS, by `discover` and below services.example."""
    settings = Settings(dns_server=dns_server.address, domain="services.example")
    made = Registry(discovery=Dns(settings, sleep=naps.sleep, answer_s_max=0.5))
    yield made
    await made.aclose()


def port(service: RecordingService) -> str:
    return service.url.rsplit(":", 1)[1]


async def called(registry: Registry, service: str) -> Reply:
    """Send one request under a place that is held."""
    import time

    deadline_ms = time.time_ns() // 1_000_000 + 5_000
    return await registry.invoke(
        Invocation(
            execution_id="01JX", workflow="trip", step="hotel", service=service, method="reserve", body=None,
            key="01JX:hotel:do", attempt=1, deadline_ms=deadline_ms,
        )
    )  # fmt: skip


async def test_a_service_is_called_where_it_was_found(
    registry: Registry, dns_server: DnsServer, hotels: RecordingService
) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", f"0 0 {port(hotels)} one.example.")
    dns_server.put("one.example", "A", "127.0.0.1")
    told = Told(registry)

    registry.register("hotels", ServiceConfig(name="hotels", discover="_http._tcp.hotels.example"))
    before = registry.reserve("hotels")
    registry.begin()
    await told.until(lambda: registry.reserve("hotels") is Slot.GRANTED)
    reply = await called(registry, "hotels")

    assert before is Slot.UNWELL
    assert reply.outcome == "ok"
    (standing,) = registry.pool("hotels").standing()
    assert (standing.url, standing.source) == (f"http://127.0.0.1:{port(hotels)}", "discovery")
    found = registry.discovery("hotels")
    assert found is not None
    assert found.state == "found"


async def test_a_service_is_asked_by_the_name_that_it_was_found_under(
    registry: Registry, dns_server: DnsServer
) -> None:
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        number = server.sockets[0].getsockname()[1]
        dns_server.put("hotels.example", "A", "127.0.0.1")
        told = Told(registry)
        url = f"http://hotels.example:{number}/api"
        registry.register("hotels", ServiceConfig(name="hotels", urls=(url,), discover="hotels.example"))
        registry.begin()
        await told.until(lambda: registry.reserve("hotels") is Slot.GRANTED)
        await called(registry, "hotels")

    assert heads[0].startswith("POST /api/reserve HTTP/1.1\r\n")
    assert f"Host: hotels.example:{number}\r\n" in heads[0]


async def test_a_service_that_nobody_registered_is_found_by_its_name(registry: Registry, dns_server: DnsServer) -> None:
    dns_server.put("hotels.services.example", "A", "127.0.0.1")
    told = Told(registry)

    assert registry.offers("hotels")
    assert registry.offered() is None
    assert not registry.knows("hotels")
    await told.until(lambda: registry.reserve("hotels") is Slot.GRANTED)
    registry.release("hotels")

    assert [each.url for each in registry.pool("hotels").endpoints()] == ["http://127.0.0.1"]


async def test_a_name_that_leads_to_nothing_is_missing_and_not_asked_for_again_at_once(
    registry: Registry, dns_server: DnsServer
) -> None:
    told = Told(registry)

    first = registry.reserve("hotelz")
    await told.until(lambda: registry.reserve("hotelz") is Slot.MISSING)
    asked = len(dns_server.asked)

    assert first is Slot.UNWELL
    assert [registry.reserve("hotelz") for _ in range(3)] == [Slot.MISSING] * 3
    assert len(dns_server.asked) == asked
    assert list(registry.names()) == []


async def test_a_name_that_cannot_be_asked_for_is_missing_at_once(registry: Registry) -> None:
    assert registry.reserve("_hotels") is Slot.MISSING
    assert not registry.offers("_hotels")


async def test_while_discovery_is_out_of_reach_a_name_may_still_be_found(
    registry: Registry, dns_server: DnsServer, naps: Naps
) -> None:
    dns_server.refuses = dns.rcode.SERVFAIL
    told = Told(registry)

    first = registry.reserve("hotels")
    await dns_server.until(lambda: len(dns_server.asked) == 2)
    second = registry.reserve("hotels")
    await told.until(lambda: True)

    assert (first, second) == (Slot.UNWELL, Slot.UNWELL)


async def test_what_was_found_is_called_while_discovery_is_out_of_reach_and_says_since_when(
    dns_server: DnsServer, hotels: RecordingService
) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", f"0 0 {port(hotels)} one.example.")
    dns_server.put("one.example", "A", "127.0.0.1")
    settings = Settings(dns_server=dns_server.address, ttl_seconds_min=0.01, ttl_seconds_max=0.02)
    registry = Registry(discovery=Dns(settings))
    told = Told(registry)
    registry.register("hotels", ServiceConfig(name="hotels", discover="_http._tcp.hotels.example"))
    registry.begin()
    await told.until(lambda: registry.reserve("hotels") is Slot.GRANTED)

    dns_server.refuses = dns.rcode.SERVFAIL
    asked = len(dns_server.asked)
    await dns_server.until(lambda: len(dns_server.asked) > asked)
    while (standing := registry.discovery("hotels")) is not None and standing.state == "found":
        await asyncio.sleep(0)
    reply = await called(registry, "hotels")
    await registry.aclose()

    assert reply.outcome == "ok"
    assert standing is not None
    assert (standing.state, "SERVFAIL" in standing.reason) == ("unreachable", True)
    assert standing.answered_ms is not None


async def test_the_least_priority_is_called_and_the_next_one_while_it_is_unwell(
    registry: Registry, dns_server: DnsServer
) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", "10 0 9001 one.example.", "20 0 9002 one.example.")
    dns_server.put("one.example", "A", "127.0.0.1")
    told = Told(registry)
    registry.register("hotels", ServiceConfig(name="hotels", discover="_http._tcp.hotels.example"))
    registry.begin()
    registry.reserve("hotels")
    await told.until(lambda: len(registry.pool("hotels")) == 2)
    pool = registry.pool("hotels")

    def chosen() -> str | None:
        assert pool.hold(pool.ticks_s())
        with pool.visit() as visit:
            return visit.go()

    first = {chosen() for _ in range(10)}
    pool.heard("http://127.0.0.1:9001", False, "503", 1)
    second = {chosen() for _ in range(10)}

    assert (first, second) == ({"http://127.0.0.1:9001"}, {"http://127.0.0.1:9002"})


def test_what_cannot_be_discovered_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a registry that discovers"):
        Registry().register("hotels", ServiceConfig(name="hotels", discover="hotels.example"))


async def test_an_url_put_instead_ends_the_discovery(registry: Registry, dns_server: DnsServer) -> None:
    dns_server.put("hotels.example", "A", "127.0.0.1")
    told = Told(registry)
    registry.register("hotels", ServiceConfig(name="hotels", discover="hotels.example"))
    registry.begin()
    registry.reserve("hotels")
    await told.until(lambda: len(registry.pool("hotels")) == 1)

    registry.register("hotels", "http://127.0.0.2:80")

    assert [each.url for each in registry.pool("hotels").endpoints()] == ["http://127.0.0.2:80"]
    assert registry.discovery("hotels") is None


# --- an engine ---

TRIP = """
name: trip
steps:
  - {id: hotel, call: hotels.reserve, read_only: true, input: {nights: 2}}
"""


def definition() -> Any:
    return load(TRIP, services=frozenset(), services_discoverable=True)


async def test_a_step_calls_a_service_that_only_discovery_knows(
    registry: Registry, dns_server: DnsServer, hotels: RecordingService
) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", f"0 0 {port(hotels)} one.example.")
    dns_server.put("one.example", "A", "127.0.0.1")
    registry.register("hotels", ServiceConfig(name="hotels", discover="_http._tcp.hotels.example"))

    async with Engine(":memory:", registry=registry) as engine:
        await engine.put(definition().definition)
        execution = await engine.start("trip")
        async with asyncio.timeout(20):
            result = await execution.result()

    assert result == {"done": "reserve"}
    assert hotels.methods == ["reserve"]


async def test_a_step_whose_service_discovery_does_not_know_fails_and_is_not_skipped(
    registry: Registry, dns_server: DnsServer
) -> None:
    async with Engine(":memory:", registry=registry) as engine:
        loaded = definition()
        await engine.put(loaded.definition)
        execution = await engine.start("trip")
        async with asyncio.timeout(20):
            with pytest.raises(ExecutionEnded, match="hotels") as ended:
                await execution.result()

    assert [each.code for each in loaded.warnings] == ["unknown_service"]
    assert ended.value.error is not None
    assert (ended.value.error["code"], ended.value.error["step"]) == ("service_not_found", "hotel")


async def test_without_discovery_an_unknown_service_is_a_mistake() -> None:
    async with Engine(":memory:", registry=Registry()) as engine:
        with pytest.raises(DefinitionError, match="'hotels' is not registered"):
            await engine.put(definition().definition)
