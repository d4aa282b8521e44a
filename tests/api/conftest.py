from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from calling import Api, api_on

import makegood as mg
from makegood.services import Registry


class Hotels:
    """Reserves, unless told otherwise; its undo fails as often as it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.undo_failures = 0

    async def reserve(self, value: Any, call: mg.Call) -> Any:
        self.calls.append("reserve")
        return {"reserved": value}

    async def pay(self, value: Any, call: mg.Call) -> Any:
        self.calls.append("pay")
        if isinstance(value, dict) and value.get("poor"):
            raise mg.Rejected("no_money", "there is no money")
        return {"paid": True}

    async def cancel(self, value: Any, call: mg.Call) -> Any:
        self.calls.append("cancel")
        if self.undo_failures:
            self.undo_failures -= 1
            raise mg.Rejected("closed", "the desk is closed")
        return {}


@pytest.fixture
def hotels() -> Hotels:
    return Hotels()


@pytest.fixture
async def api(tmp_path: Path, hotels: Hotels) -> AsyncIterator[Api]:
    registry = Registry()
    registry.register("hotels", hotels)
    async with api_on(str(tmp_path / "api.db"), registry) as opened:
        yield opened
