"""The server: listens, runs its engine, and stops gracefully. What it answers is in `door`."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import uvicorn

from makegood.api.asked import Server
from makegood.api.door import Door
from makegood.api.measures import Measures
from makegood.api.tokens import Tokens
from makegood.api.wire import Wire
from makegood.app.config import Config, tokens_path
from makegood.app.contracts import contracts_of
from makegood.app.directory import SharedServices
from makegood.app.health_checks import following
from makegood.app.wiring import database_of, engine_of, registry_of
from makegood.engine.client import Engine
from makegood.engine.log import log, names
from makegood.errors import ConfigurationError

ANSWERED_S = 2.0
"""So long requests under way may take to be answered when the server stops."""
BACKLOG = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What is to be served where.

    Attributes:
        listen: `host:port`; port 0 takes a free one.
        database: None: the configured one.
        node: What this process is called; None: after its host and number.
    """

    config: Config
    listen: str | None = None
    database: str | None = None
    node: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = (self.listen or self.config.server.listen).rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)


async def serve(serving: Serving, *, listens: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Args:
        listens: Told the URL once requests are answered.

    Raises:
        ConfigurationError: It may not listen there, or cannot; or the configuration is wrong otherwise.
        StorageError: The database cannot be used, or another engine holds it.
    """
    tokens = _tokens(serving.config)
    check_exposed(serving)
    registry = registry_of(serving.config)
    measures = Measures()
    engine = engine_of(serving.config, registry, database_of(serving.config, serving.database), telemetry=measures)
    contracts = contracts_of(serving.config, registry, lambda: engine.directory)
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(contextlib.closing(bound(*serving.address)))
        await stack.enter_async_context(engine)
        node = serving.node or f"{socket.gethostname()}-{os.getpid()}"
        services = SharedServices(
            lambda: engine.directory, registry, serving.config.service_registry.health_check_interval_seconds
        )
        server = Server(
            engine=engine, registry=registry, services=services, contracts=contracts, node=node, tokens=tokens,
            callbacks=registry.callbacks, measures=measures,
        )  # fmt: skip
        await services.load()
        await contracts.follow()
        await engine.resume()
        web = _Web(uvicorn.Config(Door(server), **_OPTIONS))
        running = asyncio.ensure_future(web.serve(sockets=[listening]))
        try:
            await _started(web, running)
            url = url_of(listening)
            log.info(names.SERVER_LISTENS, url=url, node=node)
            listens(url)
            async with following(engine, registry, services, contracts, node):
                await _until(stop, running, engine)
        finally:
            await _stop(server, engine, web, running)


_OPTIONS: dict[str, Any] = {
    "http": Wire,
    "ws": "none",
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "date_header": True,
    "proxy_headers": False,
    "backlog": BACKLOG,
    "timeout_keep_alive": 75,
    "timeout_graceful_shutdown": 5,
}


class _Web(uvicorn.Server):
    """uvicorn, without hands of its own on the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to whoever runs the server."""
        yield


async def _started(web: _Web, running: asyncio.Future[None]) -> None:
    while not web.started:
        if running.done():
            await running
            raise ConfigurationError("the server ended before it began to listen.")
        await asyncio.sleep(0.001)


async def _until(stop: asyncio.Event, running: asyncio.Future[None], engine: Engine) -> None:
    """Return when it is to stop; raise why the engine can go on no more."""
    stopped = asyncio.ensure_future(stop.wait())
    broken = asyncio.ensure_future(engine.broken())
    try:
        ends: list[asyncio.Future[Any]] = [stopped, running, broken]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            raise broken.result()
    finally:
        for each in (stopped, broken):
            each.cancel()
        await asyncio.gather(stopped, broken, return_exceptions=True)


async def _stop(server: Server, engine: Engine, web: _Web, running: asyncio.Future[None]) -> None:
    """Take nothing new, answer what is under way, drain the engine, and only then stop answering probes."""
    log.info(names.SERVER_STOPS, node=server.node)
    server.traffic.draining.set()
    try:
        await server.traffic.idle(ANSWERED_S)
        await engine.aclose()
    finally:
        web.should_exit = True
        await asyncio.gather(running, return_exceptions=True)


# --- where it listens --------------------------------------------------------------------------


def _tokens(config: Config) -> Tokens | None:
    path = tokens_path(config)
    return None if path is None else Tokens(path)


def check_exposed(serving: Serving) -> None:
    """Refuse to let strangers in by mistake.

    Raises:
        ConfigurationError: Others than this machine could ask, and nobody would be asked for a token.
    """
    host, port = serving.address
    config = serving.config
    if config.auth.tokens_file is not None or config.server.insecure or _is_loopback(host):
        return
    raise ConfigurationError(
        f"{host}:{port} can be reached from other machines, and there is no [auth]: everybody could do everything. "
        'Give [auth] tokens_file = "tokens.toml" (`makegood token add NAME --role admin` writes one), '
        "listen on 127.0.0.1, or write insecure = true under [server] if that is what you want."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigurationError: It cannot; the message says why.
    """
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # noqa: S104
    except OSError:
        raise ConfigurationError(f"there is no address {host!r} to listen on. Use 127.0.0.1 or 0.0.0.0.") from None
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        why = {98: "it is in use by another program", 13: "this user may not", 99: "this machine has no such address"}
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {why.get(error.errno or 0, os.strerror(error.errno or 0))}. "
            "Choose another one with --listen HOST:PORT, or stop what uses it."
        ) from None
    made.setblocking(False)  # noqa: FBT003 - the standard library's own
    return made


def url_of(listening: socket.socket) -> str:
    """Where it can be asked."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
