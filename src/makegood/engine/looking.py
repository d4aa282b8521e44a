"""Looking at an execution: what is seen of it is durable, all of it (rule 35).

Strangers keep out: looking changes nothing, and takes nothing into memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from makegood.core.state import MOVING, State
from makegood.core.view import ROWS_SHOWN
from makegood.engine.definitions import Definitions
from makegood.engine.handle import Rest
from makegood.engine.intake import Store
from makegood.engine.live import Live, Void, when_durable
from makegood.engine.loading import load_state
from makegood.engine.runner import Runner
from makegood.errors import NotFound
from makegood.ports import Stored

T = TypeVar("T")

KEPT_S = 30.0
"""How long what was loaded of one long execution is kept, for whoever turns its pages."""


class Onlooker:
    """Sees executions, in memory or not.

    Args:
        opened: The store, or raises that the engine is closed.
    """

    def __init__(self, runner: Runner, definitions: Definitions, opened: Callable[[], Store]) -> None:
        self._runner = runner
        self._definitions = definitions
        self._opened = opened
        self._kept: State | None = None
        self._forgetting: asyncio.TimerHandle | None = None

    async def look(self, execution_id: str, look: Callable[[State], T]) -> T:
        """What `look` makes of its state, at a moment at which all of that is durable.

        Raises:
            NotFound: There is no such execution.
        """
        store = self._opened()
        while (live := self._runner.live.get(execution_id)) is not None:
            with suppress(Void):
                return await self._look_at(live, look)
        stored = await store.find(execution_id)
        if stored is None:
            raise NotFound(f"there is no execution {execution_id!r}")
        return look(await self._loaded(store, stored))

    async def _look_at(self, live: Live, look: Callable[[State], T]) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def told(error: Exception | None) -> None:
            # Here and now: when the asker wakes, the next record may be on its way.
            if done.done():
                return
            try:
                done.set_result(look(live.state)) if error is None else done.set_exception(error)
            except Exception as wrong:  # noqa: BLE001 - it belongs to the asker
                done.set_exception(wrong)

        when_durable(live, told)
        return await done

    async def rest(self, execution_id: str) -> Rest | None:
        """How it stands, if it has ended or waits for a person; None while it moves. Raises as `look`.

        Its row says whether it does, as long as it is not in memory: a long journal takes a while to load.
        """
        live = self._runner.live.get(execution_id)
        stored = await self._opened().find(execution_id) if live is None else None
        status = stored.standing.status if stored is not None else None if live is None else live.state.status
        if status in MOVING:
            return None
        return await self.look(execution_id, lambda state: None if state.status in MOVING else Rest(state))

    async def _loaded(self, store: Store, stored: Stored) -> State:
        """The state of an execution that is not in memory."""
        kept = self._kept
        if kept is not None and _is_of(kept, stored):
            # Nobody else loads what has come since into it meanwhile.
            self._kept = None
        else:
            kept = None
        registered = await self._definitions.get(stored.start.workflow, stored.start.version)
        state = await load_state(store, stored.execution_id, registered.program, kept)
        if len(state.instances) > ROWS_SHOWN:
            self._keep(state)
        return state

    def _keep(self, state: State) -> None:
        self._kept = state
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(KEPT_S, self._forget)

    def _forget(self) -> None:
        self._kept = None


def _is_of(state: State, stored: Stored) -> bool:
    """Whether a state is that of an execution, and not of one that had its id before."""
    return (
        state.execution_id == stored.execution_id
        and state.started_at_ms == stored.start.started_at_ms
        and state.records <= stored.positions
    )
