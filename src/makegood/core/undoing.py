"""Making good: which entry is undone next, with what body, and what follows when all are (rules 7 to 19)."""

from __future__ import annotations

from typing import Any

from makegood.core import events as ev
from makegood.core.events import Failure
from makegood.core.failing import halted_around, handle, leave, region_moved
from makegood.core.judgement import Judgement, expression_failure
from makegood.core.lookup import failure_facts
from makegood.core.program import Kind, Node, Undo
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
    queue = state.queues.get(region)
    if queue is None:
        return
    if not _stopped_by_failure(j, region):
        if j.program.definition.compensation_order == "structured":
            _begin_side_by_side(j, region, queue)
        else:
            while queue and not state.undoing.get(region, 0) and not _stopped_by_failure(j, region):
                _begin(j, state.instances[queue[-1]])
    if state.undoing.get(region, 0) == 0 and (not queue or _stopped_by_failure(j, region)):
        _finish(j, region)


def _stopped_by_failure(j: Judgement, region: Key) -> bool:
    """Rule 17, `halt`: after one failed entry the rest stays armed."""
    if j.program.definition.on_compensation_failure != "halt":
        return False
    return _any_failed(j.state, region)


def _any_failed(state: State, region: Key) -> bool:
    scope, iteration = region
    return any(
        state.instances[key].compensation == "failed"
        and state.program.inside(key[0], scope)
        and key[1][: len(iteration)] == iteration
        for key in state.entries
    )


# --- order -------------------------------------------------------------------------------------


def _begin_side_by_side(j: Judgement, region: Key, queue: list[Key]) -> None:
    """`structured`: an entry waits for every later one, save those in another branch of one parallel."""
    state = j.state
    for key in _free_entries(state, region, queue):
        if state.undoing.get(region, 0) >= UNDO_AT_ONCE_MAX:
            return
        _begin(j, state.instances[key])


def _free_entries(state: State, region: Key, queue: list[Key]) -> list[Key]:
    """The entries that nothing later holds back, latest first.

    Counting does it: of the entries later than one, those in another branch of a parallel around it
    are the members of that parallel less the members of its own branch. If they are all, it is free.
    """
    later = 0
    members: dict[tuple[Key, int], int] = {}
    totals: dict[Key, int] = {}
    running = [key for key in state.entries if state.instances[key].compensation == "running"]
    waiting = sorted([*running, *queue], key=lambda key: -state.instances[key].settled_at)
    free: list[Key] = []
    for key in waiting:
        path = _branches_around(state, key)
        beside = sum(totals.get(around, 0) - members.get((around, branch), 0) for around, branch in path)
        if beside == later and state.instances[key].compensation != "running":
            free.append(key)
        later += 1
        if not path:
            break
        for around, branch in path:
            totals[around] = totals.get(around, 0) + 1
            members[(around, branch)] = members.get((around, branch), 0) + 1
    return free


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
    assert undo is not None
    j.starts += 1
    extra = {"step": undo_facts(instance)}
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
        "execution_id": state.execution_id,
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
    """Rule 15: the same for all attempts, replicas and crashes."""
    return f"{state.execution_id}:{state.name(key)}:{'undo' if undo else 'do'}"


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
    if _any_failed(j.state, region):
        leave(j, node, instance, error)
    else:
        handle(j, node, instance, error)


def entry_nodes(state: State) -> list[tuple[Node, Instance]]:
    """Every entry with its node, in undo order."""
    found = [state.instances[key] for key in reversed(state.entries)]
    return [(state.program.nodes[instance.node], instance) for instance in found]
