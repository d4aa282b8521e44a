"""Services over HTTP: kept for all, instances, checks, and what may not be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calling import Api, api_on

from health_desk import Clinic
from makegood.services import Registry

pytestmark = pytest.mark.anyio


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    with Clinic() as made:
        yield made


async def test_a_service_that_was_put_outlives_its_process(tmp_path: Path, clinic: Clinic) -> None:
    database = str(tmp_path / "kept.db")
    async with api_on(database) as first:
        await first.call("PUT", "/v1/services/cars", {"url": clinic.url})
        await first.put({"name": "ride", "steps": [{"id": "go", "signal": "go"}, {"id": "a", "call": "cars.drive"}]})
        await first.call("POST", "/v1/executions", {"workflow": "ride", "id": "r1"})
        await first.call("PUT", "/v1/services/cars/instances/i1", {"url": "http://127.0.0.1:1"})

    async with api_on(database) as second:
        told = (await second.call("GET", "/v1/services/cars")).json
        await second.call("POST", "/v1/executions/r1/signals/go")
        end = (await second.call("GET", "/v1/executions/r1?wait=20s")).json

    assert (told["source"], [each["url"] for each in told["endpoints"]]) == (
        "database",
        [clinic.url, "http://127.0.0.1:1"],
    )
    assert (end["status"], len(clinic.calls)) == ("completed", 1), end


async def test_what_the_configuration_has_is_not_put(api: Api) -> None:
    for method, target, body in (
        ("PUT", "/v1/services/hotels", {"url": "http://127.0.0.1:9"}),
        ("DELETE", "/v1/services/hotels", None),
        ("PUT", "/v1/services/hotels/instances/a", {"url": "http://127.0.0.1:9"}),
    ):
        reply = await api.call(method, target, body)
        assert (reply.status, reply.code, reply.json["existing"]) == (409, "conflict", "hotels"), reply
    told = (await api.call("GET", "/v1/services/hotels")).json
    assert (told["local"], told["source"], told["endpoints"]) == (True, "process", [])


async def test_a_stored_service_that_does_not_fit_is_told(tmp_path: Path) -> None:
    async with api_on(str(tmp_path / "odd.db")) as api:
        directory = api.server.engine.directory
        await directory.put_service("broken", {"url": "http://127.0.0.1:9", "warp": 9})
        told = (await api.call("GET", "/v1/services/broken")).json
        listed = (await api.call("GET", "/v1/services")).json["services"]

        assert "warp" in told["fault"]
        # Only one service by itself is told with what waits for it.
        assert listed == [{key: value for key, value in told.items() if key != "waiting"}]
        assert (await api.call("POST", "/v1/services/broken/check")).json["fault"] == told["fault"]
        assert (await api.call("DELETE", "/v1/services/broken")).status == 204
        assert (await api.call("GET", "/v1/services/broken")).status == 404


async def test_instances_come_are_renewed_and_leave(api: Api) -> None:
    await api.call("PUT", "/v1/services/cars", {"urls": []})
    body = {"url": "http://127.0.0.1:9/cars/", "labels": {"zone": "north"}, "ttl_seconds": 60}

    made = await api.call("PUT", "/v1/services/cars/instances/host-1:80", body)
    again = await api.call("PUT", "/v1/services/cars/instances/host-1:80", body)
    (endpoint,) = (await api.call("GET", "/v1/services/cars")).json["endpoints"]

    assert (made.status, again.status) == (201, 200)
    assert made.json == {
        "service": "cars", "id": "host-1:80", "url": "http://127.0.0.1:9/cars", "labels": {"zone": "north"},
        "ttl_seconds": 60.0,
    }  # fmt: skip
    assert (endpoint["url"], endpoint["source"], endpoint["labels"]) == (
        "http://127.0.0.1:9/cars", "instances", {"zone": "north"},
    )  # fmt: skip
    assert (await api.call("DELETE", "/v1/services/cars/instances/host-1:80", idempotency_key="k")).status == 204
    assert (await api.call("DELETE", "/v1/services/cars/instances/host-1:80", idempotency_key="k")).status == 204
    assert (await api.call("DELETE", "/v1/services/cars/instances/host-1:80")).status == 404
    assert (await api.call("GET", "/v1/services/cars")).json["endpoints"] == []


@pytest.mark.parametrize(
    ("target", "body", "status", "said"),
    [
        ("car/instances/a", {"url": "http://x"}, 404, "Did you mean 'cars'"),
        ("cars/instances/a", {"url": "x"}, 422, "http"),
        ("cars/instances/a", {"url": "http://u:p@x"}, 422, "credentials"),
        ("cars/instances/a", {}, 422, "url"),
        ("cars/instances/a", {"url": "http://x", "ttl": 5}, 422, "'ttl'"),
        ("cars/instances/a", {"url": "http://x", "ttl_seconds": 0}, 422, "ttl_seconds"),
        ("cars/instances/a", {"url": "http://x", "ttl_seconds": 1e9}, 422, "ttl_seconds"),
        ("cars/instances/a", {"url": "http://x", "labels": {"": "x"}}, 422, "label"),
        ("cars/instances/a", {"url": "http://x", "labels": {"zone": 1}}, 422, "labels"),
        ("cars/instances/-a", {"url": "http://x"}, 422, "id"),
        (f"cars/instances/{'a' * 101}", {"url": "http://x"}, 422, "id"),
    ],
)
async def test_what_is_no_instance_is_refused(api: Api, target: str, body: Any, status: int, said: str) -> None:
    await api.call("PUT", "/v1/services/cars", {"url": "http://127.0.0.1:9"})

    reply = await api.call("PUT", f"/v1/services/{target}", body)

    assert (reply.status, said in reply.json["detail"]) == (status, True), reply
    assert len((await api.call("GET", "/v1/services/cars")).json["endpoints"]) == 1


async def test_a_check_says_what_it_saw_and_keeps_nothing(tmp_path: Path, clinic: Clinic) -> None:
    registry = Registry()
    registry.register("clinic", clinic.url)
    async with api_on(str(tmp_path / "x.db"), registry) as api:
        await api.call("PUT", "/v1/services/sick", {"urls": [clinic.url, "http://127.0.0.1:1"], "health": "/up"})
        clinic.status = 503
        sick = (await api.call("POST", "/v1/services/sick/check")).json
        unasked = (await api.call("POST", "/v1/services/clinic/check")).json
        after = (await api.call("GET", "/v1/services/sick")).json

    first, second = sick["endpoints"]
    assert (first["asked"], first["healthy"], first["reason"]) == ("GET /up", False, "HTTP 503")
    assert (second["healthy"], "127.0.0.1:1" in second["reason"]) == (False, True)
    assert [(each["asked"], each["healthy"]) for each in unasked["endpoints"]] == [("a connection", True)]
    assert [each["healthy"] for each in after["endpoints"]] == [True, True]
    assert clinic.asked == ["GET /up"]
