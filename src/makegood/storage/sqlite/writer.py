"""The one connection that writes: a batch is one transaction, refusals are found only when it fails.

Strangers keep out: no event loop, no thread; `journal` calls this from one lane. Every transaction
first reads who opened the file last: an engine whose lock file was removed under it finds another's
number there and writes nothing more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw
import msgspec

from makegood.errors import Fenced, StorageError, StorageUnavailable
from makegood.ports import Append, KeyedRequest, Standing, Stored, StoredDefinition, Wait
from makegood.storage import rules
from makegood.storage.sqlite import reader, rows
from makegood.storage.sqlite.failures import REFUSALS, translated
from makegood.storage.sqlite.sql import QUERIES, chunks

T = TypeVar("T")
Texts = Sequence[str | None]


class _Doubt(Exception):
    """The batch has to be written one by one to tell what is wrong with it."""


class Writer:
    """Writes as the engine number `me`."""

    def __init__(self, connection: apsw.Connection, path: str, me: int) -> None:
        self._connection = connection
        self._path = path
        self.me = me
        self._broken: StorageError | None = None
        # Next position of executions in motion, so that a gap is found without a look at the disk.
        self._positions: dict[str, int] = {}
        self._settled: deque[int] = deque()

    # --- appending -----------------------------------------------------------------------------

    def append(self, batch: Sequence[Append], texts: Texts, verdicts: list[rules.Verdict]) -> list[rules.Verdict]:
        """See `Journal.append`. `texts` are the encoded records; what has a verdict is left out."""
        units = [numbers for numbers in rules.units(batch) if verdicts[numbers[0]] is None]
        if not units:
            return verdicts
        try:
            with self._transaction():
                written: list[int] = []
                for numbers in units:
                    for number in numbers:
                        verdicts[number] = self._judge(batch[number])
                    if not rules.share_refusal(numbers, verdicts):
                        written += numbers
                    elif len(numbers) > 1:
                        raise _Doubt  # Those of them that were not refused count on positions that come to nothing.
                self._write(batch, texts, written)
        except (*REFUSALS, _Doubt):
            with self._transaction():
                for numbers in units:
                    self._append_unit(batch, texts, numbers, verdicts)
        return verdicts

    def _append_unit(
        self, batch: Sequence[Append], texts: Texts, numbers: Sequence[int], verdicts: list[rules.Verdict]
    ) -> None:
        """Write what is written all or none: one append, as a rule."""
        self._connection.execute("SAVEPOINT one")
        for number in numbers:
            try:
                verdicts[number] = self._judge(batch[number])
                if verdicts[number] is None:
                    self._write(batch, texts, [number])
                    continue
            except REFUSALS as error:
                self._connection.execute("ROLLBACK TO one")
                verdicts[number] = self._explain(batch[number], error)
            self._connection.execute("ROLLBACK TO one")
            for each in numbers:
                self._positions.pop(batch[each].execution_id, None)
            break
        rules.share_refusal(numbers, verdicts)
        self._connection.execute("RELEASE one")

    def _judge(self, append: Append) -> rules.Verdict:
        execution_id, position = append.execution_id, append.position
        if append.start is not None:
            expected: int | None = 0
        else:
            expected = self._positions.get(execution_id)
            if expected is None:
                expected = self._one("next_position", execution_id)
        if position != expected:
            return rules.position_taken(append, expected)
        self._positions[execution_id] = position + (append.record is not None)
        return None

    def _write(self, batch: Sequence[Append], texts: Texts, numbers: Sequence[int]) -> None:
        starts: list[rows.Row] = []
        search: list[rows.Row] = []
        records: list[rows.Row] = []
        standings: dict[str, Standing] = {}
        settled: list[rows.Row] = []
        ended: list[rows.Row] = []
        requests: list[rows.Row] = []
        waits: dict[str, tuple[Wait, ...]] = {}
        for number in numbers:
            each, text = batch[number], texts[number]
            if each.waits is not None:
                waits[each.execution_id] = each.waits
            if each.standing is not None and each.standing.ended_at_ms is not None:
                ended.append((each.execution_id,))
            if each.start is not None:
                starts.append(rows.execution_row(each, self.me))
                if each.start.search:
                    search += rows.search_rows(each)
            elif each.standing is not None:
                last = standings.get(each.execution_id)
                if last is not None and last.ended_at_ms is not None:
                    raise _Doubt  # The end gave a business key back; the last row alone would hide it.
                standings[each.execution_id] = each.standing
            if text is not None:
                records.append((each.execution_id, each.position, text))
            settled += [(each_id,) for each_id in each.inbox_ids]
            if each.requests:
                requests += [rows.request_row(request) for request in each.requests]
        self._execute("insert_execution", starts)
        self._execute("insert_search", search)
        self._execute("insert_record", records)
        self._stand(standings)
        self._execute("free_keys", ended)
        self._execute("insert_inbox_done", settled)
        self._execute("insert_request", requests)
        self._execute("forget_waits", [(each,) for each in waits])
        self._execute("insert_wait", [rows.wait_row(each, wait) for each, found in waits.items() for wait in found])

    def _stand(self, standings: dict[str, Standing]) -> None:
        changes = [rows.standing_row(each, standing, self.me) for each, standing in standings.items()]
        for statement, values, count in chunks("update_standing", changes):
            self._connection.execute(statement, values)
            assert self._connection.changes() == count, "a standing without its row"
        for each, standing in standings.items():
            if not rules.is_owned(standing):
                self._positions.pop(each, None)

    def _execute(self, name: str, values: Sequence[rows.Row]) -> None:
        for statement, flat, _ in chunks(name, values):
            self._connection.execute(statement, flat)

    def _explain(self, append: Append, error: Exception) -> Exception:
        odd = StorageError(f"execution {append.execution_id!r} at position {append.position} cannot be stored: {error}")
        if not isinstance(error, apsw.ConstraintError):
            return odd
        positions = self._one("next_position", append.execution_id)
        # Two of one unit may begin the same one: then neither is there.
        twice = "execution.id" in str(error)
        if append.start is not None and (positions is not None or twice):
            return rules.id_taken(append.execution_id)
        if append.start is not None and append.start.business_key is not None:
            workflow, key = append.start.workflow, append.start.business_key
            holder = self._one("key_holder", workflow, key)
            if holder is not None:
                return rules.key_taken(workflow, key, holder)
        if append.start is None and positions != append.position:
            return rules.position_taken(append, positions)
        return odd

    # --- the rest ------------------------------------------------------------------------------

    def put_definition(self, name: str, tree: Any, version: int | None, now_ms: int) -> tuple[StoredDefinition, bool]:
        """See `Journal.put_definition`."""
        if version is not None and version < 1:
            raise rules.version_invalid(name, version)
        canonical = rules.canonical(tree)
        with self._transaction():
            found = reader.definition_row(self._connection, name, version)
            if found is not None and found[4] == canonical:
                return rows.definition(found), False
            if found is not None and version is not None:
                raise rules.version_taken(name, version)
            number = version or (found[1] + 1 if found is not None else 1)
            row = (name, number, rules.plain(tree), canonical, now_ms)
            self._execute("insert_definition", [row])
            return rows.definition(row_as_read(row)), True

    def claim(
        self, now_ms: int, limit: int, only: Collection[str] | None, early: bool, waits: tuple[str, int] | None
    ) -> list[Stored]:
        """See `Leases.claim`."""
        with self._transaction():
            if waits is not None:
                ids = self._column("parked_for", *waits, None if only is None else _listed(only), limit)
            else:
                ids = self._left_over(limit, only)
                ids += self._due(now_ms, limit - len(ids), only, early)
            for each in ids:
                self._connection.execute(QUERIES["take"], (self.me, each))
            taken = [reader.find(self._connection, each) for each in ids]
        found = [each for each in taken if each is not None]
        self._positions.update((stored.execution_id, stored.positions) for stored in found)
        return found

    def _left_over(self, limit: int, only: Collection[str] | None) -> list[str]:
        if only is None:
            return self._column("left_over", self.me, limit)
        return self._column("left_over_of", _listed(only), self.me, limit)

    def _due(self, now_ms: int, limit: int, only: Collection[str] | None, early: bool) -> list[str]:
        if only is None:
            return self._column("due", now_ms, limit)
        return self._column("due_of", _listed(only), now_ms, early, limit)

    def clear_crashes(self, execution_ids: Collection[str]) -> None:
        """See `Leases.clear_crashes`."""
        with self._transaction():
            self._connection.executemany(QUERIES["clear_crashes"], [(each,) for each in execution_ids])

    def keep(self, request: KeyedRequest) -> None:
        """See `Requests.keep`."""
        with self._transaction():
            self._execute("insert_request", [rows.request_row(request)])

    def forget(self, before_ms: int, limit: int) -> int:
        """See `Requests.forget`."""
        with self._transaction():
            self._connection.execute(QUERIES["forget_requests"], (before_ms, limit))
            return self._connection.changes()

    def change(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do work in one transaction."""
        with self._transaction():
            return work(self._connection)

    def inbox_done(self) -> list[int]:
        """Requests that are settled here and may still lie in the inbox file."""
        return self._column("inbox_done")

    def forget_settled(self, ids: Sequence[int]) -> None:
        """They are gone from the inbox file: the next transaction forgets them, none is spent on it."""
        self._settled.extend(ids)

    def close(self) -> None:
        """Note the graceful end and close the connection."""
        try:
            if self._broken is None:
                with self._transaction():
                    self._connection.execute(QUERIES["close_engine"], (time.time_ns() // 1_000_000, self.me))
        except (StorageError, Fenced):
            pass  # What is left over then counts as a crash, which is the safe side.
        finally:
            self._connection.close()

    # --- transactions --------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._broken is not None:
            raise self._broken
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._fence()
            yield
            if self._settled:
                self._execute("forget_inbox_done", [(self._settled.popleft(),) for _ in range(len(self._settled))])
            self._connection.execute("COMMIT")
        except BaseException as error:
            self._positions.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, REFUSALS) or not isinstance(error, apsw.Error):
                raise
            raise self._failed(error) from error

    def _fence(self) -> None:
        newest = self._connection.execute(QUERIES["fence"]).fetchone()
        if newest is None or newest[0] != self.me:
            raise Fenced(
                f"{self._path}: another engine has opened the database since; this one wrote nothing and must stop"
            )

    def _failed(self, error: apsw.Error) -> StorageError:
        ours = translated(error, self._path)
        if isinstance(error, (apsw.IOError, apsw.CorruptError, apsw.NotADBError)):
            # After a failed sync nobody can tell what the disk holds: only opening it anew can.
            self._broken = StorageUnavailable(
                f"{ours} This store stays closed for writing; open it again.", retriable=False
            )
            ours.retriable = False
        return ours

    def _one(self, name: str, *values: Any) -> Any:
        row = self._connection.execute(QUERIES[name], values).fetchone()
        return None if row is None else row[0]

    def _column(self, name: str, *values: Any) -> list[Any]:
        return [row[0] for row in self._connection.execute(QUERIES[name], values).fetchall()]


def _listed(ids: Collection[str]) -> str:
    return msgspec.json.encode(list(ids)).decode()


def row_as_read(row: rows.Row) -> rows.Row:
    """A definition's row as `definition` would read it."""
    name, number, tree, canonical, now_ms = row
    return (name, number, tree, now_ms, canonical)
