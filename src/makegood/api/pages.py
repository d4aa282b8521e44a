"""The description of the API, for programs and as a page without scripts: nothing is loaded from anywhere else."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any

import msgspec

from makegood.api.answers import Answer
from makegood.api.asked import Asked

_CSP = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STYLE = b"""\
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; text-transform: capitalize; }
article { border: 1px solid var(--line); border-radius: 8px; margin: 1rem 0; padding: 0 1rem; }
summary { padding: .75rem 0; cursor: pointer; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { background: var(--soft); border-radius: 6px; padding: .75rem; overflow-x: auto; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
td, th { border-top: 1px solid var(--line); padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
"""


@cache
def _description() -> dict[str, Any]:
    # Imported when it is first wanted: the table, from which it follows, holds this module's handlers.
    from makegood.api.description import described  # noqa: PLC0415
    from makegood.api.table import ROUTES  # noqa: PLC0415

    return described(ROUTES)


@cache
def _description_text() -> bytes:
    return msgspec.json.encode(_description())


async def openapi(_: Asked) -> Answer:
    """The description (OpenAPI 3.1)."""
    return Answer(200, _description_text())


async def docs(_: Asked) -> Answer:
    """The description as a page."""
    return Answer(200, _page(), "text/html; charset=utf-8", {"Content-Security-Policy": _CSP})


async def style(_: Asked) -> Answer:
    """How the page looks."""
    return Answer(200, _STYLE, "text/css; charset=utf-8")


@cache
def _page() -> bytes:
    told = _description()
    by_tag: dict[str, list[str]] = {}
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(path, method, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(each)}" for tag, each in by_tag.items())
    schemas = "".join(
        f"<article id='{escape(name)}'><details><summary><code>{escape(name)}</code></summary>{_json(schema)}"
        "</details></article>"
        for name, schema in told["components"]["schemas"].items()
    )
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>makegood: HTTP API</title>"
        "<meta name='viewport' content='width=device-width'><link rel='stylesheet' href='/docs/style.css'></head>"
    )
    intro = (
        f"<h1>makegood {escape(told['info']['version'])}: HTTP API</h1><p>For programs: "
        "<a href='/openapi.json'>openapi.json</a> (OpenAPI 3.1). Errors are problem documents (RFC 9457) with a stable "
        "<code>code</code>. Every write takes <code>Idempotency-Key</code>.</p>"
    )
    return f"{head}<body>{intro}{sections}<h2>shapes</h2>{schemas}</body></html>".encode()


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td>"
        f"<td>{escape(each.get('description', ''))}</td></tr>"
        for each in operation["parameters"]
    )
    body = "".join(
        f"<p>Body: <code>{escape(media)}</code> {_link(content['schema'])}</p>"
        for media, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    answers = "".join(
        f"<tr><td>{status}</td><td>{escape(each.get('description', 'A problem'))}</td><td>{_shapes(each)}</td></tr>"
        for status, each in operation["responses"].items()
    )
    return (
        f"<article><details><summary><span class='method'>{method.upper()}</span> <code>{escape(path)}</code> "
        f"{escape(operation['summary'])}</summary><p>{escape(operation['description'])}</p>"
        f"<table>{rows}</table>{body}<table>{answers}</table></details></article>"
    )


def _shapes(response: dict[str, Any]) -> str:
    return " ".join(_link(each["schema"]) for each in response.get("content", {}).values())


def _link(schema: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f"<a href='#{escape(name)}'>{escape(name)}</a>" if name else ""


def _json(value: Any) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())}</pre>"
