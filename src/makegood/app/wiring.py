"""From a configuration to the parts that it describes: settings, services, the database, an engine."""

from __future__ import annotations

import os
from collections.abc import Collection

from makegood.app.config import Config
from makegood.app.effective import masked
from makegood.app.keys import SERVICES
from makegood.app.tracing import tracing_of
from makegood.core.judgement import Settings
from makegood.engine.client import Engine
from makegood.engine.telemetry import Several, Telemetry
from makegood.errors import ConfigurationError
from makegood.services import Registry
from makegood.services.callbacks import Callbacks
from makegood.services.discovery import Discovery
from makegood.services.discovery import Settings as DiscoverySettings
from makegood.services.discovery.kinds import discovery_of
from makegood.services.secrets import MissingSecret, is_reference, resolve
from makegood.storage import is_postgres


def settings_of(config: Config) -> Settings:
    """What the core decides by."""
    return Settings(execution_timeout_ms=round(config.workflow_engine.execution_timeout_seconds * 1000))


def registry_of(config: Config, urls: dict[str, str] | None = None) -> Registry:
    """The services there are.

    Args:
        config: Its `[services.NAME]`.
        urls: More of them, name to URL; these win.

    Raises:
        ConfigurationError: There is no such kind of registry, it cannot find a service as that is described, or an
            URL is none.
    """
    registry = Registry(zone=config.server.zone, callbacks=callbacks_of(config), discovery=_discovery_of(config))
    for name, service in config.services.items():
        if name not in (urls or {}):
            try:
                registry.register(name, service)
                _check_findable(config, registry, name)
            except ConfigurationError as error:
                raise ConfigurationError(f"{_where(config, SERVICES, name)}: {error}") from None
    for name, url in (urls or {}).items():
        registry.register(name, url)
    return registry


def callbacks_of(config: Config) -> Callbacks | None:
    """The addresses that services call back; None when there are none.

    Raises:
        ConfigurationError: One of the two keys is missing, or the URL is none.
    """
    url, secret = config.callbacks.url, config.callbacks.secret
    if url is None and secret is None:
        return None
    if url is None or secret is None:
        raise ConfigurationError(
            "[callbacks] needs both url and secret: where services reach the servers, and what the addresses are made "
            "with (`openssl rand -hex 32`)."
        )
    return Callbacks(url, secret)


def _discovery_of(config: Config) -> Discovery:
    given = config.service_registry
    settings = DiscoverySettings(
        dns_server=given.dns_server,
        domain=given.domain,
        ttl_seconds_min=given.ttl_seconds_min,
        ttl_seconds_max=given.ttl_seconds_max,
        namespace=given.namespace,
        kubernetes_api=given.kubernetes_api,
        service_account=given.service_account,
        options=given.options or {},
    )
    try:
        return discovery_of(given.type, settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{_where(config, 'service_registry')}: {error}") from None


def _check_findable(config: Config, registry: Registry, name: str) -> None:
    """One that is written down has endpoints, or is found, or says by `urls = []` that its instances register."""
    if (
        not registry.config(name).urls
        and registry.discovery(name) is None
        and (SERVICES, name, "urls") not in config.given
    ):
        raise ConfigurationError(f"service {name!r} has no url, and is not found by its name")


def _where(config: Config, *path: str) -> str:
    """Where the first key below a section was given."""
    below = (given.where for key, given in config.given.items() if key[: len(path)] == path)
    return next(below, f"[{'.'.join(path)}]")


def database_of(config: Config, database: str | None = None) -> str:
    """What names the database.

    Args:
        config: Its `[storage]`.
        database: Given by hand: wins.

    Raises:
        ConfigurationError: The connection string is none of that kind, or is kept where nothing is.
    """
    if database is not None:
        return database
    match config.storage.type:
        case "memory":
            return ":memory:"
        case "postgres" if not is_postgres(_connection_of(config)):
            raise ConfigurationError(
                'storage.type = "postgres" needs connection_string = "postgresql://user@host/database", '
                f"not {masked('connection_string', config.storage.connection_string)!r}."
            )
        case _:
            return _connection_of(config)


def _connection_of(config: Config) -> str:
    """The connection string; it has a password in it, so that it may be kept elsewhere."""
    connection = config.storage.connection_string
    if not is_reference(connection):
        return connection
    try:
        return resolve(connection)
    except MissingSecret as missing:
        raise ConfigurationError(
            f"storage.connection_string = {missing}. Put the connection string there, or write it out."
        ) from None


def engine_of(
    config: Config,
    registry: Registry,
    database: str,
    *,
    only: Collection[str] | None = None,
    telemetry: Telemetry | None = None,
) -> Engine:
    """An engine as configured, not opened yet.

    Args:
        telemetry: Told of what happens; traces are kept besides if the environment asks for them.
    """
    several = [each for each in (telemetry, tracing_of(os.environ)) if each is not None]
    return Engine(
        database,
        settings=settings_of(config),
        max_concurrent_executions=config.workflow_engine.max_concurrent_executions,
        only=only,
        drain_seconds=config.workflow_engine.drain_seconds,
        registry=registry,
        lease_seconds=config.workflow_engine.lease_seconds,
        telemetry=Several(*several) if len(several) > 1 else next(iter(several), None),
    )
