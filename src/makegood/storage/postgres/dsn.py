"""Connection strings as libpq has them, read into what the driver takes.

Strangers keep out: nothing is connected here. The driver passes a parameter that it does not know to
the server, which refuses it; so those that only concern libpq's own sockets are left out, and ours
are taken out: `pgbouncer=true` for a pooler that gives every transaction another connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from makegood.errors import ConfigurationError

CONNECT_S = 10.0
"""How long a server may take to accept a connection."""

_LIBPQ_ONLY = frozenset(
    {
        "channel_binding", "client_encoding", "gssencmode", "gssdelegation", "keepalives", "keepalives_count",
        "keepalives_idle", "keepalives_interval", "load_balance_hosts", "replication", "requirepeer",
        "require_auth", "sslcompression", "sslcertmode", "sslsni", "tcp_user_timeout",
    }
)  # fmt: skip
_FLAGS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and how.

    Attributes:
        dsn: For the driver.
        options: Further arguments of its `connect`.
        shown: The same without the password, for messages.
    """

    dsn: str
    options: dict[str, Any]
    shown: str


def target_of(dsn: str) -> Target:
    """Read a `postgresql://` connection string.

    Raises:
        ConfigurationError: It is malformed; the message never shows the password.
    """
    parts = urlsplit(dsn)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    bouncer = _flag(given.pop("pgbouncer", "false"), "pgbouncer")
    options: dict[str, Any] = {"timeout": _seconds(given.pop("connect_timeout", ""))}
    if bouncer:
        # A prepared statement stays with a connection that the next transaction may not have.
        options["statement_cache_size"] = 0
    kept = {name: value for name, value in given.items() if name not in _LIBPQ_ONLY}
    hosts = f"{parts.netloc.rpartition('@')[2]},{given.get('host', '')}".strip(",")
    if "," in hosts and "target_session_attrs" not in kept:
        # Of several servers only the one that takes writes is of any use.
        kept["target_session_attrs"] = "read-write"
    if "application_name" not in kept:
        kept["application_name"] = "makegood"
    rest = (parts.path, urlencode(kept, quote_via=quote), "")
    return Target(urlunsplit(("postgresql", parts.netloc, *rest)), options, shown_dsn(dsn))


def shown_dsn(dsn: str) -> str:
    """A connection string as messages show it: without a password, without parameters."""
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return urlunsplit(("postgresql", f"{name}{at}{hosts}" if name else hosts, parts.path, "", ""))


def _flag(text: str, name: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ConfigurationError(f"{name}={text!r} in the connection string: write {name}=true or {name}=false.")
    return _FLAGS[text.lower()]


def _seconds(text: str) -> float:
    if not text:
        return CONNECT_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise ConfigurationError(f"connect_timeout={text!r} in the connection string is no number of seconds.")
    return seconds or CONNECT_S
