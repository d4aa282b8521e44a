"""Calls over several endpoints that die, return, hang and lie, on the loopback."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from misbehaving import Misbehaving, answer, hang
from service_calls import invocation, send

from makegood.ports import Slot
from makegood.services import Registry, ServiceConfig
from makegood.services.circuit import Policy
from makegood.services.endpoint import Endpoint

pytestmark = pytest.mark.anyio

QUICK = Policy(rest_s_min=0.05, rest_s_max=0.2)
"""Probes come soon, so that a test need not wait long."""


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry(policy=QUICK, zone="here")
    yield made
    await made.aclose()


@pytest.fixture
async def three() -> AsyncIterator[list[Misbehaving]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Misbehaving()) for _ in range(3)]


def register(registry: Registry, *servers: Misbehaving, **settings: object) -> None:
    given: dict[str, object] = {"name": "svc", "urls": tuple(each.url for each in servers)}
    registry.register("svc", ServiceConfig(**(given | settings)))  # type: ignore[arg-type]


def circuits(registry: Registry) -> dict[str, str]:
    return {each.url: each.circuit for each in registry.pool("svc").standing()}


def asking(registry: Registry) -> asyncio.Event:
    """Set whenever those who wait may ask again."""
    told = asyncio.Event()
    registry.on_free = lambda _: told.set()
    return told


async def granted(registry: Registry, told: asyncio.Event) -> None:
    """Wait for a place as the engine does."""
    async with asyncio.timeout(5):
        while registry.reserve("svc") is not Slot.GRANTED:
            await told.wait()
            told.clear()


async def test_no_call_fails_that_an_endpoint_could_have_served(registry: Registry, three: list[Misbehaving]) -> None:
    register(registry, *three)
    async with Misbehaving() as dying:
        register(registry, *three, dying)
        assert Counter([(await send(registry, invocation())).outcome for _ in range(20)]) == {"ok": 20}
        url = dying.url

    outcomes = [(await send(registry, invocation())).outcome for _ in range(60)]

    # A kept connection that its server has closed may be met once: what was sent there is unknown.
    assert outcomes.count("ok") >= 59
    assert circuits(registry)[url] in ("open", "half_open")
    assert all(state == "closed" for each, state in circuits(registry).items() if each != url)


async def test_an_endpoint_that_returns_is_called_again(registry: Registry, server: Misbehaving) -> None:
    async with Misbehaving() as dying:
        port = dying.port
        register(registry, server, dying)
    while circuits(registry)[f"http://127.0.0.1:{port}"] == "closed":
        await send(registry, invocation())

    async with Misbehaving(port=port) as returned:
        async with asyncio.timeout(5):
            while not returned.received:
                assert (await send(registry, invocation())).outcome == "ok"
        assert set(circuits(registry).values()) == {"closed"}


async def test_an_endpoint_that_lies_is_spared(registry: Registry, three: list[Misbehaving]) -> None:
    liar, *others = three
    liar.on("do", answer("<html>", headers={"Content-Type": "text/html"}))
    registry.register("svc", ServiceConfig(name="svc", urls=tuple(each.url for each in three)))

    outcomes = Counter([(await send(registry, invocation())).outcome for _ in range(100)])

    # Five, and a probe now and then.
    assert len(liar.received) == outcomes["unknown"] < 30
    assert min(len(each.received) for each in others) > 25


async def test_an_endpoint_that_says_too_many_requests_is_not_sick(registry: Registry, server: Misbehaving) -> None:
    server.on("do", answer(b"", status="429 X", headers={"Retry-After": "1"}))
    register(registry, server)

    outcomes = {(await send(registry, invocation())).code for _ in range(30)}

    assert outcomes == {"http_429"}
    assert circuits(registry) == {server.url: "closed"}


async def test_an_endpoint_that_hangs_gets_fewer_calls(registry: Registry, three: list[Misbehaving]) -> None:
    slow, *others = three
    slow.on("do", hang)
    register(registry, *three)

    hanging: list[asyncio.Future[object]] = []
    for _ in range(100):
        before = len(slow.received)
        assert registry.reserve("svc") is Slot.GRANTED
        call = asyncio.ensure_future(registry.invoke(invocation(timeout_ms=60_000)))
        arrived = asyncio.ensure_future(slow.until(lambda before=before: len(slow.received) > before))  # type: ignore[misc]
        await asyncio.wait([call, arrived], return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        if not call.done():
            hanging.append(call)

    # With one more in flight than the others it is not chosen when they are idle; only at first, by its turn.
    assert len(slow.received) <= 2
    assert min(len(each.received) for each in others) > 25
    for each in hanging:
        each.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert all(each.in_flight == 0 for each in registry.pool("svc").standing())


async def test_the_own_zone_is_called(registry: Registry, three: list[Misbehaving]) -> None:
    here, there, nowhere = three
    urls = (Endpoint(here.url, {"zone": "here"}), {"url": there.url, "labels": {"zone": "there"}}, nowhere.url)
    register(registry, urls=urls)

    for _ in range(10):
        await send(registry, invocation())

    assert [len(each.received) for each in three] == [10, 0, 0]


async def test_while_the_only_endpoint_is_down_who_waits_uses_no_attempt_and_goes_when_it_returns(
    registry: Registry,
) -> None:
    async with Misbehaving() as dying:
        port = dying.port
        register(registry, dying)
        assert (await send(registry, invocation())).outcome == "ok"
    told = asking(registry)
    failed = 0
    while registry.reserve("svc") is Slot.GRANTED:
        failed += (await registry.invoke(invocation())).outcome != "ok"
        assert failed <= 21
    assert registry.reserve("svc") is Slot.UNWELL
    assert "127.0.0.1" in registry.pool("svc").why()

    await granted(registry, told)
    assert (await registry.invoke(invocation())).outcome == "not_sent"
    assert registry.reserve("svc") is Slot.UNWELL

    async with Misbehaving(port=port) as returned:
        outcomes = []
        while "ok" not in outcomes:
            await granted(registry, told)
            outcomes.append((await registry.invoke(invocation())).outcome)
        assert len(returned.received) == 1
        assert circuits(registry) == {returned.url: "closed"}


async def test_endpoints_that_are_discovered_are_called_beside_those_of_the_configuration(
    registry: Registry, three: list[Misbehaving]
) -> None:
    one, two, three_ = three
    register(registry, one)
    registry.pool("svc").set("discovery", [Endpoint(two.url), Endpoint(three_.url)])
    for _ in range(30):
        await send(registry, invocation())
    assert all(len(each.received) > 2 for each in three)

    registry.pool("svc").set("discovery", [])
    before = len(one.received)
    for _ in range(10):
        await send(registry, invocation())

    assert len(one.received) == before + 10


async def test_the_reason_that_is_told_is_no_word_of_the_services_own(registry: Registry, server: Misbehaving) -> None:
    server.on("do", answer('{"error": {"code": "oops", "message": "s3cret"}}', status="500 X"))
    register(registry, server)

    for _ in range(20):
        await send(registry, invocation())

    assert [each.reason for each in registry.pool("svc").standing()] == ["service_error, HTTP 500"]
