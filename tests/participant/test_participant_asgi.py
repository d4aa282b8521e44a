"""The middleware before an application of any framework, and functions as an application of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from participant_worlds import World, world_of
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from makegood.participant import Barrier, Methods, Middleware, NotDone, Ongoing, Rejected, effect_key

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite3", "asyncpg"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(request.param, tmp_path) as made:
        yield made


async def ask(
    app: Any, path: str, body: Any = None, key: str | None = None, *, method: str = "POST", query: str = "", **more: str
) -> tuple[int, dict[str, str], bytes]:
    """One request, in two pieces; the answer's status, headers and body."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pieces = [
        {"type": "http.request", "body": raw[:3], "more_body": True},
        {"type": "http.request", "body": raw[3:], "more_body": False},
    ]
    headers = {**more, **({"idempotency-key": key} if key else {})}
    sent: list[Any] = []

    async def receive() -> Any:
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(), "root_path": "",
        "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    told = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(each.get("body", b"") for each in sent[1:])


class Shop:
    """An application that does as its input says."""

    def __init__(self, world: World) -> None:
        self.calls = 0
        self.done: list[Any] = []
        self._world = world
        routes = [Route("/reserve", self.reserve, methods=["POST", "PUT", "GET"]),
                  Route("/cancel", self.cancel, methods=["POST"])]  # fmt: skip
        self.app = Middleware(Starlette(routes=routes), world.barrier())

    async def reserve(self, request: Request) -> Response:
        if request.method == "GET":
            return PlainTextResponse(f"barrier: {'makegood' in request.scope}")
        self.calls += 1
        asked, at = await request.json(), request.scope["makegood"]
        result = self._world.effect(at.db, effect_key(at.call.key), "reserved")
        if asyncio.iscoroutine(result):
            await result
        if asked.get("status") == 500:
            raise RuntimeError("fire")
        headers = {"makegood-poll-after": "0.5"} if asked.get("status") == 202 else {"x-once": "1"}
        return JSONResponse({"call": self.calls}, asked.get("status", 201), headers)

    async def cancel(self, request: Request) -> Response:
        at = request.scope["makegood"]
        self.done.append(at.done)
        result = self._world.effect(at.db, effect_key(at.call.key), "cancelled")
        if asyncio.iscoroutine(result):
            await result
        return Response(status_code=204)


async def test_an_answer_is_given_again_as_it_was(world: World) -> None:
    shop = Shop(world)

    first = await ask(shop.app, "/reserve", {"a": 1, "b": 2}, "x:hotel:do")
    again = await ask(shop.app, "/reserve", b'{ "b": 2, "a": 1 }', "x:hotel:do")

    assert (first[0], first[2]) == (again[0], again[2]) == (201, b'{"call":1}')
    assert first[1]["content-type"] == again[1]["content-type"] == "application/json"
    assert world.effects() == [("x:hotel", "reserved")]


async def test_an_undo_passes_once_and_knows_the_answer(world: World) -> None:
    shop = Shop(world)
    await ask(shop.app, "/reserve", {}, "x:hotel:do")

    answers = [await ask(shop.app, "/cancel", {}, "x:hotel:undo") for _ in range(2)]

    assert [(each[0], each[2]) for each in answers] == [(204, b"")] * 2
    assert shop.done == [{"call": 1}]
    assert world.effects() == [("x:hotel", "cancelled"), ("x:hotel", "reserved")]


async def test_an_undo_before_its_call_bars_it(world: World) -> None:
    shop = Shop(world)

    undone = await ask(shop.app, "/cancel", {}, "x:hotel:undo")
    late = await ask(shop.app, "/reserve", {}, "x:hotel:do")

    assert (undone[0], undone[2]) == (200, b"null")
    assert (late[0], json.loads(late[2])["error"]["code"]) == (409, "undone")
    assert world.effects() == []
    assert (shop.calls, shop.done) == (0, [])


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_a_definite_no_is_kept_without_its_effects(world: World, status: int) -> None:
    shop = Shop(world)

    answers = [await ask(shop.app, "/reserve", {"status": status}, "x:hotel:do") for _ in range(2)]

    assert [(each[0], each[2]) for each in answers] == [(status, b'{"call":1}')] * 2
    assert world.effects() == []


@pytest.mark.parametrize("status", [302, 408, 425, 429, 503])
async def test_what_is_no_end_leaves_nothing(world: World, status: int) -> None:
    shop = Shop(world)

    answers = [await ask(shop.app, "/reserve", {"status": status}, "x:hotel:do") for _ in range(2)]

    assert [(each[0], each[2]) for each in answers] == [(status, b'{"call":1}'), (status, b'{"call":2}')]
    assert world.effects() == []
    assert world.ask("SELECT key FROM makegood_barrier") == []


async def test_an_exception_leaves_nothing(world: World) -> None:
    shop = Shop(world)

    with pytest.raises(RuntimeError, match="fire"):
        await ask(shop.app, "/reserve", {"status": 500}, "x:hotel:do")

    assert world.effects() == []
    assert world.ask("SELECT key FROM makegood_barrier") == []


async def test_202_with_a_time_to_ask_again_keeps_the_effect_and_lets_the_key_through(world: World) -> None:
    shop = Shop(world)

    answers = [await ask(shop.app, "/reserve", {"status": 202}, "x:hotel:do") for _ in range(2)]

    assert [(each[0], each[1]["makegood-poll-after"]) for each in answers] == [(202, "0.5")] * 2
    assert len(world.effects()) == 2
    await ask(shop.app, "/cancel", {}, "x:hotel:undo")
    assert (await ask(shop.app, "/reserve", {"status": 202}, "x:hotel:do"))[0] == 409


