"""A scripted reply as it goes over the wire, and what the adapter of HTTP makes of it.

The table of replies is the adapter's own, so that a play and an engine read the same answer alike. Strangers keep
out: which reply a request gets, and when.
"""

from __future__ import annotations

from typing import Any

from makegood.core.outcome import Reply
from makegood.services.http_replies import meaning
from makegood.services.payload import encode
from makegood.simulation.script import Scripted

_BODILESS = frozenset({204, 304})


def on_the_wire(scripted: Scripted) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a scripted answer; a `hang` and a `reset` are none."""
    match scripted.kind:
        case "ok":
            return 200, {}, encode(scripted.value)
        case "reject":
            return 409, {}, encode(_refusal(scripted.value))
        case "ongoing":
            after_s = scripted.poll_after_s
            return 202, {} if after_s is None else {"Makegood-Poll-After": f"{after_s:.3f}"}, b"{}"
        case "bad_json":
            return 200, {}, b"this is not JSON"
        case _:
            status = int(scripted.value)
            return status, dict(scripted.headers), b"" if status in _BODILESS else encode(scripted.body)


def _refusal(code: Any) -> dict[str, Any]:
    return {"error": {"code": str(code), "message": "rejected by script"}}


def as_reply(scripted: Scripted, now_ms: int) -> Reply:
    """What an adapter makes of a scripted answer that comes at a moment."""
    if scripted.kind == "reset":
        return Reply("unknown", code="connection_reset", message="the connection was reset", answered=False)
    status, headers, body = on_the_wire(scripted)
    return meaning(
        status,
        {name.lower(): value.strip() for name, value in headers.items()},
        body,
        now_ms,
        calls_back=scripted.kind == "ongoing",
    )
