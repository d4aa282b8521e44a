"""Executions that were being advanced when a process died: one that kills its engine must not stop the rest.

The store counts such deaths. From two on an execution is a suspect, and suspects are resumed one at
a time, so that a death tells which one it was; after five it is quarantined: suspended, for a person
to look at. Who has been advanced for a while without harm is no suspect any more. An engine that
advances given executions alone has nobody to protect, and quarantines none.
"""

from __future__ import annotations

from makegood.engine.runner import Runner
from makegood.errors import Refused
from makegood.ports import Clock, Leases, Stored

SUSPECT_FROM = 2
QUARANTINE_FROM = 5
CLEARED_AFTER_LEASES = 2
"""So long without harm, and the counter begins anew."""


class Suspects:
    """Whose turn it is, and who is cleared."""

    def __init__(self, store: Leases, runner: Runner, clock: Clock, *, enabled: bool, lease_ms: int) -> None:
        self._cleared_after_ms = CLEARED_AFTER_LEASES * lease_ms
        self._store = store
        self._runner = runner
        self._clock = clock
        self._enabled = enabled
        self._since: dict[str, int] = {}
        self._on_trial: str | None = None

    def check_turn(self, stored: Stored) -> None:
        """Let an execution be resumed, if it is its turn.

        Raises:
            Refused: Another suspect is on trial.
        """
        if not self._enabled or not stored.crashes:
            return
        if stored.crashes >= SUSPECT_FROM:
            if self._on_trial not in {None, stored.execution_id} and self._on_trial in self._runner.live:
                raise Refused(
                    f"execution {stored.execution_id!r} was being advanced when engines died, {stored.crashes} times; "
                    f"it waits until {self._on_trial!r} has been tried",
                    code="suspect",
                )
            self._on_trial = stored.execution_id
        self._since[stored.execution_id] = self._clock.now_ms()

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
        if self._on_trial in harmless:
            self._on_trial = None
