"""What is asked of definitions: register, list, show, draw."""

from __future__ import annotations

from typing import Any

from makegood.api.answers import Answer
from makegood.api.asked import Asked
from makegood.api.problems import problem_view
from makegood.app.contracts import load_held
from makegood.core.view import time_text
from makegood.errors import NotFound, nearest
from makegood.language import load_canonical
from makegood.language.graph import to_json, to_mermaid, to_svg
from makegood.ports import StoredDefinition

YAML = "application/yaml"
_FORMATS: dict[str, Any] = {YAML: "yaml", "application/json": "json"}
GRAPHS: dict[str, tuple[str, Any]] = {
    "json": ("application/json", to_json),
    "svg": ("image/svg+xml", to_svg),
    "mermaid": ("text/plain; charset=utf-8", to_mermaid),
}


async def put(asked: Asked) -> Answer:
    """Register a definition: a new version if its content is new."""
    name, engine = asked.path["name"], asked.server.engine
    once = asked.once(asked.body.decode("utf-8", "replace"))
    if once is not None and (done := await engine.repeats.done(once)) is not None:
        return Answer(200, done.answer)
    # A service may have been put at another replica a moment ago.
    await asked.server.services.refresh()
    loaded = await load_held(
        asked.body,
        asked.server.contracts,
        format=_FORMATS[asked.media],
        source=name,
        expect_name=name,
        services=frozenset(asked.server.registry.names()),
    )
    stored, new = await engine.put_new(loaded.definition)
    told = {"name": name, "version": stored.version, "warnings": [problem_view(each) for each in loaded.warnings]}
    if once is not None:
        await engine.repeats.keep(once, told)
    return Answer(201 if new else 200, told, headers={"Location": f"/v1/workflows/{name}/versions/{stored.version}"})


async def list_(asked: Asked) -> Answer:
    """The newest version of every workflow."""
    found = await asked.server.engine.observer.definitions()
    return Answer(200, {"workflows": [await _view(asked, each) for each in found]})


async def show(asked: Asked) -> Answer:
    """One version, or the newest."""
    stored = await _stored(asked)
    return Answer(200, {**await _view(asked, stored), "definition": stored.tree})


async def graph(asked: Asked) -> Answer:
    """Its picture."""
    stored = await _stored(asked)
    media, draw = GRAPHS[asked.parameters["format"]]
    drawn = draw(load_canonical(stored.tree))
    return Answer(200, drawn.encode() if isinstance(drawn, str) else drawn, media)


async def _stored(asked: Asked) -> StoredDefinition:
    name, version = asked.path["name"], asked.path.get("version")
    observer = asked.server.engine.observer
    number = None if version is None else int(version) if version.isdecimal() and len(version) <= 9 else 0
    found = await observer.definition(name, number)
    if found is None:
        names = [each.name for each in await observer.definitions()]
        if version is not None and name in names:
            raise NotFound(f"workflow {name!r} has no version {version[:20]}")
        raise NotFound(f"no workflow {name!r} is registered.{nearest(name, names)}")
    return found


async def _view(asked: Asked, stored: StoredDefinition) -> dict[str, Any]:
    return {
        "name": stored.name,
        "version": stored.version,
        "description": stored.tree.get("description") or "",
        "created_at": time_text(stored.created_at_ms),
        "executions": await asked.server.engine.observer.counts(stored.name),
    }
