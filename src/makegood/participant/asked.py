"""What a delivery is told about itself: its key, its step, its attempt, and the hash of what it asks for.

A delivery is one arrival of a call; a call may arrive several times, and its undo before it. Pure: reads
no clock and no connection.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

DO, UNDO = ":do", ":undo"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One arrival of a call over HTTP, as its headers tell it; a local service has `makegood.Call` in its place.

    Attributes:
        key: Idempotency key, the same for all deliveries of a call: `{execution}:{step}:do` or `...:undo`.
        execution_id: Which execution; empty if the caller did not say.
        step: Name of the step instance, for example `ship[3]`; empty if the caller did not say.
        attempt: From 1.
        deadline_ms: Milliseconds since the epoch, UTC, after which no answer is awaited; None: not said.
        callback: Where to tell what came of it, for a call that is answered 202 and told later; None: nowhere.
    """

    key: str
    execution_id: str = ""
    step: str = ""
    attempt: int = 1
    deadline_ms: int | None = None
    callback: str | None = None

    @property
    def undo(self) -> bool:
        """Whether this is a compensation."""
        return self.key.endswith(UNDO)


def effect_key(key: str) -> str:
    """What a call and its undo are both about: the key without `:do` and `:undo`."""
    return key.removesuffix(UNDO) if key.endswith(UNDO) else key.removesuffix(DO)


def forward_key(key: str) -> str:
    """The key of the call, of its own key or that of its undo."""
    return key.removesuffix(UNDO) + DO if key.endswith(UNDO) else key


def delivery_of(headers: Mapping[str, str]) -> Delivery | None:
    """Read from headers whose names are in lower case; None without an `idempotency-key`."""
    key = headers.get("idempotency-key", "").strip()
    if not key:
        return None
    attempt = headers.get("makegood-attempt", "")
    return Delivery(
        key,
        headers.get("makegood-execution", ""),
        headers.get("makegood-step", ""),
        int(attempt) if attempt.isdecimal() and len(attempt) < 10 else 1,
        _milliseconds(headers.get("makegood-deadline", "")),
        headers.get("makegood-callback"),
    )


def _milliseconds(text: str) -> int | None:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def hash_of(method: str, value: Any) -> str:
    """Of what is asked for: equal for equal JSON, however it is spaced and its keys are ordered."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return _hash(method, text.encode())


def hash_of_body(method: str, body: bytes) -> str:
    """The same for a body as it was sent, JSON or not."""
    try:
        return hash_of(method, json.loads(body))
    except (ValueError, RecursionError):
        return _hash(method, body)


def _hash(method: str, body: bytes) -> str:
    return hashlib.sha256(method.encode() + b"\n" + body).hexdigest()
