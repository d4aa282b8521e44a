"""Fixtures for the tests of services: a badly behaved server and a registry."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
from misbehaving import Misbehaving
from name_service import Names

from makegood.services import Registry


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: their transports differ in what they say and when."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def server() -> AsyncIterator[Misbehaving]:
    """A server on the loopback."""
    async with Misbehaving() as running:
        yield running


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    """A registry that is closed afterwards."""
    made = Registry()
    yield made
    await made.aclose()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The only names that there are."""
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    return made
