"""What a failure stops: the abort of the execution, and the scopes that can catch one.

A region that is stopped starts nothing new; it drains (rule 12), and what then becomes of it is
judged once nothing in it is under way any more.
"""

from __future__ import annotations

from makegood.core import events as ev
from makegood.core.events import Failure, Iteration, Settled
from makegood.core.judgement import Judgement
from makegood.core.program import Kind, Node
from makegood.core.state import ROOT, SETTLED, Instance, Key, Track
from makegood.model import Try

HALTED = "halted"
"""Cause of an abort by the parent: the entries are kept for the parent's turn (rule 25)."""
RESOLVED = "resolved"
"""Cause of an abort by a person behind a pivot: there is no way back, what was done stays (rule 26)."""


def node_halted(j: Judgement, node: Node, iteration: Iteration) -> bool:
    """Whether something around the node has been stopped."""
    return j.state.is_halted(node, iteration)


def halted_around(j: Judgement, key: Key) -> Key | None:
    """The outermost stopped region at or around a place: what is inside it no longer counts."""
    state = j.state
    if not state.halted:
        return None
    for region in reversed(state.regions_around(state.node(key), key[1])):
        if region in state.halted:
            return region
    return None


def fail(
    j: Judgement, key: Key, failure: Failure, settled: Settled = "failed", silent_until_ms: int | None = None
) -> None:
    """Settle a step as failed or unknown, and let the failure act (rules 11 and 24).

    After a pivot there is no way back, and a person decides (rule 26): the step is left as it is.
    """
    node = j.state.node(key)
    if j.state.pivoted and halted_around(j, key) is None:
        j.emit(ev.ExecutionSuspended("after_pivot", note=failure.message, step=node.name, iteration=key[1]))
        return
    beside = _failed_beside(j, node, key[1])
    if key != ROOT:
        j.emit(ev.StepFailed(node.name, key[1], settled, failure, silent_until_ms))
    if halted_around(j, key) is not None or (beside and node.region == node.index):
        j.emit(ev.FailureSuppressed(failure))
        return
    region = (node.region, key[1][: j.program.nodes[node.region].depth])
    if region == ROOT:
        abort(j, "step", failure)
    elif region != key:
        j.emit(ev.RegionHalted(j.program.nodes[node.region].name, region[1], failure))
        _stop_leaves(j, region)


def _failed_beside(j: Judgement, node: Node, iteration: Iteration) -> bool:
    """Whether another branch of the parallel around has failed before."""
    if node.parent < 0 or j.program.nodes[node.parent].kind is not Kind.PARALLEL:
        return False
    return j.state.instances[(node.parent, iteration)].caught is not None


def suspend_for_a_person(j: Judgement, reason: str, note: str) -> None:
    """Stop here; a second reason to stop changes nothing."""
    if j.state.status != "suspended":
        j.emit(ev.ExecutionSuspended(reason, note=note))


def abort(j: Judgement, cause: str, failure: Failure) -> None:
    """Decide the abort: irrevocable, and nothing forward starts any more."""
    j.emit(ev.AbortDecided(cause, failure))
    _stop_leaves(j, ROOT)


def _stop_leaves(j: Judgement, region: Key) -> None:
    """Rule 12, for every leaf that lives inside, in definition order."""
    state = j.state
    for key in sorted(key for key in state.live_in(region) if state.node(key).is_leaf):
        _stop_leaf(j, state.node(key), state.instances[key])


def _stop_leaf(j: Judgement, node: Node, instance: Instance) -> None:
    track = instance.call
    if node.kind is Kind.WORKFLOW and instance.child is not None:
        return
    if track is None or track.attempts == 0:
        j.emit(ev.StepSkipped(node.name, instance.iteration))
    elif track.ongoing:
        _bound_polling(j, node, instance, track)
    elif track.open_until is None:
        settle_without_ok(j, instance, track, track.error or Failure("lost", outcome="unknown"), strict=False)


