"""The configuration: a TOML file, and `MAKEGOOD_SECTION__KEY` variables on top. Read and checked, nothing built.

Which keys there are is the table in `keys`; this module knows only how they are found and laid over each other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from makegood.app.keys import ENDPOINTS, FLAG, HEADERS, NUMBER, SECTIONS, SERVICES, TABLE, WHOLE, Key, keys_of
from makegood.app.toml_text import TomlText, read_toml
from makegood.errors import ConfigurationError, nearest
from makegood.services import ServiceConfig
from makegood.services.documents import is_url

FILE = "makegood.toml"
"""The file that is read when none is named."""

_PREFIX = "MAKEGOOD_"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEngine:
    """`[workflow_engine]`; the table of keys says what each means."""

    max_concurrent_executions: int
    execution_timeout_seconds: float
    lease_seconds: float
    drain_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRegistry:
    """`[service_registry]`."""

    type: str
    dns_server: str | None
    domain: str | None
    ttl_seconds_min: float
    ttl_seconds_max: float
    namespace: str | None
    kubernetes_api: str | None
    service_account: str | None
    options: Mapping[str, str] | None
    health_check_interval_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """`[storage]`."""

    type: str
    connection_string: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`[server]`."""

    listen: str
    insecure: bool
    log_format: str
    zone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallingBack:
    """`[callbacks]`."""

    url: str | None
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """`[auth]`."""

    tokens_file: str | None


@dataclass(frozen=True, slots=True)
class Given:
    """One value and where it was given, for messages: `makegood.toml:3` or a variable's name."""

    value: Any
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that is configured, defaults included.

    Attributes:
        callbacks: Where services call back.
        services: By name.
        source: The file it was read from; None when there was none.
        given: What was given at all, by its path (`storage`, `type`), and where; all else is a default.
    """

    workflow_engine: WorkflowEngine
    service_registry: ServiceRegistry
    storage: Storage
    server: Server
    auth: Auth
    callbacks: CallingBack
    services: Mapping[str, ServiceConfig]
    source: str | None = None
    given: Mapping[tuple[str, ...], Given] = field(default_factory=dict)


_Section = dict[str, Given]


def load_config(path: str | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration that holds here.

    Args:
        path: A TOML file; None takes `makegood.toml` of the current folder if there is one.
        environ: The environment; None takes the process's.

    Raises:
        ConfigurationError: The file cannot be read, a key is unknown, or a value does not fit. The message
            names the file and line, or the variable.
    """
    text = read_toml(path) if path is not None else read_toml(FILE) if os.path.lexists(FILE) else None
    sections: dict[str, _Section] = {section: {} for section in SECTIONS if section != SERVICES}
    services: dict[str, _Section] = {}
    if text is not None:
        _read_tree(text, sections, services)
    _read_environment(os.environ if environ is None else environ, sections, services)
    discovers = _values("service_registry", sections)["type"] != "local"
    return Config(
        workflow_engine=WorkflowEngine(**_values("workflow_engine", sections)),
        service_registry=ServiceRegistry(**_values("service_registry", sections)),
        storage=Storage(**_values("storage", sections)),
        server=Server(**_values("server", sections)),
        callbacks=CallingBack(**_values("callbacks", sections)),
        auth=Auth(**_values("auth", sections)),
        services=MappingProxyType(
            {name: _service(name, given, text, discovers=discovers) for name, given in services.items()}
        ),
        source=None if text is None else text.source,
        given=MappingProxyType(
            {(section, name): value for section, keys in sections.items() for name, value in keys.items()}
            | {(SERVICES, service, name): value for service, keys in services.items() for name, value in keys.items()}
        ),
    )


def tokens_path(config: Config) -> str | None:
    """The file of tokens, beside the file that names it unless its path is whole; None when there is no [auth]."""
    path = config.auth.tokens_file
    if path is None or config.source is None or os.path.isabs(path):
        return path
    return os.path.join(os.path.dirname(config.source), path)


# --- the file ---


