"""One execution as the caller of `start` holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from makegood.core.state import State
from makegood.core.view import describe
from makegood.errors import (
    CompensationFailed,
    ExecutionCompensated,
    ExecutionEnded,
    ExecutionFailed,
    ExecutionSuperseded,
    ExecutionSuspended,
)

if TYPE_CHECKING:
    from makegood.engine.client import Engine

_ENDINGS: dict[str, type[ExecutionEnded]] = {
    "failed": ExecutionFailed,
    "compensated": ExecutionCompensated,
    "compensation_failed": CompensationFailed,
    "superseded": ExecutionSuperseded,
    "suspended": ExecutionSuspended,
}


class Execution:
    """A handle on one execution.

    Attributes:
        id: Its id.
        resumed: Whether the start found it there already.
        seen: What the start's `look` made of it.
    """

    __slots__ = ("_engine", "id", "resumed", "seen")

    def __init__(self, engine: Engine, execution_id: str, *, resumed: bool = False, seen: Any = None) -> None:
        self._engine = engine
        self.id = execution_id
        self.resumed = resumed
        self.seen = seen

    def __repr__(self) -> str:
        return f"Execution({self.id!r})"

    async def result(self) -> Any:
        """Wait for the end; the output. Raises ExecutionFailed and kin, with the facts."""
        return await self._engine.result(self.id)

    async def end(self) -> dict[str, Any]:
        """Wait for the end, whatever it is; the whole execution."""
        return await self._engine.end(self.id)

    async def describe(self) -> dict[str, Any]:
        """The whole execution as it stands."""
        return await self._engine.describe(self.id)

    async def effects(self) -> list[dict[str, Any]]:
        """What it did to the world, and what of it is undone, remains, or is unknown."""
        return await self._engine.effects(self.id)

    async def cancel(self, *, by: str = "", note: str = "") -> None:
        """Abort it."""
        await self._engine.cancel(self.id, by=by, note=note)

    async def signal(self, name: str, payload: Any = None) -> None:
        """Send it a signal."""
        await self._engine.signal(self.id, name, payload)


class Rest:
    """An execution at rest, as it stood when that became durable; one that is suspended may move on since."""

    __slots__ = ("_state", "_view", "status")

    def __init__(self, state: State) -> None:
        self.status = state.status
        self._state = state
        # The state of one that has ended is nobody's any more, and most are never looked at.
        self._view = None if state.ended else describe(state)

    @property
    def output(self) -> Any:
        """The output of one that completed."""
        return self._state.output

    @property
    def view(self) -> dict[str, Any]:
        """The whole execution."""
        return describe(self._state) if self._view is None else self._view


def ended_otherwise(view: dict[str, Any]) -> ExecutionEnded:
    """The error that says how an execution ended that did not complete."""
    return _ENDINGS.get(view["status"], ExecutionEnded)(view)
