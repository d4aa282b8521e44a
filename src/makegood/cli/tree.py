"""The picture of an execution as rows: what a live tree shows of it right now. No terminal, no I/O.

Small executions are shown whole, in definition order. Of large ones only what moves is shown, and what
settled last, so that a picture costs the same for ten steps and for a hundred thousand.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from makegood.cli.words import clock_text, failure_text, short, span_text
from makegood.core import events as ev
from makegood.core.program import Kind, Node
from makegood.core.state import Instance, Key, State, Track
from makegood.model import SignalStep

WHOLE_NODES_MAX = 200
"""Nodes of a program that is shown whole."""
WHOLE_INSTANCES_MAX = 400
"""Step instances of an execution that is shown whole."""
RECENT = 12
"""Settled steps that a picture in parts still shows."""
LIVE_SCANNED = 200
"""Live steps that are looked at for one picture."""
DETAIL_MAX = 80

Mark = Literal[
    "pending",
    "running",
    "waiting",
    "retrying",
    "succeeded",
    "failed",
    "unknown",
    "skipped",
    "undoing",
    "undone",
    "none",
]

_MOVING = frozenset({"running", "waiting", "retrying", "undoing"})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the picture.

    Attributes:
        depth: Steps around it.
        mark: What its sign and colour say.
        name: The step's name.
        detail: What it calls, how often, how long, and what of it.
    """

    depth: int
    mark: Mark
    name: str
    detail: str = ""

    @property
    def moving(self) -> bool:
        """Whether something is under way there."""
        return self.mark in _MOVING


