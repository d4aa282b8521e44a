"""What is written all or none, one append after another in one transaction: to learn which of them is refused.

As a rule it is one statement (see `writer`); this is for what one statement cannot write, and for what
it refused. Strangers keep out: a batch of appends that stand alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from makegood.errors import StorageError
from makegood.ports import Append
from makegood.storage import rules
from makegood.storage.postgres.batches import Part, values_of
from makegood.storage.postgres.failures import Again, Lost, RecordRefused, translated
from makegood.storage.postgres.links import Link
from makegood.storage.postgres.sql import QUERIES
from makegood.storage.postgres.worker import Worker

DEAD = StorageError("the fence found nothing")
"""The verdict when this worker is not alive in the epoch that was named."""


class _Refused(Exception):
    """Undoes what was written so far."""

    def __init__(self, verdict: Exception) -> None:
        super().__init__()
        self.verdict = verdict


class Units:
    """Writes units of a batch, one at a time."""

    def __init__(
        self, worker: Worker, link: Link, shown: str, batch: Sequence[Append], texts: Sequence[str | None]
    ) -> None:
        assert worker.id is not None
        self.me: int = worker.id
        self._lease_ms = worker.lease_ms
        self._link = link
        self._shown = shown
        self._batch = batch
        self._texts = texts

    async def write(self, numbers: Sequence[int], epoch: int) -> rules.Verdict:
        """Write a unit; why it is refused, or None.

        Raises:
            Lost: Nobody knows whether it was committed.
            StorageError: Nothing was written.
        """
        current = self._batch[numbers[0]]

        async def work(ask: Any) -> None:
            nonlocal current
            for number in numbers:
                current = self._batch[number]
                await self._write_one(ask, number, epoch)

        try:
            await self._link.together(work, max(self._lease_ms // 3, 1))
        except _Refused as refused:
            return refused.verdict
        except RecordRefused as error:
            return StorageError(
                f"execution {current.execution_id!r} at position {current.position} cannot be stored: {error}"
            )
        except (Lost, StorageError):
            raise
        except Again as error:
            raise translated(error, self._shown) from error
        except Exception as error:
            if getattr(error, "sqlstate", None) == "22012":
                return rules.position_taken(current, None)
            raise translated(error, self._shown) from error
        return None

    async def _write_one(self, ask: Any, number: int, epoch: int) -> None:
        each = self._batch[number]
        if each.start is None or each.position != 0:
            rows = await ask(QUERIES["next_positions"], [each.execution_id])
            positions = rows[0][1] if rows else None
            if each.position != (0 if each.start is not None else positions):
                raise _Refused(rules.position_taken(each, positions))
        part = Part()
        part.add(number, each)
        values = values_of(self._batch, self._texts, part)
        if each.start is None:
            row = (await ask(QUERIES["append"], self.me, epoch, *values.for_append))[0]
        else:
            row = (await ask(QUERIES["begin"], self.me, epoch, *values.for_begin(strict=False)))[0]
        if not row[0]:
            raise _Refused(DEAD)
        if each.start is not None and not row[2]:
            raise _Refused(await self._why(ask, each))

    async def _why(self, ask: Any, append: Append) -> Exception:
        """Why a start made no row."""
        assert append.start is not None
        workflow, key = append.start.workflow, append.start.business_key
        if await ask(QUERIES["next_positions"], [append.execution_id]):
            return rules.id_taken(append.execution_id)
        held = await ask(QUERIES["key_holder"], workflow, key) if key is not None else []
        return rules.key_taken(workflow, key or "", held[0][0] if held else None)
