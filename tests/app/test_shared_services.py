"""A registry that is as the directory says: what is put, what is shadowed, what does not fit, what was checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from health_desk import Clinic
from makegood.app.directory import SharedServices
from makegood.app.health_checks import HealthChecks
from makegood.errors import ConfigurationError, Conflict, NotFound, StorageUnavailable
from makegood.ports import Check
from makegood.services import Registry, ServiceConfig
from makegood.storage import MemoryStore

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:9/api"
HOUR_MS = 3_600_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    with Clinic() as made:
        yield made


class Replica:
    """One process: its registry, and the directory that it shares."""

    def __init__(self, store: MemoryStore, interval_s: float = 30.0) -> None:
        self.registry = Registry()
        self.directory: Any = store.directory
        self.services = SharedServices(lambda: self.directory, self.registry, interval_s)
        self.checks = HealthChecks(lambda: self.directory, self.registry, self.services, "n", chance=lambda: 0.5)
        self.changes = 0
        self.services.on_change.append(self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def standing(self, name: str = "hotels") -> list[tuple[str, str, bool, str]]:
        return [(each.url, each.source, each.healthy, each.reason) for each in self.registry.pool(name).standing()]


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    made = MemoryStore()
    yield made
    await made.aclose()


@pytest.fixture
def one(store: MemoryStore) -> Replica:
    return Replica(store)


@pytest.fixture
def two(store: MemoryStore) -> Replica:
    return Replica(store)


# --- services ------------------------------------------------------------------------------------


async def test_what_is_put_at_one_is_known_at_the_other(one: Replica, two: Replica) -> None:
    assert await one.services.put("hotels", {"url": URL, "max_concurrent": 3}) is True
    assert one.registry.config("hotels").max_concurrent == 3
    await two.services.refresh()

    assert two.registry.config("hotels").max_concurrent == 3
    assert two.services.source("hotels") == "database"
    assert await two.services.put("hotels", {"url": URL, "max_concurrent": 4}) is False
    await one.services.refresh()
    assert one.registry.config("hotels").max_concurrent == 4


async def test_what_is_removed_at_one_is_gone_at_the_other(one: Replica, two: Replica) -> None:
    await one.services.put("hotels", {"url": URL})
    await two.services.refresh()

    await two.services.remove("hotels")
    await one.services.refresh()

    assert not one.registry.knows("hotels")
    with pytest.raises(NotFound, match="hotels"):
        await one.services.remove("hotels")


async def test_only_news_are_told(one: Replica, two: Replica) -> None:
    await one.services.put("hotels", {"url": URL})
    for _ in range(3):
        await two.services.refresh()

    assert (one.changes, two.changes) == (1, 1)


async def test_what_a_process_has_itself_wins(one: Replica, two: Replica) -> None:
    one.registry.register("hotels", ServiceConfig(name="hotels", urls=("http://own",)))
    with pytest.raises(Conflict, match="configuration"):
        await one.services.put("hotels", {"url": URL})
    with pytest.raises(Conflict, match="configuration"):
        await one.services.remove("hotels")

    await two.services.put("hotels", {"url": URL})
    await one.services.refresh()

    assert one.registry.config("hotels").urls == ("http://own",)
    assert one.services.source("hotels") == "configuration"
    assert "configuration wins" in (one.services.fault("hotels") or "")
    await one.services.remove("hotels")
    await two.services.refresh()
    assert (one.services.fault("hotels"), two.registry.knows("hotels")) == (None, False)
    assert one.registry.config("hotels").urls == ("http://own",)


async def test_what_does_not_fit_is_not_kept(one: Replica, store: MemoryStore) -> None:
    for keys in ({}, {"url": "ftp://x"}, {"url": URL, "speed": 1}, {"url": URL, "health": "up"}):
        with pytest.raises(ConfigurationError):
            await one.services.put("hotels", keys)

    assert (await store.directory.listing()).services == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"url": "ftp://x"},
        {"url": URL, "of_a_later_release": True},
        {"url": 5},
        {"url": URL, "headers": 7},
        {"url": URL, "max_concurrent": "many"},
        {"urls": {}},
    ],
)
async def test_a_stored_service_that_does_not_fit_is_told_with_its_fault(
    one: Replica, store: MemoryStore, keys: dict[str, Any]
) -> None:
    await store.directory.put_service("broken", keys)
    await store.directory.put_service("fine", {"url": URL})
    await store.directory.put_service("no.name", {"url": URL})

    await one.services.load()

    assert one.services.names() == ["broken", "fine", "no.name"]
    assert list(one.registry.names()) == ["fine"]
    assert one.services.fault("broken")
    assert one.services.fault("fine") is None
    assert one.services.source("broken") == "database"
    await one.services.put("broken", {"url": URL})
    assert (one.services.fault("broken"), one.registry.knows("broken")) == (None, True)


async def test_a_service_that_worked_goes_on_when_its_new_keys_do_not_fit(one: Replica, store: MemoryStore) -> None:
    await one.services.put("hotels", {"url": URL})

    await store.directory.put_service("hotels", {"url": URL, "of_a_later_release": True})
    await one.services.refresh()

    assert one.registry.config("hotels").urls == (URL,)
    assert "of_a_later_release" in (one.services.fault("hotels") or "")
    assert one.services.source("hotels") == "database"


async def test_a_directory_that_cannot_be_read_changes_nothing(one: Replica) -> None:
    await one.services.put("hotels", {"url": URL})
    kept, one.directory = one.directory, _Closed()

    await one.services.load()

    assert one.registry.knows("hotels")
    one.directory = kept
    await one.services.remove("hotels")
    assert not one.registry.knows("hotels")


class _Closed:
    async def listing(self, known: int | None = None) -> None:
        raise StorageUnavailable("the database is away")


# --- instances -----------------------------------------------------------------------------------


async def test_an_instance_joins_the_endpoints_of_its_service(one: Replica, two: Replica) -> None:
    await one.services.put("hotels", {"url": URL})
    await two.services.refresh()

    assert await one.services.put_instance("hotels", "a", "http://h1/", {"zone": "north"}, HOUR_MS) is True
    assert await one.services.put_instance("hotels", "a", "http://h1", {"zone": "north"}, HOUR_MS) is False
    await two.services.refresh()

    for each in (one, two):
        assert each.standing() == [(URL, "config", True, ""), ("http://h1", "instances", True, "")]
        assert dict(each.registry.pool("hotels").endpoints()[1].labels) == {"zone": "north"}
    await two.services.remove_instance("hotels", "a")
    await one.services.refresh()
    assert [each[0] for each in one.standing()] == [URL]


async def test_an_instance_that_moves_is_followed(one: Replica) -> None:
    await one.services.put("hotels", {"urls": []})
    await one.services.put_instance("hotels", "a", "http://h1", {}, HOUR_MS)

    await one.services.put_instance("hotels", "a", "http://h2", {}, HOUR_MS)

    assert [each[0] for each in one.standing()] == ["http://h2"]


async def test_an_instance_of_a_service_of_its_own_joins_too(one: Replica) -> None:
    one.registry.register("hotels", URL)

    await one.services.put_instance("hotels", "a", "http://h1", {}, HOUR_MS)

    assert [each[1] for each in one.standing()] == ["config", "instances"]


async def test_instances_of_what_is_not_there_are_refused(one: Replica) -> None:
    one.registry.register("desk", {"take": lambda body: body})
    await one.services.put("hotels", {"url": URL})
    for name, url, error, said in (
        ("hotel", "http://h1", NotFound, "Did you mean 'hotels'"),
        ("desk", "http://h1", Conflict, "part of this process"),
        ("hotels", "ftp://h1", ConfigurationError, "ftp"),
        ("hotels", "http://user:secret@h1", ConfigurationError, "credentials"),
    ):
        with pytest.raises(error, match=said):
            await one.services.put_instance(name, "a", url, {}, HOUR_MS)
    with pytest.raises(NotFound, match="no instance 'a'"):
        await one.services.remove_instance("hotels", "a")


async def test_instances_come_back_with_their_service(one: Replica, two: Replica) -> None:
    await one.services.put("hotels", {"url": URL})
    await one.services.put_instance("hotels", "a", "http://h1", {}, HOUR_MS)

    await two.services.load()

    assert [each[0] for each in two.standing()] == [URL, "http://h1"]


# --- health --------------------------------------------------------------------------------------


async def found_by(replica: Replica, clinic: Clinic, store: MemoryStore) -> None:
    """Its turn comes, and it checks."""
    kept = store.directory._kept
    kept.health = {key: (health, 0) for key, (health, _) in kept.health.items()}
    asked = len(clinic.asked)
    await replica.checks.check_due()
    assert len(clinic.asked) == asked + 1


async def test_an_endpoint_that_was_never_checked_is_well(one: Replica) -> None:
    await one.services.put("hotels", {"url": URL, "health": "/up"})

    assert one.standing() == [(URL, "config", True, "")]


async def test_what_one_finds_is_known_at_the_other(
    one: Replica, two: Replica, clinic: Clinic, store: MemoryStore
) -> None:
    clinic.status = 503
    await one.services.put("hotels", {"url": clinic.url, "health": "/up"})
    await two.services.refresh()

    await found_by(one, clinic, store)
    await two.services.refresh()
    assert [each.standing()[0][2] for each in (one, two)] == [True, True]
    await found_by(two, clinic, store)
    await one.services.refresh()
    assert [each.standing()[0][2:] for each in (one, two)] == [(False, "HTTP 503")] * 2

    clinic.status = 200
    await found_by(one, clinic, store)
    await two.services.refresh()
    assert [each.standing()[0][2:] for each in (one, two)] == [(True, "")] * 2
    await one.registry.aclose()
    await two.registry.aclose()


async def test_nobody_checks_what_another_has_just_checked(one: Replica, two: Replica, clinic: Clinic) -> None:
    await one.services.put("hotels", {"url": clinic.url, "health": "/up"})
    await two.services.refresh()

    assert await one.checks.check_due() is not None
    next_ms = await two.checks.check_due()

    assert clinic.asked == ["GET /up"]
    assert next_ms is not None
    assert 20_000 < next_ms <= 33_000
    await one.registry.aclose()


async def test_services_without_a_check_are_not_asked_for(one: Replica) -> None:
    one.registry.register("desk", {"take": lambda body: body})
    await one.services.put("hotels", {"url": URL})
    one.directory = _Closed()

    assert await one.checks.check_due() is None


async def test_a_verdict_holds_for_an_endpoint_that_comes_later(one: Replica, store: MemoryStore) -> None:
    await one.services.put("hotels", {"url": URL, "health": "/up"})
    claimed = await store.directory.claim_checks([Check(service="hotels", url="http://h1", again_ms=1)], "n")
    await store.directory.put_health([replace(claimed.due[0], well=False, reason="refused")])
    await one.services.refresh()

    await one.services.put_instance("hotels", "a", "http://h1", {}, HOUR_MS)

    assert one.standing()[1] == ("http://h1", "instances", False, "refused")


async def test_a_service_that_is_checked_no_more_is_well(one: Replica, clinic: Clinic, store: MemoryStore) -> None:
    clinic.status = 503
    keys = {"url": clinic.url, "unhealthy_after": 1}
    await one.services.put("hotels", {**keys, "health": "/up"})
    await found_by(one, clinic, store)
    assert one.standing()[0][2] is False

    await one.services.put("hotels", keys)

    assert one.standing()[0][2:] == (True, "")
    await one.registry.aclose()
