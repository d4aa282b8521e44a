"""What is known of one execution: the fold of its journal. Owned by exactly one execution.

`evolve` alone writes here; everybody else reads. Nothing in it may depend on anything but the
events: two folds of one journal are equal (`same_as`).

`agenda` lists instances after or inside which something may have to start. It is a hint: judging
one of them twice changes nothing. It is ordered by links: a plain dict that is emptied from its front
walks over all that have left it, each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop
from typing import TYPE_CHECKING, Any, Literal, get_args

from makegood.core.events import Failure, Iteration
from makegood.core.program import Node, Program
from makegood.core.timers import Timers

if TYPE_CHECKING:
    from makegood.core.order import SideBySide

Key = tuple[int, Iteration]
"""A step instance, or a region of it: the node's index and the iteration."""

Forward = Literal["pending", "running", "succeeded", "failed", "unknown", "skipped"]
UndoStatus = Literal["none", "armed", "pending", "running", "done", "failed", "skipped", "moved"]
Status = Literal[
    "running",
    "suspended",
    "compensating",
    "completed",
    "failed",
    "compensated",
    "compensation_failed",
    "superseded",
]

STATUSES: tuple[str, ...] = get_args(Status)
MOVING: frozenset[str] = frozenset({"running", "compensating"})
"""An execution moves by itself; a suspended one waits for a person."""
LIVE: frozenset[str] = MOVING | {"suspended"}
"""It has not ended."""
ENDS: frozenset[str] = frozenset({"completed", "failed", "compensated", "compensation_failed", "superseded"})
SETTLED: frozenset[str] = frozenset({"succeeded", "failed", "unknown", "skipped"})
ROOT: Key = (0, ())


def instance_name(step: str, iteration: Sequence[int]) -> str:
    """What people call a step instance: `ship`, `ship[3]`, `ship[3][0]`."""
    return step + "".join(f"[{number}]" for number in iteration) if iteration else step


@dataclass(slots=True)
class Track:
    """The attempts of one call, forward or undo.

    Attributes:
        attempts: The number of the last attempt.
        counted: Attempts that used up the budget.
        lost: Attempts whose process died.
        open_until: Deadline of the request that is under way, or None.
        due_ms: When the next request is due while none is under way, or None. `ready` and the
            timers follow from it. While a service is awaited: when that is given up.
        awaits: The service of which the next request waits for an endpoint that is well, or None.
        awaits_since_ms: Since when.
        ongoing: Whether the service accepted and is being polled.
        until_ms: When an ongoing call is given up.
        unknown: Whether some attempt came to `unknown`.
        silent_until_ms: Until when a request without an answer may still be on its way.
        error: What the last failed attempt came to.
        since_ms: When the track began.
    """

    since_ms: int
    attempts: int = 0
    counted: int = 0
    lost: int = 0
    open_until: int | None = None
    due_ms: int | None = None
    awaits: str | None = None
    awaits_since_ms: int | None = None
    ongoing: bool = False
    until_ms: int | None = None
    unknown: bool = False
    silent_until_ms: int | None = None
    error: Failure | None = None


