"""Services that answer by script, and the ledger of what they did. No clock, no sockets.

A script is a list of replies, used in the order in which requests arrive; the last one repeats. A
key that was once answered `ok` gets the same answer again and uses up nothing: a service that
honours the idempotency key (rule 20).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from makegood.ports import Invocation

ReplyKind = Literal["ok", "reject", "status", "hang", "reset", "ongoing", "bad_json"]
_KINDS: tuple[ReplyKind, ...] = ("ok", "reject", "status", "hang", "reset", "ongoing", "bad_json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """One reply of a script.

    Attributes:
        kind: What the service does.
        value: The JSON of an `ok`, the code of a `reject`, the number of a `status`.
        body: Of a `status`.
        headers: Of a `status`.
        delay_ms: Between reading the request and answering.
        effect: Whether the ledger books the call as applied.
        effect_ms: Between reading the request and booking; 0 leaves it out.
        poll_after_s: Of an `ongoing`; None: it will call back.
    """

    kind: ReplyKind
    value: Any = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_ms: int = 0
    effect: bool = False
    effect_ms: int = 0
    poll_after_s: float | None = 1.0

    @property
    def booked_after_ms(self) -> int:
        """Between reading the request and booking: left out, it is done when it is answered, or at once."""
        return self.effect_ms or (0 if self.kind in {"hang", "reset"} else self.delay_ms)


_REFUSALS = frozenset(range(400, 500)) - {408, 425, 429}
OK = Scripted(kind="ok", value={}, effect=True)


def read_reply(raw: Mapping[str, Any]) -> Scripted:
    """One reply as scenario files write it, its form already checked."""
    kind = next(kind for kind in _KINDS if kind in raw)
    return Scripted(
        kind=kind,
        value=raw[kind],
        body=raw.get("body", {}),
        headers={str(name): str(value) for name, value in raw.get("headers", {}).items()},
        delay_ms=int(raw.get("delay_ms", 0)),
        effect=bool(raw.get("effect", kind in {"ok", "bad_json"})),
        effect_ms=int(raw.get("effect_ms", 0)),
        poll_after_s=float(raw.get("poll_after_s", 1)),
    )


def told(reply: Scripted) -> str:
    """A reply in a few words: `ok`, `reject sold_out`, `status 503`, `hang`."""
    if reply.kind in {"reject", "status"}:
        error = reply.body.get("error") if isinstance(reply.body, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        return f"{reply.kind} {reply.value}" + (f" {code}" if code else "")
    return "hang, with effect" if reply.kind == "hang" and reply.effect else reply.kind


WAIT_MS = 60_000
"""How long a step waits for a service that is unwell, where nothing else is said."""
ENDLESS_MS = 2**62


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which no endpoint of a service may be called, in milliseconds from the start of a play."""

    from_ms: int = 0
    until_ms: int = ENDLESS_MS


def read_unwell(raw: Mapping[str, Sequence[Mapping[str, int]]]) -> dict[str, list[Spell]]:
    """When which service is unwell, as scenario files write it, its form already checked."""
    return {service: [Spell(**each) for each in spells] for service, spells in raw.items()}


@dataclass(slots=True)
class Call:
    """One request that the services have read.

    Attributes:
        invocation: What was asked.
        at_ms: When it was read.
        headers: Of HTTP, where it came that way.
        answered_at_ms: When it was answered or reset; None while it is open, or lost in a crash.
        lost_at_ms: When the engine died while it was open, or None.
        opened: Its place in the order of all readings and answers of a play, from 1.
        closed: The place of its answer, or of what took the place of one; None while it is open.
        reply: What the service does about it, in the words of a script.
    """

    invocation: Invocation
    at_ms: int
    headers: Mapping[str, str] = field(default_factory=dict)
    answered_at_ms: int | None = None
    lost_at_ms: int | None = None
    opened: int = 0
    closed: int | None = None
    reply: str = ""

    @property
    def method(self) -> str:
        """`service.method`."""
        return f"{self.invocation.service}.{self.invocation.method}"

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return self.invocation.key

    @property
    def step(self) -> str:
        """Name of the step instance."""
        return self.invocation.step

    @property
    def attempt(self) -> int:
        """From 1."""
        return self.invocation.attempt

    @property
    def deadline_ms(self) -> int:
        """Until when an answer counts."""
        return self.invocation.deadline_ms

    @property
    def body(self) -> Any:
        """What was sent."""
        return self.invocation.body

    @property
    def undo(self) -> bool:
        """Whether it undoes."""
        return self.invocation.undo

    @property
    def lost(self) -> bool:
        """Whether the engine died while it was open."""
        return self.lost_at_ms is not None


