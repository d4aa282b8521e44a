"""The table of configuration keys: it drives what is read, what is refused, and what the reference says.

Strangers keep out: no file, no environment, nothing is built. A key that is not in the table does not exist.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from makegood.services.config import TCP

SERVICES = "services"
"""The section of sections: `[services.NAME]`."""
NUMBER_MAX = 1_000_000_000
"""Of every number; in seconds more than thirty years."""

_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a key's value is.

    Attributes:
        words: As a message and the reference name it: "a whole number".
        read: The value, checked for its type and not for its bounds; raises ValueError.
    """

    words: str
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key.

    Attributes:
        section: `storage`, or `services` for a key of every `[services.NAME]`.
        name: As it is written.
        default: What holds when it is left out; None: nothing does.
        doc: One sentence for the reference.
        least: The smallest number allowed.
        above: A number that the value must exceed.
        choices: The only texts allowed; empty allows all.
    """

    section: str
    name: str
    kind: Kind
    default: Any
    doc: str
    least: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        middle = f"{SERVICES}__NAME" if self.section == SERVICES else self.section
        return f"MAKEGOOD_{middle}__{self.name}".upper().replace("__NAME__", "__<NAME>__")

    def checked(self, value: Any) -> Any:
        """The value, if it may be one.

        Raises:
            ValueError: It may not; the message says what is expected and what was found.
        """
        try:
            read = self.kind.read(value)
        except ValueError:
            found = f"{type(value).__name__}" if self.name in _SECRETIVE else shown(value)
            raise ValueError(f"must be {self._expected()}, not {found}") from None
        if isinstance(read, int | float) and not isinstance(read, bool):
            below = self.least is not None and read < self.least
            if read > NUMBER_MAX:
                raise ValueError(f"must be at most {NUMBER_MAX:,}, not {shown(value)}")
            if below or (self.above is not None and read <= self.above):
                raise ValueError(f"must be {self._expected()}, not {shown(value)}")
        if self.choices and read not in self.choices:
            raise ValueError(f"must be {self._expected()}, not {shown(value)}")
        return read

    def _expected(self) -> str:
        if self.choices:
            return " or ".join(repr(each) for each in self.choices)
        unit = " of seconds" if self.name.endswith("_seconds") else ""
        if self.least is not None:
            return f"{self.kind.words}{unit}, at least {self.least:g}"
        if self.above is not None:
            return f"{self.kind.words}{unit}, above {self.above:g}"
        return f"{self.kind.words}{unit}"


def shown(value: Any) -> str:
    """A value as a message quotes it: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError  # noqa: TRY004 - one kind of error for the caller
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _address(value: Any) -> str:
    found = _ADDRESS.fullmatch(_text(value))
    if found is None or int(found[1]) > 65_535:
        raise ValueError
    return str(value)


def _health(value: Any) -> str:
    if _text(value) != TCP and not str(value).startswith("/"):
        raise ValueError
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - one kind of error for the caller
    return value


