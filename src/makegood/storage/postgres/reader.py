"""Everything that only reads. Strangers keep out: nothing here writes, and nothing is held over a pause."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from makegood.core.events import Record
from makegood.core.state import STATUSES
from makegood.ports import KeyedRequest, Query, Stored, StoredDefinition, Waiting
from makegood.storage.codec import decode_record
from makegood.storage.postgres import rows
from makegood.storage.postgres.links import Links, Rows
from makegood.storage.postgres.sql import QUERIES


async def find(links: Links, me: int | None, execution_id: str) -> Stored | None:
    """See `Journal.find`."""
    found = await links.ask(f"{QUERIES['stored']} WHERE e.id = $1", execution_id)
    return rows.stored(found[0], me) if found else None


async def find_all(links: Links, me: int | None, execution_ids: Collection[str]) -> list[Stored]:
    """The rows of several executions, in the order asked for."""
    found = await links.ask(f"{QUERIES['stored']} WHERE e.id = ANY ($1::text[])", list(execution_ids))
    by_id = {row[0]: rows.stored(row, me) for row in found}
    return [by_id[each] for each in execution_ids if each in by_id]


async def query(links: Links, me: int | None, wanted: Query) -> list[Stored]:
    """See `Journal.query`."""
    statement, values = query_statement(wanted)
    return [rows.stored(row, me) for row in await links.ask(statement, *values)]


def query_statement(wanted: Query) -> tuple[str, list[Any]]:
    """The statement and its values. Its conditions are fixed texts; what users give are values."""
    conditions: list[str] = []
    values: list[Any] = []
    for condition, value in (
        ("e.workflow = ${}", wanted.workflow),
        ("e.status = ${}", wanted.status),
        ("e.business_key = ${}", wanted.business_key),
        ("e.started_at_ms > ${}", wanted.started_after_ms),
    ):
        if value is not None:
            values.append(value)
            conditions.append(condition.format(len(values)))
    moment, name = ("a.started_at_ms", "a.execution_id") if wanted.search else ("e.started_at_ms", "e.id")
    for number, (attribute, text) in enumerate(wanted.search.items()):
        values += [attribute, rows.found_by(text)]
        condition = _IS_ATTRIBUTE if number == 0 else _HAS_ATTRIBUTE
        conditions.append(condition.format(name=len(values) - 1, text=len(values)))
    if wanted.waiting_for is not None:
        values.append(wanted.waiting_for)
        conditions.append(_WAITS.format(len(values)))
    if wanted.before is not None:
        values += wanted.before
        conditions.append(f"({moment}, {name}) < (${len(values) - 1}, ${len(values)})")
    values.append(wanted.limit)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f" ORDER BY {moment} DESC, {name} DESC LIMIT ${len(values)}"
    return f"{QUERIES['stored']}{_BY_ATTRIBUTE if wanted.search else ''}{where}{order}", values


_WAITS = "e.id IN (SELECT w.execution_id FROM makegood.service_wait AS w WHERE w.service = ${})"
_BY_ATTRIBUTE = " JOIN makegood.search_attribute AS a ON e.id = a.execution_id"
_IS_ATTRIBUTE = "a.name = ${name} AND md5(a.text) = md5(${text}) AND a.text = ${text}"
_HAS_ATTRIBUTE = (
    "EXISTS (SELECT FROM makegood.search_attribute AS b "
    "WHERE b.execution_id = e.id AND b.name = ${name} AND b.text = ${text})"
)


async def counts(links: Links, workflow: str, most: int) -> dict[str, int]:
    """See `Journal.counts`."""
    return {row[0]: row[1] for row in await links.ask(QUERIES["counts"], workflow, most, list(STATUSES)) if row[1]}


async def waiting(links: Links, service: str, limit: int) -> Waiting:
    """See `Journal.waiting`."""
    found = await links.ask(QUERIES["waiting"], service, limit)
    count = await links.ask(QUERIES["count_waiting"], service)
    return Waiting(count=count[0][0], longest=tuple((row[0], rows.wait(row)) for row in found))


async def waited_for(
    links: Links, services: Collection[str] | None, format_max: int, offered: list[str] | None
) -> dict[str, int]:
    """See `Journal.waited_for`."""
    found = await links.ask(QUERIES["waited_for"], None if services is None else list(services), format_max, offered)
    return {row[0]: row[1] for row in found}


async def request(links: Links, key: str) -> KeyedRequest | None:
    """See `Requests.request`."""
    found = await links.ask(QUERIES["request"], key)
    return rows.request(found[0]) if found else None


async def load(links: Links, execution_id: str, start: int, limit: int | None) -> list[Record]:
    """See `Journal.load`."""
    found: Rows = await links.ask(QUERIES["load"], execution_id, start, limit)
    return [decode_record(row[0]) for row in found]


async def definition(links: Links, name: str, version: int | None) -> StoredDefinition | None:
    """See `Journal.definition`."""
    row = await definition_row(links, name, version)
    return None if row is None else rows.definition(row)


async def definition_row(links: Links, name: str, version: int | None) -> rows.Row | None:
    """The row of one version, or of the newest."""
    if version is None:
        found = await links.ask(QUERIES["newest_definition"], name)
    else:
        found = await links.ask(QUERIES["definition"], name, version)
    return found[0] if found else None


async def definitions(links: Links) -> list[StoredDefinition]:
    """See `Journal.definitions`."""
    return [rows.definition(row) for row in await links.ask(QUERIES["definitions"])]


async def next_wake_ms(links: Links, format_max: int, offered: list[str] | None) -> int | None:
    """See `Leases.next_wake_ms`."""
    found = await links.ask(QUERIES["next_wake"], format_max, offered)
    return found[0][0] if found else None
