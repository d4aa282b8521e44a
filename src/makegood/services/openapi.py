"""A service's OpenAPI description, read into what each method takes and gives.

Versions 3.0 and 3.1. Pure: where a description comes from is `documents`' business, and what follows from
it the checks'. A method `m` is the operation `POST {url}/m`, or the one that its template asks for.

Source: https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from makegood.errors import ConfigurationError
from makegood.model.contract import Contract, Operation

VERBS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
_PARAMETER = re.compile(r"\{[^{}]*\}")
_REFERENCES_MAX = 32
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.IGNORECASE)


def contract_of(
    document: Any,
    *,
    source: str,
    url: str,
    templates: Mapping[str, tuple[str, str]] | None = None,
    shaped_requests: frozenset[str] = frozenset(),
    shaped_replies: frozenset[str] = frozenset(),
) -> Contract:
    """What a description says of a service's methods.

    Args:
        document: The description, as plain values.
        source: Where it comes from, for messages.
        url: One of the service's endpoints: the path that every call begins with.
        templates: Verb and path of the methods that are sent in a form of their own.
        shaped_requests: Those of them whose body is not the step's input.
        shaped_replies: Those whose output is not the answer's body.

    Raises:
        ConfigurationError: It is no OpenAPI description of a version that is known.
    """
    described = _Description(document, source)
    templates = templates or {}
    found = list(described.operations())
    base = urlsplit(url).path.rstrip("/")
    operations: dict[str, Operation] = {}
    for verb, path, item in found:
        for way in _relative(path, described.bases, base):
            if verb == "post" and way.count("/") == 1 and len(way) > 1 and "{" not in way:
                operations.setdefault(unquote(way[1:]), described.operation(verb, path, item))
    for method, (verb, path) in templates.items():
        operations.pop(method, None)
        for each, where, item in found:
            ways = (_shape(way) for way in _relative(where, described.bases, base))
            if each == verb.lower() and _shape(path) in ways:
                whole = described.operation(each, where, item)
                operations[method] = Operation(
                    whole.where,
                    None if method in shaped_requests else whole.takes,
                    None if method in shaped_replies else whole.gives,
                )
                break
    return Contract(source, operations, {name: f"{verb.upper()} {path}" for name, (verb, path) in templates.items()})


def _relative(path: str, bases: tuple[str, ...], base: str) -> Iterator[str]:
    """A path of the description as it stands behind the service's own URL."""
    for each in bases:
        whole = each + path
        if whole.startswith(f"{base}/"):
            yield whole.removeprefix(base)
    yield path


def _shape(path: str) -> str:
    return _PARAMETER.sub("{}", path.rstrip("/"))


class _Description:
    """One document. References within it are followed; schemas are made whole in themselves."""

    def __init__(self, document: Any, source: str) -> None:
        self._source = source
        version = document.get("openapi") if isinstance(document, dict) else None
        if not isinstance(version, str) or not version.startswith(("3.0", "3.1")):
            raise self._wrong(_version_complaint(document))
        self._document: dict[str, Any] = document
        self._old = version.startswith("3.0")
        components = document.get("components")
        schemas = components.get("schemas") if isinstance(components, dict) else None
        self._schemas = self._modern(schemas) if isinstance(schemas, dict) else {}
        servers = document.get("servers")
        urls = [each.get("url") for each in servers if isinstance(each, dict)] if isinstance(servers, list) else []
        paths = [urlsplit(url).path.rstrip("/") for url in urls if isinstance(url, str)]
        self.bases = tuple(dict.fromkeys(paths)) or ("",)

    def _wrong(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"{self._source} {why}")

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Verb, path and description of each operation."""
        paths = self._document.get("paths", {})
        if not isinstance(paths, dict):
            raise self._wrong("has no mapping under `paths`.")
        for path, given in paths.items():
            item = self._followed(given)
            if not isinstance(path, str) or not path.startswith("/") or not isinstance(item, dict):
                raise self._wrong(f"has an entry under `paths` that is none: {str(path)[:100]!r}.")
            for verb in VERBS:
                if isinstance(item.get(verb), dict):
                    yield verb, path, item[verb]

    def operation(self, verb: str, path: str, item: dict[str, Any]) -> Operation:
        """What one operation takes and gives."""
        answers = item.get("responses")
        gives = None
        if isinstance(answers, dict):
            # The first success that has a form: 200 before 201, and `2XX` last.
            for status in sorted(str(each) for each in answers):
                if status.startswith("2") and gives is None:
                    gives = self._body(answers.get(status))
        return Operation(f"{verb.upper()} {path}", self._body(item.get("requestBody")), gives)

    def _body(self, given: Any) -> Any:
        content = self._followed(given)
        content = content.get("content") if isinstance(content, dict) else None
        if not isinstance(content, dict):
            return None
        for media, form in content.items():
            if _JSON.match(str(media)) and isinstance(form, dict) and "schema" in form:
                return self._whole(form["schema"])
        return None

    def _whole(self, schema: Any) -> Any:
        """A schema with all that it can refer to beside it."""
        schema = self._modern(schema)
        if not isinstance(schema, dict):
            return schema
        return {**schema, "components": {"schemas": self._schemas}} if self._schemas else schema

    def _followed(self, given: Any) -> Any:
        for _ in range(_REFERENCES_MAX):
            if not isinstance(given, dict) or "$ref" not in given:
                return given
            given = self._at(given["$ref"])
        raise self._wrong("has references that go round in a circle.")

    def _at(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise self._wrong(
                f"refers to {str(reference)[:200]!r}, which is outside of it: bundle it into one document."
            )
        place: Any = self._document
        for token in reference[2:].split("/"):
            key = unquote(token).replace("~1", "/").replace("~0", "~")
            if not isinstance(place, dict) or key not in place:
                raise self._wrong(f"refers to {reference[:200]!r}, which is not in it.")
            place = place[key]
        return place

    def _modern(self, schema: Any) -> Any:
        """A schema of 3.0 in the words of JSON Schema 2020-12; one of 3.1 is that already."""
        if isinstance(schema, list):
            return [self._modern(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if not self._old:
            return {key: value for key, value in schema.items() if key != "$schema"}
        new = {key: value if key in _DATA else self._modern(value) for key, value in schema.items()}
        if new.pop("nullable", False) is True and isinstance(new.get("type"), str):
            new["type"] = [new["type"], "null"]
            if isinstance(new.get("enum"), list) and None not in new["enum"]:
                new["enum"] = [*new["enum"], None]
        for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(new.get(exclusive), bool) and new.pop(exclusive) and limit in new:
                new[exclusive] = new.pop(limit)
        return new


_DATA = frozenset(("const", "default", "enum", "example", "examples"))


def _version_complaint(document: Any) -> str:
    if isinstance(document, dict) and "swagger" in document:
        return f"is Swagger {str(document['swagger'])[:20]}, and OpenAPI 3.0 or 3.1 is read. Convert it."
    if isinstance(document, dict) and "openapi" in document:
        return f"is OpenAPI {str(document['openapi'])[:20]!r}, and 3.0 or 3.1 is read."
    return "is no OpenAPI description: it has no `openapi: 3.1.0` at its top."