def _bound_polling(j: Judgement, node: Node, instance: Instance, track: Track) -> None:
    """An ongoing call is asked for at most one more call timeout."""
    if track.open_until is not None:
        return
    until_ms = j.now_ms + (node.timeout_ms or j.settings.call_timeout_ms)
    if track.until_ms is not None:
        until_ms = min(until_ms, track.until_ms)
    due_ms = track.due_ms if track.due_ms is not None and track.awaits is None else j.now_ms
    j.emit(ev.AttemptOngoing(node.name, instance.iteration, track.attempts, due_ms, until_ms))


def settle_without_ok(
    j: Judgement,
    instance: Instance,
    track: Track,
    failure: Failure,
    *,
    strict: bool,
    silent_until_ms: int | None = None,
) -> None:
    """Rule 3: a step none of whose attempts was ok settles unknown if any was, else failed."""
    rejected_clears = strict and failure.outcome == "rejected"
    unknown = failure.outcome == "unknown" or (track.unknown and not rejected_clears)
    settled: Settled = "unknown" if unknown else "failed"
    if unknown and failure.outcome != "unknown":
        failure = Failure(failure.code, failure.message, failure.details, "unknown", failure.step, failure.iteration)
    fail(j, instance.key, failure, settled, silent_until_ms)


# --- a stopped region moves ---------------------------------------------------------------------


def region_moved(j: Judgement, region: Key) -> None:
    """Something settled inside a stopped region: if it has drained, go on with what follows."""
    state = j.state
    if state.leaves.get(region, 0) or state.undoing.get(region, 0):
        return
    if region == ROOT:
        _root_drained(j)
        return
    node = state.node(region)
    parent = j.program.nodes[node.parent]
    if parent.kind is Kind.TRY:
        _part_drained(j, parent, state.instances[(parent.index, region[1])], node)
    elif state.instances[region].forward not in SETTLED:
        cause = state.halted[region]
        if _failed_beside(j, node, region[1]):
            j.emit(ev.FailureSuppressed(cause))
        j.emit(ev.StepFailed(node.name, region[1], "failed", cause))


def _root_drained(j: Judgement) -> None:
    if j.state.status != "running":
        return
    if j.program.definition.error_handling.undoes and j.state.cause not in {HALTED, RESOLVED}:
        j.emit(ev.CompensationStarted())
    else:
        j.emit(ev.ExecutionFailed())


def _part_drained(j: Judgement, node: Node, instance: Instance, part: Node) -> None:
    """The body, a handler or the finally of a try was stopped and has drained."""
    step = node.step
    assert isinstance(step, Try)
    error = j.state.halted[(part.index, instance.iteration)]
    if part.index == node.children[0]:
        if instance.phase != "halting":
            return
        if step.compensate:
            j.emit(ev.ScopeUndoing(node.name, instance.iteration))
        else:
            handle(j, node, instance, error)
    elif part.index == node.finally_ and instance.phase == "finally":
        if instance.travelling is not None:
            j.emit(ev.FailureSuppressed(error))
        fail(j, instance.key, instance.travelling or error)
    elif instance.phase == "handling" and part.index == node.children[instance.branch or 0]:
        if instance.caught is not None:
            j.emit(ev.FailureSuppressed(instance.caught))
        leave(j, node, instance, error)


def handle(j: Judgement, node: Node, instance: Instance, error: Failure) -> None:
    """Go on in the first handler that takes the error; without one it travels outward.

    Once an undo inside has failed, nothing catches the error any more.
    """
    step = node.step
    assert isinstance(step, Try)
    if j.state.undo_failures.get((node.children[0], instance.iteration), 0):
        leave(j, node, instance, error)
        return
    for number, handler in enumerate(step.handlers):
        if not handler.errors or error.code in handler.errors or error.outcome in handler.errors:
            j.emit(ev.HandlerTaken(node.name, instance.iteration, number, error))
            return
    leave(j, node, instance, error)


def leave(j: Judgement, node: Node, instance: Instance, error: Failure) -> None:
    """An error leaves the try: its finally runs first."""
    if node.finally_ >= 0:
        j.emit(ev.FinallyStarted(node.name, instance.iteration, error))
    else:
        fail(j, instance.key, error)
