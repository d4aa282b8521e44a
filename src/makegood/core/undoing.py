"""Making good: which entry is undone next, with what body, and what follows when all are (rules 7 to 19)."""

from __future__ import annotations

from typing import Any

from makegood.core import events as ev
from makegood.core.events import Failure
from makegood.core.failing import halted_around, handle, region_moved
from makegood.core.judgement import Judgement, expression_failure
from makegood.core.lookup import execution_facts, failure_facts
from makegood.core.order import SideBySide
from makegood.core.program import Kind, Undo
from makegood.core.state import ROOT, Instance, Key, State
from makegood.expression import ExpressionError

UNDO_AT_ONCE_MAX = 100
"""With `compensation_order: structured`, so many undos of one scope are under way at most."""


def proceed(j: Judgement, region: Key) -> None:
    """Begin the next undo of a region, or end its compensation when all entries are settled."""
    state = j.state
    if region != ROOT:
        outer = halted_around(j, region)
        if outer is not None and outer != region:
            region_moved(j, outer)
            return
    if region not in state.queues:
        return
    while not _stopped_by_failure(j, region):
        if j.full:
            state.agenda[region] = None
            return
        key = _next(j, region)
        if key is None:
            break
        _begin(j, state.instances[key])
    if state.undoing.get(region, 0) == 0:
        _finish(j, region)


def _stopped_by_failure(j: Judgement, region: Key) -> bool:
    """Rule 17, `halt`: after one failed entry the rest stays armed."""
    if j.program.definition.on_compensation_failure != "halt":
        return False
    return j.state.undo_failures.get(region, 0) > 0


# --- order -------------------------------------------------------------------------------------


def _next(j: Judgement, region: Key) -> Key | None:
    """The entry whose turn it is (rule 8), or None while it has to wait for others."""
    state = j.state
    under_way = state.undoing.get(region, 0)
    if j.program.definition.compensation_order != "structured":
        return None if under_way else state.next_entry(region)
    if under_way >= UNDO_AT_ONCE_MAX:
        return None
    if region not in state.orders:
        state.orders[region] = _side_by_side(state, region)
    return state.orders[region].next()


def _side_by_side(state: State, region: Key) -> SideBySide:
    keys = state.entries if region == ROOT else state.scoped.get(region, [])
    entries = [state.instances[key] for key in keys if state.instances[key].compensation in _TO_UNDO]
    return SideBySide(
        (each.key, each.settled_at, _branches_around(state, each.key), each.compensation == "running")
        for each in entries
    )


_TO_UNDO = frozenset({"pending", "running"})


def _branches_around(state: State, key: Key) -> list[tuple[Key, int]]:
    """The parallels around an instance, each with the branch it is in."""
    path: list[tuple[Key, int]] = []
    nodes = state.program.nodes
    inner, parent = key[0], nodes[key[0]].parent
    while parent >= 0:
        if nodes[parent].kind is Kind.PARALLEL:
            path.append(((parent, key[1][: nodes[parent].depth]), inner))
        inner, parent = parent, nodes[parent].parent
    return path


# --- one entry ---------------------------------------------------------------------------------


def _begin(j: Judgement, instance: Instance) -> None:
    """An entry's turn: skip it, or resolve its body once and schedule it."""
    node = j.program.nodes[instance.node]
    undo = node.undo
    j.starts += 1
    if undo is None:
        # A called workflow without a compensation of its own is undone by itself, as one entry.
        j.emit(ev.UndoScheduled(node.name, instance.iteration))
        return
    extra = {"step": undo_facts(instance)}
    if instance.origin is not None:
        # What a service knows the effect by is the execution that made the call.
        extra["execution"] = {**execution_facts(j.state), "id": instance.origin}
    if not _wanted(j, undo, instance, extra):
        j.emit(ev.UndoSkipped(node.name, instance.iteration))
        return
    body: Any = None
    if undo.input is not None:
        try:
            body = j.evaluate(undo.input, instance.iteration, extra)
        except ExpressionError as error:
            j.emit(ev.UndoFailed(node.name, instance.iteration, expression_failure(error, node, instance.iteration)))
            return
    silent = None if instance.call is None else instance.call.silent_until_ms
    not_before = silent if silent is not None and silent > j.now_ms else None
    j.weigh(body)
    j.emit(ev.UndoScheduled(node.name, instance.iteration, body, undo.input is None, not_before))


def _wanted(j: Judgement, undo: Undo, instance: Instance, extra: dict[str, Any]) -> bool:
    """Rule 10: an error in the condition counts as true."""
    if undo.when is None:
        return True
    try:
        return bool(j.evaluate(undo.when, instance.iteration, extra))
    except ExpressionError:
        return True


def undo_facts(instance: Instance) -> dict[str, Any]:
    """`step` as a compensation's own mapping sees it (rule 9)."""
    return {
        "input": instance.input,
        "output": instance.output,
        "outcome": instance.forward,
        "error": None if instance.error is None else failure_facts(instance.error),
    }


def undo_body(state: State, instance: Instance) -> Any:
    """The body that an undo is sent with."""
    if not instance.undo_snapshot:
        return instance.undo_input
    node = state.program.nodes[instance.node]
    return {
        "execution_id": calling_execution(state, instance.key),
        "workflow": state.workflow,
        "step": node.name,
        "iteration": list(instance.iteration),
        "outcome": instance.forward,
        "input": instance.input,
        "output": instance.output,
        "forward_key": idempotency_key(state, instance.key, undo=False),
        "error": None if instance.error is None else failure_facts(instance.error),
    }


def idempotency_key(state: State, key: Key, *, undo: bool) -> str:
    """Rule 15: the same for all attempts, replicas and crashes, and where another execution takes the step over."""
    return f"{calling_execution(state, key)}:{state.name(key)}:{'undo' if undo else 'do'}"


def calling_execution(state: State, key: Key) -> str:
    """The execution that services know a step's call by: this one, or the one that it was taken over from."""
    instance = state.instances.get(key)
    return state.execution_id if instance is None or instance.origin is None else instance.origin


def undo_failed(j: Judgement, instance: Instance, failure: Failure) -> None:
    """An entry failed for good (rule 17)."""
    j.emit(ev.UndoFailed(j.program.nodes[instance.node].name, instance.iteration, failure))


# --- the end of it ------------------------------------------------------------------------------


def _finish(j: Judgement, region: Key) -> None:
    """All entries of a region are settled, or left by `halt`."""
    if region != ROOT:
        _scope_undone(j, region)
    elif all(j.state.instances[key].compensation in _MADE_GOOD for key in j.state.entries):
        j.emit(ev.ExecutionCompensated())
    else:
        j.emit(ev.CompensationFailed())


_MADE_GOOD = frozenset({"done", "skipped"})


def _scope_undone(j: Judgement, region: Key) -> None:
    """The scope of a try is undone: its handler runs, unless an undo failed (rule 24)."""
    node = j.program.nodes[j.state.node(region).parent]
    instance = j.state.instances[(node.index, region[1])]
    if instance.phase != "undoing":
        return
    error = j.state.halted[region]
    handle(j, node, instance, error)
