"""What an operator asks of an execution: each a request that is journaled, or refused with the state it met."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from makegood.core.inputs import Cancel, Compensate, Input, Resolve, Resume, Retry, Signal, Suspend
from makegood.core.judgement import Settings
from makegood.engine.requests import request_of
from makegood.engine.starts import plain_json
from makegood.ports import KeyedRequest


class ForOperators(ABC):
    """The requests by name. `by` and `note` say who asks, and why, in the history.

    Each raises:
        NotFound: There is no such execution.
        Refused: Its state does not allow it; nothing was changed.
    """

    _settings: Settings

    @abstractmethod
    async def request(
        self, execution_id: str, news: Input, *, once: KeyedRequest | None = None
    ) -> Literal["accepted", "pending"]:
        """Put a request before an execution."""

    async def cancel(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Abort, and undo what the strategy undoes. Idempotent until the end, then refused."""
        await self.request(execution_id, Cancel(by, note))

    async def signal(self, execution_id: str, name: str, payload: Any = None) -> None:
        """Send a signal; it is kept when nobody waits for it yet."""
        payload = plain_json(payload, self._settings.limits, f"the payload of signal {name!r}")
        await self.request(execution_id, Signal(name, payload))

    async def call_back(self, execution_id: str, step: str, body: dict[str, Any], *, undo: bool) -> None:
        """What a service says came of a call that it had accepted, or of its undo.

        Args:
            step: Name of the instance.
            body: `{"output": ...}`, or `{"error": {"code", "message", "details"}}` for a definite no.

        Raises:
            NotFound: There is no such execution, or the step has called nobody.
            Refused: The step is settled otherwise.
            InputError: The body says neither.
        """
        await self.request(execution_id, request_of("callback", {**body, "step": step, "undo": undo}))

    async def suspend(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Stop for a while."""
        await self.request(execution_id, Suspend(by, note))

    async def resume_execution(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Let a suspended execution go on."""
        await self.request(execution_id, Resume(by, note))

    async def retry(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Have the entries that failed tried again."""
        await self.request(execution_id, Retry(by, note))

    async def resolve(
        self,
        execution_id: str,
        step: str,
        *,
        note: str,
        by: str = "",
        outcome: Literal["succeeded", "failed"] | None = None,
        output: Any = None,
    ) -> None:
        """Declare a failed entry undone by other means; or, with an outcome, a step settled that waits for a person."""
        output = plain_json(output, self._settings.limits, "the output")
        await self.request(execution_id, Resolve(step, note, by, outcome, output))

    async def compensate(self, execution_id: str, *, by: str = "", note: str = "") -> None:
        """Have a failed execution undone after all."""
        await self.request(execution_id, Compensate(by, note))
