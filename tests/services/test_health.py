"""Whether an endpoint is well: what is asked of it, and how many answers it takes to change one's mind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from health_desk import Clinic
from makegood.ports import EndpointHealth
from makegood.services import Registry, ServiceConfig
from makegood.services.health import judged

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    with Clinic() as made:
        yield made


async def looked(url: str, **keys: Any) -> str:
    registry = Registry()
    registry.register("svc", ServiceConfig(name="svc", urls=(url,), **keys))
    try:
        return await registry.look("svc", registry.pool("svc").endpoints()[0].url)
    finally:
        await registry.aclose()


# --- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "why"), [(200, ""), (204, ""), (301, "HTTP 301"), (404, "HTTP 404"), (503, "HTTP 503")]
)
async def test_any_2xx_is_well(clinic: Clinic, status: int, why: str) -> None:
    clinic.status = status

    assert await looked(clinic.url, health="/up?deep=1") == why
    assert clinic.asked == ["GET /up?deep=1"]


async def test_the_path_is_that_of_the_host_and_headers_are_sent(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINIC_TOKEN", "s3cret")

    assert await looked(clinic.url + "/api/v2", health="/up", headers={"Authorization": "env:CLINIC_TOKEN"}) == ""

    assert clinic.asked == ["GET /up"]
    assert clinic.headers[-1]["Authorization"] == "s3cret"


async def test_what_cannot_be_reached_is_not_well(clinic: Clinic) -> None:
    for how in ("/up", "tcp", None):
        assert "127.0.0.1:1" in await looked("http://127.0.0.1:1", health=how)


async def test_tcp_asks_nothing(clinic: Clinic) -> None:
    clinic.status = 500

    assert await looked(clinic.url, health="tcp") == ""
    assert clinic.asked == []


async def test_an_endpoint_that_does_not_answer_is_not_waited_for(clinic: Clinic) -> None:
    clinic.hold()

    assert "deadline" in await looked(clinic.url, health="/up", health_timeout_ms=200)


async def test_a_page_of_any_length_is_as_well_as_its_status(clinic: Clinic) -> None:
    clinic.body = b"x" * 1_000_000

    assert await looked(clinic.url, health="/up") == ""


async def test_what_calls_may_not_reach_checks_may_not_either() -> None:
    for how in ("/up", "tcp"):
        assert "link-local" in await looked("http://169.254.169.254", health=how)


async def test_a_missing_secret_is_a_reason_that_names_it(clinic: Clinic) -> None:
    why = await looked(clinic.url, health="/up", headers={"Authorization": "env:NOT_THERE_AT_ALL"})

    assert "NOT_THERE_AT_ALL" in why
    assert clinic.asked == []


# --- how many answers it takes -------------------------------------------------------------------


def judge(*found: str, healthy_after: int = 2, unhealthy_after: int = 3) -> list[bool]:
    """What the verdict is after each of these."""
    at, verdicts = EndpointHealth(service="svc", url="http://a"), []
    for why in found:
        at = judged(at, why, healthy_after=healthy_after, unhealthy_after=unhealthy_after)
        verdicts.append(at.well)
        assert bool(at.reason) != at.well
    return verdicts


def test_an_endpoint_is_unwell_after_so_many_in_a_row() -> None:
    assert judge("x", "x", "x") == [True, True, False]
    assert judge("x", "x", "", "x", "x") == [True] * 5
    assert judge("x", unhealthy_after=1) == [False]


def test_it_is_well_again_after_so_many_in_a_row() -> None:
    sick = ["x", "x", "x"]

    assert judge(*sick, "", "")[3:] == [False, True]
    assert judge(*sick, "", "x", "", "")[3:] == [False, False, False, True]
    assert judge(*sick, "", healthy_after=1)[3:] == [True]


def test_the_reason_is_that_of_the_last_check() -> None:
    at = EndpointHealth(service="svc", url="http://a", well=False, reason="refused")

    assert judged(at, "HTTP 503", healthy_after=1, unhealthy_after=1).reason == "HTTP 503"
    assert judged(at, "", healthy_after=2, unhealthy_after=1).reason == "refused"
