"""`makegood serve`: a server in this process until it is told to stop, or what it would be configured with."""

from __future__ import annotations

import asyncio
import logging

from makegood.api.serving import Serving
from makegood.api.serving import serve as serve_until
from makegood.app.config import load_config
from makegood.app.effective import effective
from makegood.app.keys import ADDRESS
from makegood.cli import exits
from makegood.cli.failures import complain
from makegood.cli.logs import Lines
from makegood.cli.loop import StopSignals, run_async
from makegood.cli.output import json_text, print_json
from makegood.cli.showing import table
from makegood.errors import ConfigurationError


def serve(config: str | None, *, database: str | None, listen: str | None, node: str | None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises:
        ConfigurationError: Something of it is wrong, or it cannot listen there.
        StorageError: The database cannot be used, or another engine holds it.
    """
    if listen is not None:
        try:
            ADDRESS.read(listen)
        except ValueError:
            raise ConfigurationError(f"--listen {listen!r}: write HOST:PORT, for example 127.0.0.1:8080.") from None
    serving = Serving(config=load_config(config), listen=listen, database=database, node=node)
    with Lines(logging.INFO):
        run_async(_serve(serving))
    return exits.COMPLETED


async def _serve(serving: Serving) -> None:
    stop = asyncio.Event()

    async def told(signals: StopSignals) -> None:
        await signals.wait()
        complain("stopping: what is under way is finished or left to be resumed.")
        stop.set()

    with StopSignals() as signals:
        telling = asyncio.ensure_future(told(signals))
        try:
            await serve_until(serving, listens=_say, stop=stop)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


def _say(url: str) -> None:
    complain(f"makegood listens on {url} (description: {url}/docs). Stop it with Ctrl+C or SIGTERM.")


def print_configuration(config: str | None, *, database: str | None, listen: str | None, json: bool) -> None:
    """Print every value and where it comes from."""
    given = {("server", "listen"): (listen, "--listen"), ("storage", "connection_string"): (database, "--database")}
    options = {key: told for key, told in given.items() if told[0] is not None}
    found = list(effective(load_config(config), options))
    if json:
        print_json([{"key": each.path, "value": each.value, "from": each.origin} for each in found])
        return
    rows = [{"key": each.path, "value": json_text(each.value, indent=None), "from": each.origin} for each in found]
    table(("key", "value", "from"), rows)
