"""From a journal to a state, a page at a time: a long journal is never in memory whole, and others get their turn.

Strangers keep out: who may look at an execution, or take it in, is decided elsewhere.
"""

from __future__ import annotations

import asyncio

from makegood.core.evolve import fold
from makegood.core.outstanding import next_moment_ms
from makegood.core.program import Program
from makegood.core.state import State
from makegood.ports import Journal

PAGE = 200
"""Records read at once."""
EVENTS_AT_ONCE = 5_000
"""Events folded before others get their turn: about 20 ms."""


async def load_state(store: Journal, execution_id: str, program: Program, state: State | None = None) -> State:
    """The state after a journal, or after what has come to it since a state that was loaded before."""
    state = State(program) if state is None else state
    turn = state.events
    while True:
        records = await store.load(execution_id, start=state.records, limit=PAGE)
        for record in records:
            fold(program, [record], state)
            if state.events - turn >= EVENTS_AT_ONCE:
                turn = state.events
                await asyncio.sleep(0)
        if len(records) < PAGE:
            return state


def late_by(state: State, now_ms: int) -> int | None:
    """By how much the moment has passed that an execution waited for, in ms; None when it has not come."""
    due_ms = next_moment_ms(state)
    return None if due_ms is None or due_ms > now_ms else now_ms - due_ms
