"""Looking at a database: executions, their journals and definitions, beside an engine or without one.

Rule: nothing here writes, and nothing is held open over a pause.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from typing import Any

from makegood.core.events import Record
from makegood.core.program import Program
from makegood.core.state import STATUSES, State
from makegood.core.view import ROWS_SHOWN, time_text
from makegood.engine.census import Census, census
from makegood.engine.definitions import Definitions
from makegood.engine.loading import load_state
from makegood.engine.observing import WAITING_SHOWN, page_of, whole
from makegood.errors import ConfigurationError, InputError, NotFound
from makegood.ports import Journal, Query, Stored, StoredDefinition, Waiting
from makegood.storage import is_postgres, open_store, sqlite_path
from makegood.storage.codec import encode_event

RECORDS_AT_ONCE = 200
"""Records of a journal that are read at once."""


class Reading:
    """A database that is only read.

    Args:
        store: Opened for reading.
    """

    def __init__(self, store: Journal) -> None:
        self._store = store
        self._definitions = Definitions(store, lambda: 0)

    async def row(self, execution_id: str) -> Stored:
        """The row of an execution.

        Raises:
            NotFound: There is no such execution.
        """
        stored = await self._store.find(execution_id)
        if stored is None:
            raise NotFound(f"there is no execution {execution_id!r}. `makegood list` shows which there are.")
        return stored

    async def program(self, execution_id: str) -> Program:
        """The compiled definition of an execution. Raises as `row`."""
        start = (await self.row(execution_id)).start
        return (await self._definitions.get(start.workflow, start.version)).program

    async def state(self, execution_id: str) -> State:
        """The state of an execution, as far as it is durable. Raises as `row`."""
        return await load_state(self._store, execution_id, await self.program(execution_id))

    async def waiting(self, service: str) -> Waiting:
        """Who waits for a service, so many by name as are shown."""
        return await self._store.waiting(service, limit=WAITING_SHOWN)

    async def page(self, execution_id: str, rows: str, cursor: str | None, limit: int = ROWS_SHOWN) -> dict[str, Any]:
        """A page of one of the lists of an execution; see `page_of`. Raises as `row`, and InputError."""
        look = page_of(rows, cursor, limit)
        return look(await self.state(execution_id))

    async def describe(self, execution_id: str) -> dict[str, Any]:
        """The whole execution, as the API gives it. Raises as `row`."""
        return whole(await self.state(execution_id))

    async def records(self, execution_id: str, start: int = 0) -> AsyncIterator[tuple[int, Record]]:
        """The journal of an execution from a position on, as it is read, each record with its own. Raises as `row`."""
        await self.row(execution_id)
        while page := await self._store.load(execution_id, start=start, limit=RECORDS_AT_ONCE):
            for record in page:
                yield start, record
                start += 1

    async def executions(self, query: Query) -> list[Stored]:
        """Executions, newest first."""
        return await self._store.query(query)

    async def definitions(self) -> list[StoredDefinition]:
        """The newest version of every workflow, by name."""
        return await self._store.definitions()

    async def definition(self, name: str, version: int | None = None) -> StoredDefinition:
        """One version of a workflow, or the newest.

        Raises:
            NotFound: There is none.
        """
        await self._definitions.get(name, version)
        stored = await self._store.definition(name, version)
        assert stored is not None
        return stored

    async def loaded(self, name: str, version: int | None = None) -> Program:
        """One version of a workflow, or the newest, compiled. Raises as `definition`."""
        return (await self._definitions.get(name, version)).program

    async def statuses(self, limit: int) -> dict[str, int]:
        """How many executions there are in each state, counted up to a limit."""
        found = {}
        for status in STATUSES:
            if rows := await self._store.query(Query(status=status, limit=limit)):
                found[status] = len(rows)
        return found

    async def census(self, name: str, versions: Collection[int], *, look_into: int) -> dict[int, Census]:
        """How many executions of some versions live, and where they stand. Raises as `definition`."""
        return await census(self._store, self._definitions, name, versions, look_into=look_into)


@asynccontextmanager
async def reading(database: str) -> AsyncIterator[Reading]:
    """Open a database for reading.

    Raises:
        ConfigurationError: It is in memory.
        StorageError: There is none, or it cannot be read.
    """
    if not is_postgres(database):
        path_of(database)
    store = open_store(database, exclusive=False)
    try:
        yield Reading(store)
    finally:
        await store.aclose()


def path_of(database: str) -> str:
    """The file of a database that others can look at.

    Raises:
        ConfigurationError: It is in memory, or none that this version knows.
    """
    path = sqlite_path(database)
    if path is None:
        raise ConfigurationError(
            "a database in memory is known only to the process that has it. "
            "Give the path of a file, or postgresql://...: --database DATABASE."
        )
    return path


def row_view(stored: Stored) -> dict[str, Any]:
    """An execution as a list shows it."""
    start, standing = stored.start, stored.standing
    return {
        "id": stored.execution_id,
        "workflow": start.workflow,
        "version": start.version,
        "status": standing.status,
        "phase": standing.phase,
        "business_key": start.business_key,
        "rerun_of": start.rerun_of,
        "superseded_by": standing.superseded_by,
        "error_code": standing.error_code,
        "started_at": time_text(start.started_at_ms),
        "ended_at": time_text(standing.ended_at_ms),
        "search": start.search,
    }


def waiting_view(waiting: Waiting) -> dict[str, Any]:
    """Who waits for a service: `{count, executions: [{id, step, since}]}`, the longest first."""
    found = [{"id": each, "step": wait.step, "since": time_text(wait.since_ms)} for each, wait in waiting.longest]
    return {"count": waiting.count, "executions": found}


def event_views(position: int, record: Record) -> Iterator[dict[str, Any]]:
    """Every event of a record: `{position, at, event, event_version, ...}` and the event's own fields."""
    for event in record.events:
        fields = encode_event(event)
        kind, version = fields.pop("e"), fields.pop("v")
        yield {
            "position": position,
            "at": time_text(record.at_ms),
            "event": kind,
            "event_version": version,
            **fields,
        }


def cursor_of(stored: Stored) -> str:
    """Where the next page of a list begins."""
    return f"{stored.start.started_at_ms}.{stored.execution_id}"


def before_of(cursor: str) -> tuple[int, str]:
    """What a cursor means.

    Raises:
        InputError: It is none of ours.
    """
    moment, dot, execution_id = cursor.partition(".")
    if not dot or not execution_id or not (moment.isascii() and moment.isdigit()) or len(moment) > 15:
        raise InputError(f"{cursor!r} is no cursor. Take the one that the last page gave.")
    return int(moment), execution_id
