"""Who we say we are: bearer and basic, read anew, and never shown."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from misbehaving import Misbehaving
from service_calls import invocation, send

from makegood.core.outcome import Reply
from makegood.errors import ConfigurationError
from makegood.services import Registry, ServiceConfig

pytestmark = pytest.mark.anyio


async def called(registry: Registry, server: Misbehaving, auth: dict[str, str], **more: Any) -> tuple[Reply, list[Any]]:
    registry.register("svc", ServiceConfig(name="svc", urls=(server.url,), auth=auth, **more))
    reply = await send(registry, invocation())
    return reply, [each.header("authorization") for each in server.received]


async def test_a_bearer_token(registry: Registry, server: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTELS", "t0ken")

    _, seen = await called(registry, server, {"bearer": "env:HOTELS"})

    assert seen == ["Bearer t0ken"]


@pytest.mark.parametrize("user", ["ada", "env:HOTELS_USER"])
async def test_a_user_with_a_password(
    registry: Registry, server: Misbehaving, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("HOTELS_USER", "ada")
    monkeypatch.setenv("HOTELS", "pä:ss")

    _, seen = await called(registry, server, {"user": user, "password": "env:HOTELS"})

    assert base64.b64decode(seen[0].removeprefix("Basic ")).decode() == "ada:pä:ss"


async def test_auth_goes_with_other_secret_headers(
    registry: Registry, server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTELS", "t0ken")
    monkeypatch.setenv("KEY", "k3y")

    _, seen = await called(registry, server, {"bearer": "env:HOTELS"}, headers={"X-Key": "env:KEY", "X-Team": "red"})

    assert seen == ["Bearer t0ken"]
    assert [server.received[0].header(each) for each in ("x-key", "x-team")] == ["k3y", "red"]


async def test_a_file_that_is_replaced_is_read_again(registry: Registry, server: Misbehaving, tmp_path: Path) -> None:
    # Of one length, and written within one tick of the clock of some file systems: the inode tells them apart.
    file = tmp_path / "token"
    seen: list[Any] = []
    for value in ("first\n", "secnd\n", "third\n"):
        fresh = tmp_path / "fresh"
        fresh.write_text(value)
        fresh.replace(file)
        _, seen = await called(registry, server, {"bearer": f"file:{file}"})

    assert seen == ["Bearer first", "Bearer secnd", "Bearer third"]


@pytest.mark.parametrize(
    ("auth", "value", "said"),
    [
        ({"bearer": "env:HOTELS"}, None, "env:HOTELS: the environment variable is not set"),
        ({"bearer": "file:/nonexistent"}, None, "file:/nonexistent: the file cannot be read"),
        ({"bearer": "env:HOTELS"}, "s3cret\r\nEvil: 1", "auth: the value holds what a header cannot"),
        ({"bearer": "env:HOTELS"}, "s3crét", "auth: the value holds what a header cannot"),
        ({"user": "env:HOTELS", "password": "env:HOTELS"}, "s3cret:x", "colon"),
        ({"user": "ada", "password": "env:HOTELS"}, "s3cret\udcff", "not UTF-8"),
    ],
)
async def test_a_secret_that_cannot_be_sent_is_named_and_not_shown(
    registry: Registry, server: Misbehaving, monkeypatch: pytest.MonkeyPatch,
    auth: dict[str, str], value: str | None, said: str,
) -> None:  # fmt: skip
    monkeypatch.delenv("HOTELS", raising=False)
    if value is not None:
        monkeypatch.setenv("HOTELS", value)

    reply, seen = await called(registry, server, auth)

    assert (reply.outcome, reply.code, seen) == ("not_sent", "service_unavailable", [])
    assert said in reply.message
    assert "s3c" not in reply.message


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ({}, "auth is {bearer"),
        ({"bearer": "env:A", "user": "ada", "password": "env:B"}, "auth is {bearer"),
        ({"user": "ada"}, "needs a password"),
        ({"password": "env:B"}, "needs a password"),
        ({"bearer": "s3cret"}, "auth.bearer must be env:NAME"),
        ({"user": "ada", "password": "s3cret"}, "auth.password must be env:NAME"),
        ({"bearer": ["s3cret"]}, "auth.bearer must be a text"),
        ({"user": "", "password": "env:B"}, "auth.user must be a text"),
        ({"baerer": "s3cret"}, "Did you mean 'bearer'?"),
    ],
)
def test_settings_that_cannot_work_are_refused_and_not_repeated(auth: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        ServiceConfig(name="svc", urls=("http://h",), auth=auth)

    assert said in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert refusal.value.at[0] == "auth"


def test_auth_and_a_header_of_ones_own_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Keep one of them"):
        ServiceConfig(name="svc", urls=("http://h",), auth={"bearer": "env:A"}, headers={"authorization": "env:B"})
