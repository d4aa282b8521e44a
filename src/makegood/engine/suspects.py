"""Executions that were being advanced when a process died: one that kills its engine must not stop the rest.

The store counts such deaths. At two an execution is a suspect: one is tried, and for each that does no
harm one more at once, so that the many who were near by chance do not wait for one another. From three on
it is tried alone, so that a death tells which one it was; after five it is quarantined: suspended, for a
person to look at. Who has been advanced for a while without harm is no suspect any more. An engine that
advances given executions alone has nobody to protect, and quarantines none.
"""

from __future__ import annotations

from collections.abc import Callable

from makegood.errors import Refused
from makegood.ports import Clock, Leases, Stored

SUSPECT_FROM = 2
ALONE_FROM = 3
QUARANTINE_FROM = 5
CLEARED_AFTER_LEASES = 2
"""So long without harm, and the counter begins anew."""


class Suspects:
    """Whose turn it is, and who is cleared.

    Args:
        is_here: Whether an execution is being advanced here, or is about to be.
    """

    def __init__(
        self, store: Leases, is_here: Callable[[str], bool], clock: Clock, *, enabled: bool, lease_ms: int
    ) -> None:
        self._cleared_after_ms = CLEARED_AFTER_LEASES * lease_ms
        self._store = store
        self._is_here = is_here
        self._clock = clock
        self._enabled = enabled
        self._since: dict[str, int] = {}
        # Both say whether it is tried alone.
        self._on_trial: dict[str, bool] = {}
        self._waiting: dict[str, bool] = {}
        self._at_once = 1

    def check_turn(self, stored: Stored) -> None:
        """Let an execution be resumed, if it is its turn.

        Raises:
            Refused: Others are on trial.
        """
        if not self._enabled or not stored.crashes:
            return
        self._waiting.pop(stored.execution_id, None)
        if stored.crashes >= SUSPECT_FROM:
            self._end_trials()
            alone = stored.crashes >= ALONE_FROM
            others = self._on_trial.keys() - {stored.execution_id}
            if others and (alone or self._no_room()):
                self._waiting[stored.execution_id] = alone
                raise Refused(
                    f"execution {stored.execution_id!r} was being advanced when engines died, {stored.crashes} times; "
                    f"it waits until {min(others)!r} has been tried",
                    code="suspect",
                )
            self._on_trial[stored.execution_id] = alone
        self._since[stored.execution_id] = self._clock.now_ms()

    def next_turn(self) -> str | None:
        """Take one from those that wait for their turn, if it has come."""
        self._end_trials()
        if self._no_room():
            return None
        together = (each for each, alone in self._waiting.items() if not alone)
        turn = next(together, None if self._on_trial else next(iter(self._waiting), None))
        if turn is not None:
            del self._waiting[turn]
        return turn

    def _no_room(self) -> bool:
        return any(self._on_trial.values()) or len(self._on_trial) >= self._at_once

    def _end_trials(self) -> None:
        """Whoever has ended, or sleeps, has done no harm."""
        for each in [each for each in self._on_trial if not self._is_here(each)]:
            self._acquitted(each)

    def _acquitted(self, execution_id: str) -> None:
        if self._on_trial.pop(execution_id, None) is not None:
            self._at_once += 1

    def quarantine(self, stored: Stored) -> str | None:
        """Why an execution is suspended instead of being resumed, or None."""
        if not self._enabled or stored.crashes < QUARANTINE_FROM or stored.standing.status == "suspended":
            return None
        return f"{stored.crashes} engines died while they advanced this execution"

    async def clear(self) -> None:
        """Forget the deaths of those that have been advanced long enough, or that came to rest."""
        now_ms = self._clock.now_ms()
        await self._acquit(
            [each for each, since_ms in self._since.items() if now_ms - since_ms >= self._cleared_after_ms]
        )

    async def clear_all(self) -> None:
        """Forget the deaths of all that were resumed here: this process ends gracefully."""
        await self._acquit(list(self._since))

    async def _acquit(self, harmless: list[str]) -> None:
        if harmless:
            await self._store.clear_crashes(harmless)
            for each in harmless:
                del self._since[each]
                self._acquitted(each)
