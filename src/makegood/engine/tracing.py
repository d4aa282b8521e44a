"""Trace contexts (W3C): which trace an execution is in, and which span an attempt is.

All of it is derived from ids that are journaled, never stored and never random: every replica, and a
process that goes on after a crash, names the same trace and the same spans. Strangers keep out:
nothing is measured or sent here.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from makegood.core.state import State

SAMPLED, UNSAMPLED = "01", "00"
"""The flags at the end of a `traceparent`."""
_SPAN = hashlib.sha256(b"makegood span ")


@lru_cache(maxsize=8192)
def trace_id(root: str) -> str:
    """The trace of a whole family, from the id of its outermost execution: 32 hexadecimal digits."""
    return hashlib.sha256(b"makegood trace " + root.encode()).hexdigest()[:32]


def execution_span(execution_id: str) -> str:
    """The span of an execution: 16 hexadecimal digits."""
    return _span(execution_id)


def attempt_span(key: str, attempt: int) -> str:
    """The span of one attempt under an idempotency key: 16 hexadecimal digits."""
    # No id has a colon, so that no execution has the span of an attempt.
    return _span(f"{key}:{attempt}")


def root_of(state: State) -> str:
    """The execution whose trace this one is in: the outermost one of its family."""
    return state.root or state.execution_id


def traceparent(state: State, key: str, attempt: int) -> str:
    """What a service is sent, so that what it does is seen inside this attempt."""
    return f"00-{trace_id(root_of(state))}-{attempt_span(key, attempt)}-{SAMPLED}"


def unsampled(told: str) -> str:
    """The same for a trace that nobody keeps."""
    return told[:-2] + UNSAMPLED


def _span(name: str) -> str:
    digest = _SPAN.copy()
    digest.update(name.encode())
    return digest.hexdigest()[:16]
