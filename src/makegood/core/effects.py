"""The effect ledger: what an execution has done to the world, and what of it remains. From the state alone.

One row for each call that had, or may have had, an effect. `done`: it is there and meant to be.
`undone`: made good. `remaining`: the execution did not complete and the effect is still there, though
it has a compensation. `unknown`: nobody can say whether it is there. `irreversible`: the execution did
not complete and nothing undoes it. `moved`: it belongs to the execution that reruns this one, whose ledger says what
became of it. Read-only calls have no effect and no row.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Literal

from makegood.core.program import Kind
from makegood.core.state import Instance, Key, State
from makegood.core.undoing import idempotency_key
from makegood.core.view import failure_view, time_text

Effect = Literal["done", "undone", "remaining", "unknown", "irreversible", "moved"]
_HAPPENED = frozenset({"succeeded", "unknown"})


def effects(state: State) -> list[dict[str, Any]]:
    """The ledger, in order of beginning.

    Each row is `{step, iteration, call, effect, key, attempts, at, undo_call, undo_key, undo_attempts, error, note}`;
    `call` of a called workflow is `workflow:NAME`, and `execution` then names the child, whose own ledger has the rest.
    `origin` is there where the effect was taken over: the execution that made the call, whose keys it has. `moved_to`
    is there where it was given away.
    """
    rows: list[dict[str, Any]] = effects_page(state, None, None)["effects"]
    return rows


def effects_page(state: State, after: int | None, count: int | None) -> dict[str, Any]:
    """A page of the ledger: `{effects, cursor}`; the cursor leads to the next page, None after the last row.

    Args:
        after: The number that the cursor of the page before is; None begins with the first row.
        count: So many rows at most; None is all.
    """
    rows: list[dict[str, Any]] = []
    start = after or 0
    for number, (key, instance) in enumerate(islice(state.instances.items(), start, None), start):
        effect = _effect(state, key, instance)
        if effect is None:
            continue
        if len(rows) == count:
            return {"effects": rows, "cursor": str(number)}
        rows.append(_row(state, key, instance, effect))
    return {"effects": rows, "cursor": None}


def remaining_effects(state: State) -> list[dict[str, Any]]:
    """The rows that an ended execution leaves for a person to know of."""
    return [row for row in effects(state) if row["effect"] in {"remaining", "unknown", "irreversible"}]


def _effect(state: State, key: Key, instance: Instance) -> Effect | None:
    node = state.node(key)
    kept = instance.forward == "failed" and instance.compensation != "none"
    if node.kind not in {Kind.CALL, Kind.WORKFLOW} or not (instance.forward in _HAPPENED or kept):
        return None
    if node.kind is Kind.CALL and node.call.read_only:
        return None
    if instance.compensation == "done":
        return "undone"
    if state.superseded_by is not None:
        return "moved"
    if instance.forward == "unknown":
        return "unknown"
    if not state.ended or state.status == "completed":
        return "done"
    return "irreversible" if instance.compensation == "none" else "remaining"


def _row(state: State, key: Key, instance: Instance, effect: Effect) -> dict[str, Any]:
    node = state.node(key)
    has_entry = instance.compensation != "none"
    undo_call = None if not has_entry else (node.undo.call if node.undo is not None else "workflow")
    row = {
        "step": node.name,
        "iteration": list(key[1]),
        "call": node.call.call if node.kind is Kind.CALL else f"workflow:{node.step.workflow}",  # type: ignore[union-attr]
        "effect": effect,
        "key": idempotency_key(state, key, undo=False),
        "attempts": 1 if instance.call is None else instance.call.attempts,
        "at": time_text(instance.ended_at_ms),
        "undo_call": undo_call,
        "undo_key": idempotency_key(state, key, undo=True) if has_entry else None,
        "undo_attempts": 0 if instance.undo is None else instance.undo.attempts,
        "error": failure_view(instance.undo_error or instance.error),
        "note": instance.note,
    }
    if instance.child is not None:
        row["execution"] = instance.child
    if instance.origin is not None:
        row["origin"] = instance.origin
    if effect == "moved":
        row["moved_to"] = state.superseded_by
    return row
