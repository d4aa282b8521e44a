"""What engines that share a database share of a service's limits."""

from __future__ import annotations

import pytest
from engines import Counting
from replicas import until
from tests.postgres_cluster import database

import makegood as mg
from makegood.ports import Slot
from makegood.services import Registry, ServiceConfig

pytestmark = pytest.mark.anyio


def limited() -> Registry:
    registry = Registry()
    registry.register("s", Counting(), ServiceConfig(name="s", max_concurrent=6))
    return registry


def places(registry: Registry) -> int:
    """How many calls may go at once."""
    granted = 0
    while registry.reserve("s") is Slot.GRANTED:
        granted += 1
    for _ in range(granted):
        registry.release("s")
    return granted


async def test_limits_are_divided_by_how_many_engines_are_alive() -> None:
    first, second = limited(), limited()
    with database() as dsn:
        async with mg.Engine(dsn, registry=first, lease_seconds=0.6) as engine:
            await engine.resume()
            assert places(first) == 6
            async with mg.Engine(dsn, registry=second, lease_seconds=0.6) as other:
                await other.resume()
                assert places(second) == 3
                await until(lambda: places(first) == 3)
            await until(lambda: places(first) == 6)


async def test_an_engine_without_others_has_all_of_them() -> None:
    registry = limited()
    async with mg.Engine(":memory:", registry=registry) as engine:
        await engine.resume()
        assert places(registry) == 6
