"""Services that are followed: what holds while there is no answer, when it is asked again, what is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest
from clockwork import Naps

from makegood.services.discovery import Absent, Asked, Endpoint, Unreachable
from makegood.services.discovery.following import Following

pytestmark = pytest.mark.anyio

HOTELS = Asked(service="hotels")
ONE, TWO = Endpoint("http://10.0.0.1:80"), Endpoint("http://10.0.0.2:80")


class Scripted:
    """Gives one list of answers for each watch; the last answer of a list that is no error lasts."""

    def __init__(self, *watches: list[Any]) -> None:
        self.watches = list(watches)
        self.asked: list[Asked] = []
        self.closed = False

    def check(self, asked: Asked) -> bool:
        return True

    async def watch(self, asked: Asked) -> AsyncGenerator[Sequence[Endpoint], None]:
        self.asked.append(asked)
        for each in self.watches.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True


class World:
    """What is followed, and what was told of it."""

    def __init__(self, naps: Naps, *watches: list[Any]) -> None:
        self.naps = naps
        self.now_ms = 1_000_000
        self.told: list[tuple[str, list[str] | None]] = []
        self._news = asyncio.Event()
        self.discovery = Scripted(*watches)
        self.following = Following(
            self.discovery, self._tell, now_ms=lambda: self.now_ms, sleep=naps.sleep, chance=lambda: 0.0
        )

    def _tell(self, service: str, endpoints: Sequence[Endpoint] | None) -> None:
        self.told.append((service, None if endpoints is None else [each.url for each in endpoints]))
        self._news.set()

    async def until_told(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.told) < count:
                self._news.clear()
                await self._news.wait()

    def standing(self) -> tuple[str, str, int, int | None]:
        found = self.following.standing("hotels")
        assert found is not None
        return found.state, found.reason, found.since_ms, found.answered_ms


@pytest.fixture
async def worlds(naps: Naps) -> AsyncIterator[Any]:
    made = []

    def make(*watches: list[Any]) -> World:
        made.append(World(naps, *watches))
        return made[-1]

    yield make
    for each in made:
        await each.following.aclose()


async def test_nothing_is_asked_before_it_begins(worlds: Any) -> None:
    world = worlds([[ONE]])

    world.following.follow(HOTELS)
    await asyncio.sleep(0)

    assert world.discovery.asked == []
    assert world.standing() == ("asking", "", 1_000_000, None)


async def test_every_answer_is_told(worlds: Any) -> None:
    world = worlds([[ONE], [ONE, TWO]])

    world.following.follow(HOTELS)
    world.following.begin()
    await world.until_told(2)

    assert world.told == [("hotels", [ONE.url]), ("hotels", [ONE.url, TWO.url])]
    assert world.standing() == ("found", "", 1_000_000, 1_000_000)


async def test_what_was_found_last_still_holds_while_discovery_is_out_of_reach(worlds: Any, naps: Naps) -> None:
    world = worlds([[ONE], Unreachable("no answer in time")], [Unreachable("refused")], [[TWO]])
    world.following.begin()

    world.following.follow(HOTELS)
    await world.until_told(1)
    world.now_ms += 5_000
    await naps.until_asleep()
    out = world.standing()
    world.now_ms += 1_000
    await naps.wake()
    await naps.until_asleep()
    still_out = world.standing()
    told = list(world.told)
    await naps.wake()
    await world.until_told(2)

    assert out[:2] == ("unreachable", "no answer in time")
    assert out[3] == 1_000_000
    assert (still_out[0], still_out[1], still_out[2], still_out[3]) == ("unreachable", "refused", out[2], 1_000_000)
    assert told == [("hotels", [ONE.url])]
    assert world.standing()[0] == "found"
    assert world.told[-1] == ("hotels", [TWO.url])


async def test_it_is_asked_again_ever_more_rarely_until_there_is_an_answer(worlds: Any, naps: Naps) -> None:
    failures = [[Unreachable("x")] for _ in range(7)]
    world = worlds(*failures, [[ONE], Unreachable("x")], [[ONE]])
    world.following.begin()

    world.following.follow(HOTELS)
    for _ in range(8):
        await naps.wake()
    await world.until_told(2)

    assert naps.asked_s == [1, 2, 4, 8, 16, 30, 30, 1]


async def test_absence_is_an_answer_and_asked_again_when_the_adapter_says(worlds: Any, naps: Naps) -> None:
    world = worlds([[ONE], Absent("no such name", again_s=17)], [Absent("no such name")], [[TWO]])
    world.following.begin()

    world.following.follow(HOTELS)
    await world.until_told(2)
    await naps.until_asleep()
    absent = world.standing()
    await naps.wake()
    await naps.wake()
    await world.until_told(4)

    assert absent[:2] == ("absent", "no such name")
    assert world.told == [("hotels", [ONE.url]), ("hotels", None), ("hotels", None), ("hotels", [TWO.url])]
    assert naps.asked_s == [17, 5]


@pytest.mark.parametrize(
    ("watch", "said"),
    [([KeyError("oh")], "internal error of its discovery: KeyError"), ([[ONE], ValueError("bad")], "ValueError: bad")],
)
async def test_a_mistake_of_an_adapter_is_told_and_ends_nothing(
    worlds: Any, naps: Naps, watch: list[Any], said: str
) -> None:
    world = worlds(watch, [[TWO]])
    world.following.begin()

    world.following.follow(HOTELS)
    await naps.until_asleep()
    standing = world.standing()
    await naps.wake()
    await world.until_told(len(watch))

    assert standing[0] == "unreachable"
    assert said in standing[1]
    assert world.told[-1] == ("hotels", [TWO.url])


async def test_what_is_asked_for_otherwise_begins_anew_and_what_is_not_goes_on(worlds: Any) -> None:
    world = worlds([[ONE]], [[TWO]])
    world.following.begin()

    world.following.follow(HOTELS)
    await world.until_told(1)
    world.following.follow(HOTELS)
    other = Asked(service="hotels", discover="elsewhere")
    world.following.follow(other)
    await world.until_told(2)

    assert world.discovery.asked == [HOTELS, other]


async def test_what_is_forgotten_is_asked_no_more(worlds: Any) -> None:
    world = worlds([[ONE]])
    world.following.begin()
    world.following.follow(HOTELS)
    await world.until_told(1)

    world.following.forget("hotels")

    assert world.following.standing("hotels") is None


async def test_closing_closes_the_adapter(worlds: Any) -> None:
    world = worlds([[ONE]])
    world.following.begin()
    world.following.follow(HOTELS)
    await world.until_told(1)

    await world.following.aclose()

    assert world.discovery.closed
