"""`makegood services`: what a server calls, or what the configuration says it would."""

from __future__ import annotations

from typing import Any

from makegood.app.config import load_config
from makegood.app.contracts import contracts_of
from makegood.app.wiring import registry_of
from makegood.cli.failures import complain
from makegood.cli.given import parse_json
from makegood.cli.output import print_json
from makegood.cli.places import Place
from makegood.cli.remote import Remote
from makegood.cli.showing import table
from makegood.cli.starting import pairs
from makegood.errors import ConfigurationError

COLUMNS = ("name", "endpoints", "in_flight", "max_concurrent", "timeout_seconds", "health")


def list_services(place: Place, *, json: bool) -> None:
    """Print all of them."""
    remote = place.remote
    views = remote.services() if remote is not None else _configured(place)
    if json:
        print_json(views)
        return
    table(COLUMNS, [{**each, "endpoints": " ".join(one["url"] for one in each["endpoints"])} for each in views])


def _configured(place: Place) -> list[dict[str, Any]]:
    from makegood.api.registry import view

    config = load_config(place.config)
    registry = registry_of(config)
    contracts = contracts_of(config, registry)
    return [view(registry, contracts, name) for name in sorted(registry.names())]


def put_service(place: Place, name: str, url: str, keys: list[str], *, json: bool) -> None:
    """Add a service, or replace it."""
    given = {key: parse_json(text.encode(), f"--set {key}") for key, text in pairs(keys, "--set").items()}
    told = _server(place).put_service(name, {"url": url, **given})
    if json:
        print_json(told)
    else:
        print(f"service {name} is at {url}.")


def remove_service(place: Place, name: str) -> None:
    """Forget a service."""
    _server(place).remove_service(name)
    complain(f"service {name} is forgotten.")


def _server(place: Place) -> Remote:
    if place.remote is None:
        raise ConfigurationError("which server? Give --server URL, or MAKEGOOD_SERVER. A file has [services.NAME].")
    return place.remote
