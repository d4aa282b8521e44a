"""What a `MemoryStore` keeps, as a file would. Strangers keep out: who may change it is the store's business."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from makegood.ports import InboxRow, KeyedRequest, Standing, Start, Stored, StoredDefinition, Wait
from makegood.storage.memory.directory import Kept as KeptDirectory


@dataclass(slots=True)
class Row:
    """One execution."""

    start: Start
    standing: Standing
    owner: int | None
    crashes: int = 0
    records: list[str] = field(default_factory=list)
    waits: tuple[Wait, ...] = ()

    def wait(self, service: str) -> Wait:
        """What of it waits for a service."""
        return next(each for each in self.waits if each.service == service)

    def stored(self, execution_id: str) -> Stored:
        """As the ports give it."""
        return Stored(
            execution_id=execution_id,
            start=replace(self.start, search=dict(self.start.search)),
            standing=self.standing,
            positions=len(self.records),
            crashes=self.crashes,
        )


@dataclass(slots=True)
class Kept:
    """What a file would keep."""

    rows: dict[str, Row] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    holders: dict[str, set[str]] = field(default_factory=dict)
    """For each root, who of its family holds a business key."""
    definitions: dict[str, dict[int, StoredDefinition]] = field(default_factory=dict)
    inbox: dict[int, InboxRow] = field(default_factory=dict)
    verdicts: dict[int, str] = field(default_factory=dict)
    inbox_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    incarnation: int = 0
    graceful: set[int] = field(default_factory=set)
    requests: dict[str, KeyedRequest] = field(default_factory=dict)
    directory: KeptDirectory = field(default_factory=KeptDirectory)

    def as_it_is(self, execution_ids: Sequence[str]) -> Callable[[], None]:
        """What puts everything back that appends to these executions may change."""
        found = {each: self.rows.get(each) for each in execution_ids}
        rows = {each: row and replace(row, records=list(row.records)) for each, row in found.items()}
        keys, holders = dict(self.keys), {root: set(names) for root, names in self.holders.items()}
        inbox, verdicts, requests = dict(self.inbox), dict(self.verdicts), dict(self.requests)

        def put_back() -> None:
            for each, row in rows.items():
                if row is None:
                    self.rows.pop(each, None)
                else:
                    self.rows[each] = row
            self.keys, self.holders, self.requests = keys, holders, requests
            self.inbox, self.verdicts = inbox, verdicts

        return put_back
