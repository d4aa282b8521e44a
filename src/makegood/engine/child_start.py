"""Whether a workflow can be called as a child, and what its start is made of: told once for every engine.

Strangers keep out: nothing is stored or started here, and nothing is judged that the child's own core judges.
"""

from __future__ import annotations

from typing import Any

from makegood.core.events import Failure
from makegood.core.state import Key, State
from makegood.engine.definitions import Registered, business_key_of, search_of
from makegood.errors import InputError
from makegood.model import ChildWorkflow


def call_of(state: State, key: Key) -> ChildWorkflow:
    """The step that calls the child."""
    step = state.node(key).step
    assert isinstance(step, ChildWorkflow)
    return step


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
