"""What every way of discovery does, whatever it speaks. A third party's adapter passes this with a world of its own."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from makegood.errors import ConfigurationError
from makegood.services.discovery import Absent, Asked, Unreachable

pytestmark = pytest.mark.anyio


def urls(endpoints: Any) -> list[str]:
    return [each.url for each in endpoints]


async def test_a_service_is_found_where_it_is(world: Any) -> None:
    await world.place("10.1.0.1", "10.1.0.2")

    async with aclosing(world.discovery.watch(world.asked)) as answers:
        found = await anext(answers)

    assert urls(found) == ["http://10.1.0.1:8080/api", "http://10.1.0.2:8080/api"]


async def test_a_service_is_found_by_its_name(world: Any) -> None:
    await world.place("10.1.0.1")

    assert world.discovery.check(world.by_name) is True
    async with aclosing(world.discovery.watch(world.by_name)) as answers:
        (found,) = await anext(answers)

    assert found.url.startswith("http://10.1.0.1")


async def test_a_change_is_told_and_nothing_else_is(world: Any) -> None:
    if not world.changes:
        pytest.skip("nothing changes there")
    await world.place("10.1.0.1")

    async with aclosing(world.discovery.watch(world.asked)) as answers:
        first = await anext(answers)
        next_one = asyncio.ensure_future(anext(answers))
        await world.place("10.1.0.1")
        await world.look_again()
        await world.place("10.1.0.1", "10.1.0.3")
        second = await in_time(world, next_one)

    assert urls(first) == ["http://10.1.0.1:8080/api"]
    assert urls(second) == ["http://10.1.0.1:8080/api", "http://10.1.0.3:8080/api"]


async def test_a_service_that_is_not_there_is_absent(world: Any) -> None:
    async with aclosing(world.discovery.watch(world.asked)) as answers:
        with pytest.raises(Absent, match="hotels"):
            await anext(answers)


async def test_a_service_that_goes_is_absent(world: Any) -> None:
    if not world.changes:
        pytest.skip("nothing changes there")
    await world.place("10.1.0.1")

    async with aclosing(world.discovery.watch(world.asked)) as answers:
        await anext(answers)
        await world.remove()
        with pytest.raises(Absent, match="hotels"):
            await in_time(world, asyncio.ensure_future(anext(answers)))


async def test_discovery_out_of_reach_says_so_and_answers_when_it_is_back(world: Any) -> None:
    if not world.changes:
        pytest.skip("it is always in reach")
    await world.place("10.1.0.1")
    await world.lose()

    async with aclosing(world.discovery.watch(world.asked)) as answers:
        with pytest.raises(Unreachable, match=r"\w"):
            await anext(answers)
    await world.heal()
    async with aclosing(world.discovery.watch(world.asked)) as answers:
        found = await anext(answers)

    assert urls(found) == ["http://10.1.0.1:8080/api"]


async def test_discovery_that_goes_out_of_reach_ends_the_watch(world: Any) -> None:
    if not world.changes:
        pytest.skip("it is always in reach")
    await world.place("10.1.0.1")

    async with aclosing(world.discovery.watch(world.asked)) as answers:
        await anext(answers)
        await world.lose()
        with pytest.raises(Unreachable, match=r"\w"):
            await in_time(world, asyncio.ensure_future(anext(answers)))


async def test_what_cannot_be_asked_is_refused_before_anything_is_connected_to(world: Any) -> None:
    with pytest.raises(ConfigurationError, match="service 'hotels': discover"):
        world.discovery.check(world.nonsense)

    assert world.questions() == 0


async def test_a_name_that_fits_no_convention_is_not_found_by_it(world: Any) -> None:
    assert world.discovery.check(Asked(service="_hotels")) is False


async def in_time(world: Any, answer: asyncio.Future[Any]) -> Any:
    """An answer, whenever time has to pass for it."""
    again = asyncio.ensure_future(world.look_again())
    try:
        return await answer
    finally:
        again.cancel()
