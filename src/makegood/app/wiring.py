"""From a configuration to the parts that it describes: settings, services, the database, an engine."""

from __future__ import annotations

import os
from collections.abc import Collection

from makegood.app.config import Config
from makegood.app.effective import masked
from makegood.app.tracing import tracing_of
from makegood.core.judgement import Settings
from makegood.engine.client import Engine
from makegood.engine.telemetry import Several, Telemetry
from makegood.errors import ConfigurationError
from makegood.services import Registry
from makegood.services.callbacks import Callbacks
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
        ConfigurationError: Another kind of registry is configured, or an URL is none.
    """
    kind = config.service_registry.type
    if kind != "local":
        raise ConfigurationError(
            f"service_registry.type = {kind!r} is not available in this version of makegood. "
            'Use type = "local" and list the services as [services.NAME].'
        )
    registry = Registry(zone=config.server.zone, callbacks=callbacks_of(config))
    for name, service in config.services.items():
        if name not in (urls or {}):
            registry.register(name, service)
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
        registry=registry,
        lease_seconds=config.workflow_engine.lease_seconds,
        telemetry=Several(*several) if len(several) > 1 else next(iter(several), None),
    )