async def test_another_request_under_the_key_is_refused(world: World) -> None:
    shop = Shop(world)
    await ask(shop.app, "/reserve", {"guest": "Ada"}, "x:hotel:do")

    others = [
        await ask(shop.app, "/reserve", {"guest": "Eve"}, "x:hotel:do"),
        await ask(shop.app, "/reserve", {"guest": "Ada"}, "x:hotel:do", method="PUT"),
        await ask(shop.app, "/reserve", {"guest": "Ada"}, "x:hotel:do", query="room=1"),
    ]

    assert [(each[0], json.loads(each[2])["error"]["code"]) for each in others] == [(409, "key_reused")] * 3


async def test_without_a_key_nothing_is_changed_and_reading_needs_none(world: World) -> None:
    shop = Shop(world)

    refused = await ask(shop.app, "/reserve", {})
    read = await ask(shop.app, "/reserve", method="GET")

    assert (refused[0], json.loads(refused[2])["error"]["code"]) == (400, "key_missing")
    assert (read[0], read[2]) == (200, b"barrier: False")
    assert shop.calls == 0


async def test_a_body_that_is_too_large_is_refused_before_it_is_read_to_its_end(world: World) -> None:
    shop = Shop(world)
    narrow = Middleware(shop.app, world.barrier(), body_bytes_max=100)

    assert (await ask(narrow, "/reserve", {"guest": "A" * 100}, "x:hotel:do"))[0] == 413


async def test_deliveries_at_once_on_one_loop_wait_for_each_other(world: World) -> None:
    shop = Shop(world)

    answers = await asyncio.gather(*(ask(shop.app, "/reserve", {}, "x:hotel:do") for _ in range(8)))

    assert {(each[0], each[2]) for each in answers} == {(201, b'{"call":1}')}
    assert world.effects() == [("x:hotel", "reserved")]


# --- functions as an application ---


def hotel(barrier: Barrier) -> Methods:
    @barrier
    def reserve(db: Any, input: Any, call: Any) -> Any:  # noqa: A002
        db.execute("INSERT INTO effect VALUES (?, ?)", (call.step, f"attempt {call.attempt}"))
        match input:
            case "no":
                raise Rejected("sold_out", "none left")
            case "later":
                return Ongoing(0.25)
            case "told":
                return Ongoing(None)
            case "fire":
                raise RuntimeError("secret")
            case "set":
                return {1, 2}
        return {"room": 12}

    def busy(input: Any, call: Any) -> Any:  # noqa: A002
        raise NotDone("somebody else is at it")

    return Methods(reserve, busy)


@pytest.fixture
def methods(tmp_path: Path) -> Iterator[tuple[Methods, World]]:
    with world_of("sqlite3", tmp_path) as world:
        yield hotel(world.barrier()), world


async def test_functions_are_called_by_their_names(methods: tuple[Methods, World]) -> None:
    app, world = methods
    headers = {"makegood-step": "hotel", "makegood-attempt": "3"}

    first, again = [await ask(app, "/api/reserve", {"days": 1}, "x:hotel:do", **headers) for _ in range(2)]

    assert first == again
    assert (first[0], json.loads(first[2])) == (200, {"room": 12})
    assert world.effects() == [("hotel", "attempt 3")]


@pytest.mark.parametrize(
    ("path", "given", "key", "status", "code"),
    [
        ("/reserve", "no", "x:a:do", 409, "sold_out"),
        ("/reserve", "fire", "x:a:do", 500, "service_error"),
        ("/reserve", "set", "x:a:do", 500, "service_error"),
        ("/reserve", b"{", "x:a:do", 400, "invalid_json"),
        ("/reserve", b"[" * 100_000, "x:a:do", 400, "invalid_json"),
        ("/reserve", {}, None, 400, "key_missing"),
        ("/nothing", {}, "x:a:do", 404, "method_not_found"),
        ("/busy", {}, "x:a:do", 425, "not_done"),
    ],
)
async def test_what_is_no_success_says_what_it_is(
    methods: tuple[Methods, World], path: str, given: Any, key: str | None, status: int, code: str
) -> None:
    app, world = methods

    answer = await ask(app, path, given, key)

    assert (answer[0], json.loads(answer[2])["error"]["code"]) == (status, code)
    assert b"secret" not in answer[2]
    assert world.effects() == []
    assert ("retry-after" in answer[1]) == (status == 425)


async def test_an_ongoing_call_says_when_to_ask_again(methods: tuple[Methods, World]) -> None:
    answer = await ask(methods[0], "/reserve", "later", "x:a:do")

    assert (answer[0], answer[1]["makegood-poll-after"]) == (202, "0.25")


async def test_a_call_that_will_be_told_of_is_accepted_once(methods: tuple[Methods, World]) -> None:
    app, world = methods
    answers = [await ask(app, "/reserve", "told", "x:a:do", **{"makegood-callback": "http://here"}) for _ in range(2)]

    assert [each[0] for each in answers] == [202, 202]
    assert "makegood-poll-after" not in answers[0][1]
    assert len(world.effects()) == 1


async def test_a_database_that_is_not_there_is_no_outcome(tmp_path: Path) -> None:
    def gone() -> Any:
        raise OSError("secret path")

    answer = await ask(hotel(Barrier(gone)), "/reserve", {}, "x:a:do")

    assert answer[0] == 425
    assert b"secret" not in answer[2]


async def test_methods_are_reached_by_post_and_health_by_get(methods: tuple[Methods, World]) -> None:
    assert (await ask(methods[0], "/reserve", {}, "x:a:do", method="PUT"))[0] == 405
    assert (await ask(methods[0], "/healthz", method="GET"))[0] == 200
