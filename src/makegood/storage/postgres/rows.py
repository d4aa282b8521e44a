"""The ports' values as columns and back.

Strangers keep out: no connection, no statement; the order of columns is that of `queries.sql`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from makegood.ports import Append, KeyedRequest, Standing, Start, Stored, StoredDefinition, Wait
from makegood.storage import rules

Row = Sequence[Any]

EXECUTION_COLUMNS = 21
STANDING_COLUMNS = 12


def execution_row(append: Append, standing: Standing, format_min: int) -> Row:
    """For the arrays of `append` that make executions."""
    start, _ = rules.initial(append)
    return (
        append.execution_id,
        start.workflow,
        start.version,
        start.start_hash,
        start.started_at_ms,
        start.business_key,
        start.parent,
        start.root,
        msgspec.json.encode(start.search).decode(),
        start.rerun_of,
        format_min,
        *_standing(standing),
    )


def standing_row(append: Append) -> Row:
    """For the arrays of `append` that change executions."""
    assert append.standing is not None
    # Alone, without a record, it holds only while the journal stands where its writer believes.
    bare_at = append.position if append.record is None else None
    return (append.execution_id, bare_at, *_standing(append.standing))


def search_rows(append: Append) -> list[Row]:
    """For the arrays of `append` that keep search attributes."""
    assert append.start is not None
    return [
        (
            append.execution_id,
            name,
            msgspec.json.encode(value).decode(),
            found_by(rules.attribute_text(value)),
            append.start.started_at_ms,
        )
        for name, value in append.start.search.items()
    ]


def found_by(text: str) -> str:
    """The text of a search attribute as a column can hold it."""
    return text.replace("\\", "\\\\").replace("\0", "\\0")


def wait(row: Row) -> Wait:
    """From `waiting`."""
    _, service, since_ms, step = row
    return Wait(service=service, since_ms=since_ms, step=step)


def request_row(request: KeyedRequest) -> Row:
    """For the arrays of `append` that keep requests, and for `insert_request`."""
    return (request.key, request.content, request.at_ms, msgspec.json.encode(request.answer).decode())


def request(row: Row) -> KeyedRequest:
    """From `request`."""
    key, content, at_ms, answer = row
    return KeyedRequest(key=key, content=content, at_ms=at_ms, answer=msgspec.json.decode(answer))


def columns(rows: Sequence[Row], count: int) -> list[list[Any]]:
    """Rows as columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]


def stored(row: Row, me: int | None) -> Stored:
    """From `stored`."""
    (execution_id, workflow, version, start_hash, started, key, parent, root, search, rerun_of, *rest) = row
    (status, phase, pivoted, wake, parked, ended, error_code, overdue, superseded_by, crashes, owner, positions) = rest
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
            pivoted=pivoted,
            wake_at_ms=wake,
            parked=parked,
            ended_at_ms=ended,
            error_code=error_code,
            overdue=overdue,
            superseded_by=superseded_by,
        ),
        positions=positions,
        crashes=crashes,
        elsewhere=owner is not None and owner != me,
    )


def definition(row: Row) -> StoredDefinition:
    """From `definition` and its kin."""
    name, version, tree, created = row[:4]
    return StoredDefinition(name=name, version=version, tree=msgspec.json.decode(tree), created_at_ms=created)


def _standing(standing: Standing) -> Row:
    return (
        standing.status,
        standing.phase,
        standing.pivoted,
        standing.wake_at_ms,
        standing.parked,
        standing.ended_at_ms,
        # A service's word may hold a character that a column of text cannot; the record keeps it as it is.
        None if standing.error_code is None else standing.error_code.replace("\0", "\ufffd"),
        standing.overdue,
        standing.superseded_by,
        rules.is_owned(standing),
    )
