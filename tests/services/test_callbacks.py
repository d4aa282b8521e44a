"""Calls that carry an address to call back: what is sent, and what 202 means then."""

from __future__ import annotations

from typing import Any

import pytest
from misbehaving import Misbehaving, answer
from service_calls import invocation, send

from makegood.core.outcome import Reply
from makegood.errors import ConfigurationError
from makegood.services import Registry, ServiceConfig
from makegood.services.callbacks import Callbacks

pytestmark = pytest.mark.anyio

CALLBACKS = Callbacks("https://makegood.example.test", "env:SECRET_OF_A_TEST")
TELLING = {"do": {"callback": True}}


def config(url: str, methods: Any = None, **more: Any) -> ServiceConfig:
    return ServiceConfig(name="svc", urls=(url,), methods=TELLING if methods is None else methods, **more)


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch, server: Misbehaving) -> Registry:
    monkeypatch.setenv("SECRET_OF_A_TEST", "an old secret that nobody guesses")
    registry = Registry(callbacks=CALLBACKS)
    registry.register("svc", config(server.url))
    return registry


async def test_a_call_carries_the_address_of_its_own_key(telling: Registry, server: Misbehaving) -> None:
    await send(telling, invocation(key="01JX:ship[3]:undo", attempt=3))

    (received,) = server.received
    assert (received.verb, received.path) == ("POST", "/do")
    assert received.header("makegood-callback") == CALLBACKS.address("01JX:ship[3]:undo", 3)


async def test_a_method_that_does_not_ask_for_it_is_given_none(telling: Registry, server: Misbehaving) -> None:
    await send(telling, invocation(method="other"))

    assert server.received[0].header("makegood-callback") is None


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        ("202 Accepted", {}, Reply("ongoing", status=202)),
        ("202 Accepted", {"Makegood-Poll-After": "5"}, Reply("ongoing", status=202, poll_after_ms=5000)),
        ("200 OK", {}, Reply("ok", output={"n": 1}, status=200)),
    ],
)
async def test_202_is_told_of_later(
    telling: Registry, server: Misbehaving, status: str, headers: dict[str, str], expected: Reply
) -> None:
    server.on("do", answer(b'{"n":1}', status=status, headers=headers))

    assert await send(telling, invocation()) == expected


async def test_what_the_configuration_says_of_202_holds(telling: Registry, server: Misbehaving) -> None:
    telling.register("svc", config(server.url, {"do": {"callback": True, "outcomes": {"202": "ok"}}}))
    server.on("do", answer(b"7", status="202 Accepted"))

    assert await send(telling, invocation()) == Reply("ok", output=7, status=202)


async def test_without_its_secret_nothing_is_sent(
    telling: Registry, server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_OF_A_TEST")
    reply = await send(telling, invocation())

    assert (reply.outcome, reply.code, server.received) == ("not_sent", "service_unavailable", [])
    assert "env:SECRET_OF_A_TEST" in reply.message


def test_where_nothing_listens_nobody_is_told_to_call_back() -> None:
    with pytest.raises(ConfigurationError, match=r"callback = true, and there is no \[callbacks\]"):
        Registry().register("svc", config("http://svc"))


@pytest.mark.parametrize("given", ["yes", 1, None])
def test_callback_is_true_or_false(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="callback is true or false"):
        config("http://svc", {"do": {"callback": given}})


@pytest.mark.parametrize("url", ["makegood.example.test", "ftp://x", "http://", "http://x?a=1", "http://x#a"])
def test_the_servers_address_is_an_url(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"callbacks\.url"):
        Callbacks(url, "env:X")
