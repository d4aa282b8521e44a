"""More news within the record that is being written: what one input causes at once is one append (rule 31)."""

from __future__ import annotations

from makegood.core.decide import decide
from makegood.core.events import Record
from makegood.core.inputs import Input
from makegood.core.judgement import Moment, Settings
from makegood.core.state import State


def extend(record: Record | None, state: State, news: Input, moment: Moment, settings: Settings) -> Record | None:
    """Judge one more input as part of a record that nobody has appended yet.

    The record keeps its time, so `moment` must be the one it was judged at.
    """
    more = decide(state, news, moment, settings)
    if more is None or record is None:
        return more or record
    assert more.at_ms == record.at_ms
    state.records -= 1
    return Record(record.at_ms, record.events + more.events, more.more)
