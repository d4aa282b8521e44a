"""The engine at work: in-process steps, HTTP steps, one workflow alone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from makegood.cli.benching.work import ANSWER, IN_FLIGHT, INPUT, Taken, five_steps, many
from makegood.engine.client import Engine
from makegood.language import load_tree
from makegood.services import Registry, ServiceConfig


class Work:
    """A service that does nothing."""

    async def noop(self, input: Any) -> Any:  # noqa: A002, ARG002 - the shape of a local service
        """Answer."""
        return ANSWER


async def in_process(database: str, workflows: int) -> Taken:
    """Steps of a local service on a database."""
    async with _at_work(database, _local()) as one:
        await many(one, min(200, workflows))
        return await many(one, workflows)


async def alone_s(database: str, workflows: int, commits: Callable[[], None]) -> tuple[list[float], list[float]]:
    """Seconds that one workflow takes while nothing else happens, and that its bare commits do, in turns.

    Args:
        commits: Does the bare commits of one workflow.
    """
    engine, bare = [], []
    async with _at_work(database, _local()) as one:
        for _ in range(20 + workflows):
            begun = time.perf_counter()
            await one()
            between = time.perf_counter()
            commits()
            engine.append(between - begun)
            bare.append(time.perf_counter() - between)
    return engine[20:], bare[20:]


async def over_http(database: str, url: str, workflows: int) -> Taken:
    """Steps of a service that is called over HTTP."""
    registry = Registry()
    registry.register("work", ServiceConfig(name="work", urls=(url,), max_concurrent=64))
    async with _at_work(database, registry) as one:
        await many(one, min(100, workflows))
        return await many(one, workflows)


def _local() -> Registry:
    registry = Registry()
    registry.register("work", Work(), ServiceConfig(name="work", max_concurrent=IN_FLIGHT))
    return registry


@asynccontextmanager
async def _at_work(database: str, registry: Registry) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """An engine, as what runs one workflow to its end whenever it is called."""
    async with Engine(database, registry=registry) as engine:
        definition = load_tree(five_steps("work")).definition

        async def one() -> None:
            await (await engine.start(definition, INPUT)).result()

        yield one


def new_database(folder: Path, name: str) -> str:
    """The path of a database that is not there yet."""
    path = folder / f"{name}.db"
    for each in folder.glob(f"{name}.db*"):
        each.unlink()
    return str(path)
