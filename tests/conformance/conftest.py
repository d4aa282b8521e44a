"""The stores under test, under one name: `world`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.worlds import WORLDS


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made = WORLDS[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
async def store(world: Any) -> AsyncIterator[Any]:
    opened = world.open()
    yield opened
    await opened.aclose()
