"""`makegood workflows put`: a definition to a server, or into a database that no engine holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from makegood.app.config import load_config
from makegood.app.contracts import contracts_of, load_held
from makegood.app.wiring import registry_of
from makegood.cli.failures import complain
from makegood.cli.given import read_services
from makegood.cli.loop import run_async
from makegood.cli.output import print_json
from makegood.cli.places import Place
from makegood.cli.remote import Remote
from makegood.engine.families import check_family, pivots_of_children
from makegood.errors import Problem, StorageError
from makegood.language import Callee, Loaded, load
from makegood.language.files import name_from, read_definition
from makegood.model import Definition
from makegood.ports import StoredDefinition
from makegood.storage import open_store


def put_workflow(file: str, place: Place, services: list[str], *, json: bool) -> None:
    """Register a definition, and say which version it is.

    Raises:
        DefinitionError: It has mistakes; nothing was registered.
        Conflict: Its explicit version exists with other content.
        StorageError: The database cannot be used, or an engine holds it.
    """
    remote = place.remote
    if remote is not None:
        told, new = _sent(remote, file)
        name, version = told["name"], told["version"]
    else:
        stored, new = _stored(file, place, services)
        name, version = stored.name, stored.version
    if json:
        print_json({"name": name, "version": version, "new": new})
    else:
        print(f"{name} version {version}{'' if new else ' (unchanged)'}")


def _sent(remote: Remote, file: str) -> tuple[dict[str, Any], bool]:
    """Have a server register it: what it says of it is said here, with the places in the file."""
    raw = read_definition(file)
    # Which name it has, and whether it is one at all, is seen here; whether its services are there, by the server.
    loaded = load(raw, source=file, name=name_from(file))
    media = (
        "application/json" if raw.lstrip()[:1] == b"{" and not file.endswith((".yaml", ".yml")) else "application/yaml"
    )
    told, new = remote.put_workflow(loaded.definition.name, raw, media, file)
    for warning in told["warnings"]:
        complain(Problem(**warning).located(file))
    return told, new


def _stored(file: str, place: Place, services: list[str]) -> tuple[StoredDefinition, bool]:
    settings = load_config(place.config)
    registry = registry_of(settings, read_services(services))
    known = frozenset(registry.names()) or None
    if known is not None:
        known |= run_async(_kept_names(place.path))
    raw = read_definition(file)

    def read(children: dict[Callee, tuple[str, ...]]) -> Loaded:
        return load(raw, source=file, name=name_from(file), services=known, children=children)

    contracts = contracts_of(settings, registry)
    loaded = run_async(load_held(raw, contracts, source=file, name=name_from(file), services=known))
    for warning in loaded.warnings:
        complain(warning.located(file))
    return run_async(_put(place.path, loaded.definition, read))


async def _kept_names(database: str) -> frozenset[str]:
    """The services that a database keeps; none of one that cannot be read, which is said when it is written."""
    try:
        store = open_store(database, exclusive=False)
    except StorageError:
        return frozenset()
    try:
        listing = await store.directory.listing()
    except StorageError:
        return frozenset()
    finally:
        await store.aclose()
    return frozenset() if listing is None else frozenset(each.name for each in listing.services)


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
