"""The ports' values as columns and back.

Strangers keep out: no connection, no statement; the order of columns is that of `queries.sql`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from makegood.ports import Append, KeyedRequest, Standing, Start, Stored, StoredDefinition, Wait
from makegood.storage import rules

Row = tuple[Any, ...]


def execution_row(append: Append, owner: int) -> Row:
    """For `insert_execution`."""
    start, standing = rules.initial(append)
    # A child's is given back when both it and its root have ended; what ends at once gives its own back here.
    held = start.business_key if standing.ended_at_ms is None or start.root != append.execution_id else None
    search = msgspec.json.encode(start.search).decode()
    return (
        append.execution_id,
        start.workflow,
        start.version,
        start.start_hash,
        start.started_at_ms,
        start.business_key,
        held,
        start.parent,
        start.root,
        search,
        start.rerun_of,
        *_standing(standing, owner),
    )


def standing_row(execution_id: str, standing: Standing, owner: int) -> Row:
    """For `update_standing`."""
    return (execution_id, *_standing(standing, owner))


def search_rows(append: Append) -> list[Row]:
    """For `insert_search`."""
    assert append.start is not None
    return [
        (
            append.execution_id,
            name,
            msgspec.json.encode(value).decode(),
            rules.attribute_text(value),
            append.start.started_at_ms,
        )
        for name, value in append.start.search.items()
    ]


def wait_row(execution_id: str, wait: Wait) -> Row:
    """For `insert_wait`."""
    return (execution_id, wait.service, wait.since_ms, wait.step)


def wait(row: Row) -> Wait:
    """From `waiting`."""
    _, service, since_ms, step = row
    return Wait(service=service, since_ms=since_ms, step=step)


def request_row(request: KeyedRequest) -> Row:
    """For `insert_request`."""
    return (request.key, request.content, request.at_ms, msgspec.json.encode(request.answer).decode())


def request(row: Row) -> KeyedRequest:
    """From `request`."""
    key, content, at_ms, answer = row
    return KeyedRequest(key=key, content=content, at_ms=at_ms, answer=msgspec.json.decode(answer))


def stored(row: Row) -> Stored:
    """From `stored`."""
    (execution_id, workflow, version, start_hash, started, key, parent, root, search, rerun_of, *rest) = row
    (status, phase, pivoted, wake, parked, ended, error_code, overdue, superseded_by, crashes, positions) = rest
    return Stored(
        execution_id=execution_id,
        start=Start(
            workflow=workflow,
            version=version,
            start_hash=start_hash,
            started_at_ms=started,
            business_key=key,
            parent=parent,
            root=root,
            search=msgspec.json.decode(search),
            rerun_of=rerun_of,
        ),
        standing=Standing(
            status=status,
            phase=phase,
            pivoted=bool(pivoted),
            wake_at_ms=wake,
            parked=bool(parked),
            ended_at_ms=ended,
            error_code=error_code,
            overdue=bool(overdue),
            superseded_by=superseded_by,
        ),
        positions=positions,
        crashes=crashes,
    )


def definition(row: Row) -> StoredDefinition:
    """From `definition` and its kin."""
    name, version, tree, created, _ = row
    return StoredDefinition(name=name, version=version, tree=msgspec.json.decode(tree), created_at_ms=created)


def _standing(standing: Standing, owner: int) -> Row:
    return (
        standing.status,
        standing.phase,
        standing.pivoted,
        standing.wake_at_ms,
        standing.parked,
        standing.ended_at_ms,
        standing.error_code,
        standing.overdue,
        standing.superseded_by,
        owner if rules.is_owned(standing) else None,
    )
