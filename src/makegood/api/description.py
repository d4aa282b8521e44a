"""The description of the API (OpenAPI 3.1), from the table of routes and the shapes. Nothing is written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec

from makegood import __version__
from makegood.api import service_shapes, shapes
from makegood.api.answers import EVENTS, JSON, PROBLEM
from makegood.api.parameters import Parameter
from makegood.api.problems import TITLES
from makegood.api.table import Route

_PATH_PART = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{name}"
_PARTS: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "minLength": 1, "description": "Of an execution, or of an instance."},
    "name": {"type": "string", "minLength": 1},
    "key": {"type": "string", "minLength": 1, "description": "Of a call, as its address has it."},
    "version": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Stands for this request and its content for a day: the same again has no second effect.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_LAST_EVENT = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The last event that was seen.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,9}\\.[0-9]{1,9}$"},
}
_HEADERS = {"Last-Event-ID": _LAST_EVENT}


_MEDIA: dict[str, Any] = {
    JSON: {},
    EVENTS: {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "string", "contentMediaType": JSON, "contentSchema": {"$ref": _REF.format(name="Event")}},
            "id": {"type": "string"},
            "event": {"type": "string"},
        },
    },
}
"""What is inside an answer that is no shape; of a stream: inside each event of it."""


def described(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "makegood",
            "version": __version__,
            "summary": "A durable saga and workflow engine.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "schemas": _components(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token with the role that is named."}
            },
            "responses": {"problem": _problem_response()},
        },
    }


def statuses(route: Route) -> list[int]:
    """Every status that a route can answer with."""
    found = {*route.answers, *route.problems, 400, 405, 500}
    if not route.public:
        found |= {401, 403, 429, 503}
    if route.body is not None:
        found |= {422}
    if route.writes:
        found |= {409, 413, 415}
    return sorted(found)


def _operation(route: Route) -> dict[str, Any]:
    name = re.sub(r"\W+", "_", f"{route.method.lower()}{route.path.removeprefix('/v1')}").strip("_")
    role = _who(route) if route.public or route.for_services else f"Needs the role {route.role.name.lower()}."
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": [route.tag],
        "summary": route.doc.split(". ")[0].rstrip("."),
        "description": f"{route.doc} {role}",
        "parameters": [*_path_parameters(route.path), *map(_parameter, route.parameters)],
        "responses": {str(status): _response(route, status) for status in statuses(route)},
    }
    operation["parameters"] += [_KEY] if route.writes else []
    operation["parameters"] += [_HEADERS[each] for each in route.headers]
    if route.public or route.for_services:
        operation["security"] = []
    if route.body is not None:
        schema = {} if route.body.shape is None else _schema(route.body.shape)
        operation["requestBody"] = {
            "required": not route.body.optional,
            "content": {media: {"schema": schema} for media in route.body.media},
        }
    return operation


def _who(route: Route) -> str:
    return "Everybody may." if route.public else "Needs no token but that of its own address."


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for part in _PATH_PART.findall(path):
        yield {"name": part, "in": "path", "required": True, "schema": _PARTS[part]}


def _parameter(each: Parameter) -> dict[str, Any]:
    told = {"name": each.name, "in": "query", "required": False, "description": each.doc, "schema": dict(each.schema)}
    if each.schema.get("type") == "object":
        told |= {"style": "form", "explode": True}
    return told


def _response(route: Route, status: int) -> dict[str, Any]:
    if status not in route.answers:
        return {"$ref": "#/components/responses/problem"}
    found = route.answers[status]
    title = TITLES.get(status) or {200: "As asked", 201: "Made", 202: "Accepted", 204: "Nothing more to say"}[status]
    if found is None:
        return {"description": title}
    parts = found if isinstance(found, tuple) else (found,)
    content: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, str):
            content[part] = {"schema": _MEDIA.get(part, {"type": "string"})}
        else:
            content[JSON] = {"schema": _schema(part)}
    if status == 503:
        content[PROBLEM] = {"schema": _schema(shapes.ProblemDocument)}
    return {"description": title, "content": content}


def _problem_response() -> dict[str, Any]:
    content = {PROBLEM: {"schema": _schema(shapes.ProblemDocument)}}
    return {"description": "A problem (RFC 9457); `code` says which.", "content": content}


def _schema(shape: Any) -> dict[str, Any]:
    return {"$ref": _REF.format(name=shape.__name__)}


@cache
def _components() -> dict[str, Any]:
    every = [
        each
        for each in (*vars(shapes).values(), *vars(service_shapes).values())
        if isinstance(each, type) and issubclass(each, msgspec.Struct) and each not in {msgspec.Struct, shapes.Body}
    ]
    _, components = msgspec.json.schema_components(every, ref_template=_REF)
    # What a start carries is any JSON, and so is what it gives: `{}` says that, and msgspec says it too.
    return dict(sorted(components.items()))
