"""What the engine has to do for an execution, from its state alone.

`outstanding` asks the whole state: recovery is load, fold, and this; there is no second path.
`newly_outstanding` asks only what changed since the last look, for the hot path. Both read the same
tables, and a property test holds them to each other.
"""

from __future__ import annotations

from typing import Literal

from makegood.core.state import MOVING, Key, State
from makegood.model.fact import fact


@fact
class Dispatch:
    """A call or undo wants a request to be made: find a place for it, and say `Granted`; or say `Unwell`."""

    key: Key
    undo: bool


@fact
class GoOn:
    """The core stopped at a record's limit: say `Continue`."""


@fact
class Send:
    """A request is journaled as started: send it, and say what it `Replied`."""

    key: Key
    undo: bool
    attempt: int


@fact
class Attend:
    """A child wants care. What is wanted: `resolve` its version; see that it is started and `run`s to its end;
    `halt` it; `undo` it. Asking twice does no harm."""

    key: Key
    want: Literal["resolve", "run", "halt", "undo"]


Command = Dispatch | Send | GoOn | Attend


def outstanding(state: State) -> list[Command]:
    """Everything that is to be done now."""
    if state.status not in MOVING:
        return [*_sends(state)]
    more = [GoOn()] if state.more else []
    attends = [_attend(state, key, undo=undo) for key, undo in state.attending]
    return [*more, *(Dispatch(key, undo) for key, undo in {**state.ready, **state.awaiting}), *attends, *_sends(state)]


def newly_outstanding(state: State) -> list[Command]:
    """What is to be done since the last look. The engine alone asks, once after each judgement."""
    touched = state.touched
    if not touched and not state.more:
        return []
    state.touched = []
    moves = state.status in MOVING
    commands: list[Command] = [GoOn()] if state.more and moves else []
    for key, undo in dict.fromkeys(touched):
        if (key, undo) in state.open:
            commands.append(Send(key, undo, state.instances[key].track(undo).attempts))
        elif moves and is_wanted(state, key, undo=undo):
            commands.append(Dispatch(key, undo))
        elif moves and (key, undo) in state.attending:
            commands.append(_attend(state, key, undo=undo))
    return commands


def is_wanted(state: State, key: Key, *, undo: bool) -> bool:
    """Whether a call or undo wants a request to be made now, or as soon as its service is well."""
    return (key, undo) in state.ready or (key, undo) in state.awaiting


def ripen(state: State, now_ms: int) -> None:
    """Requests whose moment has come want to be made now. A hint: `due_ms` in the state says it."""
    for wish in state.timers.due(now_ms):
        match wish:
            case ("due", key, undo):
                state.timers.clear(wish)
                state.ready[(key, undo)] = None
                state.touched.append((key, undo))
            case _:
                pass


def next_moment_ms(state: State) -> int | None:
    """When the execution wants to be looked at again; None when only news can move it."""
    return state.timers.next_ms() if state.status in MOVING else None


def _attend(state: State, key: Key, *, undo: bool) -> Attend:
    if undo:
        return Attend(key, "undo")
    instance = state.instances[key]
    if state.is_halted(state.node(key), key[1]):
        return Attend(key, "halt")
    return Attend(key, "resolve" if instance.child is None else "run")


def _sends(state: State) -> list[Send]:
    return [Send(key, undo, state.instances[key].track(undo).attempts) for key, undo in state.open]
