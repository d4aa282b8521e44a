"""What the port `Directory` promises, asked of every adapter."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from makegood.ports import Check, Description, EndpointHealth, Listing

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000
PATIENCE_S = 10.0
URL = "http://127.0.0.1:9000/api"


@pytest.fixture
def directory(store: Any) -> Any:
    return store.directory


async def listed(directory: Any) -> Listing:
    found = await directory.listing()
    assert found is not None
    return found


def check(url: str = URL, again_ms: int = HOUR_MS) -> Check:
    return Check(service="hotels", url=url, again_ms=again_ms)


async def claimed(directory: Any, *asked: Check, by: str = "n1") -> tuple[EndpointHealth, ...]:
    return (await directory.claim_checks(asked, by)).due


# --- services ------------------------------------------------------------------------------------


async def test_an_empty_directory_has_a_revision(directory: Any) -> None:
    found = await listed(directory)

    assert (found.services, found.instances, found.health) == ((), (), ())
    assert await directory.listing(found.revision) is None
    assert await directory.listing(found.revision + 1) == found


async def test_a_service_is_kept_with_its_keys(directory: Any) -> None:
    keys = {"url": URL, "headers": {"X-Odd": "\u0000 é"}, "urls": [{"url": URL, "labels": {}}], "rate": 1.5}

    assert await directory.put_service("hotels", keys) is True
    assert await directory.put_service("air", {"url": URL}) is True

    found = await listed(directory)
    assert [(each.name, each.keys) for each in found.services] == [("air", {"url": URL}), ("hotels", keys)]
    assert found.revision == max(each.revision for each in found.services)


async def test_the_same_keys_again_change_nothing_and_others_do(directory: Any) -> None:
    await directory.put_service("hotels", {"url": URL, "rate": 1})
    before = await listed(directory)

    assert await directory.put_service("hotels", {"rate": 1, "url": URL}) is False
    assert await directory.listing(before.revision) is None
    assert await directory.put_service("hotels", {"url": URL, "rate": 2}) is False

    after = await directory.listing(before.revision)
    assert after is not None
    assert after.services[0].keys == {"url": URL, "rate": 2}
    assert after.services[0].revision == after.revision > before.revision


async def test_what_a_caller_keeps_is_its_own(directory: Any) -> None:
    keys: dict[str, Any] = {"headers": {"a": "b"}}
    await directory.put_service("hotels", keys)

    keys["headers"]["a"] = "c"
    (await listed(directory)).services[0].keys["headers"]["a"] = "d"

    assert (await listed(directory)).services[0].keys == {"headers": {"a": "b"}}


async def test_a_service_that_is_removed_takes_its_instances_and_their_health_with_it(directory: Any) -> None:
    await directory.put_service("hotels", {"url": URL})
    await directory.put_instance("hotels", "a", URL, {}, HOUR_MS)
    await directory.put_instance("air", "a", URL, {}, HOUR_MS)
    await claimed(directory, check())
    before = await listed(directory)

    assert await directory.remove_service("hotels") is True
    assert await directory.remove_service("hotels") is False

    after = await directory.listing(before.revision)
    assert after is not None
    assert [each.service for each in after.instances] == ["air"]
    assert (after.services, after.health) == ((), ())


async def test_it_outlives_its_process(world: Any) -> None:
    first = world.open()
    await first.directory.put_service("hotels", {"url": URL})
    await first.directory.put_instance("hotels", "a", URL, {"zone": "b"}, HOUR_MS)
    before = await listed(first.directory)
    await world.crash(first)
    second = world.open()

    after = await listed(second.directory)

    assert (after.revision, after.services) == (before.revision, before.services)
    assert [(each.id, each.url, each.labels) for each in after.instances] == [("a", URL, {"zone": "b"})]
    await second.aclose()


# --- instances -----------------------------------------------------------------------------------


async def test_an_instance_stands_for_its_lease(directory: Any) -> None:
    assert await directory.put_instance("hotels", "a", URL, {"zone": "north"}, HOUR_MS) is True

    (found,) = (await listed(directory)).instances
    assert (found.service, found.id, found.url, found.labels) == ("hotels", "a", URL, {"zone": "north"})
    assert HOUR_MS - 60_000 < found.left_ms <= HOUR_MS


async def test_a_renewal_is_no_change_and_another_url_is_one(directory: Any) -> None:
    await directory.put_instance("hotels", "a", URL, {}, HOUR_MS)
    before = await listed(directory)

    assert await directory.put_instance("hotels", "a", URL, {}, 2 * HOUR_MS) is False
    assert await directory.listing(before.revision) is None
    assert (await listed(directory)).instances[0].left_ms > HOUR_MS

    assert await directory.put_instance("hotels", "a", URL + "/v2", {}, HOUR_MS) is False
    changed = await directory.listing(before.revision)
    assert changed is not None
    assert changed.instances[0].url == URL + "/v2"

    await directory.put_instance("hotels", "a", URL + "/v2", {"zone": "south"}, HOUR_MS)
    assert await directory.listing(changed.revision) is not None


async def test_an_instance_whose_lease_ran_out_is_gone_and_may_come_back(directory: Any) -> None:
    await directory.put_instance("hotels", "a", URL, {}, 1)
    give_up_at_s = time.monotonic() + PATIENCE_S
    while (found := await listed(directory)).instances:
        assert time.monotonic() < give_up_at_s

    assert await directory.put_instance("hotels", "a", URL, {}, HOUR_MS) is True

    after = await directory.listing(found.revision)
    assert after is not None
    assert [each.id for each in after.instances] == ["a"]


async def test_an_instance_leaves_once(directory: Any) -> None:
    await directory.put_instance("hotels", "a", URL, {}, HOUR_MS)
    await directory.put_instance("hotels", "b", URL, {}, HOUR_MS)
    before = await listed(directory)

    assert await directory.remove_instance("hotels", "a") is True
    assert await directory.remove_instance("hotels", "a") is False

    after = await directory.listing(before.revision)
    assert after is not None
    assert [each.id for each in after.instances] == ["b"]


# --- health --------------------------------------------------------------------------------------


async def test_an_endpoint_that_was_never_checked_is_due_and_well(directory: Any) -> None:
    found = await directory.claim_checks([check()], "n1")

    (due,) = found.due
    assert (due.service, due.url, due.well, due.reason, due.checked_at_ms) == ("hotels", URL, True, "", None)
    assert (due.in_a_row, due.turn, due.by) == (0, 1, "n1")
    assert found.next_ms is not None
    assert HOUR_MS - 60_000 < found.next_ms <= HOUR_MS


async def test_one_asker_is_given_each_endpoint_until_it_is_due_again(directory: Any) -> None:
    other = "http://127.0.0.1:9001"
    assert [each.url for each in await claimed(directory, check())] == [URL]

    second = await directory.claim_checks([check(), check(other, 2 * HOUR_MS)], "n2")
    third = await directory.claim_checks([check(), check(other)], "n3")

    assert [each.url for each in second.due] == [other]
    assert third.due == ()
    assert third.next_ms is not None
    assert third.next_ms <= HOUR_MS
    assert (await directory.claim_checks([], "n1")).next_ms is None


async def test_an_endpoint_comes_due_again(directory: Any) -> None:
    await claimed(directory, check(again_ms=1), by="n1")

    give_up_at_s = time.monotonic() + PATIENCE_S
    while not (due := await claimed(directory, check(), by="n2")):
        assert time.monotonic() < give_up_at_s

    assert (due[0].turn, due[0].by) == (2, "n2")


async def test_a_verdict_is_kept_with_its_moment_and_is_a_change(directory: Any) -> None:
    (due,) = await claimed(directory, check())
    before = await listed(directory)

    await directory.put_health([replace(due, well=False, reason="HTTP 503", in_a_row=0)])

    after = await directory.listing(before.revision)
    assert after is not None
    (found,) = after.health
    assert (found.well, found.reason, found.in_a_row, found.by) == (False, "HTTP 503", 0, "n1")
    assert found.checked_at_ms is not None
    assert due.since_ms <= found.since_ms <= found.checked_at_ms


async def test_a_check_that_finds_nothing_new_is_no_change(directory: Any) -> None:
    (due,) = await claimed(directory, check())
    before = await listed(directory)

    await directory.put_health([replace(due, in_a_row=1)])

    assert await directory.listing(before.revision) is None
    (found,) = (await listed(directory)).health
    assert (found.in_a_row, found.since_ms) == (1, due.since_ms)
    assert found.checked_at_ms is not None


async def test_a_check_that_was_overtaken_is_not_heard(directory: Any) -> None:
    (late,) = await claimed(directory, check(again_ms=0), by="n1")
    give_up_at_s = time.monotonic() + PATIENCE_S
    while not (due := await claimed(directory, check(), by="n2")):
        assert time.monotonic() < give_up_at_s
    await directory.put_health([due[0]])
    before = await listed(directory)

    await directory.put_health([replace(late, well=False, reason="timed out")])
    await directory.put_health([replace(late, url="http://never.asked")])

    assert await directory.listing(before.revision) is None
    assert [each.well for each in before.health] == [True]


async def test_what_is_known_of_a_service_that_is_another_now_is_forgotten(directory: Any) -> None:
    await directory.put_service("hotels", {"url": URL})
    (due,) = await claimed(directory, check())
    await directory.put_health([replace(due, well=False, reason="HTTP 503")])

    await directory.put_service("hotels", {"url": URL, "health": "/up"})

    assert (await listed(directory)).health == ()
    assert [each.well for each in await claimed(directory, check())] == [True]


# --- descriptions --------------------------------------------------------------------------------


async def test_what_a_service_described_last_is_kept(directory: Any) -> None:
    first = Description(source="http://hotels/openapi.json", content='{"openapi": "3.1.0"}', read_ms=1)
    then = Description(source="http://hotels/v2.yaml", content="openapi: 3.1.0\npaths: {/\u00fc: {}}\n", read_ms=2)
    assert await directory.description("hotels") is None

    await directory.keep_description("hotels", first)
    assert await directory.description("hotels") == first
    await directory.keep_description("hotels", then)

    assert await directory.description("hotels") == then
    assert await directory.description("cars") is None
