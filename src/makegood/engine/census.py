"""How many executions of a workflow live, and at which steps they stand. Only reads; bounded in time and memory.

One state is in memory at a time. What was too much to look into is counted and said, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field

from makegood.core.evolve import fold
from makegood.core.program import Program
from makegood.core.state import State
from makegood.core.whereabouts import Doing, whereabouts
from makegood.engine.definitions import Definitions
from makegood.engine.loading import PAGE as LOAD_PAGE
from makegood.ports import Journal, Query, Stored

LIVE = ("suspended", "compensating", "running")
"""The states before an end, those that a person asks for first: they are looked into before the others."""
PAGE = 500
ROWS_MAX = 100_000
"""Rows of live executions that are counted, those of other versions included."""
RECORDS_MAX = 200_000
"""Records that are read to see where executions stand."""


@dataclass(slots=True, kw_only=True)
class Census:
    """The live executions of one version.

    Attributes:
        live: How many there are, by state.
        standing: How many of those that were looked into stand at a step (its id), by what they do there and
            by state. One that stands at several steps counts at each.
        looked_into: How many were looked into.
        complete: Whether all live executions were counted, so that there are no more than `live` says.
    """

    live: Counter[str] = field(default_factory=Counter)
    standing: Counter[tuple[str, Doing, str]] = field(default_factory=Counter)
    looked_into: int = 0
    complete: bool = True

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return self.complete and self.looked_into == self.live.total()


async def census(
    store: Journal, definitions: Definitions, workflow: str, versions: Collection[int], *, look_into: int
) -> dict[int, Census]:
    """Count the live executions of some versions of a workflow, the newest first.

    Args:
        look_into: Executions whose journal is read at most, of all versions together.

    Raises:
        NotFound: There is no such version.
    """
    programs = {version: (await definitions.get(workflow, version)).program for version in versions}
    found = {version: Census() for version in versions}
    rows = records = looked = 0
    async for row in _live(store, workflow):
        rows += 1
        if rows > ROWS_MAX:
            for each in found.values():
                each.complete = False
            break
        one = found.get(row.start.version)
        if one is None:
            continue
        one.live[row.standing.status] += 1
        if looked >= look_into or records + row.positions > RECORDS_MAX:
            continue
        looked += 1
        records += row.positions
        one.looked_into += 1
        state = await _state(store, programs[row.start.version], row)
        # By the row's state: the journal may have gone on since.
        one.standing.update((step, doing, row.standing.status) for step, doing in whereabouts(state))
    return found


async def _live(store: Journal, workflow: str) -> AsyncIterator[Stored]:
    for status in LIVE:
        before: tuple[int, str] | None = None
        while True:
            page = await store.query(Query(workflow=workflow, status=status, limit=PAGE, before=before))
            for row in page:
                yield row
            if len(page) < PAGE:
                break
            before = (page[-1].start.started_at_ms, page[-1].execution_id)


async def _state(store: Journal, program: Program, row: Stored) -> State:
    """The state as far as the row goes, page by page."""
    state = State(program)
    for start in range(0, row.positions, LOAD_PAGE):
        limit = min(LOAD_PAGE, row.positions - start)
        fold(program, await store.load(row.execution_id, start=start, limit=limit), state)
    return state
