"""Services that call back: whose address is good, what it does, and that it is heard once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from calling import Api, api_on

import makegood as mg
from makegood.services import Registry
from makegood.services.callbacks import Callbacks, called

pytestmark = pytest.mark.anyio

SECRET = "an old secret that nobody guesses"
CALLBACKS = Callbacks("https://makegood.example.test/", SECRET)
SAGA = {
    "name": "trip",
    "steps": [
        {"id": "hotel", "call": "hotels.reserve", "compensation": "hotels.cancel"},
        {"id": "pay", "call": "hotels.pay"},
    ],
    "output": "${steps.hotel}",
}


class Hotels:
    """Accepts what it is asked, and says later what came of it."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def reserve(self, value: Any, call: mg.Call) -> Any:
        self.keys.append(call.key)
        return mg.Ongoing(None)

    async def cancel(self, value: Any, call: mg.Call) -> Any:
        self.keys.append(call.key)
        return mg.Ongoing(None)

    async def pay(self, value: Any, call: mg.Call) -> Any:
        if isinstance(value, dict) and value.get("poor"):
            raise mg.Rejected("no_money", "there is no money")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    registry = Registry()
    registry.register("hotels", Hotels())
    async with api_on(":memory:", registry, callbacks=CALLBACKS) as running:
        await running.put(SAGA)
        yield running


def target(key: str = "trip-1:hotel:do") -> str:
    parts = urlsplit(CALLBACKS.address(key, 1))
    return f"{parts.path.replace('%3A', ':')}?{parts.query}"


def test_an_address_is_of_one_call_and_of_these_servers() -> None:
    address = CALLBACKS.address("trip-1:ship[3]:do", 2)
    token = address.rpartition("=")[2]

    assert address.startswith("https://makegood.example.test/v1/callbacks/trip-1%3Aship%5B3%5D%3Ado?attempt=2&token=")
    assert CALLBACKS.knows("trip-1:ship[3]:do", "2", token)
    assert not CALLBACKS.knows("trip-1:ship[3]:do", "1", token)
    assert not CALLBACKS.knows("trip-1:ship[3]:undo", "2", token)
    assert not Callbacks("https://makegood.example.test", SECRET + "!").knows("trip-1:ship[3]:do", "2", token)
    assert SECRET not in repr(CALLBACKS)


def test_a_key_says_which_call_it_is_of() -> None:
    assert called("trip-1:ship[3]:undo") == ("trip-1", "ship[3]", True)
    assert called("trip-1:ship:do") == ("trip-1", "ship", False)
    assert [called(each) for each in ("", "a:b", "a:b:c", "a:b:do:d")] == [None] * 4


async def test_the_step_is_settled_by_what_its_service_tells(api: Api) -> None:
    await api.start("trip", id="trip-1")
    told = await api.call("POST", target(), {"output": {"room": 7}})
    again = await api.call("POST", target(), {"output": {"room": 7}})
    reply = await api.call("GET", "/v1/executions/trip-1?wait=20s")

    assert (told.status, told.json["request"], told.json["pending"]) == (202, "callback", False)
    assert again.status == 202
    assert (reply.json["status"], reply.json["output"]) == ("completed", {"room": 7})


async def test_what_is_settled_stays_so(api: Api) -> None:
    await api.start("trip", id="trip-1")
    await api.call("POST", target(), {"output": {"room": 7}})
    other = await api.call("POST", target(), {"output": {"room": 8}})
    no = await api.call("POST", target(), {"error": {"code": "full"}})

    assert {(each.status, each.code) for each in (other, no)} == {(409, "not_awaited")}


async def test_an_undo_is_settled_by_its_own_address(api: Api) -> None:
    await api.start("trip", {"poor": True}, id="trip-1")
    await api.call("POST", target(), {"output": 1})
    forward = await api.call("POST", target("trip-1:hotel:undo"), {})
    reply = await api.call("GET", "/v1/executions/trip-1?wait=20s")

    assert forward.status == 202
    assert reply.json["status"] == "compensated"


async def test_a_no_is_the_steps_error(api: Api) -> None:
    await api.start("trip", id="trip-1")
    error = {"code": "full", "message": "no room", "details": {"until": "may"}}
    await api.call("POST", target(), {"error": error})
    reply = await api.call("GET", "/v1/executions/trip-1?wait=20s")

    told = reply.json["error"]
    assert {key: told[key] for key in error} == error
    assert (reply.json["status"], told["outcome"]) == ("compensated", "rejected")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "?token=",
        "?attempt=1&token=0",
        "?attempt=1&token=%C3%A9",
        f"?attempt=1&token={'0' * 64}",
        "?" + target("trip-1:hotel:undo").partition("?")[2],
    ],
)
async def test_an_address_that_was_not_given_out_is_refused_before_it_is_read(api: Api, token: str) -> None:
    await api.start("trip", id="trip-1")
    reply = await api.call("POST", f"/v1/callbacks/trip-1:hotel:do{token}", body=b"{", media="text/plain")

    assert (reply.status, reply.code) == (401, "unauthorized")
    assert api.pending == [b"{"]
    assert (await api.call("GET", "/v1/executions/trip-1")).json["status"] == "running"


async def test_without_a_secret_no_address_is_good() -> None:
    async with api_on(":memory:") as api:
        assert (await api.call("POST", target(), {})).status == 401


@pytest.mark.parametrize(("secret", "why"), [("env:NO_SUCH", "env:NO_SUCH"), ("short", "less than 16 characters")])
async def test_a_secret_that_is_none_is_said(secret: str, why: str) -> None:
    async with api_on(":memory:", callbacks=Callbacks("http://x", secret)) as api:
        reply = await api.call("POST", target(), {})

    assert reply.status == 401
    assert why in reply.json["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"output": 1, "error": {"code": "full"}}, "/error"),
        ({"error": {}}, "/error/code"),
        ({"error": "full"}, "/error"),
        ({"outputs": 1}, "/outputs"),
    ],
)
async def test_what_is_neither_an_output_nor_an_error_is_refused(api: Api, body: Any, pointer: str) -> None:
    await api.start("trip", id="trip-1")
    reply = await api.call("POST", target(), body)

    assert reply.status == 422
    assert pointer.rsplit("/", maxsplit=1)[-1] in str(reply.json)


@pytest.mark.parametrize(
    "key", ["trip-9:hotel:do", "trip-1:pay:do", "trip-1:nope:do", "trip-1:hotel:undo", "x", "a:b:c"]
)
async def test_of_what_was_never_called_nothing_can_be_told(api: Api, key: str) -> None:
    await api.start("trip", id="trip-1")
    reply = await api.call("POST", target(quote(key, safe=":")), {})

    assert (reply.status, reply.code) == (404, "not_found")


async def test_a_program_tells_by_the_engine(api: Api) -> None:
    await api.start("trip", id="trip-1")
    await api.server.engine.call_back("trip-1", "hotel", {"output": 5}, undo=False)

    assert (await api.call("GET", "/v1/executions/trip-1?wait=20s")).json["output"] == 5
