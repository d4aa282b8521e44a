"""Local services: what may be called, what a return or an exception means, and who shares what."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import datetime as dt
import functools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec
import pytest
from service_calls import invocation, send

from makegood.core.outcome import Reply
from makegood.errors import ConfigurationError, Rejected
from makegood.ports import Slot
from makegood.services import Call, Ongoing, Registry

pytestmark = pytest.mark.anyio


async def ask(function: Callable[..., Any], body: Any = None, **more: Any) -> Reply:
    """Register one function as the service's only method and call it."""
    registry = Registry()
    registry.register("svc", {"do": function})
    try:
        return await send(registry, invocation(body=body, **more))
    finally:
        await registry.aclose()


class Hotels:
    """A service with everything that could be mistaken for a method."""

    rooms = 3

    def __init__(self) -> None:
        self.client = lambda: "not a method"

    async def reserve(self, given: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"key": call.key, "guest": given["guest"]}

    def plain(self, given: Any) -> Any:
        return ["plain", given, threading.current_thread() is not threading.main_thread()]

    async def nothing(self) -> str:
        return "no arguments"

    async def only_call(self, call: Call) -> str:
        return call.step

    async def defaults(self, given: Any, retries: int = 3) -> list[Any]:
        return [given, retries]

    async def anything(self, *arguments: Any) -> int:
        return len(arguments)

    @staticmethod
    async def static(given: Any) -> Any:
        return given

    @classmethod
    async def of_class(cls, given: Any) -> Any:
        return [cls.__name__, given]

    @functools.cached_property
    def costly(self) -> Any:
        raise AssertionError("registering ran the service's code")

    @property
    def secret(self) -> Any:
        raise AssertionError("registering ran the service's code")

    def close(self, one: Any, two: Any, three: Any) -> None:
        """Public, but no service method."""

    async def _private(self) -> str:
        return "never"


@pytest.mark.parametrize(
    ("method", "output"),
    [
        ("reserve", {"key": "01JX:ship[3]:do", "guest": "Ada"}),
        ("plain", ["plain", {"guest": "Ada"}, True]),
        ("nothing", "no arguments"),
        ("only_call", "ship[3]"),
        ("defaults", [{"guest": "Ada"}, 3]),
        ("anything", 2),
        ("static", {"guest": "Ada"}),
        ("of_class", ["Hotels", {"guest": "Ada"}]),
    ],
)
async def test_public_methods_are_called_with_what_they_take(registry: Registry, method: str, output: Any) -> None:
    registry.register("hotels", Hotels())

    reply = await send(registry, invocation("hotels", method, {"guest": "Ada"}))

    assert reply == Reply.ok(output)


@pytest.mark.parametrize("method", ["_private", "__init__", "secret", "costly", "client", "rooms", "close", "resrve"])
async def test_nothing_else_can_be_called(registry: Registry, method: str) -> None:
    registry.register("hotels", Hotels())

    reply = await send(registry, invocation("hotels", method))

    assert (reply.outcome, reply.code) == ("rejected", "method_not_found")
    assert method in reply.message


async def test_a_missing_method_names_the_nearest(registry: Registry) -> None:
    registry.register("hotels", Hotels())

    assert "'reserve'" in (await send(registry, invocation("hotels", "resrve"))).message


async def test_a_function_is_a_service_with_one_method(registry: Registry) -> None:
    async def greet(given: str) -> str:
        return f"hello {given}"

    registry.register("svc", greet)

    assert (await send(registry, invocation(method="greet", body="Ada"))).output == "hello Ada"


@pytest.mark.parametrize(
    "service",
    [Hotels, object(), 7, None, {}, {"_x": print}, lambda: 1, {"do": lambda a, b, c: 1}, {"do": lambda *, a: 1}],
)
def test_what_is_no_service_is_refused(service: Any) -> None:
    with pytest.raises(ConfigurationError):
        Registry().register("svc", service)


async def test_a_call_tells_what_it_is_part_of() -> None:
    seen: list[Call] = []

    async def do(given: Any, call: Call) -> None:
        seen.append(call)

    await ask(do, attempt=2, deadline_ms=4_102_444_800_250, undo=True)

    call = seen[0]
    assert (call.execution_id, call.workflow, call.step, call.service) == ("01JX", "trip", "ship[3]", "svc")
    assert (call.method, call.key, call.attempt, call.undo) == ("do", "01JX:ship[3]:do", 2, True)
    assert call.deadline == dt.datetime(2100, 1, 1, 0, 0, 0, 250_000, tzinfo=dt.UTC)
    assert call.remaining_s > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        call.attempt = 3  # type: ignore[misc]


