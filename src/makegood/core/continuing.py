"""More news within the record that is being written: what one input causes at once is one append (rule 31)."""

from __future__ import annotations

from makegood.core.decide import decide
from makegood.core.events import Record
from makegood.core.inputs import Input
from makegood.core.judgement import Moment, Settings
from makegood.core.state import State

EVENTS_OF_A_START = 4
"""About so many follow from a step that starts: an iteration, a branch, the step, its attempt."""


def extend(record: Record | None, state: State, news: Input, moment: Moment, settings: Settings) -> Record | None:
    """Judge one more input as part of a record that nobody has appended yet.

    The record keeps its time, so `moment` must be the one it was judged at. One that is full, and has
    more to follow, stays full: what is on the agenda waits for the next.
    """
    more = decide(state, news, moment, settings, follows=record is None or not record.more)
    if more is None or record is None:
        return more or record
    assert more.at_ms == record.at_ms
    state.records -= 1
    return Record(record.at_ms, record.events + more.events, more.more)


def is_full(record: Record | None, settings: Settings) -> bool:
    """Whether a record has so many events that news which can wait begin another one."""
    return record is not None and len(record.events) >= EVENTS_OF_A_START * settings.limits.starts_per_record
