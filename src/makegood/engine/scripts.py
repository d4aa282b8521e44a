"""The sync door of the engine, for scripts: a plain `with`, and methods that wait.

Strangers keep out: nothing is done here that the asynchronous methods do not do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from makegood.engine.committer import closed
from makegood.engine.handle import Execution
from makegood.model import Definition


class ForScripts(ABC):
    """What an engine offers to a program without an event loop."""

    _door: Any = None

    @abstractmethod
    async def open(self) -> Self:
        """Take hold of the database."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop gracefully."""

    @abstractmethod
    async def start(self, *arguments: Any, **options: Any) -> Execution:
        """Start an execution; when this returns, it is durable."""

    def __enter__(self) -> Self:
        from makegood.engine.door import Door  # noqa: PLC0415 - for scripts alone

        self._door = Door.behind(self.open())
        return self

    def __exit__(self, *_: object) -> None:
        door, self._door = self._door, None
        door.close_after(self.aclose())

    @property
    def _entered(self) -> Any:
        if self._door is None:
            raise closed()
        return self._door

    def start_sync(self, workflow: Definition | str, input: Any = None, **options: Any) -> str:  # noqa: A002
        """Start an execution from a script; its id. Takes what `start` takes."""
        execution: Execution = self._entered.run(self.start(workflow, input, **options))
        return execution.id

    def run_sync(self, workflow: Definition | str, input: Any = None, **options: Any) -> Any:  # noqa: A002
        """Start an execution from a script and wait for its output. Takes what `start` takes."""
        return self._entered.run(self._run(workflow, input, **options))

    async def _run(self, workflow: Definition | str, input: Any = None, **options: Any) -> Any:  # noqa: A002
        execution = await self.start(workflow, input, **options)
        return await execution.result()