@pytest.mark.parametrize("is_async", [True, False])
async def test_rejected_is_a_definite_no(is_async: bool) -> None:
    def plain() -> None:
        raise Rejected("sold_out", "no room", {"left": 0})

    async def awaited() -> None:
        plain()

    reply = await ask(awaited if is_async else plain)

    assert reply == Reply("rejected", code="sold_out", message="no room", details={"left": 0})


async def test_a_rejection_stands_even_when_its_details_cannot_be_kept() -> None:
    async def do() -> None:
        raise Rejected("sold_out", "no \ud800 room", {1: object()})

    reply = await ask(do)

    assert (reply.outcome, reply.code, reply.details) == ("rejected", "sold_out", None)


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    "error",
    [KeyError("x"), SystemExit(3), StopIteration(4), TimeoutError("mine"), asyncio.CancelledError()],
)
async def test_any_other_exception_is_unknown_and_logged(
    is_async: bool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def plain() -> None:
        raise error

    async def awaited() -> None:
        raise error

    with caplog.at_level(logging.WARNING, "makegood.services"):
        reply = await ask(awaited if is_async else plain)

    assert (reply.outcome, reply.code, reply.answered) == ("unknown", "service_error", True)
    assert "Traceback" not in reply.message
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_the_message_is_type_and_text() -> None:
    async def do() -> None:
        raise ValueError("bad \ud800 date")

    assert (await ask(do)).message == "ValueError: bad ? date"


@pytest.mark.parametrize("raised", [True, False])
async def test_ongoing_may_be_returned_or_raised(raised: bool) -> None:
    async def do() -> Ongoing:
        if raised:
            raise Ongoing(0.25)
        return Ongoing(0.25)

    assert await ask(do) == Reply("ongoing", poll_after_ms=250)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_ongoing_takes_a_number_of_seconds(seconds: float) -> None:
    with pytest.raises(ValueError, match="poll_after_s"):
        Ongoing(seconds)


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Box(msgspec.Struct):
    x: Any


class Color(Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "output"),
    [
        (None, None), (True, True), (2**80, 2**80), (0.5, 0.5), ("\x00é", "\x00é"), ((1, (2,)), [1, [2]]),
        (Point(1, Point(2)), {"x": 1, "y": {"x": 2, "y": None}}), (Box((1,)), {"x": [1]}), (Color.RED, "red"),
        (OrderedDict(a=(1,)), {"a": [1]}), (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00Z"),
        (Text("x"), "x"), ([], []), ({}, {}),
    ],
)  # fmt: skip
async def test_what_is_returned_becomes_plain_json(value: Any, output: Any) -> None:
    async def do() -> Any:
        return value

    reply = await ask(do)

    assert reply == Reply.ok(output)
    assert type(reply.output) is type(output)


def nested(depth: int, kind: Callable[[list[Any]], Any] = list) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = kind([value])
    return value


def cycle() -> Any:
    value: list[Any] = []
    value += [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, float("nan")]}, "/a/1"), (float("inf"), ""), ({"a": {1: 2}}, "/a"), ("\ud800", "surrogate"),
        ({"\ud800": 1}, "surrogate"), ({"a": object()}, "/a"), (nested(201), "nested"), (nested(50_000), "nested"),
        ({"d": {"a", 1}, "f": open}, "/f"), (10**5000, "digits"), (Point(1, object()), ""), ({"k": cycle()}, ""),
    ],
    ids=lambda value: str(type(value).__name__),
)  # fmt: skip
async def test_what_cannot_be_json_is_an_invalid_reply_that_names_the_place(value: Any, where: str) -> None:
    async def do() -> Any:
        return value

    reply = await ask(do)

    assert (reply.outcome, reply.code, reply.answered) == ("unknown", "invalid_reply", True)
    assert where in reply.message


@pytest.mark.parametrize("kind", [list, tuple])
async def test_depth_of_exactly_the_limit_is_kept(kind: Callable[[list[Any]], Any]) -> None:
    async def do() -> Any:
        return nested(200, kind)

    assert (await ask(do)).output == nested(200)


@pytest.mark.parametrize(
    "value", ["x" * (2 * 1024 * 1024), ["\x01" * 400_000], [-2.2250738585072014e-308] * 90_000, ["1234567"] * 300_000]
)
async def test_what_is_too_large_is_refused(value: Any) -> None:
    async def do() -> Any:
        return value

    assert (await ask(do)).code == "reply_too_large"


async def test_an_input_over_the_limit_is_not_sent_unless_it_is_an_undo() -> None:
    calls = []

    async def do(given: str) -> None:
        calls.append(len(given))

    body = "x" * (2 * 1024 * 1024)
    reply = await ask(do, body)
    undo = await ask(do, body, undo=True)

    assert (reply.outcome, reply.code, undo.outcome) == ("not_sent", "payload_too_large", "ok")
    assert calls == [len(body)]


