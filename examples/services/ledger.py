"""What the example services have done: one durable, append-only file of JSON lines.

A service owes its callers three things, and this module is where they are kept:

1. The same idempotency key has one effect, and the same answer each time.
2. An undo whose `do` never arrived succeeds, and leaves a tombstone.
3. A `do` that finds a tombstone is refused.

A line is on disk before the call is answered, so killing the services loses nothing that anyone was told.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DO, UNDO = ":do", ":undo"


class Refusal(Exception):
    """A definite no: nothing was done. `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str, status: int = 409, **details: Any) -> None:
        self.code, self.message, self.status, self.details = code, message, status, details
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        """The body that a caller gets."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


@dataclass(frozen=True)
class Call:
    """One request, as its headers describe it."""

    service: str
    method: str
    key: str
    input: Any
    execution: str = ""
    step: str = ""
    attempt: int = 1

    @property
    def undoes(self) -> bool:
        """Whether the key is an undo's."""
        return self.key.endswith(UNDO)

    @property
    def effect_key(self) -> str:
        """The key without `do` and `undo`: what both are about."""
        return self.key.removesuffix(UNDO).removesuffix(DO)


@dataclass(frozen=True)
class Answer:
    """A status and a JSON body."""

    status: int
    body: Any


@dataclass
class Ledger:
    """The lines, and what follows from them. Safe to use from many threads.

    Attributes:
        path: The file; None keeps everything in memory.
        lines: Every request, in the order in which it was dealt with.
        answers: What each key was answered.
        balance: How many effects of each key stand: 1, or 0 once it is undone.
        tombstones: Effects that were undone before they came.
        requests: How often each key came.
    """

    path: Path | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    balance: dict[str, int] = field(default_factory=dict)
    tombstones: set[str] = field(default_factory=set)
    requests: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._file = None
        if self.path is not None:
            for line in self._whole_lines(self.path):
                self._apply(json.loads(line))
            self._file = self.path.open("ab")

    @staticmethod
    def _whole_lines(path: Path) -> list[bytes]:
        """The lines of a file that was perhaps cut off in its last one; nobody was told of that one."""
        if not path.exists():
            return []
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        return whole.splitlines()

    def perform(self, call: Call, business: Callable[[Any, str], Any], *, effect: bool) -> Answer:
        """Do the call, or find out that it was done before.

        Args:
            call: The request.
            business: Says what the answer is, or raises `Refusal`. Gets the input and a number plate for
                what it makes, the same for the same key.
            effect: Whether the method changes anything.
        """
        with self._lock:
            known = self.answers.get(call.key)
            if known is not None:
                self._book(call, known, change=0, repeated=True)
                return known
            if not call.undoes and call.effect_key in self.tombstones:
                answer = _refused(Refusal("undone_before_done", "This was undone before it arrived."))
                return self._book(call, answer, change=0)
            try:
                answer = Answer(200, business(call.input, _plate(call.effect_key)))
            except Refusal as refusal:
                return self._book(call, _refused(refusal), change=0)
            change = self._change(call.effect_key, undoes=call.undoes) if effect else 0
            tombstone = call.undoes and change == 0
            return self._book(call, answer, change=change, tombstone=tombstone)

    def note(self, call: Call, what: str) -> None:
        """Book a call that was not performed, such as one during an outage."""
        with self._lock:
            self._write(call, status=503, body=None, change=0, note=what)

    def report(self, execution: str | None = None) -> dict[str, Any]:
        """Everything, or one execution's part: calls in order, the balance of every effect, tombstones."""
        with self._lock:
            lines = [line for line in self.lines if execution in (None, line["execution"])]
            keys = {line["effect_key"] for line in lines}
            balance = {key: self.balance[key] for key in self.balance if key in keys}
            return {
                "calls": lines,
                "balance": balance,
                "standing": sorted(key for key, count in balance.items() if count),
                "tombstones": sorted(self.tombstones & keys),
            }

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _change(self, effect_key: str, *, undoes: bool) -> int:
        if not undoes:
            return 1
        return -1 if self.balance.get(effect_key, 0) > 0 else 0

    def _book(
        self, call: Call, answer: Answer, *, change: int, repeated: bool = False, tombstone: bool = False
    ) -> Answer:
        self._write(
            call, status=answer.status, body=answer.body, change=change,
            **({"repeated": True} if repeated else {}), **({"tombstone": True} if tombstone else {}),
        )  # fmt: skip
        return answer

    def _write(self, call: Call, **facts: Any) -> None:
        line = {
            "number": len(self.lines) + 1, "at": round(time.time(), 3), "call": f"{call.service}.{call.method}",
            "key": call.key, "effect_key": call.effect_key, "execution": call.execution, "step": call.step,
            "attempt": call.attempt, "input": call.input, **facts,
        }  # fmt: skip
        if self._file is not None:
            self._file.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        self._apply(line)

    def _apply(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        self.requests[line["key"]] += 1
        key = line["effect_key"]
        if line["change"]:
            self.balance[key] = self.balance.get(key, 0) + line["change"]
        if line.get("tombstone"):
            self.tombstones.add(key)
        if "note" not in line:
            self.answers.setdefault(line["key"], Answer(line["status"], line["body"]))


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, refusal.body())


def _plate(effect_key: str) -> str:
    """A short name that follows from the key alone."""
    number = 0
    for byte in effect_key.encode():
        number = (number * 131 + byte) % 1_000_003
    return f"{number:06d}"
