"""Executions that somebody waits for here and another worker advances: looked at now and then.

Strangers keep out: what this process advances tells its listeners itself, and at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from makegood.engine.handle import Rest
from makegood.engine.listening import Listeners
from makegood.engine.log import log, names
from makegood.engine.looking import Onlooker
from makegood.errors import MakegoodError, NotFound
from makegood.ports import Journal

LOOK_S = 0.25
"""How often they are looked at while somebody waits."""


class Afar:
    """Tells listeners of what other workers do.

    Args:
        is_here: Whether this process advances an execution.
    """

    def __init__(
        self, journal: Journal, onlooker: Onlooker, listeners: Listeners, is_here: Callable[[str], bool]
    ) -> None:
        self._journal = journal
        self._onlooker = onlooker
        self._listeners = listeners
        self._is_here = is_here
        self._task: asyncio.Task[None] | None = None
        # Where in its journal each execution stands that is watched.
        self._watched: dict[str, int] = {}

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._look_forever(), name="makegood-afar")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except MakegoodError as error:
                log.warning(names.COMMIT_FAILED, error=repr(error))

    async def _look(self) -> None:
        watched = [each for each in self._listeners.watchers if not self._is_here(each)]
        for each in self._watched.keys() - set(watched):
            del self._watched[each]
        for each in watched:
            await self._tell_records(each)
        asked = [each for each in {*self._listeners.ends, *watched} if not self._is_here(each)]
        if not asked:
            return
        for each in await self._journal.at_rest(asked):
            if not self._is_here(each):
                self._listeners.tell_rest_of(each, await self._onlooker.look(each, Rest))

    async def _tell_records(self, execution_id: str) -> None:
        position = self._watched.get(execution_id)
        if position is None:
            stored = await self._journal.find(execution_id)
            if stored is not None:
                self._watched[execution_id] = stored.positions
            return
        try:
            records = await self._journal.load(execution_id, start=position)
        except NotFound:
            return
        if self._is_here(execution_id) or self._watched.get(execution_id) != position:
            return
        self._watched[execution_id] = position + len(records)
        for number, each in enumerate(records, position):
            self._listeners.tell_record_of(execution_id, number, each)
