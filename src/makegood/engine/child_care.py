"""What is done for a child, and whether a workflow can be called as one: told once for every engine.

Strangers keep out: nothing is stored or started here, and nothing is judged that the child's own core judges.
"""

from __future__ import annotations

from typing import Any, Literal

from makegood.core.events import Failure
from makegood.core.inputs import ChildEnded
from makegood.core.state import ENDS, Key, State
from makegood.engine.definitions import Registered, business_key_of, search_of
from makegood.errors import InputError
from makegood.model import ChildWorkflow


def call_of(state: State, key: Key) -> ChildWorkflow:
    """The step that calls the child."""
    step = state.node(key).step
    assert isinstance(step, ChildWorkflow)
    return step


Care = Literal["start", "refuse", "tell_gone", "tell_begun", "tell_end", "ask", "wait"]
"""What is to be done for a call of a child: begin it, refuse the call because its id is another's, tell the parent
that there is none, that it has begun or how it ended, ask the child to halt or to undo itself, or await its end."""


def care(want: Literal["run", "halt", "undo"], *, detached: bool, status: str | None, ours: bool = True) -> Care:
    """What a parent's wish comes to where its child stands so.

    Args:
        want: As `Attend.want`.
        detached: Whether nobody waits for the child's end.
        status: The child's, or None when there is none.
        ours: Whether it was this call that started it.
    """
    running = want == "run"
    if status is None or not ours:
        return "tell_gone" if not running else "start" if status is None else "refuse"
    if detached:
        # Once it has begun it is nobody's.
        return "tell_begun"
    if status in ENDS and (want != "undo" or status == "compensated"):
        return "tell_end"
    return "wait" if running else "ask"


def end_of(key: Key, child: State) -> ChildEnded:
    """What a parent is told of its child's end."""
    return ChildEnded(key, child.status, child.output, child.error, child.reclaimed)


def missing(state: State, key: Key, why: str) -> Failure:
    """There is no such workflow, or no such version."""
    return Failure("child_failed", why, None, "failed", call_of(state, key).id, key[1])


def refusal(registered: Registered, state: State, key: Key) -> Failure | None:
    """Why this version of a workflow cannot be called so; None when it can. Nothing but the call decides it."""
    step, value = call_of(state, key), state.instances[key].input
    if registered.pivots and not step.detached:
        why = (
            f"workflow {step.workflow!r} has a point of no return ({registered.pivots[0]!r}): its caller could not "
            "undo it. Write detached: true, or move the pivot into the caller."
        )
        return missing(state, key, why)
    unfit = _unfit(registered, value)
    return None if unfit is None else Failure(*unfit, None, "failed", step.id, key[1])


def _unfit(registered: Registered, value: Any) -> tuple[str, str] | None:
    """Code and reason why a start would refuse an input."""
    try:
        registered.check_input(value)
    except InputError as error:
        return "schema_error", str(error)
    try:
        business_key_of(registered, value)
        search_of(registered, value)
    except InputError as error:
        return "expression_error", str(error)
    return None