def _endpoints(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError  # noqa: TRY004 - one kind of error for the caller
    return tuple(_endpoint(each) for each in value)


def _endpoint(value: Any) -> Any:
    if not isinstance(value, dict):
        return _text(value)
    if not {"url"} <= value.keys() <= {"url", "labels"}:
        raise ValueError
    return {"url": _text(value["url"]), "labels": _headers(value.get("labels") or {})}


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError
    return dict(value)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - one kind of error for the caller
    return dict(value)


WHOLE = Kind(words="a whole number", read=_whole)
NUMBER = Kind(words="a number", read=_number)
TEXT = Kind(words="a text that is not empty", read=_text)
ADDRESS = Kind(words='HOST:PORT, for example "127.0.0.1:8080"', read=_address)
HEALTH = Kind(words='a path such as "/healthz", or "tcp"', read=_health)
FLAG = Kind(words="true or false", read=_flag)
ENDPOINTS = Kind(words="a list of texts or of {url, labels}", read=_endpoints)
HEADERS = Kind(words="a table of texts", read=_headers)
TABLE = Kind(words="a table", read=_table)
_SECRETIVE = frozenset({"headers", "auth", "connection_string", "secret"})
"""Keys whose value no message repeats: it may be a secret in the wrong form."""

KEYS: tuple[Key, ...] = (
    Key(
        section="workflow_engine", name="max_concurrent_executions", kind=WHOLE, default=1000, least=1,
        doc="Executions that advance at once in one process; waiting ones do not count.",
    ),
    Key(
        section="workflow_engine", name="execution_timeout_seconds", kind=NUMBER, default=3600.0, above=0,
        doc="Bound of a whole execution whose definition names no `timeout`.",
    ),
    Key(
        section="workflow_engine", name="lease_seconds", kind=NUMBER, default=10.0, above=0,
        doc="How long an engine that shares a database is taken to be alive without a sign of life. "
        "A SQLite file has one engine at a time and needs no lease.",
    ),
    Key(
        section="workflow_engine", name="drain_seconds", kind=NUMBER, default=1.0, least=0,
        doc="How long calls under way are awaited when an engine stops in order; those still open then are made again "
        "by whoever goes on. Executions without an open call are given back at once.",
    ),
    Key(
        section="service_registry", name="type", kind=TEXT, default="local",
        doc="Where services are found whose `[services.NAME]` gives no endpoints: `local` (nowhere), `dns`, "
        "`kubernetes`, or what an installed package adds.",
    ),
    Key(
        section="service_registry", name="dns_server", kind=TEXT, default=None,
        doc="For `dns`: the address of the server that is asked, or ADDRESS:PORT; without it those of this machine.",
    ),
    Key(
        section="service_registry", name="domain", kind=TEXT, default=None,
        doc="For `dns`: the name below which services are found by their own; without it only those with `discover`.",
    ),
    Key(
        section="service_registry", name="ttl_seconds_min", kind=NUMBER, default=5.0, above=0,
        doc="For `dns`: how long an answer holds at least, whatever its time to live.",
    ),
    Key(
        section="service_registry", name="ttl_seconds_max", kind=NUMBER, default=300.0, above=0,
        doc="For `dns`: how long an answer holds at most, whatever its time to live.",
    ),
    Key(
        section="service_registry", name="namespace", kind=TEXT, default=None,
        doc="For `kubernetes`: where services are that do not say otherwise; without it that of the service account.",
    ),
    Key(
        section="service_registry", name="kubernetes_api", kind=TEXT, default=None,
        doc="For `kubernetes`: the URL of the API; without it that of the cluster whose pod this is.",
    ),
    Key(
        section="service_registry", name="service_account", kind=TEXT, default=None,
        doc="For `kubernetes`: the folder with `token`, `ca.crt` and `namespace`; without it where Kubernetes puts it.",
    ),
    Key(
        section="service_registry", name="options", kind=HEADERS, default=None,
        doc="For a type that a package adds: its own settings, as the package says.",
    ),
    Key(
        section="service_registry", name="health_check_interval_seconds", kind=NUMBER, default=30.0, above=0,
        doc="How often an endpoint of a service with `health` is asked whether it is well, by one of the replicas. "
        "Within so long what is put at one replica is known at all.",
    ),
    Key(
        section="storage", name="type", kind=TEXT, default="sqlite", choices=("sqlite", "postgres", "memory"),
        doc="Kind of database. Several engines can share a `postgres`; a `sqlite` file has one at a time.",
    ),
    Key(
        section="storage", name="connection_string", kind=TEXT, default="./makegood.db",
        doc="For `sqlite` the path of the file; for `postgres` what libpq takes: `postgresql://user@host/database`. "
        "It may be `env:NAME` or `file:/path`, so that no password stands here.",
    ),
    Key(
        section="server", name="listen", kind=ADDRESS, default="127.0.0.1:8080",
        doc="Address and port of the server. Any other than a loopback address demands `[auth]` or `insecure = true`.",
    ),
    Key(
        section="server", name="insecure", kind=FLAG, default=False,
        doc="Whether a server may listen beyond this machine without `[auth]`.",
    ),
    Key(
        section="server", name="log_format", kind=TEXT, default="text", choices=("text", "json"),
        doc="How the server's log is written on stderr: lines for people, or one JSON object a line.",
    ),
    Key(
        section="server", name="zone", kind=TEXT, default=None,
        doc="Where this process is: endpoints with the same label `zone` are called while one of them is well.",
    ),
    Key(
        section="callbacks", name="url", kind=TEXT, default=None,
        doc="Where services reach the servers, for the addresses that they call back: `https://makegood.example.test`.",
    ),
    Key(
        section="callbacks", name="secret", kind=TEXT, default=None,
        doc="What those addresses are made with, the same at all servers of a database: `env:NAME` or `file:/path`, "
        "at least 16 characters.",
    ),
    Key(
        section="auth", name="tokens_file", kind=TEXT, default=None,
        doc="File of hashed tokens with their roles: viewer, operator or admin.",
    ),
    Key(
        section=SERVICES, name="url", kind=TEXT, default=None,
        doc="The endpoint: an http:// or https:// URL; the method's name is put after its path.",
    ),
    Key(
        section=SERVICES, name="urls", kind=ENDPOINTS, default=None,
        doc="Several endpoints, instead of `url`: each an URL, or `{url, labels}`; the label `zone` says where it is. "
        "An empty list: only instances that register themselves.",
    ),
    Key(
        section=SERVICES, name="timeout_seconds", kind=NUMBER, default=None, above=0,
        doc="Bound of one attempt where the call gives none.",
    ),
    Key(
        section=SERVICES, name="health", kind=HEALTH, default=None,
        doc="How an endpoint is asked whether it is well: a path of its host, for example `/healthz`, which answers "
        "2xx then; or `tcp`: it can be connected to. Without it, it is not asked.",
    ),
    Key(
        section=SERVICES, name="health_timeout_seconds", kind=NUMBER, default=5.0, above=0,
        doc="Bound of one health check; no more than most of the check interval.",
    ),
    Key(
        section=SERVICES, name="healthy_after", kind=WHOLE, default=1, least=1,
        doc="So many health checks in a row that find an endpoint well make it well again.",
    ),
    Key(
        section=SERVICES, name="unhealthy_after", kind=WHOLE, default=2, least=1,
        doc="So many health checks in a row that do not find it well make it unhealthy: it is called no more.",
    ),
    Key(
        section=SERVICES, name="headers", kind=HEADERS, default=None,
        doc="Sent with every request. A value may be `env:NAME` or `file:/path`, so that no secret stands here.",
    ),
    Key(
        section=SERVICES, name="max_concurrent", kind=WHOLE, default=100, least=1,
        doc="Calls in flight at once, of all engines that share the database; each has its part, at least one.",
    ),
    Key(
        section=SERVICES, name="rate", kind=NUMBER, default=None, above=0,
        doc="Calls that begin in a second, of all engines that share the database; without it any number.",
    ),
    Key(
        section=SERVICES, name="wait_seconds", kind=NUMBER, default=60.0, least=0,
        doc="How long a step may wait for a healthy endpoint or a closed circuit.",
    ),
    Key(
        section=SERVICES, name="strict_idempotent", kind=FLAG, default=False,
        doc="Whether the service answers the same for the same key, so that a rejection after an attempt "
        "without an answer means that nothing was done.",
    ),
    Key(
        section=SERVICES, name="openapi", kind=TEXT, default=None,
        doc="Its OpenAPI description (3.0 or 3.1): a file beside this one, or an http(s) URL. Definitions that call "
        "the service are held to it when they are checked and registered.",
    ),
    Key(
        section=SERVICES, name="validate", kind=FLAG, default=False,
        doc="Whether its replies are held to the description too: one that does not fit is `unknown` "
        "(`invalid_reply`).",
    ),
    Key(
        section=SERVICES, name="discover", kind=TEXT, default=None,
        doc="What `[service_registry]` is asked for to find its endpoints: a host name or an SRV name, or "
        "`namespace/service:port`. A `url` gives their scheme, path, and port where discovery gives none.",
    ),
    Key(
        section=SERVICES, name="allow_link_local", kind=FLAG, default=False,
        doc="Whether its addresses may be link-local or a cloud's metadata service.",
    ),
    Key(
        section=SERVICES, name="auth", kind=TABLE, default=None,
        doc='Sent as `Authorization`: `{bearer = "env:NAME"}`, or `{user = "...", password = "file:/path"}`. '
        "Read at each request, so that a file may change.",
    ),
    Key(
        section=SERVICES, name="tls", kind=TABLE, default=None,
        doc="Paths of PEM files: `ca`, whom to trust instead of the system's authorities; `certificate` and `key`, "
        "what to show. Read again when one has changed.",
    ),
    Key(
        section=SERVICES, name="methods", kind=TABLE, default=None,
        doc="How methods become ordinary requests, by name: "
        '`reserve = {verb = "PUT", path = "/rooms/{input.room}", query, body, output, outcomes, callback}`.',
    ),
)  # fmt: skip

SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(key.section for key in KEYS))
"""The sections, in the order of the reference."""


def keys_of(section: str) -> dict[str, Key]:
    """The keys of a section, by name."""
    return {key.name: key for key in KEYS if key.section == section}
