"""Everything that only reads, on a connection of its own beside the writer.

Strangers keep out: nothing here writes. Each function reads to the end before it returns, so that
no read transaction stands open over a pause and keeps the write-ahead log from being folded in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import apsw

from makegood.core.events import Record
from makegood.core.state import STATUSES
from makegood.ports import KeyedRequest, Query, Stored, StoredDefinition, Waiting
from makegood.storage import codec, rules
from makegood.storage.sqlite import rows
from makegood.storage.sqlite.sql import QUERIES

PAGE = 64
"""Records read in one step. A page is one text (see `sql`), and SQLite's longest has 10**9 bytes: room
for 64 records of 15 MB, where about 4 MiB is a record's bound."""


def find(connection: apsw.Connection, execution_id: str) -> Stored | None:
    """See `Journal.find`."""
    row = connection.execute(QUERIES["stored"] + " WHERE e.id = ?", (execution_id,)).fetchone()
    return None if row is None else rows.stored(row)


def at_rest(connection: apsw.Connection, execution_ids: Collection[str]) -> list[str]:
    """See `Journal.at_rest`."""
    found = (find(connection, each) for each in execution_ids)
    return [each.execution_id for each in found if each is not None and rules.is_at_rest(each.standing)]


def query(connection: apsw.Connection, wanted: Query) -> list[Stored]:
    """See `Journal.query`."""
    statement, values = query_statement(wanted)
    return [rows.stored(row) for row in connection.execute(statement, values).fetchall()]


def query_statement(wanted: Query) -> tuple[str, list[Any]]:
    """The statement and its values. Its conditions are fixed texts; what users give are values."""
    conditions: list[str] = []
    values: list[Any] = []
    for condition, value in (
        ("e.workflow = ?", wanted.workflow),
        ("e.status = ?", wanted.status),
        ("e.business_key = ?", wanted.business_key),
        ("e.started_at_ms > ?", wanted.started_after_ms),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    moment, name = ("a.started_at_ms", "a.execution_id") if wanted.search else ("e.started_at_ms", "e.id")
    for number, (attribute, text) in enumerate(wanted.search.items()):
        conditions.append("a.name = ? AND a.text = ?" if number == 0 else _HAS_ATTRIBUTE)
        values += [attribute, text]
    if wanted.waiting_for is not None:
        conditions.append("e.id IN (SELECT w.execution_id FROM service_wait AS w WHERE w.service = ?)")
        values.append(wanted.waiting_for)
    if wanted.before is not None:
        conditions.append(f"({moment}, {name}) < (?, ?)")
        values += wanted.before
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    values.append(wanted.limit)
    found = QUERIES["stored"] + (_BY_ATTRIBUTE if wanted.search else f" INDEXED BY {_index(wanted)}")
    return f"{found}{where} ORDER BY {moment} DESC, {name} DESC LIMIT ?", values


_BY_ATTRIBUTE = " JOIN search_attribute AS a INDEXED BY search_attribute_text ON e.id = a.execution_id"
_HAS_ATTRIBUTE = (
    "EXISTS (SELECT 1 FROM search_attribute AS b WHERE b.execution_id = e.id AND b.name = ? AND b.text = ?)"
)


def _index(wanted: Query) -> str:
    # Named, because without statistics the planner cannot know which filter leaves least.
    if wanted.business_key is not None:
        return "execution_key"
    if wanted.status is not None and (wanted.workflow is None or wanted.status != "completed"):
        return "execution_status"
    return "execution_workflow" if wanted.workflow is not None else "execution_started"


def load(connection: apsw.Connection, execution_id: str, start: int, limit: int | None) -> list[Record]:
    """See `Journal.load`."""
    return [record for page in pages(connection, execution_id, start, limit) for record in page]


def pages(connection: apsw.Connection, execution_id: str, start: int, limit: int | None) -> Iterator[list[Record]]:
    """The records page by page; no page is empty."""
    at, left = start, limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        found: Any = connection.execute(QUERIES["load_page"], (execution_id, at, at + size)).fetchone()
        count, text = found
        if not count:
            return
        yield [codec.read_record(each) for each in codec.parse(text)]
        if count < size:
            return
        at, left = at + size, None if left is None else left - size


def counts(connection: apsw.Connection, workflow: str, most: int) -> dict[str, int]:
    """See `Journal.counts`."""
    found = {status: connection.execute(QUERIES["count"], (workflow, status, most)).get for status in STATUSES}
    return {status: count for status, count in found.items() if count}


def waiting(connection: apsw.Connection, service: str, limit: int) -> Waiting:
    """See `Journal.waiting`."""
    found: list[Any] = connection.execute(QUERIES["waiting"], (service, limit)).fetchall()
    count: int = connection.execute(QUERIES["count_waiting"], (service,)).get
    return Waiting(count=count, longest=tuple((row[0], rows.wait(row)) for row in found))


def waited_for(connection: apsw.Connection, services: Collection[str] | None) -> dict[str, int]:
    """See `Journal.waited_for`."""
    if services is None:
        services = [name for (name,) in connection.execute(QUERIES["waited_services"])]
    found = {each: connection.execute(QUERIES["waited_for"], (each,)).get for each in services}
    return {each: since_ms for each, since_ms in found.items() if since_ms is not None}


def request(connection: apsw.Connection, key: str) -> KeyedRequest | None:
    """See `Requests.request`."""
    row = connection.execute(QUERIES["request"], (key,)).fetchone()
    return None if row is None else rows.request(row)


def definition(connection: apsw.Connection, name: str, version: int | None) -> StoredDefinition | None:
    """See `Journal.definition`."""
    row = definition_row(connection, name, version)
    return None if row is None else rows.definition(row)


def definition_row(connection: apsw.Connection, name: str, version: int | None) -> rows.Row | None:
    """The row of one version, or of the newest."""
    if version is None:
        return connection.execute(QUERIES["newest_definition"], (name,)).fetchone()
    return connection.execute(QUERIES["definition"], (name, version)).fetchone()


def definitions(connection: apsw.Connection) -> list[StoredDefinition]:
    """See `Journal.definitions`."""
    return [rows.definition(row) for row in connection.execute(QUERIES["definitions"]).fetchall()]


def next_wake_ms(connection: apsw.Connection) -> int | None:
    """See `Leases.next_wake_ms`."""
    row = connection.execute(QUERIES["next_wake"]).fetchone()
    return None if row is None else row[0]
