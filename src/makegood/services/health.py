"""Whether an endpoint is well: what is asked of it, and how many answers in a row it takes to change one's mind.

Keeps out: when it is asked and by whom (the directory's turns), and what follows for calls (the pool).
"""

from __future__ import annotations

from dataclasses import replace

from makegood.ports import EndpointHealth
from makegood.services.config import TCP
from makegood.services.connecting import Target
from makegood.services.deadline import Deadline
from makegood.services.http_client import Client, Lost, NotSent, Unreadable

BODY_MAX = 64 * 1024
"""Bytes of an answer that are read; what is longer is as well as its status says."""
REASON_MAX = 300


async def asked(client: Client, target: Target, request: bytes | None, deadline: Deadline) -> str:
    """Why an endpoint is not well; empty when it is.

    Args:
        client: The one that calls go through, so that what is refused to calls is refused here.
        request: What is asked, a whole GET; None: whether it can be connected to.
    """
    try:
        if request is None:
            await client.reach(target, deadline.remaining_s)
            return ""
        response = await client.send(target, request, deadline, connect_s=deadline.remaining_s, body_max=BODY_MAX)
        status = response.status
    except Unreadable as error:
        if not error.too_large or error.status is None:
            return str(error)[:REASON_MAX]
        status = error.status
    except (NotSent, Lost) as error:
        return str(error)[:REASON_MAX]
    return "" if 200 <= status < 300 else f"HTTP {status}"


def shown(how: str | None) -> str:
    """What is asked, for people."""
    return "a connection" if how in (None, TCP) else f"GET {how}"


def judged(before: EndpointHealth, why: str, *, healthy_after: int, unhealthy_after: int) -> EndpointHealth:
    """What one more check makes of what was known.

    Args:
        why: It is not well, as this check found; empty when it found it well.
        healthy_after: So many in a row that find it well make it well.
        unhealthy_after: So many that do not make it unwell.
    """
    if before.well == (not why):
        return replace(before, reason=why, in_a_row=0)
    in_a_row = before.in_a_row + 1
    if in_a_row < (unhealthy_after if before.well else healthy_after):
        return replace(before, in_a_row=in_a_row)
    return replace(before, well=not before.well, reason=why, in_a_row=0)
