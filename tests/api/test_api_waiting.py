"""A service is unwell: who waits for it, over HTTP and on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from calling import CALLS, api_on

from ailing import Ailing
from makegood.cli.looking import list_executions, show
from makegood.cli.places import Place
from makegood.cli.services import show_service
from makegood.ports import Query

pytestmark = pytest.mark.anyio


async def waits(api: Any, count: int) -> dict[str, Any]:
    """The service's answer as soon as so many wait for it."""
    async with asyncio.timeout(20):
        while (told := (await api.call("GET", "/v1/services/hotels")).json)["waiting"]["count"] != count:
            await asyncio.sleep(0)
    return dict(told)


async def test_who_waits_for_a_service_is_told_by_it_by_lists_and_by_the_execution(hotels: Any) -> None:
    registry = Ailing("hotels")
    registry.register("hotels", hotels)
    async with api_on(":memory:", registry) as api:
        await api.put(CALLS)
        await api.start("trip", {}, id="a")
        await waits(api, 1)
        await api.start("trip", {}, id="b")

        told = await waits(api, 2)

        waiting = told["waiting"]["executions"]
        assert [(each["id"], each["step"]) for each in waiting] == [("a", "hotel"), ("b", "hotel")]
        step = (await api.call("GET", "/v1/executions/a")).json["steps"][0]
        assert step["waits_for"]["service"] == "hotels"
        assert step["waits_for"]["since"] == waiting[0]["since"]
        listed = (await api.call("GET", "/v1/executions?waiting_for=hotels&limit=1")).json
        assert [each["id"] for each in listed["executions"]] == ["b"]
        more = await api.call("GET", f"/v1/executions?waiting_for=hotels&cursor={listed['cursor']}")
        assert [each["id"] for each in more.json["executions"]] == ["a"]
        assert (await api.call("GET", "/v1/executions?waiting_for=cars")).json["executions"] == []

        registry.recover("hotels")

        assert (await waits(api, 0))["waiting"] == {"count": 0, "executions": []}
        assert (await api.call("GET", "/v1/executions/a?wait=20s")).json["status"] == "completed"


async def test_the_command_line_shows_what_waits(
    hotels: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Ailing("hotels")
    registry.register("hotels", hotels)
    database = str(tmp_path / "w.db")
    async with api_on(database, registry) as api:
        await api.put(CALLS)
        await api.start("trip", {}, id="a")
        await waits(api, 1)
    (tmp_path / "makegood.toml").write_text('[services.hotels]\nurl = "http://127.0.0.1:1"\n')

    await asyncio.to_thread(_look, database)

    printed = capsys.readouterr().out
    assert "waits for service hotels since " in printed
    assert printed.count("a   trip") == 1
    assert "1 wait for it, the longest first:" in printed
    assert "hotel  20" in printed


def _look(database: str) -> None:
    place = Place(database=database)
    show(place, "a", json=False)
    list_executions(place, Query(waiting_for="hotels"), None, json=False)
    list_executions(place, Query(waiting_for="cars"), None, json=False)
    show_service(Place(database=database, config=str(Path(database).with_name("makegood.toml"))), "hotels", json=False)
