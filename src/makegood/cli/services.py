"""`makegood services`: what a server calls, what a database keeps for all servers, what the configuration says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from makegood.app.config import load_config
from makegood.app.contracts import Contracts
from makegood.app.directory import SharedServices
from makegood.app.reading import reading, waiting_view
from makegood.app.wiring import registry_of
from makegood.cli import exits
from makegood.cli.failures import complain
from makegood.cli.given import parse_json
from makegood.cli.loop import run_async
from makegood.cli.output import print_json
from makegood.cli.places import Place
from makegood.cli.showing import table
from makegood.cli.starting import pairs
from makegood.errors import ConfigurationError, NotFound, nearest
from makegood.ports import Directory
from makegood.services import Registry
from makegood.storage import is_postgres, open_store

T = TypeVar("T")

COLUMNS = (
    "name",
    "source",
    "endpoints",
    "healthy",
    "in_flight",
    "max_concurrent",
    "timeout_seconds",
    "health",
    "fault",
)
ENDPOINT_COLUMNS = ("url", "source", "state", "since", "reason", "circuit", "in_flight", "p50_ms", "p99_ms", "labels")
CHECK_COLUMNS = ("service", "url", "asked", "state", "took_ms", "reason")


def list_services(place: Place, *, json: bool) -> None:
    """Print all of them."""
    views = _views(place)
    if json:
        print_json(views)
        return
    table(COLUMNS, [_row(each) for each in views])


def _row(view: dict[str, Any]) -> dict[str, Any]:
    endpoints = view["endpoints"]
    well = sum(each["healthy"] and each["circuit"] == "closed" for each in endpoints)
    healthy = f"{well} of {len(endpoints)}" if endpoints else None
    return {**view, "endpoints": " ".join(each["url"] for each in endpoints), "healthy": healthy}


def show_service(place: Place, name: str, *, json: bool) -> None:
    """Print one of them, and how its endpoints are."""
    remote = place.remote
    view = remote.service(name) if remote is not None else {**_named(_views(place), name), **_waiting(place, name)}
    if json:
        print_json(view)
        return
    for line in _lines(view):
        print(line)
    if view["endpoints"]:
        print()
        table(ENDPOINT_COLUMNS, [_endpoint_row(each) for each in view["endpoints"]])
    waiting = view.get("waiting", {"executions": []})
    if waiting["executions"]:
        print()
        print(f"{waiting['count']:,} wait for it, the longest first:")
        table(("id", "step", "since"), waiting["executions"])


def _waiting(place: Place, name: str) -> dict[str, Any]:
    """Who waits for it, where a database is named that knows."""

    async def look() -> dict[str, Any]:
        async with reading(place.path) as store:
            return {"waiting": waiting_view(await store.waiting(name))}

    return {} if place.database is None else run_async(look())


def _named(views: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for each in views:
        if each["name"] == name:
            return each
    raise NotFound(f"there is no service {name!r}.{nearest(name, [each['name'] for each in views])}")


def _lines(view: dict[str, Any]) -> Iterator[str]:
    for key, value in view.items():
        if key not in ("endpoints", "local", "waiting") and value not in (None, "", {}):
            text = ", ".join(f"{one}: {each}" for one, each in value.items()) if isinstance(value, dict) else value
            yield f"{key.replace('_', ' '):22} {text}"


def _endpoint_row(endpoint: dict[str, Any]) -> dict[str, Any]:
    labels = " ".join(f"{key}={value}" for key, value in endpoint["labels"].items())
    circuit = None if endpoint["circuit"] == "closed" else endpoint["circuit"]
    return {**endpoint, "state": _state(endpoint), "labels": labels, "circuit": circuit}


def _state(endpoint: dict[str, Any]) -> str:
    return "healthy" if endpoint["healthy"] else "unhealthy"


def put_service(place: Place, name: str, url: str, keys: list[str], *, json: bool) -> None:
    """Keep a service, instead of the one of that name."""
    given = {
        "url": url,
        **{key: parse_json(text.encode(), f"--set {key}") for key, text in pairs(keys, "--set").items()},
    }
    if place.remote is not None:
        told = place.remote.put_service(name, given)
    else:

        async def put(services: SharedServices, _: Registry) -> dict[str, Any]:
            await services.put(name, given)
            return _view_of(services, _, name)

        told = _kept(place, put)
    if json:
        print_json(told)
    else:
        print(f"service {name} is at {url}.")


def remove_service(place: Place, name: str) -> None:
    """Forget a service."""
    if place.remote is not None:
        place.remote.remove_service(name)
    else:
        _kept(place, lambda services, _: services.remove(name))
    complain(f"service {name} is forgotten.")


def check_services(place: Place, names: list[str], *, json: bool) -> int:
    """Ask the endpoints of all services, or of these, whether they are well; the exit code says if all are."""
    remote = place.remote
    if remote is not None:
        every = [each["name"] for each in remote.services() if not each["local"]]
        found = [remote.check_service(each) for each in names or every]
    else:
        found = _kept(place, lambda services, registry: _looked(services, registry, names), writes=False)
    if json:
        print_json(found)
    else:
        table(CHECK_COLUMNS, [row for each in found for row in _check_rows(each)])
    well = all(each["fault"] is None and all(one["healthy"] for one in each["endpoints"]) for each in found)
    return exits.COMPLETED if well else exits.FAILED


async def _looked(services: SharedServices, registry: Registry, names: list[str]) -> list[dict[str, Any]]:
    from makegood.app.health_checks import looked_at

    found = []
    for name in names or services.names():
        services.check_known(name)
        endpoints = await looked_at(registry, name) if registry.knows(name) else []
        found.append({"name": name, "fault": services.fault(name), "endpoints": endpoints})
    return found


def _check_rows(check: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in check["endpoints"]:
        yield {"service": check["name"], **each, "state": _state(each)}
    if check["fault"] is not None or not check["endpoints"]:
        yield {"service": check["name"], "state": "no endpoint", "reason": check["fault"]}


# --- where they are ------------------------------------------------------------------------------


def _views(place: Place) -> list[dict[str, Any]]:
    if place.remote is not None:
        return place.remote.services()

    async def views(services: SharedServices, registry: Registry) -> list[dict[str, Any]]:
        return [_view_of(services, registry, name) for name in services.names()]

    return _kept(place, views, writes=False)


def _view_of(services: SharedServices, registry: Registry, name: str) -> dict[str, Any]:
    from makegood.api.registry import view

    return view(registry, services, Contracts(registry), name)


def _kept(place: Place, work: Callable[[SharedServices, Registry], Awaitable[T]], *, writes: bool = True) -> T:
    """Do work with the services of the configuration and, where a database is named, those that it keeps.

    Raises:
        ConfigurationError: No place is named to write to.
        StorageError: The database cannot be used, or an engine holds it.
    """

    async def run() -> T:
        if place.database is None and writes:
            raise ConfigurationError(
                "where is it kept? Give --server URL (or MAKEGOOD_SERVER), or --database DSN where no server runs. "
                "A file has [services.NAME]."
            )
        registry = Registry() if writes else registry_of(load_config(place.config))
        async with _directory(place, writes=writes) as directory:
            services = SharedServices(lambda: directory, registry, 1.0)
            await services.refresh()
            try:
                return await work(services, registry)
            finally:
                await registry.aclose()

    return run_async(run())


@asynccontextmanager
async def _directory(place: Place, *, writes: bool) -> AsyncIterator[Directory]:
    # Nothing but the configuration is an empty directory. A file has one writer; PostgreSQL any number.
    database = place.path if place.database is not None else ":memory:"
    store = open_store(database, exclusive=writes and not is_postgres(database))
    try:
        yield store.directory
    finally:
        await store.aclose()
