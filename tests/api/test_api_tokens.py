"""Who may ask what: no token, no answer; each role what it allows and no more."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from calling import Api, api_on

from makegood.api import tokens as tokens_module
from makegood.api.table import PUBLIC, ROUTES, Route
from makegood.api.tokens import ROLES, Role, Tokens, new_token, tokens_text
from makegood.errors import ConfigurationError

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[str, str]]:
    """Token and hash of each role."""
    return {role: new_token(role) for role in ROLES}


@pytest.fixture
def path(tmp_path: Path, made: dict[str, tuple[str, str]]) -> Path:
    file = tmp_path / "tokens.toml"
    file.write_text(tokens_text({role: (role, told) for role, (_, told) in made.items()}))
    return file


@pytest.fixture
async def guarded(tmp_path: Path, path: Path) -> AsyncIterator[Api]:
    async with api_on(str(tmp_path / "api.db"), tokens=Tokens(str(path))) as opened:
        yield opened


def filled(route: Route) -> str:
    return route.path.replace("{id}", "x").replace("{name}", "trip").replace("{version}", "1")


PRIVATE = [each for each in ROUTES if not each.public and not each.for_services]


def test_what_is_public_is_listed_and_harmless() -> None:
    assert {each.path for each in ROUTES if each.public} == set(PUBLIC)
    assert {"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/style.css"} == set(PUBLIC)
    assert all(each.method == "GET" for each in ROUTES if each.public)
    # Its URL is its own token: see test_api_callbacks.
    assert [(each.method, each.path) for each in ROUTES if each.for_services] == [("POST", "/v1/callbacks/{key}")]


def test_what_writes_needs_more_than_a_viewer() -> None:
    assert all(each.role > Role.VIEWER for each in ROUTES if each.writes)
    assert {each.path for each in ROUTES if each.role is Role.ADMIN} == {"/v1/workflows/{name}", "/v1/services/{name}"}


@pytest.mark.parametrize("route", PRIVATE, ids=lambda each: f"{each.method} {each.path}")
async def test_every_route_refuses_strangers(guarded: Api, route: Route) -> None:
    for header in (None, "", "Bearer", "Bearer x", "Bearer admin.", "Bearer admin.wrong", "Basic YTpi", "bearer  .x"):
        headers = {} if header is None else {"authorization": header}
        reply = await guarded.call(route.method, filled(route), **headers)
        assert (reply.status, reply.code) == (401, "unauthorized"), header
        assert reply.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", PRIVATE, ids=lambda each: f"{each.method} {each.path}")
async def test_every_route_refuses_a_lesser_role_and_lets_its_own_in(
    guarded: Api, made: dict[str, tuple[str, str]], route: Route
) -> None:
    for name, role in ROLES.items():
        guarded.token = made[name][0]
        reply = await guarded.call(route.method, filled(route))
        assert reply.status != 401
        assert (reply.status == 403) == (role < route.role), (name, reply)
        if role < route.role:
            assert reply.code == "forbidden"


@pytest.mark.parametrize("target", ["/v2", "/v1/executions/x/docs", "/docs/../v1/executions", "/healthz/", "/v1/x.css"])
async def test_what_is_not_there_is_not_told_to_strangers(guarded: Api, target: str) -> None:
    assert (await guarded.call("GET", target)).status == 401


async def test_public_pages_need_no_token(guarded: Api) -> None:
    for path in PUBLIC:
        assert (await guarded.call("GET", path)).status == 200


async def test_a_token_is_given_and_taken_away_while_the_server_runs(
    guarded: Api, path: Path, made: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "_CHECKED_S", 0.0)
    guarded.token = made["viewer"][0]
    assert (await guarded.call("GET", "/v1/executions")).status == 200

    token, told = new_token("new")
    path.write_text(tokens_text({"new": ("operator", told)}))

    assert (await guarded.call("GET", "/v1/executions")).status == 401
    guarded.token = token
    assert (await guarded.call("POST", "/v1/executions", {"workflow": "x"})).status == 404
    assert (await guarded.call("DELETE", "/v1/services/x")).status == 403


async def test_a_slip_in_the_file_locks_nobody_out(
    guarded: Api, path: Path, made: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(tokens_module, "_CHECKED_S", 0.0)
    guarded.token = made["viewer"][0]
    path.write_text("[viewer")

    assert (await guarded.call("GET", "/v1/executions")).status == 200
    assert "tokens_unreadable" in caplog.text


async def test_many_wrong_tokens_at_once_are_too_many(guarded: Api) -> None:
    told = await asyncio.gather(
        *(guarded.call("GET", "/v1/executions", authorization=f"Bearer admin.{n}") for n in range(40))
    )

    assert {each.status for each in told} == {401, 429}


async def test_every_write_is_in_the_log_with_who_and_from_where(
    guarded: Api, made: dict[str, tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    guarded.token = made["admin"][0]
    with caplog.at_level(logging.INFO, "makegood"):
        await guarded.call("DELETE", "/v1/services/none")

    facts = next(each.facts for each in caplog.records if getattr(each, "event", "") == "write_asked")
    assert facts == {
        "who": "admin", "method": "DELETE", "path": "/v1/services/none", "origin": "127.0.0.1", "verdict": "not_found",
    }  # fmt: skip
    assert made["admin"][0] not in caplog.text


async def test_who_asked_is_in_the_history(guarded: Api, made: dict[str, tuple[str, str]]) -> None:
    guarded.token = made["admin"][0]
    await guarded.put({"name": "w", "steps": [{"id": "a", "signal": "go"}]})
    guarded.token = made["operator"][0]
    await guarded.start("w", id="x")
    await guarded.call("POST", "/v1/executions/x/suspend", {"note": "lunch"})

    events = (await guarded.call("GET", "/v1/executions/x/history")).json["events"]
    assert [(each["by"], each["note"]) for each in events if each["event"] == "execution_suspended"] == [
        ("operator", "lunch")
    ]


def test_only_a_hash_is_kept(path: Path, made: dict[str, tuple[str, str]]) -> None:
    text = path.read_text()

    assert all(token.partition(".")[2] not in text for token, _ in made.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "write a table"),
        ("[a]\nrole = 'boss'\nhash = ''", "'viewer' or 'operator' or 'admin'"),
        ("[a]\nrole = 'admin'\nhash = 'plain'", "makegood token add"),
        ("[a]\nrole = 'admin'\nhash = 'scrypt$3$AAAAAAAAAAAAAAAAAAAAAA==$AAAA'", "makegood token add"),
        ("[a]\nroll = 'admin'", "Did you mean 'role'?"),
        ("['a b']\nrole = 'admin'", "write a table"),
        ("[a", "TOML"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "t.toml"
    file.write_text(text)

    with pytest.raises(ConfigurationError, match=r"t\.toml") as refused:
        Tokens(str(file))
    assert words in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Tokens(os.fspath(tmp_path / "none.toml"))
