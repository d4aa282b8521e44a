"""What can be put before the core: news from services, time, callers and operators. Values only."""

from __future__ import annotations

from typing import Any, Literal

from makegood.core.events import Failure
from makegood.core.outcome import Reply
from makegood.core.state import Key
from makegood.model.fact import fact


@fact
class Continue:
    """Go on where the last record stopped at a limit."""


@fact
class Granted:
    """A place is held for the next request of a call or undo.

    Attributes:
        timeout_ms: The service's own bound of an attempt, or None.
    """

    key: Key
    undo: bool
    timeout_ms: int | None = None


@fact
class Unwell:
    """No endpoint of the service may be called now: each is unhealthy, or its circuit is open.

    Attributes:
        wait_ms: How long the next request of a call or undo may wait for one.
    """

    key: Key
    undo: bool
    service: str
    wait_ms: int


@fact
class Replied:
    """A request came to an end. `strict`: the service is declared strict_idempotent (rule 3)."""

    key: Key
    undo: bool
    attempt: int
    reply: Reply
    strict: bool = False


@fact
class CalledBack:
    """A service tells what came of a call or undo that it had accepted.

    Attributes:
        step: Name of the instance.
        reply: `ok` or `rejected`.
        attempt: Which attempt it speaks of; None: the one that is under way. An `ok` holds whichever it was.
    """

    step: str
    undo: bool
    reply: Reply
    attempt: int | None = None


@fact
class Unreachable:
    """No request could be made at all: there is no such service."""

    key: Key
    undo: bool
    reply: Reply


@fact
class ChildResolved:
    """Which version of a workflow a step will call; None, with the reason, when it cannot be called."""

    key: Key
    version: int | None
    error: Failure | None = None


@fact
class ChildBegun:
    """A detached child is durable: its call is done."""

    key: Key


@fact
class ChildRefused:
    """A child cannot be started, and never was: its call fails.

    Attributes:
        error: Why: its code and message are kept, its outcome is `rejected` or `failed`.
    """

    key: Key
    error: Failure


@fact
class ChildEnded:
    """A child is at an end.

    Attributes:
        key: The step that called it.
        status: Its end; None: it was never started.
        output: Of a child that completed.
        error: Its first cause, otherwise.
        reclaimed: Whether it ended so after the parent's abort had reached it.
    """

    key: Key
    status: str | None
    output: Any = None
    error: Failure | None = None
    reclaimed: bool = False


@fact
class Halt:
    """The parent aborts: stop and drain, and leave the undoing to the parent's turn (rule 25)."""


@fact
class TimeReached:
    """Some moment that the state waits for may have come."""


@fact
class TakeOver:
    """This process goes on with an execution of another: what was open is lost (rule 2)."""

    by: str = ""


@fact
class Signal:
    """A signal for the execution."""

    name: str
    payload: Any = None


@fact
class Cancel:
    """Stop, and undo according to the strategy (rule 29)."""

    by: str = ""
    note: str = ""


@fact
class Suspend:
    """An operator stops the execution for a while. `reason` `quarantine` comes from the engine."""

    by: str = ""
    note: str = ""
    reason: str = "operator"


@fact
class Resume:
    """An operator lets it go on."""

    by: str = ""
    note: str = ""


@fact
class Retry:
    """An operator has the failed entries tried again (rule 19)."""

    by: str = ""
    note: str = ""


@fact
class Resolve:
    """An operator declares an entry undone by other means (rule 19), or a step behind a pivot, or the pivot itself,
    settled (rule 26).

    Attributes:
        step: Name of the instance.
        outcome: `succeeded` or `failed`, of a step; None means an entry.
        output: Of a step that is declared succeeded.
    """

    step: str
    note: str
    by: str = ""
    outcome: Literal["succeeded", "failed"] | None = None
    output: Any = None


@fact
class Compensate:
    """A failed execution is to be undone after all: an operator says so (rule 14), or the parent's abort
    reaches its child (rule 25), which may have completed."""

    by: str = ""
    note: str = ""
    parent: bool = False


Input = (
    Continue
    | Granted
    | Unwell
    | Replied
    | CalledBack
    | Unreachable
    | ChildResolved
    | ChildBegun
    | ChildRefused
    | ChildEnded
    | Halt
    | TimeReached
    | TakeOver
    | Signal
    | Cancel
    | Suspend
    | Resume
    | Retry
    | Resolve
    | Compensate
)
