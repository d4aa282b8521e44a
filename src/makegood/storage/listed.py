"""Rows of the directory of services as values, the same for every database.

Strangers keep out: no SQL, no connection. A row is what a driver gives, in the order of `directory.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from makegood.ports import EndpointHealth, Instance, Listing, StoredService
from makegood.storage import rules

Row = Sequence[Any]


def text(value: dict[str, Any]) -> str:
    """The JSON by which keys and labels are kept and compared."""
    return rules.canonical(value).decode()


def listing(revision: int, services: Iterable[Row], instances: Iterable[Row], health: Iterable[Row]) -> Listing:
    """The whole directory."""
    return Listing(
        revision=revision,
        services=tuple(
            StoredService(name=name, keys=msgspec.json.decode(keys), revision=put_at) for name, keys, put_at in services
        ),
        instances=tuple(
            Instance(service=service, id=name, url=url, labels=msgspec.json.decode(labels), left_ms=left_ms)
            for service, name, url, labels, left_ms in instances
        ),
        health=tuple(endpoint_health(row) for row in health),
    )


def endpoint_health(row: Row) -> EndpointHealth:
    """The health of one endpoint."""
    service, url, well, reason, since_ms, checked_at_ms, in_a_row, turn, by = row
    return EndpointHealth(
        service=service,
        url=url,
        well=bool(well),
        reason=reason,
        since_ms=since_ms,
        checked_at_ms=checked_at_ms,
        in_a_row=in_a_row,
        turn=turn,
        by=by,
    )
