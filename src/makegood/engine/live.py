"""One execution in memory: its state, its place in the journal, and who waits for what of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from makegood.core.events import Record
from makegood.core.program import Program
from makegood.core.state import MOVING, Key, State
from makegood.engine.committer import Pending, Settled, durable
from makegood.errors import Conflict, StorageUnavailable
from makegood.ports import Append, KeyedRequest, Standing, Start, Wait


@dataclass(slots=True, eq=False)
class Live:
    """An execution that this engine advances.

    Attributes:
        position: Where its next record goes.
        queued: Records handed to the committer and not durable yet.
        asked: Calls and undos that wait for a place at their service.
        unwell: Calls and undos that wait for their service to be well, with its name: it may leave memory meanwhile.
        waits: What it waits for as it was last written.
        standing: The row as it was last written.
        signature: What of the state the row was made from.
        sending: Requests under way.
        held: How many look at it now: it stays in memory until they have.
        leaving: It is in memory no more; where a record of it was refused, it is not as it is here.
        on_durable: What waits for everything queued so far.
        inbox_ids: Requests from other processes that the next record settles.
        requests: Keyed requests that the next record is the effect of.
        beside: What is written if and only if the next record is.
    """

    id: str
    program: Program
    state: State
    position: int
    standing: Standing
    signature: tuple[object, ...] = ()
    queued: int = 0
    sending: int = 0
    held: int = 0
    leaving: bool = False
    asked: dict[tuple[Key, bool], None] = field(default_factory=dict)
    unwell: dict[tuple[Key, bool], str] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()
    on_durable: list[Callable[[Exception | None], None]] = field(default_factory=list)
    inbox_ids: list[int] = field(default_factory=list)
    requests: list[KeyedRequest] = field(default_factory=list)
    beside: Pending | None = None


class Void(StorageUnavailable):
    """What was decided of an execution was refused and never came to be. It is as its journal stands: look again."""


def as_others_hear(error: Exception | None) -> Exception | None:
    """What they hear who only wait for what is decided: a refusal of a start or rerun belongs to who asked for it."""
    return Void("what was about to begin was refused; try again") if isinstance(error, Conflict) else error


def when_durable(execution: Live, told: Settled) -> None:
    """Call back when everything decided so far is durable; with Void if it never came to be."""
    if execution.queued:
        execution.on_durable.append(told)
    else:
        told(None)


async def all_durable(execution: Live) -> None:
    """Return when everything decided so far is durable; raises Void if it never came to be."""
    done, told = durable()
    when_durable(execution, told)
    await done


def append_of(execution: Live, record: Record, start: Start | None = None, together: str | None = None) -> Append:
    """The append of a record that was decided; the next one goes behind it."""
    signature = signature_of(execution.state)
    changed = signature != execution.signature
    if changed:
        execution.signature = signature
        execution.standing = standing_of(execution.state)
    waits = waits_of(execution.state) if execution.state.awaited or execution.waits else ()
    waits_changed = waits != execution.waits
    execution.waits = waits
    append = Append(
        execution_id=execution.id,
        position=execution.position,
        record=record,
        start=start,
        standing=execution.standing if changed else None,
        inbox_ids=tuple(execution.inbox_ids),
        requests=tuple(execution.requests),
        waits=waits if waits_changed else None,
        together=together if execution.beside is None else execution.beside[0].together,
    )
    execution.inbox_ids.clear()
    execution.requests.clear()
    execution.position += 1
    execution.queued += 1
    return append


def waits_of(state: State) -> tuple[Wait, ...]:
    """The services that an execution waits for, each since its first call or undo does; one that stands still
    waits for a person, and for no service."""
    if not state.awaited or state.status not in MOVING:
        return ()
    found = []
    for service, waiting in state.awaited.items():
        key, undo = next(iter(waiting))
        since_ms = state.instances[key].track(undo).awaits_since_ms
        assert since_ms is not None
        found.append(Wait(service=service, since_ms=since_ms, step=state.name(key)))
    return tuple(found)


def signature_of(state: State) -> tuple[object, ...]:
    """What a row is made from: while it stays the same, the row does."""
    return (state.status, state.phase, state.pivoted, state.overdue, state.error)


def standing_of(state: State) -> Standing:
    """The row that a state has while somebody advances it."""
    return Standing(
        status=state.status,
        phase=state.phase,
        pivoted=state.pivoted,
        ended_at_ms=state.ended_at_ms if state.ended else None,
        error_code=None if state.error is None else state.error.code,
        overdue=state.overdue,
        superseded_by=state.superseded_by,
    )