async def test_a_service_shares_neither_its_input_nor_its_output() -> None:
    kept: dict[str, Any] = {"list": [1]}

    async def do(given: dict[str, Any]) -> dict[str, Any]:
        given["items"].append("changed")
        return kept

    body = {"items": ["one"]}
    reply = await ask(do, body)
    kept["list"].append(2)

    assert body == {"items": ["one"]}
    assert reply.output == {"list": [1]}


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_deadline_bounds_a_method(is_async: bool) -> None:
    end = threading.Event()

    async def awaited() -> None:
        await asyncio.Event().wait()

    start = time.monotonic()
    reply = await ask(awaited if is_async else end.wait, timeout_ms=50)
    end.set()

    assert (reply.outcome, reply.code, reply.answered) == ("unknown", "call_timeout", False)
    assert time.monotonic() - start < 1
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_a_method_that_ignores_its_cancellation_is_left_behind() -> None:
    cleaned = asyncio.Event()
    go = asyncio.Event()

    async def do() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.shield(go.wait())
            await asyncio.sleep(0)
            cleaned.set()

    reply = await ask(do, timeout_ms=30)
    assert reply.code == "call_timeout"
    assert not cleaned.is_set()

    go.set()
    await asyncio.wait_for(cleaned.wait(), 5)


async def test_a_method_that_answers_when_it_is_cancelled_has_answered() -> None:
    async def do() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "in time"
        return "never"

    assert await ask(do, timeout_ms=30) == Reply.ok("in time")


async def test_a_method_that_fails_when_it_is_cancelled_has_failed() -> None:
    async def do() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("cleaning up failed") from None

    reply = await ask(do, timeout_ms=30)

    assert (reply.outcome, reply.code) == ("unknown", "service_error")
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_timeouts_within_a_method_are_its_own() -> None:
    async def do() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        async with asyncio.TaskGroup() as group:
            one = group.create_task(asyncio.sleep(0, "grouped"))
        return one.result()

    assert await ask(do) == Reply.ok("grouped")


async def test_a_cancelled_call_cancels_the_method_and_gives_its_place_back(registry: Registry) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def do() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    registry.register("svc", {"do": do})
    assert registry.reserve("svc") is Slot.GRANTED
    call = asyncio.create_task(registry.invoke(invocation()))
    await begun.wait()

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert cancelled.is_set()
    assert registry.in_flight("svc") == 0


async def test_a_cancellation_from_outside_wins_over_the_deadline(registry: Registry) -> None:
    begun, stop = asyncio.Event(), asyncio.Event()

    async def do() -> None:
        begun.set()
        while not stop.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await stop.wait()

    registry.register("svc", {"do": do})
    assert registry.reserve("svc") is Slot.GRANTED
    call = asyncio.create_task(registry.invoke(invocation(timeout_ms=50)))
    await begun.wait()

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(call), 5)
    stop.set()


async def test_a_result_that_comes_after_the_deadline_is_dropped() -> None:
    end = threading.Event()
    done = threading.Event()

    def do() -> str:
        end.wait()
        done.set()
        return "late"

    assert (await ask(do, timeout_ms=30)).code == "call_timeout"
    end.set()
    assert await asyncio.to_thread(done.wait, 5)


async def test_a_function_that_no_thread_began_is_not_sent(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("makegood.services.local.THREADS_MAX", 1)
    end = threading.Event()
    registry.register("svc", {"block": end.wait, "do": lambda: "done"})

    late = await send(registry, invocation(method="block", timeout_ms=30))
    queued = await send(registry, invocation(timeout_ms=30))
    end.set()
    after = await send(registry, invocation())

    assert (late.code, queued.outcome, queued.code) == ("call_timeout", "not_sent", "service_unavailable")
    assert after == Reply.ok("done")


async def test_plain_functions_run_side_by_side_with_the_callers_context(registry: Registry) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")
    meet = threading.Barrier(3, timeout=5)

    def do() -> str:
        meet.wait()
        return variable.get()

    registry.register("svc", do)
    replies = await asyncio.gather(*(send_only(registry) for _ in range(3)))

    assert replies == [Reply.ok("seen")] * 3


async def send_only(registry: Registry) -> Reply:
    assert registry.reserve("svc") is Slot.GRANTED
    return await registry.invoke(invocation())


async def test_a_plain_wrapper_around_an_async_method_is_awaited() -> None:
    async def inner(given: Any) -> Any:
        await asyncio.sleep(0)
        return ["awaited", given]

    def decorated(given: Any) -> Any:
        return inner(given)

    assert await ask(decorated, 7) == Reply.ok(["awaited", 7])
    assert await ask(functools.partial(inner, 8)) == Reply.ok(["awaited", 8])
