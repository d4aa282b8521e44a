"""Descriptions in OpenAPI, read into what methods take and give; those that cannot be are refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from makegood.errors import ConfigurationError
from makegood.services.openapi import contract_of

RESERVATION = {"type": "object", "properties": {"guest": {"type": "string", "nullable": True}}}
SCHEMA = {"$ref": "#/components/schemas/Reservation"}


def described(paths: Any, version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    return {"openapi": version, "paths": paths, "components": {"schemas": {"Reservation": RESERVATION}}, **more}


def taking(schema: Any, media: str = "application/json") -> dict[str, Any]:
    return {"requestBody": {"content": {media: {"schema": schema}}}, "responses": {"200": {"description": ""}}}


def read(document: Any, url: str = "http://hotels/api", **more: Any) -> Any:
    return contract_of(document, source="hotels.json", url=url, **more)


def test_a_method_is_what_is_posted_to_behind_the_services_own_path() -> None:
    found = read(described({"/reserve": {"post": taking(SCHEMA)}, "/health": {"get": {}}, "/a/b": {"post": {}}}))

    assert list(found.operations) == ["reserve"]
    assert found.operations["reserve"].where == "POST /reserve"
    assert found.operations["reserve"].takes == {**SCHEMA, "components": {"schemas": {"Reservation": RESERVATION}}}
    assert found.operations["reserve"].gives is None


@pytest.mark.parametrize("servers", [[], [{"url": "/"}], [{"url": "https://elsewhere/"}]])
def test_paths_may_be_written_whole(servers: list[Any]) -> None:
    document = described({"/api/reserve": {"post": {}}, "/other/cancel": {"post": {}}}, servers=servers)

    assert list(read(document).operations) == ["reserve"]


def test_paths_begin_where_the_descriptions_server_begins() -> None:
    document = described({"/reserve": {"post": {}}}, servers=[{"url": "https://x/api/"}])

    assert list(read(document).operations) == ["reserve"]
    assert list(read(document, "http://hotels").operations) == ["reserve"]


def test_a_schema_of_3_0_is_turned_into_one_of_today() -> None:
    schema = {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False}
    found = read(described({"/a": {"post": taking(schema)}}, "3.0.3")).operations["a"].takes

    assert {key: found[key] for key in found if key != "components"} == {
        "type": "number", "exclusiveMinimum": 0, "maximum": 9,
    }  # fmt: skip
    assert found["components"]["schemas"]["Reservation"]["properties"]["guest"]["type"] == ["string", "null"]


def test_the_first_success_that_has_a_form_is_what_a_method_gives() -> None:
    def answer(schema: Any) -> Any:
        return {"content": {"application/vnd.x+json; charset=utf-8": {"schema": schema}}}

    responses = {"default": answer({}), "2XX": answer({"type": "null"}), "201": answer({"type": "string"}), "200": {}}
    found = read({"openapi": "3.1.0", "paths": {"/a": {"post": {"responses": responses}}}})

    assert found.operations["a"].gives == {"type": "string"}


def test_references_to_parts_of_a_description_are_followed() -> None:
    document = described({"/a": {"$ref": "#/components/pathItems/a~1b"}})
    document["components"]["pathItems"] = {"a/b": {"post": {"requestBody": {"$ref": "#/components/requestBodies/B"}}}}
    document["components"]["requestBodies"] = {"B": taking({"type": "object"})["requestBody"]}

    assert read(document).operations["a"].takes["type"] == "object"


def test_a_template_is_the_operation_of_that_verb_and_shape() -> None:
    document = described({"/rooms/{id}": {"put": taking(SCHEMA), "delete": {}}, "/rooms": {"post": {}}})
    templates = {"reserve": ("PUT", "/rooms/{input.room}"), "drop": ("PATCH", "/rooms/{input.room}")}
    found = read(document, templates=templates, shaped_requests=frozenset({"reserve"}))

    assert (found.operations["reserve"].where, found.operations["reserve"].takes) == ("PUT /rooms/{id}", None)
    assert "drop" not in found.operations
    assert found.requests["drop"] == "PATCH /rooms/{input.room}"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "has no `openapi: 3.1.0` at its top"),
        ({"swagger": "2.0"}, "is Swagger 2.0"),
        ({"openapi": "4.0.0"}, "is OpenAPI '4.0.0'"),
        ({"openapi": 3.1}, "is OpenAPI '3.1'"),
        ({"openapi": "3.1.0", "paths": []}, "no mapping under `paths`"),
        ({"openapi": "3.1.0", "paths": {"a": {}}}, "an entry under `paths` that is none: 'a'"),
        (described({"/a": {"$ref": "other.yaml#/a"}}), "'other.yaml#/a', which is outside of it"),
        (described({"/a": {"$ref": "#/components/pathItems/a"}}), "which is not in it"),
        (described({"/a": {"$ref": "#/paths/~1a"}}), "go round in a circle"),
    ],
)
def test_what_is_no_description_is_refused_with_the_reason(document: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^hotels\.json") as refused:
        read(document)

    assert why in str(refused.value)
