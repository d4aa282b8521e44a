"""An execution as callers see it: the shapes of the HTTP API, from the state alone."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from makegood.core.events import Failure
from makegood.core.program import Kind, Node
from makegood.core.state import Instance, Key, State, Track
from makegood.model import ChildWorkflow

ROWS_SHOWN = 1000
"""So many steps, compensations and effects are in a description; the rest is asked for by pages."""
_EFFECT = frozenset({"succeeded", "unknown"})


def describe(state: State, *, rows_max: int | None = ROWS_SHOWN) -> dict[str, Any]:
    """The whole execution: `{id, workflow, version, status, phase, input, output, error, ...}`.

    `steps` are in order of beginning, `compensations` in undo order. `steps_cursor` and `compensations_cursor` are
    where their next pages begin, or None; `uncompensated_total` counts those of `uncompensated_steps` that are not
    shown, too. See `lineage` for what a rerun adds.
    """
    steps, entries = steps_page(state, None, rows_max), compensations_page(state, None, rows_max)
    uncompensated = uncompensated_steps(state)
    return {
        "id": state.execution_id,
        "workflow": state.workflow,
        "version": state.version,
        "status": state.status,
        "phase": state.phase,
        **({"suspended": suspension(state)} if state.status == "suspended" else {}),
        "input": state.input,
        "output": state.output,
        "error": failure_view(state.error),
        "suppressed": [failure_view(each) for each in state.suppressed],
        "steps": steps["steps"],
        "steps_cursor": steps["cursor"],
        "compensations": entries["compensations"],
        "compensations_cursor": entries["cursor"],
        "uncompensated_steps": uncompensated[:rows_max],
        "uncompensated_total": len(uncompensated),
        "business_key": state.business_key,
        **lineage(state),
        "started_at": time_text(state.started_at_ms),
        "ended_at": time_text(state.ended_at_ms),
        "revision": state.records,
    }


def lineage(state: State) -> dict[str, Any]:
    """Which execution this one reruns, from which step, who wanted it and why; which one reruns this one. Only what
    there is."""
    told = {
        "rerun_of": state.rerun_of,
        "rerun_from": state.rerun_from,
        "rerun_by": state.rerun_by or None,
        "rerun_note": state.rerun_note or None,
        "superseded_by": state.superseded_by,
    }
    return {name: value for name, value in told.items() if value is not None}


def suspension(state: State) -> dict[str, Any]:
    """Why an execution waits for a person: `{reason, by, note, since}`."""
    return {
        "reason": state.suspended_reason,
        "by": state.suspended_by,
        "note": state.suspended_note,
        "since": time_text(state.suspended_at_ms),
    }


def failure_view(failure: Failure | None) -> dict[str, Any] | None:
    """`{code, message, details, outcome, step, iteration}`, or None."""
    if failure is None:
        return None
    return {
        "code": failure.code,
        "message": failure.message,
        "details": failure.details,
        "outcome": failure.outcome,
        "step": failure.step,
        "iteration": list(failure.iteration),
    }


def steps_page(state: State, after: int | None, count: int | None) -> dict[str, Any]:
    """A page of steps, in order of beginning: `{steps, cursor}`; the cursor leads to the next, None after the last.

    Args:
        after: The number that the cursor of the page before is; None begins with the first.
        count: So many at most; None is all.
    """
    start = after or 0
    instances = islice(state.instances.values(), start, None if count is None else start + count)
    steps = [_step_view(state.program.nodes[each.node], each) for each in instances]
    end = start + len(steps)
    return {"steps": steps, "cursor": str(end) if steps and end < len(state.instances) else None}


def _step_view(node: Node, instance: Instance) -> dict[str, Any]:
    call = node.call.call if node.kind is Kind.CALL else None
    if node.kind is Kind.WORKFLOW:
        call = f"workflow:{_called(node)}"
    return {
        "step": node.name,
        "iteration": list(instance.iteration),
        "kind": node.kind.value,
        "call": call,
        "forward": instance.forward,
        "compensation": instance.compensation,
        "attempts": 0 if instance.call is None else instance.call.attempts,
        "started_at": time_text(instance.started_at_ms),
        "ended_at": time_text(instance.ended_at_ms),
        "input": instance.input,
        "output": instance.output,
        "error": failure_view(instance.error),
        **({"execution": instance.child} if instance.child is not None else {}),
        **_awaited(instance.call),
        **_origin(instance),
    }


def _awaited(track: Track | None) -> dict[str, Any]:
    """The service that a call or undo waits for while no endpoint of it is well, if it does: since and until when."""
    if track is None or track.awaits is None:
        return {}
    since, until = time_text(track.awaits_since_ms), time_text(track.due_ms)
    return {"waits_for": {"service": track.awaits, "since": since, "until": until}}


def _origin(instance: Instance) -> dict[str, Any]:
    """Where a step was taken over from, if it was."""
    return {} if instance.origin is None else {"origin": instance.origin}


def compensations_page(state: State, after: int | None, count: int | None) -> dict[str, Any]:
    """A page of the compensation list in undo order, the last to settle first: `{compensations, cursor}`.

    The cursor counts what is left behind the page, so that entries that come meanwhile move nothing. As `steps_page`.
    """
    end = len(state.entries) if after is None else min(after, len(state.entries))
    start = 0 if count is None else max(end - count, 0)
    entries = [_entry_view(state, key) for key in reversed(state.entries[start:end])]
    return {"compensations": entries, "cursor": str(start) if start else None}


def _entry_view(state: State, key: Key) -> dict[str, Any]:
    instance, node = state.instances[key], state.node(key)
    track = instance.undo
    error = instance.undo_error or (None if track is None or instance.compensation == "done" else track.error)
    return {
        "step": node.name,
        "iteration": list(key[1]),
        "call": node.undo.call if node.undo is not None else f"workflow:{_called(node)}",
        "status": instance.compensation,
        "attempts": 0 if track is None else track.attempts,
        "error": failure_view(error),
        "note": instance.note,
        "by": instance.noted_by or None,
        **_awaited(track),
        **_origin(instance),
    }


def _called(node: Node) -> str:
    assert isinstance(node.step, ChildWorkflow)
    return node.step.workflow


def uncompensated_steps(state: State) -> list[str]:
    """Rule 7: the calls that had or may have had an effect and have no compensation."""
    if not state.ended or state.status in {"completed", "superseded"}:
        return []
    return [state.name(key) for key in state.instances if _is_uncompensated(state, key)]


def _is_uncompensated(state: State, key: Key) -> bool:
    node, instance = state.node(key), state.instances[key]
    if node.kind is not Kind.CALL or instance.forward not in _EFFECT:
        return False
    return node.undo is None and not node.call.read_only


def time_text(at_ms: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if at_ms is None:
        return None
    return f"{_second_text(at_ms // 1000)}.{at_ms % 1000:03d}Z"


@lru_cache(maxsize=256)
def _second_text(at_s: int) -> str:
    # Kept, since the steps of a long list share their seconds, and this is most of what a row costs.
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").removesuffix("+00:00")
