"""Looking at an execution: what is seen of it is durable, all of it (rule 35).

Strangers keep out: looking changes nothing, and takes nothing into memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from makegood.core.evolve import fold
from makegood.core.state import State
from makegood.engine.definitions import Definitions
from makegood.engine.intake import Store
from makegood.engine.runner import Runner
from makegood.errors import NotFound

T = TypeVar("T")


class Onlooker:
    """Sees executions, in memory or not.

    Args:
        opened: The store, or raises that the engine is closed.
    """

    def __init__(self, runner: Runner, definitions: Definitions, opened: Callable[[], Store]) -> None:
        self._runner = runner
        self._definitions = definitions
        self._opened = opened

    async def look(self, execution_id: str, look: Callable[[State], T]) -> T:
        """What `look` makes of its state, at a moment at which all of that is durable.

        Raises:
            NotFound: There is no such execution.
        """
        store = self._opened()
        live = self._runner.live.get(execution_id)
        if live is None:
            stored = await store.find(execution_id)
            if stored is None:
                raise NotFound(f"there is no execution {execution_id!r}")
            registered = await self._definitions.get(stored.start.workflow, stored.start.version)
            return look(fold(registered.program, await store.load(execution_id)))
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def told(error: Exception | None) -> None:
            # Here and now: when the asker wakes, the next record may be on its way.
            if done.done():
                return
            try:
                done.set_result(look(live.state)) if error is None else done.set_exception(error)
            except Exception as wrong:  # noqa: BLE001 - it belongs to the asker
                done.set_exception(wrong)

        self._runner.when_durable(live, told)
        return await done
