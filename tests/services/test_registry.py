"""Names, places, and the promise that every invocation ends in a reply."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import deque

import pytest
from service_calls import invocation, send

from makegood.errors import ConfigurationError, NotFound
from makegood.ports import Invoker, Slot
from makegood.services import Registry, ServiceConfig
from makegood.services.endpoint import Endpoint
from makegood.services.registry import Adapter

pytestmark = pytest.mark.anyio


async def nothing() -> None:
    """A service that does nothing."""


def bounded(places: int) -> Registry:
    registry = Registry()
    registry.register("svc", {"do": nothing}, ServiceConfig(name="svc", max_concurrent=places))
    return registry


def test_a_registry_is_an_invoker() -> None:
    invoker: Invoker = bounded(1)

    assert (invoker.offers("svc"), invoker.offers("other"), invoker.offered()) == (True, False, ("svc",))


def test_settings_are_those_of_the_configuration() -> None:
    registry = Registry()
    registry.register("plain", nothing)
    registry.register("set", "http://h/", ServiceConfig(name="set", timeout_ms=7, strict_idempotent=True))

    assert [registry.default_timeout_ms(each) for each in ("plain", "set", "none")] == [None, 7, None]
    assert [registry.strict_idempotent(each) for each in ("plain", "set", "none")] == [False, True, False]
    assert registry.config("set").urls == ("http://h",)


@pytest.mark.parametrize("name", ["", "ö_vc", "s/vc", "a.b", "a b", "-a", "a" * 64, "é"])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a service's name"):
        Registry().register(name, nothing)


def test_contradicting_configurations_are_refused() -> None:
    registry = Registry()
    for service, config in [
        (ServiceConfig(name="other", urls=("http://h",)), None),
        (ServiceConfig(name="svc", urls=("http://h",)), ServiceConfig(name="svc")),
        ("http://h", ServiceConfig(name="svc", urls=("http://i",))),
        (nothing, ServiceConfig(name="svc", urls=("http://i",))),
        (nothing, ServiceConfig(name="other")),
    ]:
        with pytest.raises(ConfigurationError):
            registry.register("svc", service, config)


async def test_a_service_that_is_missing_is_said_so() -> None:
    registry = bounded(1)

    assert registry.reserve("svk") is Slot.MISSING
    reply = await registry.invoke(invocation("svk"))

    assert (reply.outcome, reply.code) == ("not_sent", "service_not_found")
    assert "'svc'" in reply.message
    with pytest.raises(NotFound, match="'svc'"):
        registry.unregister("svk")


async def test_places_are_bounded_and_given_back() -> None:
    registry = bounded(2)

    assert [registry.reserve("svc") for _ in range(3)] == [Slot.GRANTED, Slot.GRANTED, Slot.BUSY]
    registry.release("svc")
    assert registry.reserve("svc") is Slot.GRANTED
    await registry.invoke(invocation())
    await registry.invoke(invocation())
    assert registry.in_flight("svc") == 0


def test_who_was_told_busy_hears_once_of_what_is_free_again() -> None:
    registry = bounded(1)
    told: list[str] = []
    registry.on_free = told.append
    registry.reserve("svc")
    registry.release("svc")
    assert told == []

    registry.reserve("svc")
    assert [registry.reserve("svc") for _ in range(2)] == [Slot.BUSY, Slot.BUSY]
    registry.release("svc")
    assert told == ["svc"]
    registry.reserve("svc")
    registry.release("svc")
    assert told == ["svc"]
    registry.reserve("svc")
    assert registry.reserve("svc") is Slot.BUSY
    registry.release("svc")
    assert told == ["svc", "svc"]


async def test_whoever_asks_until_told_busy_lets_all_who_wait_in() -> None:
    registry = bounded(2)
    waiting: deque[asyncio.Event] = deque()

    def freed(_: str) -> None:
        while waiting and registry.reserve("svc") is Slot.GRANTED:
            waiting.popleft().set()

    async def work() -> None:
        if registry.reserve("svc") is Slot.BUSY:
            waiting.append(asyncio.Event())
            await waiting[-1].wait()
        await asyncio.sleep(0)
        assert registry.in_flight("svc") <= 2
        assert (await registry.invoke(invocation())).outcome == "ok"

    registry.on_free = freed
    async with asyncio.timeout(5):
        await asyncio.gather(*(work() for _ in range(50)))


def test_who_waits_learns_that_the_service_is_gone() -> None:
    registry = bounded(1)
    told: list[Slot] = []
    registry.on_free = lambda name: told.append(registry.reserve(name))
    registry.reserve("svc")
    assert [registry.reserve("svc") for _ in range(2)] == [Slot.BUSY, Slot.BUSY]

    registry.unregister("svc")

    assert told == [Slot.MISSING]
    assert not registry.knows("svc")


def test_a_replaced_service_still_counts_the_calls_that_are_open() -> None:
    registry = bounded(1)
    registry.reserve("svc")

    registry.register("svc", {"do": nothing}, ServiceConfig(name="svc", max_concurrent=2))

    assert [registry.reserve("svc"), registry.reserve("svc")] == [Slot.GRANTED, Slot.BUSY]


def test_a_release_too_many_changes_nothing() -> None:
    registry = bounded(1)
    registry.release("svc")
    registry.release("other")

    assert [registry.reserve("svc"), registry.reserve("svc")] == [Slot.GRANTED, Slot.BUSY]


async def test_a_mistake_of_ours_is_a_reply_too(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = bounded(1)

    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    adapter: Adapter = registry._services["svc"].adapter
    monkeypatch.setattr(type(adapter), "call", broken)

    reply = await send(registry, invocation())

    assert (reply.outcome, reply.code) == ("unknown", "service_error")


async def test_a_removed_services_threads_end() -> None:
    registry = Registry()
    registry.register("svc", {"do": lambda: threading.current_thread().name})
    name = (await send(registry, invocation())).output

    registry.unregister("svc")

    for thread in threading.enumerate():
        if thread.name == name:
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive()


def test_a_function_that_hangs_does_not_keep_the_process() -> None:
    program = """
import asyncio, threading, time
from makegood.ports import Invocation
from makegood.services import Registry
async def main():
    registry = Registry()
    registry.register("svc", {"do": threading.Event().wait})
    registry.reserve("svc")
    given = Invocation(execution_id="1", workflow="w", step="s", service="svc", method="do", body=None, key="k",
                       attempt=1, deadline_ms=int(time.time() * 1000) + 30)
    print((await registry.invoke(given)).code)
    await registry.aclose()
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=True)
    assert ended.stdout == "call_timeout\n"


def test_importing_services_loads_no_http() -> None:
    program = "import sys, makegood.services; print('makegood.services.http' in sys.modules)"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=True)
    assert ended.stdout == "False\n"


def test_a_service_that_comes_back_under_its_name_is_not_where_it_was() -> None:
    registry = Registry()
    registry.register("svc", "http://a:1")
    registry.pool("svc").set("instances", [Endpoint("http://b:1", {})])
    assert registry.reserve("svc") is Slot.GRANTED

    registry.unregister("svc")
    registry.register("svc", "http://c:1")

    assert [each.url for each in registry.pool("svc").standing()] == ["http://c:1"]
    registry.release("svc")
    assert registry.in_flight("svc") == 0