class Ledger:
    """What was applied and what was undone, once per key; an early undo leaves a tombstone."""

    def __init__(self) -> None:
        self._applied: dict[str, str] = {}
        self._undone: set[str] = set()
        self._tombstones: set[str] = set()

    def book(self, key: str, step: str) -> None:
        """An effect happens."""
        if key.endswith(":undo"):
            forward = key.removesuffix(":undo") + ":do"
            if key in self._undone:
                return
            self._undone.add(key)
            if self._applied.pop(forward, None) is None:
                self._tombstones.add(forward)
        elif key not in self._tombstones and f"{key.removesuffix(':do')}:undo" not in self._undone:
            self._applied[key] = step

    def balance(self) -> dict[str, int]:
        """For each step, by its id, the effects that remain."""
        counts: dict[str, int] = {}
        for step in self._applied.values():
            name = step.split("[")[0]
            counts[name] = counts.get(name, 0) + 1
        return counts


class ScriptedServices:
    """All services of one play: which reply each request gets, and every request that was read.

    Args:
        down: Services that refuse connections.
        unwell: When no endpoint of which service may be called.
        wait_ms: How long a step waits for one.
    """

    def __init__(
        self,
        scripts: Mapping[str, Sequence[Scripted]],
        down: Sequence[str] = (),
        unwell: Mapping[str, Sequence[Spell]] | None = None,
        wait_ms: int = WAIT_MS,
    ) -> None:
        self.scripts = {method: list(script) for method, script in scripts.items()}
        self.down = frozenset(down)
        self.unwell = {service: list(spells) for service, spells in (unwell or {}).items()}
        self.wait_ms = wait_ms
        self.ledger = Ledger()
        self.calls: list[Call] = []
        self._turns = 0
        self._used: dict[str, int] = {}
        self._granted: dict[str, Scripted] = {}
        self._refused: set[str] = set()
        self._lost: dict[str, Scripted] = {}
        self._open: dict[str, Scripted] = {}

    def read(
        self, invocation: Invocation, at_ms: int, headers: Mapping[str, str] | None = None
    ) -> tuple[Call, Scripted]:
        """A service reads a request; what it does is the next reply of the script, or what the key was promised."""
        call = Call(invocation, at_ms, headers or {})
        self.calls.append(call)
        reply = self._granted.get(call.key)
        if reply is None:
            reply = self._lost.pop(call.key, None) or self._next(call)
            self._open[call.key] = reply
        call.opened, call.reply = self._turn(), told(reply)
        return call, reply

    def unwell_until(self, service: str, after_ms: int) -> int | None:
        """Until when no endpoint of a service may be called, so long after the start; None: they may be."""
        ends = [each.until_ms for each in self.unwell.get(service, ()) if each.from_ms <= after_ms < each.until_ms]
        return max(ends, default=None)

    def _turn(self) -> int:
        self._turns += 1
        return self._turns

    def _next(self, call: Call) -> Scripted:
        script = self.scripts.get(call.method)
        if not script:
            return OK
        used = self._used.get(call.method, 0)
        self._used[call.method] = used + 1
        return script[min(used, len(script) - 1)]

    def book(self, call: Call) -> None:
        """What was asked is done."""
        self.ledger.book(call.key, call.step)

    def answered(self, call: Call, reply: Scripted, now_ms: int) -> None:
        """The reply was given (or the connection reset)."""
        self._close(call, now_ms)
        if reply.kind == "ok":
            self._granted[call.key] = reply
        elif reply.kind == "reject" or (reply.kind == "status" and reply.value in _REFUSALS):
            self._refused.add(call.key)

    def unheard(self, call: Call, reply: Scripted, now_ms: int) -> None:
        """The engine died over the reply, so that it is lost; its key gets the same one again."""
        call.lost_at_ms = now_ms
        self._lost[call.key] = reply

    def hung_up(self, call: Call, now_ms: int) -> None:
        """The caller stopped waiting."""
        self._close(call, now_ms)

    def _close(self, call: Call, now_ms: int) -> None:
        call.answered_at_ms = now_ms
        call.closed = self._turn()
        self._open.pop(call.key, None)

    def refused(self, key: str) -> bool:
        """Whether the key was definitely refused, and never answered `ok`."""
        return key in self._refused and key not in self._granted

    def crashed(self, now_ms: int) -> None:
        """The engine died: requests without an answer are lost; their keys get the same reply again."""
        self._lost.update(self._open)
        self._open.clear()
        for call in self.calls:
            if call.answered_at_ms is None:
                call.lost_at_ms = call.lost_at_ms or now_ms
                call.closed = call.closed or self._turn()
