"""A batch of appends as the values of one statement, and where a batch has to be cut in two.

Strangers keep out: no connection, nothing is judged. All parts of one statement see the rows as they
were before it, so appends whose order matters to one another never share one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from makegood.ports import Append, Standing, Wait
from makegood.storage.codec import format_of
from makegood.storage.postgres import rows


@dataclass(slots=True)
class Part:
    """Appends that are written by one statement.

    Attributes:
        numbers: Their places in the batch.
        starts: Those that begin an execution, by its id.
        whole: They are written all or none.
        simple: One statement can write them: in what is written all or none the order may forbid it.
    """

    numbers: list[int] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    whole: bool = False
    simple: bool = True
    touched: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    keyed: set[str] = field(default_factory=set)

    def takes(self, append: Append) -> bool:
        """Whether an append may share the statement with what is here already."""
        execution_id, standing = append.execution_id, append.standing
        ends = standing is not None and standing.ended_at_ms is not None
        if append.start is not None:
            keyed = append.start.business_key is not None
            return execution_id not in self.touched and not (keyed and append.start.root in self.touched)
        # An end gives a business key back, and in one statement before any start asks for it.
        return not ((standing is not None and execution_id in self.ended) or (ends and self.keyed))

    def add(self, number: int, append: Append) -> None:
        """Take it in."""
        self.numbers.append(number)
        self.touched.add(append.execution_id)
        ends = append.standing is not None and append.standing.ended_at_ms is not None
        if ends:
            self.ended.add(append.execution_id)
        if append.start is not None:
            self.starts[append.execution_id] = number
            if append.start.business_key is not None:
                self.keyed.add(append.execution_id)


def parts(batch: Sequence[Append], units: Sequence[Sequence[int]]) -> Iterator[Part]:
    """The batch in as few parts as its order allows; what is written all or none is a part of its own."""
    part = Part()
    for unit in units:
        whole = len(unit) > 1
        if part.numbers and (whole or not part.takes(batch[unit[0]])):
            yield part
            part = Part()
        for number in unit:
            part.simple = part.simple and part.takes(batch[number])
            part.add(number, batch[number])
        if whole:
            part.whole = True
            yield part
            part = Part()
    if part.numbers:
        yield part


@dataclass(slots=True)
class Values:
    """The values of one statement, as rows."""

    records: list[tuple[str, int, str, bool]] = field(default_factory=list)
    standings: dict[str, rows.Row] = field(default_factory=dict)
    inbox: list[tuple[int, str | None]] = field(default_factory=list)
    executions: list[rows.Row] = field(default_factory=list)
    search: list[rows.Row] = field(default_factory=list)
    formats: dict[str, int] = field(default_factory=dict)
    requests: list[rows.Row] = field(default_factory=list)
    waits: dict[str, tuple[tuple[Wait, ...], bool]] = field(default_factory=dict)

    @property
    def for_append(self) -> list[Any]:
        """After worker and epoch, for `append`."""
        ids, positions, bodies, _ = rows.columns(self.records, 4)
        standings = rows.columns(list(self.standings.values()), rows.STANDING_COLUMNS)
        *requests, _ = rows.columns(self.requests, 5)
        forget, *waits, _ = self._wait_columns
        return [ids, positions, bodies, *standings, [each for each, _ in self.inbox], *requests, forget, *waits]

    @property
    def _wait_columns(self) -> list[list[Any]]:
        """Whose waits are replaced, and the columns of the waits; of a start none is there that could be."""
        made = [
            (execution_id, each.service, each.since_ms, each.step, execution_id if begins else None)
            for execution_id, (waits, begins) in self.waits.items()
            for each in waits
        ]
        return [[each for each, (_, begins) in self.waits.items() if not begins], *rows.columns(made, 5)]

    def for_begin(self, *, strict: bool) -> list[Any]:
        """After worker and epoch, for `begin`; `strict` has all starts or nothing at all."""
        *records, begins = rows.columns(self.records, 4)
        standings = rows.columns(list(self.standings.values()), rows.STANDING_COLUMNS)
        executions = rows.columns(self.executions, rows.EXECUTION_COLUMNS)
        inbox = rows.columns(self.inbox, 2)
        *search, text, started = rows.columns(self.search, 5)
        requests = rows.columns(self.requests, 5)
        written = [*records, *standings, *executions, *search, begins, *inbox, strict, text, started, *requests]
        return [*written, *self._wait_columns]


def values_of(batch: Sequence[Append], texts: Sequence[str | None], part: Part) -> Values:
    """What one statement writes for a part."""
    made = Values()
    first: dict[str, Standing] = {}
    for number in part.numbers:
        each, text = batch[number], texts[number]
        begins = each.execution_id in part.starts
        if text is not None:
            assert each.record is not None
            made.records.append((each.execution_id, each.position, text, begins))
            if (newer := format_of(each.record)) > 1:
                made.formats[each.execution_id] = newer
        if each.waits is not None:
            made.waits[each.execution_id] = (each.waits, begins)
        if each.standing is not None and begins:
            # A row that the same statement makes cannot be changed by it: it is made as it stands last.
            first[each.execution_id] = each.standing
        elif each.standing is not None:
            made.standings[each.execution_id] = rows.standing_row(each)
        started_id = each.execution_id if begins else None
        made.requests += [(*rows.request_row(request), started_id) for request in each.requests]
        made.inbox += [(inbox_id, started_id) for inbox_id in each.inbox_ids]
    for execution_id, number in part.starts.items():
        each = batch[number]
        standing = first.get(execution_id) or Standing(status="running", phase="forward")
        made.executions.append(rows.execution_row(each, standing, made.formats.get(execution_id, 1)))
        made.search += rows.search_rows(each)
    return made
