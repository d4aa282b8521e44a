"""The engine as somebody holds it who only looks: pages of steps and records, what comes, what there is.

Strangers keep out: nothing here changes anything, and all that is seen is durable (rule 35).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

from makegood.core.effects import effects_page
from makegood.core.events import Record
from makegood.core.state import State
from makegood.core.view import ROWS_SHOWN, compensations_page, describe, steps_page
from makegood.engine.intake import Store
from makegood.engine.listening import HEARD_MAX, Listeners
from makegood.engine.looking import Onlooker
from makegood.errors import InputError, NotFound
from makegood.ports import Query, Stored, StoredDefinition, Waiting

WAITING_SHOWN = 100
"""Of those that wait for a service so many are named."""
PAGE = 256
"""Records read at once."""
LOOK_S = 0.5
"""How often the journal of an execution is looked at whose records nobody here makes durable."""
COUNTED_MAX = 10_000
"""No count of executions goes beyond it."""


def whole(state: State) -> dict[str, Any]:
    """A whole execution with its effect ledger; `effects_cursor` is where the next page of that begins, or None."""
    ledger = effects_page(state, None, ROWS_SHOWN)
    return {**describe(state), "effects": ledger["effects"], "effects_cursor": ledger["cursor"]}


PAGES = {"steps": steps_page, "compensations": compensations_page, "effects": effects_page}
"""The lists of an execution that may be long, by the key that a page and a description have them under."""


def page_of(rows: str, cursor: str | None, limit: int) -> Callable[[State], dict[str, Any]]:
    """What looks at an execution and gives a page of one of its lists: `{steps | compensations | effects, cursor}`.

    Args:
        rows: Which list, one of `PAGES`.
        cursor: That of the page before; None begins with the first.
        limit: Rows on a page, at least 1.

    Raises:
        InputError: The cursor is none of ours, or the limit is below 1.
    """
    page = PAGES[rows]
    if limit < 1:
        raise InputError(f"a page of {rows} has at least 1, not {limit}")
    if cursor is not None and (not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 9):
        raise InputError(f"{cursor!r} is no cursor of {rows}. Take the one that the last page gave.")
    after = None if cursor is None else int(cursor)
    return lambda state: page(state, after, limit)


class Observer:
    """Looks at executions and definitions.

    Args:
        opened: The store, or raises that the engine is closed.
    """

    def __init__(self, onlooker: Onlooker, listeners: Listeners, opened: Callable[[], Store]) -> None:
        self._onlooker = onlooker
        self._listeners = listeners
        self._opened = opened

    async def whole(self, execution_id: str) -> dict[str, Any]:
        """The whole execution with its effect ledger.

        Raises:
            NotFound: There is no such execution.
        """
        return await self._onlooker.look(execution_id, whole)

    async def page(self, execution_id: str, rows: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """A page of one of its lists; see `page_of`. Raises NotFound and InputError."""
        return await self._onlooker.look(execution_id, page_of(rows, cursor, limit))

    async def row(self, execution_id: str) -> Stored:
        """Its row. Raises as `whole`."""
        stored = await self._opened().find(execution_id)
        if stored is None:
            raise NotFound(f"there is no execution {execution_id!r}")
        return stored

    async def executions(self, query: Query) -> Sequence[Stored]:
        """Executions, newest first."""
        return await self._opened().query(query)

    async def waiting(self, service: str) -> Waiting:
        """Who waits for a service, so many by name as are shown."""
        return await self._opened().waiting(service, limit=WAITING_SHOWN)

    async def records(self, execution_id: str, start: int, count: int) -> list[Record]:
        """Some of its journal, from a position on. Raises as `whole`."""
        records = await self._opened().load(execution_id, start=start, limit=count)
        if not records:
            await self.row(execution_id)
        return records

    async def follow(self, execution_id: str, start: int = 0) -> AsyncIterator[tuple[int, Record]]:
        """Its records by position, those that are there and those that come, until it has ended. Raises as `whole`."""
        # Rung, it says only that there is something to look at.
        with self._listeners.watching(execution_id, most=0) as bell:
            while True:
                stored = await self.row(execution_id)
                while records := await self.records(execution_id, start, PAGE):
                    for record in records:
                        yield start, record
                        start += 1
                if stored.standing.ended_at_ms is not None and start >= stored.positions:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await bell.wait()
                if bell.error is not None:
                    raise bell.error

    async def watch(self, execution_id: str) -> AsyncGenerator[Record, None]:
        """Every record from now on, as it becomes durable, until it is at rest; see `Engine.watch`."""
        with self._listeners.watching(execution_id, most=HEARD_MAX) as bell:
            stored = await self._opened().find(execution_id)
            if stored is not None and stored.standing.ended_at_ms is not None and bell.first is None:
                return
            start: int | None = None
            while True:
                await bell.wait()
                while bell.heard:
                    position, record = bell.heard.popleft()
                    start = bell.first if start is None else start
                    assert start is not None
                    # It fell behind: what was not kept for it is in the journal.
                    while start < position:
                        for missed in await self.records(execution_id, start, min(PAGE, position - start)):
                            yield missed
                            start += 1
                    if start == position:
                        yield record
                        start += 1
                if bell.error is not None:
                    raise bell.error
                if bell.at_rest:
                    return

    async def definition(self, name: str, version: int | None = None) -> StoredDefinition | None:
        """One version of a workflow, or the newest."""
        return await self._opened().definition(name, version)

    async def definitions(self) -> list[StoredDefinition]:
        """The newest version of every workflow, by name."""
        return await self._opened().definitions()

    async def counts(self, workflow: str) -> dict[str, int]:
        """How many executions of a workflow are in each state, up to `COUNTED_MAX`."""
        return await self._opened().counts(workflow, most=COUNTED_MAX)