@dataclass(slots=True)
class Instance:
    """One step in one iteration.

    Attributes:
        settled_at: Its place in the order of settling, from 1; 0 while unsettled.
        started: Inner iterations, rounds or branches begun.
        done: Inner iterations or branches that have settled.
        branch: Which branch was taken, or which part of a try runs: 0 body, 1.. handlers.
        items: The items of a foreach.
        phase: Of a try: `forward`, `halting`, `undoing`, `handling`, `finally`.
        caught: Of a try: what its body failed with.
        travelling: Of a try in its finally: the error that goes outward afterwards.
        until_ms: When a wait ends or a signal is given up.
        call: The track of a call.
        undo: The track of its undo.
        child: Id of the execution that a call of another workflow started.
        child_version: Its version.
        note: How a person says that its effect was undone.
        noted_by: Who says so.
        dropped: Whether it was skipped after it had begun, because an abort came.
        origin: Id of the execution that it was taken over from, whose keys it has.
    """

    node: int
    iteration: Iteration
    forward: Forward = "pending"
    compensation: UndoStatus = "none"
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    input: Any = None
    output: Any = None
    error: Failure | None = None
    settled_at: int = 0
    started: int = 0
    done: int = 0
    branch: int | None = None
    items: Any = None
    phase: str = "forward"
    caught: Failure | None = None
    travelling: Failure | None = None
    until_ms: int | None = None
    call: Track | None = None
    child: str | None = None
    child_version: int | None = None
    undo: Track | None = None
    undo_input: Any = None
    undo_snapshot: bool = False
    undo_error: Failure | None = None
    note: str | None = None
    noted_by: str = ""
    dropped: bool = False
    origin: str | None = None

    @property
    def key(self) -> Key:
        """Its key in the state."""
        return (self.node, self.iteration)

    @property
    def active(self) -> bool:
        """Whether it has an entry that an undo has to look at."""
        return self.compensation in _ACTIVE

    def track(self, undo: bool) -> Track:
        """The attempts of the call or of the undo."""
        track = self.undo if undo else self.call
        assert track is not None
        return track


_ACTIVE = frozenset({"armed", "pending", "running"})


