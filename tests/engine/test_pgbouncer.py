"""Replicas behind a pgbouncer in transaction mode: every statement may come to another server connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from engines import Counting
from replicas import replicas
from tests.postgres_cluster import bouncer, cluster, database

import makegood as mg
from makegood.storage.postgres import PostgresStore

pytestmark = pytest.mark.anyio

IN = "${input}"
FLOW = mg.workflow("flow", mg.call("a", "s.do", input=IN), mg.call("b", "s.do", input=IN), output="${steps.b}")


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made, bouncer() as port:
        yield cluster().dsn(made.rpartition("/")[2], port)


async def test_two_replicas_share_the_work_over_few_connections(dsn: str) -> None:
    service = Counting()
    async with replicas(f"{dsn}?pgbouncer=true", service, 2, lease_seconds=3.0) as engines:
        executions = [await engines[number % 2].start(FLOW, number) for number in range(40)]
        assert [await each.result() for each in executions] == list(range(40))
    assert len(service.calls) == 80


async def test_connections_that_the_pooler_gives_to_others_keep_no_statement(dsn: str) -> None:
    stores = [PostgresStore(f"{dsn}?pgbouncer=true") for _ in range(6)]
    try:
        for _ in range(5):
            await asyncio.gather(*(each.statuses() for each in stores), *(each.definitions() for each in stores))
            await asyncio.gather(*(each.renew(bury=True) for each in stores))
    finally:
        for each in stores:
            await each.aclose()
