"""The description is valid OpenAPI 3.1, says what there is, and its page loads nothing from anywhere."""

from __future__ import annotations

import re

import pytest
from calling import Api
from openapi_spec_validator import OpenAPIV31SpecValidator

from makegood.api.table import ROUTES

pytestmark = pytest.mark.anyio


async def test_the_description_is_valid(api: Api) -> None:
    told = (await api.call("GET", "/openapi.json")).json

    OpenAPIV31SpecValidator(told).validate()
    assert told["openapi"] == "3.1.0"


async def test_every_route_is_described(api: Api) -> None:
    told = (await api.call("GET", "/openapi.json")).json

    described = {(method.upper(), path) for path, operations in told["paths"].items() for method in operations}
    assert described == {(route.method, route.path) for route in ROUTES}
    ids = [each["operationId"] for operations in told["paths"].values() for each in operations.values()]
    assert len(ids) == len(set(ids))


async def test_every_write_takes_a_key(api: Api) -> None:
    told = (await api.call("GET", "/openapi.json")).json

    for operations in told["paths"].values():
        for method, operation in operations.items():
            names = {each["name"] for each in operation["parameters"]}
            assert ("Idempotency-Key" in names) == (method != "get")


async def test_the_page_is_whole_and_loads_nothing_else(api: Api) -> None:
    page = await api.call("GET", "/docs")
    text = page.body.decode()

    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    assert "<script" not in text
    assert set(re.findall(r"(?:src|href)='([^'#]+)'", text)) == {"/docs/style.css", "/openapi.json"}
    assert not re.findall(r"https?://", text)
    assert all(route.path in text for route in ROUTES)
    assert set(re.findall(r"href='#([^']+)'", text)) <= set(re.findall(r"id='([^']+)'", text))
    assert (await api.call("GET", "/docs/style.css")).headers["content-type"].startswith("text/css")