@dataclass(slots=True)
class State:
    """One execution.

    Attributes:
        reclaimed: Whether the parent's abort has reached this child after its end.
        rerun_of: The execution that this one goes on in the place of, or None.
        rerun_from: The step that it began at, then; `rerun_by`, `rerun_note`: who wanted that, and why.
        superseded_by: The execution that goes on in the place of this one, or None.
        stuck: What could not be done behind a pivot and waits for a person, calls apart.
        live: Steps that have begun and not settled.
        inside: The same for each region but the root.
        leaves: For each region, how many leaves inside it live.
        undoing: For each region, how many undos inside it are under way.
        halted: Regions that a failure or an abort has stopped, with the cause.
        ready: Calls and undos that want to be sent now.
        awaiting: Calls and undos that wait for their service to be well.
        awaited: The same by service, the one that has waited longest first.
        open: Calls and undos whose request is under way.
        attending: Calls of other workflows that are under way, and undos of such.
        touched: What joined `ready`, `open` or `attending` since the engine last looked.
        entries: Steps with an entry, in the order of settling.
        scoped: The same for each region but the root.
        undo_failures: For each region, how many entries inside it have failed.
        queues: For each region that is being undone, the pending entries as a heap, last to settle
            first. One that is pending no more stays there until it comes up (`next_entry`).
        orders: For each region that is undone side by side, what is free; derived when asked for.
        mailbox: Signals that nobody took yet, by name.
        kept: How many signals that is.
        lists: Outputs of a step inside a foreach that has succeeded, derived when asked for.
        waiting: Steps that wait for a signal, by name, oldest first.
        events: Events folded so far.
        records: Records folded so far.
    """

    program: Program
    execution_id: str = ""
    workflow: str = ""
    version: int = 0
    input: Any = None
    business_key: str | None = None
    parent: str | None = None
    root: str | None = None
    depth: int = 0
    status: Status = "running"
    phase: str | None = "forward"
    resume_status: Status = "running"
    error: Failure | None = None
    cause: str | None = None
    suppressed: list[Failure] = field(default_factory=list)
    output: Any = None
    started_at_ms: int = 0
    ended_at_ms: int | None = None
    suspended_at_ms: int | None = None
    suspended_reason: str | None = None
    suspended_by: str = ""
    suspended_note: str = ""
    timeout_at_ms: int | None = None
    timeout_held: bool = False
    overdue: bool = False
    pivoted: bool = False
    reclaimed: bool = False
    rerun_of: str | None = None
    rerun_from: str | None = None
    rerun_by: str = ""
    rerun_note: str = ""
    superseded_by: str | None = None
    more: bool = False
    stuck: list[Key] = field(default_factory=list)
    instances: dict[Key, Instance] = field(default_factory=dict)
    live: dict[Key, None] = field(default_factory=dict)
    inside: dict[Key, dict[Key, None]] = field(default_factory=dict)
    leaves: dict[Key, int] = field(default_factory=dict)
    undoing: dict[Key, int] = field(default_factory=dict)
    halted: dict[Key, Failure] = field(default_factory=dict)
    agenda: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    ready: dict[tuple[Key, bool], None] = field(default_factory=dict)
    awaiting: dict[tuple[Key, bool], None] = field(default_factory=dict)
    awaited: dict[str, OrderedDict[tuple[Key, bool], None]] = field(default_factory=dict)
    open: dict[tuple[Key, bool], None] = field(default_factory=dict)
    attending: dict[tuple[Key, bool], None] = field(default_factory=dict)
    touched: list[tuple[Key, bool]] = field(default_factory=list)
    entries: list[Key] = field(default_factory=list)
    scoped: dict[Key, list[Key]] = field(default_factory=dict)
    undo_failures: dict[Key, int] = field(default_factory=dict)
    queues: dict[Key, list[tuple[int, Key]]] = field(default_factory=dict)
    orders: dict[Key, SideBySide] = field(default_factory=dict)
    lists: dict[Key, list[Any]] = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)
    mailbox: dict[str, list[Any]] = field(default_factory=dict)
    kept: int = 0
    waiting: dict[str, OrderedDict[Key, None]] = field(default_factory=dict)
    settled: int = 0
    events: int = 0
    records: int = 0

    def node(self, key: Key) -> Node:
        """The node of an instance."""
        return self.program.nodes[key[0]]

    def name(self, key: Key) -> str:
        """The instance's name: `ship`, `ship[3]`, `ship[3][0]`."""
        return instance_name(self.program.nodes[key[0]].name, key[1])

    def regions_around(self, node: Node, iteration: Iteration) -> list[Key]:
        """The regions at and around a node, innermost first; the last one is the root."""
        nodes = self.program.nodes
        index = node.region
        if index == 0:
            return _ONLY_ROOT
        regions = []
        while index >= 0:
            region = nodes[index]
            regions.append((index, iteration[: region.depth]))
            index = region.outer
        return regions

    def live_in(self, region: Key) -> dict[Key, None]:
        """The steps of a region that have begun and not settled."""
        return self.live if region == ROOT else self.inside.get(region, _NOTHING)

    def next_entry(self, region: Key) -> Key | None:
        """The pending entry of a region that was the last to settle."""
        queue = self.queues[region]
        while queue:
            key = queue[0][1]
            if self.instances[key].compensation == "pending":
                return key
            heappop(queue)
        return None

    def is_halted(self, node: Node, iteration: Iteration) -> bool:
        """Whether an abort or failure has stopped a region at or around the node."""
        if not self.halted:
            return False
        return any(region in self.halted for region in self.regions_around(node, iteration))

    @property
    def ended(self) -> bool:
        """Whether it is at one of its ends."""
        return self.status in ENDS

    def same_as(self, other: State) -> bool:
        """Whether two folds know the same. What is only a hint or an outlet does not count."""
        return self._known() == other._known()

    def _known(self) -> dict[str, Any]:
        known = {name: getattr(self, name) for name in State.__slots__ if name not in _HINTS}
        known["queues"] = {
            region: {key for _, key in queue if self.instances[key].compensation == "pending"}
            for region, queue in self.queues.items()
        }
        moments = self.timers.items()
        known["timers"] = {key: at for key, at in moments.items() if key[0] != "due"}
        return known


_ONLY_ROOT: list[Key] = [ROOT]
_NOTHING: dict[Key, None] = {}
_HINTS = frozenset({"program", "agenda", "touched", "ready", "more", "orders", "lists"})
