"""Several engines on one PostgreSQL, and a service that is unwell: whoever can call it wakes what waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from engines import Counting, one, parked
from replicas import freeze, until
from tests.postgres_cluster import database

import makegood as mg
from ailing import Ailing, journaled
from makegood.core import events as ev
from makegood.services import ServiceConfig

pytestmark = pytest.mark.anyio


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


@asynccontextmanager
async def two(dsn: str, service: Any, *registries: Ailing, **config: Any) -> AsyncIterator[list[Any]]:
    """An engine for each registry, all on one database."""
    async with AsyncExitStack() as stack:
        made: list[Any] = []
        for registry in registries:
            registry.register("s", service, ServiceConfig(name="s", **config))
            engine = mg.Engine(dsn, registry=registry, lease_seconds=1.0, drain_seconds=0.0)
            await stack.enter_async_context(engine)
            await engine.resume()
            made.append(engine)
        yield made


async def test_what_one_parked_another_wakes_as_soon_as_the_service_is_well_to_it(dsn: str) -> None:
    service, here, there = Counting(), Ailing("s"), Ailing("s")
    async with two(dsn, service, here, there) as (first, second):
        execution = await first.start(one(), 7, id="x")
        await parked(first, "x")
        there.unwell.clear()

        assert await execution.result() == 7
        records = await second.history("x")
    assert here.unwell
    assert len(journaled(records, ev.ServiceAwaited)) == 1
    assert service.calls == [("do", "x:a:do", 1)]


async def test_what_waited_in_a_replica_that_died_waits_on_in_another(dsn: str) -> None:
    flow = mg.workflow("w", mg.parallel("p", mg.call("a", "s.do", input=1), mg.call("b", "t.wait")))
    service, beside, here, there = Counting(), Counting(), Ailing("s"), Ailing("s")
    for registry in (here, there):
        registry.register("t", beside)
    async with two(dsn, service, here, there) as (first, second):
        await first.start(flow, 7, id="x")
        await beside.called.wait()
        before = journaled(await second.history("x"), ev.ServiceAwaited)
        await freeze(first)
        await until(lambda: "x" in second._runner.live)
        beside.gate.set()
        await parked(second, "x")
        there.recover()

        await second.result("x")
        assert journaled(await second.history("x"), ev.ServiceAwaited) == before
    assert len(service.calls) == 1


async def test_replicas_share_the_waking_and_nobody_is_called_twice(dsn: str) -> None:
    service, here, there = Counting(), Ailing("s"), Ailing("s")
    async with two(dsn, service, here, there) as engines:
        found = await asyncio.gather(*(engines[number % 2].start(one(), number) for number in range(300)))
        await until(lambda: not any(each._runner.live or each._runner.parking.under_way for each in engines))
        assert (await engines[0]._store_open.waiting("s", limit=1)).count == 300
        here.recover()
        there.recover()

        assert await asyncio.gather(*(each.result() for each in found)) == list(range(300))
    assert len(service.calls) == 300
    assert len({key for _, key, _ in service.calls}) == 300


async def test_a_wait_that_is_over_is_over_wherever_it_is_noticed(dsn: str) -> None:
    service, here, there = Counting(), Ailing("s"), Ailing("s")
    async with two(dsn, service, here, there, wait_ms=2_500) as (first, _):
        execution = await first.start(one(), 7, id="x")
        await parked(first, "x")

        with pytest.raises(mg.ExecutionCompensated, match="has no endpoint that is well"):
            await execution.result()
    assert service.calls == []