def _read_tree(text: TomlText, sections: dict[str, _Section], services: dict[str, _Section]) -> None:
    for section, table in text.tree.items():
        where = text.where((section,))
        if section not in SECTIONS:
            raise ConfigurationError(f"{where}: there is no section [{section}].{nearest(section, SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigurationError(f"{where}: {section} is a section. Write [{section}] and its keys below.")
        if section != SERVICES:
            sections[section] = _read_table(text, (section,), table)
            continue
        for name, inner in table.items():
            if not isinstance(inner, dict):
                raise ConfigurationError(
                    f"{text.where((SERVICES, name))}: a service is a section of its own. "
                    f'Write [services.{name}] with url = "..." below.'
                )
            services[name] = _read_table(text, (SERVICES, name), inner)


def _read_table(text: TomlText, path: tuple[str, ...], table: dict[str, Any]) -> _Section:
    keys = keys_of(path[0])
    given: _Section = {}
    for name, value in table.items():
        where = text.where((*path, name))
        key = keys.get(name)
        if key is None:
            raise ConfigurationError(f"{where}: [{'.'.join(path)}] has no key {name!r}.{nearest(name, keys)}")
        given[name] = Given(_checked(key, value, where, f"{'.'.join(path)}.{name}"), where)
    return given


def _checked(key: Key, value: Any, where: str, shown_name: str) -> Any:
    try:
        return key.checked(value)
    except ValueError as error:
        prefix = f"{where}: " if where == shown_name else f"{where}: {shown_name} "
        raise ConfigurationError(f"{prefix}{error}.") from None


# --- the environment ---


def _read_environment(environ: Mapping[str, str], sections: dict[str, _Section], services: dict[str, _Section]) -> None:
    for variable in sorted(environ):
        section, separator, rest = variable.removeprefix(_PREFIX).partition("__")
        if not variable.startswith(_PREFIX) or not separator:
            continue
        section = section.lower()
        if section not in SECTIONS:
            raise ConfigurationError(f"{variable}: there is no section {section!r}.{nearest(section, SECTIONS)}")
        if section == SERVICES:
            service, separator, rest = rest.partition("__")
            if not separator:
                raise ConfigurationError(f"{variable}: write MAKEGOOD_SERVICES__<NAME>__<KEY>, for example ...__URL.")
            target = services.setdefault(service.lower(), {})
        else:
            target = sections[section]
        name, keys = rest.lower(), keys_of(section)
        if name not in keys:
            raise ConfigurationError(f"{variable}: [{section}] has no key {name!r}.{nearest(name, keys)}")
        value = _from_text(keys[name], environ[variable])
        target[name] = Given(_checked(keys[name], value, variable, variable), variable)


def _from_text(key: Key, text: str) -> Any:
    """The value that a variable's text stands for; text that stands for none is left for the check."""
    if key.kind is FLAG:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if key.kind is ENDPOINTS and not text.lstrip().startswith("["):
        return [each.strip() for each in text.split(",")]
    if key.kind in (WHOLE, NUMBER, ENDPOINTS, HEADERS, TABLE):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


# --- a service alone ---


def service_from(name: str, table: Mapping[str, Any], *, discovers: bool = False) -> ServiceConfig:
    """A service from the keys of a `[services.NAME]` that stand in no file.

    Args:
        discovers: Whether services are found by their names, so that it need not say where it is.

    Raises:
        ConfigurationError: A key is unknown, or a value does not fit.
    """
    keys = keys_of(SERVICES)
    given: _Section = {}
    for key, value in table.items():
        if key not in keys:
            raise ConfigurationError(f"service {name!r} has no key {key!r}.{nearest(key, keys)}")
        given[key] = Given(_checked(keys[key], value, key, key), key)
    described = table.get("openapi")
    if isinstance(described, str) and not is_url(described):
        raise ConfigurationError(
            f"service {name!r}: `openapi` is a file here, and only the server's own configuration may name files. "
            "Give an http:// or https:// URL."
        )
    return _service(name, given, discovers=discovers)


# --- together ---


def _values(section: str, sections: dict[str, _Section]) -> dict[str, Any]:
    return _filled(section, sections[section])


def _filled(section: str, given: _Section) -> dict[str, Any]:
    """The values of a section's keys, defaults included."""
    return {name: given[name].value if name in given else key.default for name, key in keys_of(section).items()}


def _service(name: str, given: _Section, text: TomlText | None = None, *, discovers: bool) -> ServiceConfig:
    """One service; where none is `discovers`ed, it has to say where it is."""
    values = _filled(SERVICES, given)
    where = next(iter(given.values())).where if given else f"[services.{name}]"
    if "url" in given and "urls" in given:
        raise ConfigurationError(f"{given['urls'].where}: service {name!r} has both url and urls. Keep one of them.")
    urls = values["urls"] or ((values["url"],) if values["url"] else ())
    if not urls and "urls" not in given and not discovers and values["discover"] is None:
        raise ConfigurationError(f'{where}: service {name!r} has no url. Add url = "http://...".')
    timeout_s = values["timeout_seconds"]
    try:
        return ServiceConfig(
            name=name,
            urls=urls,
            timeout_ms=None if timeout_s is None else _milliseconds(timeout_s),
            headers=values["headers"] or {},
            max_concurrent=values["max_concurrent"],
            rate=values["rate"],
            wait_ms=_milliseconds(values["wait_seconds"]),
            strict_idempotent=values["strict_idempotent"],
            health=values["health"],
            openapi=values["openapi"],
            validate=values["validate"],
            health_timeout_ms=_milliseconds(values["health_timeout_seconds"]),
            healthy_after=values["healthy_after"],
            unhealthy_after=values["unhealthy_after"],
            allow_link_local=values["allow_link_local"],
            auth=values["auth"],
            tls=values["tls"],
            methods=values["methods"] or {},
            discover=values["discover"],
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{_place(name, given, text, error.at) or where}: {error}", at=error.at) from None


def _place(name: str, given: _Section, text: TomlText | None, at: tuple[str, ...]) -> str | None:
    """Where a part of a key stands, as near as is known; None if nothing is."""
    if not at or at[0] not in given:
        return None
    where = given[at[0]].where
    in_file = text is not None and where == text.where((SERVICES, name, at[0]))
    return text.where((SERVICES, name, *at)) if text is not None and in_file else where


def _milliseconds(seconds: float) -> int:
    """Whole milliseconds; a time that is not nothing stays more than nothing."""
    return max(round(seconds * 1000), 1) if seconds else 0