class Picture:
    """What is shown of one execution; told of every event, so that a picture need not look for changes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._recent: deque[Key] = deque(maxlen=RECENT)
        self._settled: Counter[str] = Counter(each.forward for each in state.instances.values())

    def event(self, event: ev.Event) -> None:
        """This has happened, and the state knows."""
        match event:
            case (
                ev.StepSucceeded()
                | ev.StepFailed()
                | ev.StepSkipped()
                | ev.StepTakenOver()
                | (ev.UndoDone() | ev.UndoFailed())
            ):
                key = (self._state.program.node(event.step).index, event.iteration)
                if key in self._recent:
                    self._recent.remove(key)
                self._recent.append(key)
                if not isinstance(event, ev.UndoDone | ev.UndoFailed):
                    self._settled[self._state.instances[key].forward] += 1
            case _:
                pass

    def headline(self, now_ms: int) -> Row:
        """The execution as a whole."""
        state = self._state
        span = span_text((state.ended_at_ms or now_ms) - state.started_at_ms)
        mark: Mark = {  # type: ignore[assignment]  # the values are marks
            "completed": "succeeded", "failed": "failed", "compensated": "undone",
            "compensation_failed": "failed", "compensating": "undoing", "suspended": "waiting",
            "superseded": "failed",
        }.get(state.status, "running")  # fmt: skip
        status = "stopping" if state.phase == "halting" and not state.ended else state.status.replace("_", " ")
        error = f": {failure_text(state.error)}" if state.error is not None else ""
        return Row(0, mark, state.workflow, short(f"{state.execution_id}  {status}  {span}{error}", 160))

    def rows(self, now_ms: int, rows_max: int) -> list[Row]:
        """The steps: all of them, or what fits around what moves."""
        state = self._state
        if len(state.program.nodes) <= WHOLE_NODES_MAX and len(state.instances) <= WHOLE_INSTANCES_MAX:
            return _window(list(self._whole(now_ms)), rows_max)
        return self._in_parts(now_ms, rows_max)

    # --- whole ---

    def _whole(self, now_ms: int) -> Iterator[Row]:
        by_node: dict[int, list[Instance]] = {}
        for instance in self._state.instances.values():
            by_node.setdefault(instance.node, []).append(instance)
        yield from self._children(self._state.program.nodes[0], 0, by_node, now_ms)

    def _children(self, parent: Node, depth: int, by_node: dict[int, list[Instance]], now_ms: int) -> Iterator[Row]:
        nodes = self._state.program.nodes
        indexes = [*parent.children, *([parent.finally_] if parent.finally_ >= 0 else [])]
        for index in indexes:
            node = nodes[index]
            if node.kind is Kind.BLOCK:
                if not self._passed_over(node, parent, by_node):
                    yield from self._children(node, depth, by_node, now_ms)
                continue
            hidden = node.step is not None and node.step.anonymous
            if not hidden:
                yield from self._node_rows(node, depth, by_node.get(index, []), now_ms)
            yield from self._children(node, depth if hidden else depth + 1, by_node, now_ms)

    def _passed_over(self, block: Node, parent: Node, by_node: dict[int, list[Instance]]) -> bool:
        """Whether a branch was not taken, or a handler was not needed: then it is not worth a row."""
        started = by_node.get(parent.index, [])
        if parent.kind is Kind.TRY and block.index not in (parent.children[:1] or ()):
            return not any(child in by_node for child in block.children)
        if parent.kind not in (Kind.IF, Kind.SWITCH) or not started:
            return False
        decided = all(each.branch is not None or each.forward == "skipped" for each in started)
        return decided and not any(child in by_node for child in block.children)

    def _node_rows(self, node: Node, depth: int, instances: list[Instance], now_ms: int) -> Iterator[Row]:
        if node.depth == 0:
            yield self._row(node, instances[0] if instances else None, depth, now_ms)
            return
        moving = [
            row for each in instances if (row := self._row(node, each, depth, now_ms)).moving or row.mark == "failed"
        ]
        counts = Counter("undone" if each.compensation == "done" else each.forward for each in instances)
        told = ", ".join(f"{counts[each]:,} {each}" for each in (*_COUNTED, "undone") if counts[each])
        settled: Mark = "undone" if counts["undone"] else "succeeded"
        mark: Mark = "running" if moving else settled if instances else "pending"
        yield Row(depth, mark, node.name, told or _call_of(node))
        yield from (Row(row.depth + 1, row.mark, row.name, row.detail) for row in moving[:5])

    # --- in parts ---

    def _in_parts(self, now_ms: int, rows_max: int) -> list[Row]:
        state = self._state
        chosen: dict[Key, None] = {}
        for key in islice(state.live, LIVE_SCANNED):
            if state.node(key).is_leaf:
                chosen[key] = None
        if state.undoing:
            for key, undo in islice(state.open, LIVE_SCANNED):
                if undo:
                    chosen[key] = None
        moving = list(chosen)[: max(rows_max - 1 - min(RECENT, rows_max // 3), 1)]
        recent = [key for key in self._recent if key not in chosen][-max(rows_max - 1 - len(moving), 0) :]
        keys = sorted({*moving, *recent})
        rows = [self._row(state.node(key), state.instances[key], 1, now_ms) for key in keys]
        told = ", ".join(f"{count:,} {status}" for status in _COUNTED if (count := self._settled[status]))
        more = f", {len(state.live):,} under way" if state.live else ""
        return [Row(0, "none", "steps", f"{told or '0 settled'}{more}"), *rows][:rows_max]

    # --- one row ---

    def _row(self, node: Node, instance: Instance | None, depth: int, now_ms: int) -> Row:
        if instance is None:
            return Row(depth, "pending", node.name, _call_of(node))
        name = self._state.name(instance.key)
        if instance.compensation not in ("none", "armed") and instance.undo is not None:
            return Row(depth, *_undo_of(node, instance, name, now_ms))
        return Row(depth, *_forward_of(node, instance, name, now_ms))


_COUNTED = ("succeeded", "failed", "unknown", "skipped")
Told = tuple[Mark, str, str]


def _forward_of(node: Node, instance: Instance, name: str, now_ms: int) -> Told:
    call = _call_of(node)
    track = instance.call
    if instance.forward in _COUNTED:
        words = [call, _effort(track, (instance.ended_at_ms or now_ms) - (instance.started_at_ms or now_ms))]
        if instance.error is not None:
            words.append(short(failure_text(instance.error), DETAIL_MAX))
        mark: Any = instance.forward
        return mark, name, _joined(words)
    if track is not None:
        mark, detail = _under_way(track, now_ms)
        return mark, name, _joined([call, detail])
    return _inner(node, instance, name, now_ms)


def _inner(node: Node, instance: Instance, name: str, now_ms: int) -> Told:
    """A step under way that calls nothing."""
    until = "" if instance.until_ms is None else f"until {clock_text(instance.until_ms)}"
    if node.kind is Kind.SIGNAL and isinstance(node.step, SignalStep):
        return "waiting", name, _joined([f"waits for signal {node.step.signal!r}", until])
    if node.kind is Kind.WAIT and instance.until_ms is not None:
        return "waiting", name, _joined([until, f"in {span_text(max(instance.until_ms - now_ms, 0))}"])
    if node.kind is Kind.FOREACH and isinstance(instance.items, list):
        return "running", name, f"{instance.done:,} of {len(instance.items):,}"
    if node.kind is Kind.REPEAT:
        return "running", name, f"round {instance.started:,}"
    return "running" if instance.forward == "running" else "pending", name, ""


def _undo_of(node: Node, instance: Instance, name: str, now_ms: int) -> Told:
    track, call = instance.undo, "" if node.undo is None else node.undo.call
    assert track is not None
    match instance.compensation:
        case "done":
            return "undone", name, _joined([call, "undone", short(instance.note or "", DETAIL_MAX)])
        case "failed":
            error = "" if instance.undo_error is None else failure_text(instance.undo_error)
            return "failed", name, _joined([call, "undo failed", _attempts(track), short(error, DETAIL_MAX)])
        case "skipped":
            return "skipped", name, _joined([call, "undo skipped"])
        case _:
            _, detail = _under_way(track, now_ms)
            return "undoing", name, _joined([call, "undoing", detail])


def _under_way(track: Track, now_ms: int) -> tuple[Mark, str]:
    if track.open_until is not None:
        return "running", _effort(track, now_ms - track.since_ms)
    if track.awaits is not None and track.due_ms is not None:
        rest = f"for {span_text(max(track.due_ms - now_ms, 0))} at most"
        return "waiting", _joined([_attempts(track), f"service {track.awaits} is not well, waits {rest}"])
    if track.ongoing:
        return "waiting", _joined([_attempts(track), "accepted, asked again"])
    if track.error is not None and track.due_ms is not None:
        wait = f"next attempt in {span_text(max(track.due_ms - now_ms, 0))}"
        return "retrying", _joined([_attempts(track), short(failure_text(track.error), DETAIL_MAX), wait])
    return "waiting", "waits for a place at the service" if track.due_ms is None or track.due_ms <= now_ms else ""


def _effort(track: Track | None, span_ms: float) -> str:
    return span_text(span_ms) if track is None else _joined([_attempts(track), span_text(span_ms)])


def _attempts(track: Track) -> str:
    return f"attempt {track.attempts}" if track.attempts > 1 else ""


def _joined(words: list[str]) -> str:
    return "  ".join(word for word in words if word)


def _call_of(node: Node) -> str:
    return node.call.call if node.kind is Kind.CALL else ""


def _window(rows: list[Row], rows_max: int) -> list[Row]:
    """As many rows as fit, around the first one that moves."""
    if len(rows) <= rows_max:
        return rows
    room = max(rows_max - 2, 1)
    moving = next((number for number, row in enumerate(rows) if row.moving), len(rows) - 1)
    first = max(0, min(moving - room // 3, len(rows) - room))
    shown = rows[first : first + room]
    above = [Row(0, "none", "", f"... {first} above")] if first else []
    below_count = len(rows) - first - len(shown)
    below = [Row(0, "none", "", f"... {below_count} below")] if below_count else []
    return [*above, *shown, *below]
