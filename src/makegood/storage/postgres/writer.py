"""Group commit: a batch is one statement, so that nothing is awaited between its fence and its commit.

Strangers keep out: claims and reads. What the database refuses because of one record is split until
that record is alone; what nobody knows to be committed is looked up under a new epoch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from makegood.errors import Fenced, StorageError, StorageUnavailable
from makegood.ports import Append, Stored
from makegood.storage import rules
from makegood.storage.postgres import reader
from makegood.storage.postgres.batches import Part, Values, parts, values_of
from makegood.storage.postgres.failures import Lost, RecordRefused, translated
from makegood.storage.postgres.links import Link, Links
from makegood.storage.postgres.sql import QUERIES
from makegood.storage.postgres.units import DEAD, Units
from makegood.storage.postgres.worker import Worker

PATIENCE_S = 30.0
"""How long it is tried to learn what became of a batch whose answer was lost."""
REST_S = 0.1


class Writer:
    """Writes as the worker that this process is.

    Args:
        write: For records of executions that there are.
        begin: For starts, which may have to wait for another worker's start of the same id.
    """

    def __init__(self, worker: Worker, write: Link, begin: Link, reads: Links, shown: str) -> None:
        self._worker = worker
        self._write_link = write
        self._begin_link = begin
        self._reads = reads
        self._shown = shown
        # Next position of executions in motion, so that a gap is found without a look at the database.
        self.positions: dict[str, int] = {}

    async def append(self, batch: Sequence[Append]) -> list[rules.Verdict]:
        """See `Journal.append`."""
        await self._worker.join()
        texts, verdicts = rules.encode(batch)
        units = [numbers for numbers in rules.units(batch) if verdicts[numbers[0]] is None]
        written = False
        for part in parts(batch, units):
            try:
                await self._write(batch, texts, part, verdicts)
            except StorageUnavailable as error:
                if written:
                    # Some of it is committed, so that the whole may not be tried again.
                    raise StorageUnavailable(str(error), retriable=False) from error
                raise
            written = True
        return verdicts

    # --- one part ------------------------------------------------------------------------------

    async def _write(
        self, batch: Sequence[Append], texts: Sequence[str | None], part: Part, verdicts: list[rules.Verdict]
    ) -> None:
        if part.whole:
            await self._write_whole(batch, texts, part, verdicts)
            return
        late = await self._judge(batch, part, verdicts)
        fit = _only(batch, part, verdicts, late)
        if not fit.numbers:
            return
        try:
            started = await self._sent(values_of(batch, texts, fit), fit)
        except RecordRefused as error:
            self._doubt(batch, fit.numbers)
            if len(fit.numbers) == 1:
                verdicts[fit.numbers[0]] = await self._explained(batch[fit.numbers[0]], error)
                return
            half = len(fit.numbers) // 2
            for numbers in (fit.numbers[:half], fit.numbers[half:], late):
                await self._again(batch, texts, numbers, verdicts)
            return
        except BaseException:
            self._doubt(batch, fit.numbers)
            raise
        self._left(batch, fit.numbers)
        await self._refused(batch, texts, fit, started, verdicts)
        await self._again(batch, texts, late, verdicts)

    def _left(self, batch: Sequence[Append], numbers: Sequence[int]) -> None:
        """What is parked or has ended need not be remembered."""
        for number in numbers:
            standing = batch[number].standing
            if standing is not None and not rules.is_owned(standing):
                self.positions.pop(batch[number].execution_id, None)

    async def _write_at_once(self, batch: Sequence[Append], texts: Sequence[str | None], part: Part) -> bool:
        """Write what is written all or none as one statement; whether that was possible."""
        try:
            await self._sent(values_of(batch, texts, part), part)
        except RecordRefused:
            return False
        except BaseException:
            self._doubt(batch, part.numbers)
            raise
        self._left(batch, part.numbers)
        return True

    async def _write_whole(
        self, batch: Sequence[Append], texts: Sequence[str | None], part: Part, verdicts: list[rules.Verdict]
    ) -> None:
        """Write what is written all or none: as one statement, or, to tell what is wrong, one after another."""
        if part.simple:
            late = await self._judge(batch, part, verdicts)
            if rules.share_refusal(part.numbers, verdicts):
                self._doubt(batch, part.numbers)
                return
            if not late and await self._write_at_once(batch, texts, part):
                return
        self._doubt(batch, part.numbers)
        units = Units(self._worker, self._begin_link, self._shown, batch, texts)
        while True:
            epoch = self._worker.epoch
            try:
                refused = await units.write(part.numbers, epoch)
            except Lost as error:
                alone = _only(batch, part, [None] * len(batch))
                if await self._became(values_of(batch, texts, alone), alone, epoch, error) is not None:
                    return
                continue
            if refused is not DEAD:
                verdicts[part.numbers[0]] = refused
                rules.share_refusal(part.numbers, verdicts)
                return
            await self.check_alive(units.me, epoch)

    async def _again(
        self, batch: Sequence[Append], texts: Sequence[str | None], numbers: list[int], verdicts: list[rules.Verdict]
    ) -> None:
        for part in parts(batch, [(number,) for number in numbers]):
            try:
                await self._write(batch, texts, part, verdicts)
            except StorageUnavailable as error:
                raise StorageUnavailable(str(error), retriable=False) from error

    async def _refused(
        self,
        batch: Sequence[Append],
        texts: Sequence[str | None],
        part: Part,
        started: set[str],
        verdicts: list[rules.Verdict],
    ) -> None:
        """Say why starts were refused; what followed them in the batch belongs to another execution then."""
        refused = {each: number for each, number in part.starts.items() if each not in started}
        if not refused:
            return
        self._doubt(batch, list(refused.values()))
        for number in refused.values():
            verdicts[number] = await self._explained(batch[number], None)
            if verdicts[number] is None:
                await self._again(batch, texts, [number], verdicts)
        left = [each for each in part.numbers if batch[each].execution_id in refused and batch[each].start is None]
        await self._again(batch, texts, left, verdicts)

    async def _judge(self, batch: Sequence[Append], part: Part, verdicts: list[rules.Verdict]) -> list[int]:
        """Refuse what does not stand at the next position; the map moves on as if all were written.

        Returns:
            What follows a start and does not fit: whose it is shows when the start is written or refused.
        """
        late: list[int] = []
        ids = {batch[number].execution_id for number in part.numbers} - part.starts.keys() - self.positions.keys()
        if ids:
            self.positions.update(await self._next_positions(ids))
        for number in part.numbers:
            each = batch[number]
            expected = 0 if each.start is not None else self.positions.get(each.execution_id)
            if each.position == expected:
                self.positions[each.execution_id] = each.position + (each.record is not None)
            elif each.execution_id in part.starts:
                late.append(number)
            else:
                verdicts[number] = rules.position_taken(each, expected)
        return late

    async def _next_positions(self, ids: set[str]) -> dict[str, int]:
        try:
            return {row[0]: row[1] for row in await self._reads.ask(QUERIES["next_positions"], list(ids))}
        except RecordRefused:
            if len(ids) == 1:
                return {}
            # One of them cannot be an id at all.
            found: dict[str, int] = {}
            for each in ids:
                found |= await self._next_positions({each})
            return found
        except Lost as error:
            raise translated(error, self._shown) from error

    def _doubt(self, batch: Sequence[Append], numbers: Sequence[int]) -> None:
        for number in numbers:
            self.positions.pop(batch[number].execution_id, None)

    async def _explained(self, append: Append, error: RecordRefused | None) -> rules.Verdict:
        """Why the database refused one append; None when nothing speaks against it any more."""
        odd = StorageError(f"execution {append.execution_id!r} at position {append.position} cannot be stored: {error}")
        try:
            return await self._reason(append) or (None if error is None else odd)
        except (RecordRefused, Lost):
            return odd

    async def _reason(self, append: Append) -> rules.Verdict:
        stored: Stored | None = await reader.find(self._reads, self._worker.id, append.execution_id)
        if append.start is not None:
            if stored is not None:
                return rules.id_taken(append.execution_id)
            workflow, key = append.start.workflow, append.start.business_key
            if key is None or await self._reads.ask(QUERIES["free_key"], workflow, key):
                return None
            held = await self._reads.ask(QUERIES["key_holder"], workflow, key)
            return rules.key_taken(workflow, key, held[0][0]) if held else None
        if stored is None or stored.positions != append.position:
            return rules.position_taken(append, None if stored is None else stored.positions)
        if stored.elsewhere:
            return Fenced(f"execution {append.execution_id!r} is advanced by another worker; nothing was written")
        return None

    # --- sending -------------------------------------------------------------------------------

    async def _sent(self, values: Values, part: Part) -> set[str]:
        """Write them; the ids of what was started.

        Raises:
            Fenced: This worker is not alive any more; nothing was written.
            RecordRefused: Nothing was written, because of one record.
            StorageError: Nothing was written; or nobody knows, and it is not retriable.
        """
        me = await self._worker.join()
        link = self._begin_link if part.starts else self._write_link
        name, given = ("begin", values.for_begin(strict=part.whole)) if part.starts else ("append", values.for_append)
        while True:
            epoch = self._worker.epoch
            try:
                if values.formats:
                    ids, formats = list(values.formats), list(values.formats.values())
                    await link.ask(QUERIES["raise_format"], me, epoch, ids, formats)
                row = (await link.ask(QUERIES[name], me, epoch, *given))[0]
            except Lost as error:
                found = await self._became(values, part, epoch, error)
                if found is not None:
                    return found
                continue
            except (RecordRefused, StorageError):
                raise
            except Exception as error:
                if getattr(error, "sqlstate", None) == "22012":
                    raise RecordRefused("a row was not as it should be") from error
                raise translated(error, self._shown) from error
            if row[0]:
                return set(row[2] or ()) if part.starts else set()
            await self.check_alive(me, epoch)

    async def check_alive(self, me: int, epoch: int) -> None:
        """The fence found nothing: another epoch of ours has begun, or this is the end."""
        if self._worker.epoch != epoch:
            return
        try:
            found = await self._reads.ask(QUERIES["still_alive"], me)
        except Lost as error:
            raise translated(error, self._shown) from error
        if not found or found[0][0] == epoch:
            raise self._worker.dead()
        self._worker.epoch = found[0][0]

    async def _became(self, values: Values, part: Part, epoch: int, error: Lost) -> set[str] | None:
        """What became of a batch whose answer was lost: what it started, or None when nothing was written."""
        give_up_at = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                await self._worker.bump(epoch)
                return await self._looked_up(values, part)
            except (Lost, StorageUnavailable) as again:
                if asyncio.get_running_loop().time() > give_up_at:
                    raise StorageUnavailable(
                        f"{self._shown}: the answer to a commit was lost ({error}), and what became of it cannot be "
                        f"learned ({again}). Whoever takes over its executions finds out.",
                        retriable=False,
                    ) from again
                await asyncio.sleep(REST_S)

    async def _looked_up(self, values: Values, part: Part) -> set[str] | None:
        if part.starts:
            bodies = {each: body for each, position, body, _ in values.records if position == 0}
            ids = list(part.starts)
            me = self._worker.id
            found = await self._reads.ask(QUERIES["were_started"], me, ids, [bodies[each] for each in ids])
            if found:
                return {row[0] for row in found}
        record = next(((each, position, body) for each, position, body, begins in values.records if not begins), None)
        if record is None:
            # Rows alone: writing them again changes nothing, and is refused when they have moved on.
            return None
        return set() if await self._reads.ask(QUERIES["was_written"], *record) else None


def _only(batch: Sequence[Append], part: Part, verdicts: Sequence[Any], late: Sequence[int] = ()) -> Part:
    """The part without what has a verdict, and what is late."""
    fit = Part()
    for number in part.numbers:
        if verdicts[number] is None and number not in late:
            fit.add(number, batch[number])
    return fit
