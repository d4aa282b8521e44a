"""`makegood watch` on a server: its events as they come, shown as those of a database are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from makegood.cli import exits
from makegood.cli.failures import complain
from makegood.cli.loop import StopSignals
from makegood.cli.output import print_json
from makegood.cli.progress import Follower, progress_for_stderr
from makegood.cli.remote import Remote
from makegood.cli.running import summary_of
from makegood.core.events import Record
from makegood.core.program import Program

DRAWN_S = 1.0
"""How long the last records may take to be shown."""


async def watch_server(remote: Remote, execution_id: str, *, json: bool) -> int:
    """Follow one execution to its end; the exit code is that of `run`."""
    compiled = await asyncio.to_thread(remote.program, execution_id)

    async def program() -> Program:
        return compiled

    with StopSignals() as stop:
        follower = None if json else Follower(progress_for_stderr(), program)
        view: dict[str, Any] | None = None
        try:
            if follower is not None:
                follower.start(_records(remote, execution_id))
            while view is None and not stop.stopped:
                view = await asyncio.to_thread(remote.at_rest, execution_id)
        finally:
            if follower is not None:
                await follower.aclose(0.0 if stop.stopped else DRAWN_S)
            remote.leave()
    if view is None:
        return exits.INTERRUPTED
    if json:
        print_json(view)
    else:
        complain(summary_of(view, f"--server {remote.url}"))
    return exits.exit_of(view["status"])


async def _records(remote: Remote, execution_id: str) -> AsyncIterator[Record]:
    records = remote.follow(execution_id)
    while (record := await asyncio.to_thread(next, records, None)) is not None:
        yield record
