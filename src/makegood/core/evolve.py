"""Apply a recorded fact. Total and free of choices: replay must not fail.

What an event of a given version does here is frozen once released; golden files pin it. The state is
changed in place: its execution owns it, and a copy of ten thousand outputs for each step would cost
more than the step.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from heapq import heappush
from typing import Any, assert_never

from makegood.core import events as ev
from makegood.core.lookup import folded_output, follow, last_output
from makegood.core.program import Kind, Node, Program
from makegood.core.state import ROOT, Forward, Instance, Key, State, Track
from makegood.core.timers import Wish


def fold(program: Program, records: list[ev.Record], state: State | None = None) -> State:
    """The state after a journal, or after more of it."""
    state = state or State(program)
    for record in records:
        apply_record(state, record)
    state.touched.clear()
    return state


def apply_record(state: State, record: ev.Record) -> None:
    """Fold one record."""
    for event in record.events:
        evolve(state, event, record.at_ms)
    close_record(state, record.more)


def close_record(state: State, more: bool) -> None:
    """The record ends here: unless the core had more to do, its agenda is done with."""
    state.records += 1
    state.more = more
    if not more:
        state.agenda.clear()


def evolve(state: State, event: ev.Event, at_ms: int) -> None:  # noqa: C901, PLR0912, PLR0915 - one flat table
    """Change the state by one event that was recorded at that time.

    The order of the cases is by frequency: a match tries them one after another.
    """
    state.events += 1
    match event:
        case ev.StepSucceeded():
            _step_succeeded(state, event, at_ms)
        case ev.StepScheduled():
            _step_scheduled(state, event, at_ms)
        case ev.AttemptStarted():
            _attempt_started(state, event)
        case ev.ChildStarted():
            instance = _of(state, event)
            instance.child, instance.child_version = event.child, event.version
            state.touched.append((instance.key, False))
        case ev.StepStarted():
            _step_started(state, event, at_ms)
        case ev.BranchTaken():
            _of(state, event).branch = event.branch
        case ev.IterationStarted():
            instance = _of(state, event)
            instance.started = event.number + 1
            state.agenda[instance.key] = None
        case ev.ItemsTaken():
            _of(state, event).items = _value(state, event, event.items)
        case ev.StepFailed():
            _step_failed(state, event, at_ms)
        case ev.StepSkipped():
            _step_skipped(state, event, at_ms)
        case ev.AttemptEnded():
            _attempt_ended(state, event, at_ms)
        case ev.AttemptOngoing():
            _attempt_ongoing(state, event, at_ms)
        case ev.ServiceAwaited():
            _service_awaited(state, event, at_ms)
        case ev.ExecutionStarted():
            _execution_started(state, event, at_ms)
        case ev.ExecutionCompleted():
            output = last_output(state, state.program.nodes[0], ()) if event.folded else event.output
            state.output = output
            _end(state, "completed", at_ms)
        case ev.AbortDecided():
            _abort(state, event)
        case ev.FailureSuppressed():
            state.suppressed.append(event.error)
        case ev.CompensationStarted():
            state.reclaimed = state.reclaimed or event.parent
            _compensation_started(state, at_ms)
        case ev.UndoScheduled():
            _undo_scheduled(state, event, at_ms)
        case ev.UndoDone():
            _undo_settled(state, _of(state, event), "done")
        case ev.UndoSkipped():
            _undo_settled(state, _of(state, event), "skipped")
        case ev.UndoFailed():
            instance = _of(state, event)
            instance.undo_error = event.error
            _undo_settled(state, instance, "failed")
        case ev.ExecutionCompensated():
            _end(state, "compensated", at_ms)
        case ev.ExecutionFailed():
            _close(state, ROOT, at_ms)
            _end(state, "failed", at_ms)
        case ev.CompensationFailed():
            _compensation_failed(state, at_ms)
        case ev.RegionHalted():
            node = state.program.node(event.region)
            region = (node.index, event.iteration)
            state.halted[region] = event.error
            state.agenda[region] = None
            _touch_children(state, region)
            _try_phase(state, node, event.iteration, "halting")
        case ev.ScopeUndoing():
            _scope_undoing(state, _of(state, event), at_ms)
        case ev.HandlerTaken():
            _handler_taken(state, _of(state, event), event, at_ms)
        case ev.FinallyStarted():
            _finally_started(state, _of(state, event), event, at_ms)
        case ev.SignalReceived():
            state.mailbox.setdefault(event.name, []).append(event.payload)
            state.kept += 1
        case ev.EntryRearmed():
            _entry_rearmed(state, _of(state, event))
        case ev.EntryResolved():
            instance = _of(state, event)
            instance.note = event.note
            instance.noted_by = event.by
            _undo_settled(state, instance, "done")
        case ev.ExecutionSuspended():
            _suspended(state, event, at_ms)
        case ev.ExecutionResumed():
            _resumed(state, event)
        case ev.OverdueRaised():
            state.overdue = True
            state.timers.clear(TIMEOUT)
        case ev.TimeoutHeld():
            state.timeout_held = True
            state.timers.clear(TIMEOUT)
        case ev.StepTakenOver():
            _step_taken_over(state, event)
        case ev.RerunBegan():
            state.rerun_of, state.rerun_from = event.execution, event.step
            state.rerun_by, state.rerun_note = event.by, event.note
        case ev.ExecutionSuperseded():
            _superseded(state, event)
        case _:
            assert_never(event)


TIMEOUT: Wish = ("timeout",)


# --- the execution -----------------------------------------------------------------------------


def _execution_started(state: State, event: ev.ExecutionStarted, at_ms: int) -> None:
    state.execution_id = event.execution_id
    state.workflow = event.workflow
    state.version = event.version
    state.input = event.input
    state.business_key = event.business_key
    state.parent = event.parent
    state.root = event.root
    state.depth = event.depth
    state.started_at_ms = at_ms
    state.timeout_at_ms = event.timeout_at_ms
    if event.timeout_at_ms is not None:
        state.timers.set(TIMEOUT, event.timeout_at_ms)
    state.agenda[ROOT] = None


def _abort(state: State, event: ev.AbortDecided) -> None:
    state.phase = "halting"
    state.cause = event.cause
    state.error = event.error
    state.halted[ROOT] = event.error
    state.agenda[ROOT] = None
    state.touched.extend(state.attending)
    state.timers.clear(TIMEOUT)


def _end(state: State, status: Any, at_ms: int) -> None:
    state.status = status
    state.phase = None
    state.ended_at_ms = at_ms
    state.timers.clear(TIMEOUT)


def _suspended(state: State, event: ev.ExecutionSuspended, at_ms: int) -> None:
    if event.step is not None:
        state.stuck.append((state.program.index[event.step], event.iteration))
    if state.status == "suspended":
        return
    state.resume_status = state.status
    state.status = "suspended"
    state.suspended_at_ms = at_ms
    state.suspended_reason = event.reason
    state.suspended_by = event.by
    state.suspended_note = event.note


def _resumed(state: State, event: ev.ExecutionResumed) -> None:
    state.status = state.resume_status
    state.suspended_at_ms = None
    state.suspended_reason = None
    state.suspended_by = state.suspended_note = ""
    state.stuck.clear()
    if event.timeout_at_ms is not None:
        state.timeout_at_ms = event.timeout_at_ms
        state.timers.set(TIMEOUT, event.timeout_at_ms)
    state.touched.extend(state.ready)
    state.touched.extend(state.awaiting)
    state.touched.extend(state.attending)


# --- steps -------------------------------------------------------------------------------------


def _of(state: State, event: Any) -> Instance:
    return state.instances[(state.program.index[event.step], event.iteration)]


def _begin(state: State, step: str, iteration: ev.Iteration, at_ms: int) -> Instance:
    """The instance, alive; it may be there already."""
    key = (state.program.index[step], iteration)
    instance = state.instances.get(key)
    if instance is not None:
        return instance
    instance = Instance(key[0], iteration, "running", started_at_ms=at_ms)
    state.instances[key] = instance
    state.live[key] = None
    node = state.program.nodes[key[0]]
    for region in state.regions_around(node, iteration):
        if region != ROOT:
            state.inside.setdefault(region, {})[key] = None
        if node.is_leaf:
            state.leaves[region] = state.leaves.get(region, 0) + 1
    return instance


def _value(state: State, event: Any, value: Any) -> Any:
    """The value itself, or what a reference leads to."""
    if isinstance(value, ev.Reference):
        return follow(state, state.program.node(event.step), event.iteration, value.path)
    return value


def _step_scheduled(state: State, event: ev.StepScheduled, at_ms: int) -> None:
    instance = _begin(state, event.step, event.iteration, at_ms)
    instance.input = _value(state, event, event.input)
    if event.entry is not None:
        instance.compensation = "armed"
    if state.program.nodes[instance.node].kind is Kind.WORKFLOW:
        _attend(state, instance.key, undo=False)
        return
    instance.call = Track(since_ms=at_ms, due_ms=at_ms)
    _make_ready(state, instance.key, undo=False)


def _attend(state: State, key: Key, *, undo: bool) -> None:
    state.attending[(key, undo)] = None
    state.touched.append((key, undo))


def _touch_children(state: State, region: Key) -> None:
    """The called workflows inside a region that stops are to be halted."""
    if state.attending:
        inside = ((key, False) for key in state.live_in(region))
        state.touched.extend(each for each in inside if each in state.attending)


def _step_started(state: State, event: ev.StepStarted, at_ms: int) -> None:
    instance = _begin(state, event.step, event.iteration, at_ms)
    node = state.program.nodes[instance.node]
    if not node.is_leaf:
        state.agenda[instance.key] = None
    if event.until_ms is not None:
        instance.until_ms = event.until_ms
        state.timers.set(("wait", instance.key), event.until_ms)
    if node.kind is Kind.SIGNAL:
        state.waiting.setdefault(node.step.signal, OrderedDict())[instance.key] = None  # type: ignore[union-attr]


def _step_succeeded(state: State, event: ev.StepSucceeded, at_ms: int) -> None:
    instance = _begin(state, event.step, event.iteration, at_ms)
    node = state.program.nodes[instance.node]
    if node.kind is Kind.SIGNAL:
        _signal_taken(state, node)
    instance.output = folded_output(state, node, instance) if event.folded else event.output
    if node.kind is Kind.CALL and node.call.pivot:
        state.pivoted = True
    _settle(state, instance, "succeeded", at_ms)


def _signal_taken(state: State, node: Node) -> None:
    queue = state.mailbox.get(node.step.signal)  # type: ignore[union-attr]
    if queue:
        queue.pop(0)
        state.kept -= 1


def _step_failed(state: State, event: ev.StepFailed, at_ms: int) -> None:
    instance = _begin(state, event.step, event.iteration, at_ms)
    instance.error = event.error
    track = instance.call
    if track is not None:
        track.error = event.error
        _silent(track, event.silent_until_ms)
    node = state.program.nodes[instance.node]
    if node.kind is Kind.TRY:
        _close_parts(state, node, instance, at_ms)
    elif not node.is_leaf and node.region == node.index:
        _close(state, (node.region, event.iteration), at_ms, but=instance.key)
    _settle(state, instance, event.settled, at_ms)


def _step_skipped(state: State, event: ev.StepSkipped, at_ms: int) -> None:
    begun = (state.program.index[event.step], event.iteration) in state.instances
    instance = _begin(state, event.step, event.iteration, at_ms)
    instance.dropped = begun
    _settle(state, instance, "skipped", at_ms)


def _settle(state: State, instance: Instance, forward: Forward, at_ms: int) -> None:
    key = instance.key
    node = state.program.nodes[instance.node]
    _retire(state, instance, node, forward, at_ms)
    state.settled += 1
    instance.settled_at = state.settled
    state.agenda[key] = None
    if instance.compensation == "armed":
        _settle_entry(state, instance, node, forward)
    if node.parent > 0:
        _tell_parent(state, instance, node)


def _retire(state: State, instance: Instance, node: Node, forward: Forward, at_ms: int) -> None:
    """It is no longer alive; nothing of it is outstanding."""
    key = instance.key
    instance.forward = forward
    instance.ended_at_ms = at_ms
    if key in state.live:
        _leave(state, key, node)
    track = instance.call
    if track is not None:
        _rest(state, key, track, undo=False)
    elif instance.until_ms is not None:
        state.timers.clear(("wait", key))
    if node.kind is Kind.WORKFLOW:
        state.attending.pop((key, False), None)
    if node.kind is Kind.SIGNAL:
        state.waiting.get(node.step.signal, _NOBODY).pop(key, None)  # type: ignore[union-attr]


_NOBODY: OrderedDict[Key, None] = OrderedDict()


def _leave(state: State, key: Key, node: Node) -> None:
    """It lives no more, nor in any region around it."""
    del state.live[key]
    for region in state.regions_around(node, key[1]):
        if node.is_leaf:
            state.leaves[region] -= 1
        if region != ROOT:
            inside = state.inside[region]
            del inside[key]
            if not inside:
                del state.inside[region]


def _settle_entry(state: State, instance: Instance, node: Node, forward: Forward) -> None:
    keeps = forward == "failed" and node.kind is Kind.CALL and node.call.compensate_on_failure
    if forward in {"succeeded", "unknown"} or keeps:
        state.entries.append(instance.key)
        for region in state.regions_around(node, instance.iteration):
            if region != ROOT:
                state.scoped.setdefault(region, []).append(instance.key)
    else:
        instance.compensation = "none"


def _tell_parent(state: State, instance: Instance, node: Node) -> None:
    """A parallel counts its branches, a foreach its iterations."""
    parent = state.program.nodes[node.parent]
    if parent.kind is Kind.BLOCK:
        if node.next >= 0:
            return
        parent = state.program.nodes[parent.parent] if parent.parent >= 0 else parent
    if parent.kind is Kind.PARALLEL or parent.kind is Kind.FOREACH:
        around = state.instances[(parent.index, instance.iteration[: parent.depth])]
        around.done += 1
        if instance.error is not None:
            around.caught = around.caught or instance.error


# --- attempts ----------------------------------------------------------------------------------


def _make_ready(state: State, key: Key, *, undo: bool) -> None:
    state.ready[(key, undo)] = None
    state.touched.append((key, undo))


def _rest(state: State, key: Key, track: Track, *, undo: bool) -> None:
    """Nothing of the track is outstanding for now."""
    state.open.pop((key, undo), None)
    state.ready.pop((key, undo), None)
    if track.due_ms is not None:
        state.timers.clear(("due", key, undo))
        track.due_ms = None
    if track.awaits is not None:
        _await_no_more(state, key, track, undo=undo)
    if track.until_ms is not None:
        state.timers.clear(("until", key, undo))
        track.until_ms = None
    track.open_until = None


def _service_awaited(state: State, event: ev.ServiceAwaited, at_ms: int) -> None:
    instance = _of(state, event)
    key, track = instance.key, instance.track(event.undo)
    state.ready.pop((key, event.undo), None)
    state.awaiting[(key, event.undo)] = None
    state.awaited.setdefault(event.service, OrderedDict())[(key, event.undo)] = None
    track.awaits = event.service
    track.awaits_since_ms = at_ms
    _due(state, key, track, event.until_ms, at_ms, undo=event.undo)


def _await_no_more(state: State, key: Key, track: Track, *, undo: bool) -> None:
    assert track.awaits is not None
    waiting = state.awaited[track.awaits]
    del waiting[(key, undo)], state.awaiting[(key, undo)]
    if not waiting:
        del state.awaited[track.awaits]
    track.awaits = track.awaits_since_ms = None


def _attempt_started(state: State, event: ev.AttemptStarted) -> None:
    instance = _of(state, event)
    key, track = instance.key, instance.track(event.undo)
    track.attempts = event.attempt
    track.open_until = event.deadline_ms
    if track.due_ms is not None:
        track.due_ms = None
        state.timers.clear(("due", key, event.undo))
    if track.awaits is not None:
        _await_no_more(state, key, track, undo=event.undo)
    state.ready.pop((key, event.undo), None)
    state.open[(key, event.undo)] = None
    state.touched.append((key, event.undo))


def _attempt_ended(state: State, event: ev.AttemptEnded, at_ms: int) -> None:
    instance = _of(state, event)
    track = instance.track(event.undo)
    _rest(state, instance.key, track, undo=event.undo)
    track.ongoing = False
    track.error = event.error
    track.unknown = track.unknown or event.error.outcome == "unknown"
    track.counted += event.counted
    track.lost += event.lost
    _silent(track, event.silent_until_ms)
    _due(state, instance.key, track, event.retry_at_ms, at_ms, undo=event.undo)


def _attempt_ongoing(state: State, event: ev.AttemptOngoing, at_ms: int) -> None:
    instance = _of(state, event)
    track = instance.track(event.undo)
    _rest(state, instance.key, track, undo=event.undo)
    track.ongoing = True
    track.until_ms = event.until_ms
    if event.until_ms is not None:
        state.timers.set(("until", instance.key, event.undo), event.until_ms)
    _due(state, instance.key, track, event.poll_at_ms, at_ms, undo=event.undo)


def _due(state: State, key: Key, track: Track, due_ms: int, at_ms: int, *, undo: bool) -> None:
    track.due_ms = due_ms
    if due_ms <= at_ms:
        _make_ready(state, key, undo=undo)
    else:
        state.timers.set(("due", key, undo), due_ms)


def _silent(track: Track, until_ms: int | None) -> None:
    if until_ms is not None:
        track.silent_until_ms = max(until_ms, track.silent_until_ms or 0)


# --- scopes ------------------------------------------------------------------------------------


def _try_phase(state: State, part: Node, iteration: ev.Iteration, phase: str) -> None:
    parent = state.program.nodes[part.parent]
    if parent.kind is Kind.TRY and part.index == parent.children[0]:
        state.instances[(parent.index, iteration)].phase = phase


def _close(state: State, region: Key, at_ms: int, but: Key | None = None) -> None:
    """The region has drained: what has steps inside and never settled is done with."""
    cause = state.halted.get(region)
    for key in list(state.live_in(region)):
        if key != but and not state.program.nodes[key[0]].is_leaf:
            instance = state.instances[key]
            failed = _caused_inside(state, key, cause)
            instance.error = cause if failed else None
            instance.dropped = not failed
            _retire(state, instance, state.program.nodes[key[0]], "failed" if failed else "skipped", at_ms)


def _caused_inside(state: State, key: Key, cause: ev.Failure | None) -> bool:
    if cause is None or cause.step is None:
        return False
    return state.program.inside(state.program.index[cause.step], key[0]) and cause.iteration[: len(key[1])] == key[1]


def _close_parts(state: State, node: Node, instance: Instance, at_ms: int) -> None:
    for part in (*node.children, node.finally_):
        if part >= 0 and (part, instance.iteration) in state.halted:
            _close(state, (part, instance.iteration), at_ms)


def _scope_undoing(state: State, instance: Instance, at_ms: int) -> None:
    node = state.program.nodes[instance.node]
    body = (node.children[0], instance.iteration)
    instance.phase = "undoing"
    _close(state, body, at_ms)
    _queue(state, body, state.scoped.get(body, []))
    state.agenda[body] = None


def _queue(state: State, region: Key, entries: list[Key]) -> None:
    """The armed entries of a region are pending from now on. Sorted, hence a heap."""
    queue: list[tuple[int, Key]] = []
    for key in reversed(entries):
        instance = state.instances[key]
        if instance.compensation in {"armed", "pending"}:
            instance.compensation = "pending"
            queue.append((-instance.settled_at, key))
    state.queues[region] = queue
    state.orders.pop(region, None)


def _handler_taken(state: State, instance: Instance, event: ev.HandlerTaken, at_ms: int) -> None:
    node = state.program.nodes[instance.node]
    _close(state, (node.children[0], instance.iteration), at_ms)
    body = (node.children[0], instance.iteration)
    state.queues.pop(body, None)
    state.orders.pop(body, None)
    instance.phase = "handling"
    instance.branch = event.handler + 1
    instance.caught = event.error
    state.agenda[instance.key] = None


def _finally_started(state: State, instance: Instance, event: ev.FinallyStarted, at_ms: int) -> None:
    node = state.program.nodes[instance.node]
    _close_parts(state, node, instance, at_ms)
    instance.phase = "finally"
    instance.travelling = event.error
    state.agenda[instance.key] = None


# --- undo --------------------------------------------------------------------------------------


def _compensation_started(state: State, at_ms: int) -> None:
    if state.status == "running":
        _close(state, ROOT, at_ms)
    state.status = "compensating"
    state.phase = None
    state.ended_at_ms = None
    state.queues.clear()
    state.orders.clear()
    _queue(state, ROOT, state.entries)
    state.agenda[ROOT] = None


def _undo_scheduled(state: State, event: ev.UndoScheduled, at_ms: int) -> None:
    instance = _of(state, event)
    instance.compensation = "running"
    instance.undo_input = event.input
    instance.undo_snapshot = event.snapshot
    due_ms = max(at_ms, event.not_before_ms or 0)
    if instance.undo is None:
        instance.undo = Track(since_ms=due_ms)
    instance.undo.since_ms = due_ms
    node = state.program.nodes[instance.node]
    for region in state.regions_around(node, instance.iteration):
        state.undoing[region] = state.undoing.get(region, 0) + 1
    if node.undo is None:
        _attend(state, instance.key, undo=True)
    else:
        _due(state, instance.key, instance.undo, due_ms, at_ms, undo=True)


def _undo_settled(state: State, instance: Instance, status: Any) -> None:
    was, instance.compensation = instance.compensation, status
    if was == "running":
        _rest(state, instance.key, instance.track(undo=True), undo=True)
        state.attending.pop((instance.key, True), None)
    for region in state.regions_around(state.program.nodes[instance.node], instance.iteration):
        if was == "running":
            state.undoing[region] -= 1
        _count_failures(state, region, was, status)
        if region in state.orders:
            state.orders[region].settled(instance.key)
        if region in state.queues:
            state.agenda[region] = None


def _count_failures(state: State, region: Key, was: str, now: str) -> None:
    change = (now == "failed") - (was == "failed")
    if change:
        state.undo_failures[region] = state.undo_failures.get(region, 0) + change


def _compensation_failed(state: State, at_ms: int) -> None:
    for _, key in state.queues.get(ROOT, ()):
        instance = state.instances[key]
        if instance.compensation == "pending":
            instance.compensation = "armed"
    state.queues.clear()
    state.orders.clear()
    _end(state, "compensation_failed", at_ms)


def _entry_rearmed(state: State, instance: Instance) -> None:
    instance.compensation = "pending"
    for region in state.regions_around(state.program.nodes[instance.node], instance.iteration):
        _count_failures(state, region, "failed", "pending")
    instance.undo_error = None
    if instance.undo is not None:
        instance.undo.counted = 0
        instance.undo.lost = 0
    heappush(state.queues.setdefault(ROOT, []), (-instance.settled_at, instance.key))
    state.orders.pop(ROOT, None)


# --- rerun -------------------------------------------------------------------------------------


def _step_taken_over(state: State, event: ev.StepTakenOver) -> None:
    key = (state.program.index[event.step], event.iteration)
    forward: Any = event.forward
    compensation: Any = event.compensation
    instance = Instance(
        *key,
        forward,
        compensation,
        started_at_ms=event.started_at_ms,
        ended_at_ms=event.ended_at_ms,
        input=_value(state, event, event.input),
        output=_value(state, event, event.output),
        error=event.error,
        settled_at=event.settled_at,
        started=event.begun,
        branch=event.branch,
        items=_value(state, event, event.items),
        caught=event.caught,
        child=event.child,
        child_version=event.child_version,
        origin=event.execution,
    )
    begun_ms = event.started_at_ms or 0
    if event.attempts:
        silent = event.silent_until_ms
        instance.call = Track(since_ms=begun_ms, attempts=event.attempts, silent_until_ms=silent, error=event.error)
    if event.undo_attempts:
        instance.undo = Track(since_ms=begun_ms, attempts=event.undo_attempts)
    state.instances[key] = instance
    state.settled = max(state.settled, event.settled_at)
    if compensation != "none":
        _place_entry(state, instance)
    node = state.program.nodes[key[0]]
    if node.kind is Kind.CALL and node.call.pivot and forward == "succeeded":
        state.pivoted = True


def _place_entry(state: State, instance: Instance) -> None:
    """Entries are in the order of settling; the steps come in that of beginning, which is nearly the same."""
    entries = state.entries
    if not entries or state.instances[entries[-1]].settled_at < instance.settled_at:
        entries.append(instance.key)
    else:
        insort(entries, instance.key, key=lambda each: state.instances[each].settled_at)


def _superseded(state: State, event: ev.ExecutionSuperseded) -> None:
    """It ended when it failed: nothing has happened in it since."""
    state.status = "superseded"
    state.superseded_by = event.successor
    for key in state.entries:
        instance = state.instances[key]
        if instance.compensation == "armed":
            instance.compensation = "moved"
