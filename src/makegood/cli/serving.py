"""`makegood serve`: a server in this process until it is told to stop, or what it would be configured with."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable

from makegood.api.serving import Serving
from makegood.api.serving import serve as serve_until
from makegood.app.config import Config, load_config
from makegood.app.effective import effective
from makegood.app.keys import ADDRESS, keys_of
from makegood.cli import exits
from makegood.cli.failures import complain, exit_code_of
from makegood.cli.logs import JsonLines, Lines
from makegood.cli.loop import StopSignals, run_async
from makegood.cli.output import json_text, print_json
from makegood.cli.showing import table
from makegood.engine.log import log, names
from makegood.errors import ConfigurationError, MakegoodError


def serve(
    config: str | None, *, database: str | None, listen: str | None, node: str | None, log_format: str | None
) -> int:
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
    if _format(log_format, serving.config) == "json":
        with JsonLines():
            return _serve_logged(serving)
    with Lines(logging.INFO):
        run_async(_serve(serving, say=complain))
    return exits.COMPLETED


def _format(log_format: str | None, config: Config) -> str:
    if log_format is None:
        return config.server.log_format
    try:
        return str(keys_of("server")["log_format"].checked(log_format))
    except ValueError as error:
        raise ConfigurationError(f"--log-format {error}.") from None


def _serve_logged(serving: Serving) -> int:
    """Serve, with nothing on stderr but lines of the log: how it ended is one of them."""
    try:
        run_async(_serve(serving, say=lambda _: None))
    except MakegoodError as error:
        log.error(names.SERVER_FAILED, code=error.code, error=str(error), trace=None)
        return exit_code_of(error)
    except Exception as error:  # noqa: BLE001 - a bug is logged as everything else
        log.error(names.SERVER_FAILED, code="bug", error=repr(error), trace="".join(traceback.format_exception(error)))
        return exits.BUG
    return exits.COMPLETED


async def _serve(serving: Serving, *, say: Callable[[str], None]) -> None:
    stop = asyncio.Event()

    async def told(signals: StopSignals) -> None:
        await signals.wait()
        say("stopping: what is under way is finished or left to be resumed.")
        stop.set()

    with StopSignals() as signals:
        telling = asyncio.ensure_future(told(signals))
        try:
            await serve_until(serving, listens=lambda url: say(_listens(url)), stop=stop)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


def _listens(url: str) -> str:
    return f"makegood listens on {url} (description: {url}/docs). Stop it with Ctrl+C or SIGTERM."


def print_configuration(
    config: str | None, *, database: str | None, listen: str | None, log_format: str | None, json: bool
) -> None:
    """Print every value and where it comes from."""
    given = {
        ("server", "listen"): (listen, "--listen"),
        ("server", "log_format"): (log_format, "--log-format"),
        ("storage", "connection_string"): (database, "--database"),
    }
    options = {key: told for key, told in given.items() if told[0] is not None}
    found = list(effective(load_config(config), options))
    if json:
        print_json([{"key": each.path, "value": each.value, "from": each.origin} for each in found])
        return
    rows = [{"key": each.path, "value": json_text(each.value, indent=None), "from": each.origin} for each in found]
    table(("key", "value", "from"), rows)
