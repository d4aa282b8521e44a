"""`makegood workflows put`: a definition into a database that no engine holds."""

from __future__ import annotations

import time
from collections.abc import Callable

from makegood.app.config import load_config
from makegood.app.wiring import database_of, registry_of
from makegood.cli.failures import complain
from makegood.cli.given import read_services
from makegood.cli.loop import run_async
from makegood.cli.output import print_json
from makegood.engine.families import check_family, pivots_of_children
from makegood.language import Callee, Loaded, load
from makegood.language.files import name_from, read_definition
from makegood.model import Definition
from makegood.ports import StoredDefinition
from makegood.storage import open_store


def put_workflow(file: str, config: str | None, services: list[str], database: str | None, *, json: bool) -> None:
    """Register a definition, and say which version it is.

    Raises:
        DefinitionError: It has mistakes; nothing was registered.
        Conflict: Its explicit version exists with other content.
        StorageError: The database cannot be used, or an engine holds it.
    """
    settings = load_config(config)
    known = frozenset(registry_of(settings, read_services(services)).names()) or None
    raw = read_definition(file)

    def read(children: dict[Callee, tuple[str, ...]]) -> Loaded:
        return load(raw, source=file, name=name_from(file), services=known, children=children)

    loaded = read({})
    for warning in loaded.warnings:
        complain(warning.located(file))
    stored, new = run_async(_put(database_of(settings, database), loaded.definition, read))
    if json:
        print_json({"name": stored.name, "version": stored.version, "new": new})
    else:
        print(f"{stored.name} version {stored.version}{'' if new else ' (unchanged)'}")


async def _put(
    database: str, definition: Definition, read: Callable[[dict[Callee, tuple[str, ...]]], Loaded]
) -> tuple[StoredDefinition, bool]:
    """Check it among the definitions that are there, and store it then."""
    store = open_store(database)
    try:
        children = await pivots_of_children(store, definition)
        if any(children.values()):
            # Once more for the places in the file.
            read(children)
        await check_family(store, definition)
        now_ms = time.time_ns() // 1_000_000
        return await store.put_definition(definition.name, definition.tree, definition.version, now_ms)
    finally:
        await store.aclose()
