"""`MemoryStore`: the ports `Journal` and `Leases` over dictionaries.

Everything happens between two awaits, so that each method is atomic. Two stores made with
`MemoryStore(after=old)` share what is kept, as two processes would that open one file in turn.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from makegood.core.events import Record
from makegood.errors import Fenced, StorageUnavailable
from makegood.ports import (
    Append,
    InboxRow,
    KeyedRequest,
    Query,
    Standing,
    Stored,
    StoredDefinition,
    Waiting,
)
from makegood.storage import rules
from makegood.storage.codec import decode_record
from makegood.storage.memory.directory import MemoryDirectory
from makegood.storage.memory.kept import Kept, Row


class MemoryStore:
    """The storage ports, in memory.

    Args:
        after: A store whose contents this one takes over; that one is fenced from now on.
    """

    shared = False
    workers = 1

    def __init__(self, after: MemoryStore | None = None) -> None:
        self._kept: Kept = after._kept if after is not None else Kept()  # noqa: SLF001  One of us.
        self._kept.incarnation += 1
        self._me = self._kept.incarnation
        self._closed = False
        self.directory = MemoryDirectory(self._kept.directory, self._check_open)

    # --- Journal -------------------------------------------------------------------------------

    async def append(self, batch: Sequence[Append]) -> list[Exception | None]:
        """See `Journal.append`."""
        self._check_open()
        texts, verdicts = rules.encode(batch)
        for numbers in rules.units(batch):
            if verdicts[numbers[0]] is None:
                self._append_unit(batch, texts, numbers, verdicts)
        await asyncio.sleep(0)
        return verdicts

    def _append_unit(
        self,
        batch: Sequence[Append],
        texts: Sequence[str | None],
        numbers: Sequence[int],
        verdicts: list[rules.Verdict],
    ) -> None:
        """Write what is written all or none."""
        put_back = None if len(numbers) == 1 else self._kept.as_it_is([batch[each].execution_id for each in numbers])
        for number in numbers:
            verdicts[number] = self._append(batch[number], texts[number])
            if rules.share_refusal(numbers, verdicts):
                if put_back is not None:
                    put_back()
                return

    def _append(self, append: Append, text: str | None) -> Exception | None:
        row = self._kept.rows.get(append.execution_id)
        if append.start is not None:
            refused, row = self._begin(append, row)
            if refused is not None:
                return refused
        if row is None or append.position != len(row.records):
            return rules.position_taken(append, None if row is None else len(row.records))
        if text is not None:
            row.records.append(text)
        if append.standing is not None:
            self._stand(row, append.standing)
        if append.waits is not None:
            row.waits = append.waits
        self._settle(append.inbox_ids, "")
        for each in append.requests:
            self._kept.requests.setdefault(each.key, each)
        return None

    def _begin(self, append: Append, row: Row | None) -> tuple[Exception | None, Row | None]:
        if row is not None:
            return rules.id_taken(append.execution_id), None
        start, standing = rules.initial(append)
        key = (start.workflow, start.business_key or "")
        lives = standing.ended_at_ms is None or start.root != append.execution_id
        holds_key = start.business_key is not None and lives
        if holds_key and key in self._kept.keys:
            return rules.key_taken(*key, self._kept.keys[key]), None
        if holds_key:
            self._kept.keys[key] = append.execution_id
            self._kept.holders.setdefault(start.root, set()).add(append.execution_id)
        search = msgspec.json.decode(msgspec.json.encode(start.search))
        row = Row(replace(start, search=search), standing, self._me)
        self._kept.rows[append.execution_id] = row
        self._stand(row, standing)
        return None, row

    def _stand(self, row: Row, standing: Standing) -> None:
        row.standing = standing
        row.owner = self._me if rules.is_owned(standing) else None
        if standing.ended_at_ms is not None:
            self._free_keys(row.start.root)

    def _free_keys(self, root: str) -> None:
        """Free the keys of a family whose root has ended, even if an operator brings some of it back to life."""
        head = self._kept.rows.get(root)
        holders = self._kept.holders.get(root)
        if not holders or (head is not None and head.standing.ended_at_ms is None):
            return
        for each in sorted(holders):
            row = self._kept.rows[each]
            if row.standing.ended_at_ms is not None:
                del self._kept.keys[row.start.workflow, row.start.business_key or ""]
                holders.discard(each)
        if not holders:
            del self._kept.holders[root]

    async def load(self, execution_id: str, *, start: int = 0, limit: int | None = None) -> list[Record]:
        """See `Journal.load`."""
        self._check_open(reading=True)
        row = self._kept.rows.get(execution_id)
        texts = [] if row is None else row.records[start : None if limit is None else start + limit]
        return [decode_record(text) for text in texts]

    async def find(self, execution_id: str) -> Stored | None:
        """See `Journal.find`."""
        self._check_open(reading=True)
        row = self._kept.rows.get(execution_id)
        return None if row is None else row.stored(execution_id)

    async def query(self, query: Query) -> list[Stored]:
        """See `Journal.query`."""
        self._check_open(reading=True)
        found = [(row.start.started_at_ms, each) for each, row in self._kept.rows.items() if _matches(query, each, row)]
        found.sort(reverse=True)
        return [self._kept.rows[each].stored(each) for _, each in found[: query.limit]]

    async def counts(self, workflow: str, *, most: int) -> dict[str, int]:
        """See `Journal.counts`."""
        self._check_open(reading=True)
        found = Counter(row.standing.status for row in self._kept.rows.values() if row.start.workflow == workflow)
        return {status: min(count, most) for status, count in found.items()}

    async def waiting(self, service: str, *, limit: int) -> Waiting:
        """See `Journal.waiting`."""
        self._check_open(reading=True)
        found = self._waiting(service)
        return Waiting(count=len(found), longest=tuple((each, row.wait(service)) for _, each, row in found[:limit]))

    def _waiting(self, service: str) -> list[tuple[int, str, Row]]:
        """Who waits for a service, the longest first, each after since when."""
        rows = self._kept.rows.items()
        found = [(wait.since_ms, each, row) for each, row in rows for wait in row.waits if wait.service == service]
        found.sort(key=lambda each: each[:2])
        return found

    async def at_rest(self, execution_ids: Collection[str]) -> list[str]:
        """See `Journal.at_rest`."""
        self._check_open(reading=True)
        rows = ((each, self._kept.rows.get(each)) for each in execution_ids)
        return [each for each, row in rows if row is not None and rules.is_at_rest(row.standing)]

    async def put_definition(
        self,
        name: str,
        tree: Any,
        version: int | None,
        now_ms: int,
        services: Collection[str] = (),  # noqa: ARG002 - of use to several workers
    ) -> tuple[StoredDefinition, bool]:
        """See `Journal.put_definition`."""
        self._check_open()
        if version is not None and version < 1:
            raise rules.version_invalid(name, version)
        text = rules.canonical(tree)
        versions = self._kept.definitions.setdefault(name, {})
        newest = max(versions, default=0)
        wanted = version if version is not None else newest
        if wanted in versions:
            if rules.canonical(versions[wanted].tree) == text:
                return versions[wanted], False
            if version is not None:
                raise rules.version_taken(name, version)
        number = version if version is not None else newest + 1
        copy = msgspec.json.decode(msgspec.json.encode(tree))
        versions[number] = StoredDefinition(name=name, version=number, tree=copy, created_at_ms=now_ms)
        return versions[number], True

    async def definition(self, name: str, version: int | None = None) -> StoredDefinition | None:
        """See `Journal.definition`."""
        self._check_open(reading=True)
        versions = self._kept.definitions.get(name, {})
        return versions.get(max(versions, default=0) if version is None else version)

    async def definitions(self) -> list[StoredDefinition]:
        """See `Journal.definitions`."""
        self._check_open(reading=True)
        return [versions[max(versions)] for _, versions in sorted(self._kept.definitions.items()) if versions]

    async def aclose(self) -> None:
        """See `Journal.aclose`."""
        self._closed = True
        self._kept.graceful.add(self._me)

    # --- Requests ------------------------------------------------------------------------------

    async def request(self, key: str) -> KeyedRequest | None:
        """See `Requests.request`."""
        self._check_open(reading=True)
        return self._kept.requests.get(key)

    async def keep(self, request: KeyedRequest) -> None:
        """See `Requests.keep`."""
        self._check_open()
        copy = replace(request, answer=msgspec.json.decode(msgspec.json.encode(request.answer)))
        self._kept.requests.setdefault(request.key, copy)

    async def forget(self, before_ms: int, *, limit: int) -> int:
        """See `Requests.forget`."""
        self._check_open()
        requests = self._kept.requests
        old = [each for each in requests.values() if each.at_ms < before_ms]
        old = heapq.nsmallest(limit, old, key=lambda each: each.at_ms)
        for each in old:
            del requests[each.key]
        return len(old)

    # --- Leases --------------------------------------------------------------------------------

    async def join(self, lease_ms: int) -> int:  # noqa: ARG002 - there is no other worker
        """See `Leases.join`."""
        self._check_open()
        return self._me

    async def rejoin(self) -> int:
        """See `Leases.rejoin`. Whoever took over has the contents for good."""
        return await self.join(0)

    async def renew(self, *, bury: bool) -> int:  # noqa: ARG002 - there is no other worker
        """See `Leases.renew`."""
        self._check_open()
        return 0

    async def claim(
        self,
        now_ms: int,
        *,
        limit: int,
        only: Collection[str] | None = None,
        early: bool = False,
        offered: Collection[str] | None = None,  # noqa: ARG002 - there is no other worker
        waits: tuple[str, int] | None = None,
    ) -> list[Stored]:
        """See `Leases.claim`."""
        self._check_open()
        rows = self._kept.rows
        if waits is not None:
            return self._taken(self._parked_for(*waits, only)[:limit])
        names = rows.keys() if only is None else [each for each in only if each in rows]
        left = [each for each in names if (owner := rows[each].owner) is not None and owner != self._me]
        left.sort(key=lambda each: (rows[each].owner, rows[each].crashes))
        due = [(wake, each) for each in names if (wake := _wake(rows[each], early and only is not None)) <= now_ms]
        return self._taken([*left, *(each for _, each in sorted(due))][:limit])

    def _parked_for(self, service: str, since_ms: int, only: Collection[str] | None) -> list[str]:
        return [
            each
            for since, each, row in self._waiting(service)
            if since <= since_ms and row.standing.parked and (only is None or each in only)
        ]

    def _taken(self, taken: list[str]) -> list[Stored]:
        rows = self._kept.rows
        for each in taken:
            row = rows[each]
            if row.owner is not None:
                row.crashes = 0 if row.owner in self._kept.graceful else row.crashes + 1
            row.owner = self._me
            row.standing = replace(row.standing, parked=False, wake_at_ms=None)
        return [rows[each].stored(each) for each in taken]

    async def set_aside(self, execution_id: str, why: str) -> None:
        """See `Leases.set_aside`."""

    async def clear_crashes(self, execution_ids: Collection[str]) -> None:
        """See `Leases.clear_crashes`."""
        self._check_open()
        for each in execution_ids:
            if each in self._kept.rows:
                self._kept.rows[each].crashes = 0

    async def next_wake_ms(self) -> int | None:
        """See `Leases.next_wake_ms`."""
        self._check_open(reading=True)
        parked = (row.standing for row in self._kept.rows.values() if row.standing.parked)
        return min((each.wake_at_ms for each in parked if each.wake_at_ms is not None), default=None)

    async def waited_for(self, services: Collection[str] | None) -> dict[str, int]:
        """See `Journal.waited_for`."""
        self._check_open(reading=True)
        if services is None:
            services = {each.service for row in self._kept.rows.values() for each in row.waits}
        parked = {each: [since for since, _, row in self._waiting(each) if row.standing.parked] for each in services}
        return {each: since[0] for each, since in parked.items() if since}

    async def inbox(self, *, limit: int, execution_id: str | None = None) -> list[InboxRow]:
        """See `Leases.inbox`."""
        self._check_open()
        waiting = (row for row in self._kept.inbox.values() if execution_id in (None, row.execution_id))
        return list(itertools.islice(waiting, limit))

    async def drop_inbox(self, ids: Sequence[int], verdict: str = "") -> None:
        """See `Leases.drop_inbox`."""
        self._check_open()
        self._settle(ids, verdict)

    async def put_request(self, execution_id: str, kind: str, body: dict[str, Any]) -> int:
        """See `Leases.put_request`."""
        number = next(self._kept.inbox_ids)
        self._kept.inbox[number] = InboxRow(id=number, execution_id=execution_id, kind=kind, body=body)
        return number

    async def verdict(self, inbox_id: int) -> str | None:
        """See `Leases.verdict`."""
        return self._kept.verdicts.get(inbox_id)

    def _settle(self, ids: Sequence[int], verdict: str) -> None:
        for each in ids:
            if self._kept.inbox.pop(each, None) is not None:
                self._kept.verdicts[each] = verdict

    def _check_open(self, *, reading: bool = False) -> None:
        if self._closed:
            raise StorageUnavailable("the store is closed")
        if not reading and self._me != self._kept.incarnation:
            raise Fenced("another store has taken over what this one held; nothing was written")


def _wake(row: Row, early: bool) -> float:
    if not row.standing.parked or row.standing.ended_at_ms is not None:
        return float("inf")
    if early:
        return float("-inf")
    return float("inf") if row.standing.wake_at_ms is None else row.standing.wake_at_ms


def _matches(query: Query, execution_id: str, row: Row) -> bool:
    start = row.start
    return (
        query.workflow in (None, start.workflow)
        and query.status in (None, row.standing.status)
        and query.business_key in (None, start.business_key)
        and (query.waiting_for is None or any(each.service == query.waiting_for for each in row.waits))
        and (query.started_after_ms is None or start.started_at_ms > query.started_after_ms)
        and all(
            name in start.search and rules.attribute_text(start.search[name]) == text
            for name, text in query.search.items()
        )
        and (query.before is None or (start.started_at_ms, execution_id) < query.before)
    )
