"""At which steps an execution stands. From the state alone; says nothing of how it came there."""

from __future__ import annotations

from typing import Literal

from makegood.core.program import Kind
from makegood.core.state import Key, State

Doing = Literal["calling", "waiting", "child", "undoing", "held"]
"""`calling` a service, or between two attempts; `waiting` for time or a signal; `child`: for a workflow that it
calls; `undoing` a step; `held`: the step could not be done behind a pivot, and waits for a person."""


def whereabouts(state: State) -> list[tuple[str, Doing]]:
    """Ids of the steps at which an execution that has not ended stands, each with what it does there.

    Each pair comes once, however many iterations are there. Steps side by side are several pairs; between two
    steps there is none.
    """
    if state.ended:
        return []
    found: dict[tuple[str, Doing], None] = {}
    for key in state.live:
        doing = _forward(state, key)
        if doing is not None:
            found[state.node(key).name, doing] = None
    for key in state.entries:
        if state.instances[key].compensation == "running":
            found[state.node(key).name, "undoing"] = None
    for key in state.stuck:
        found[state.node(key).name, "held"] = None
    return list(found)


def _forward(state: State, key: Key) -> Doing | None:
    match state.node(key).kind:
        case Kind.CALL:
            return "calling"
        case Kind.WAIT | Kind.SIGNAL:
            return "waiting"
        case Kind.WORKFLOW:
            return "child"
        case _:
            return None
