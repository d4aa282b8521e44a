"""Who asks, and what they may: bearer tokens, kept as hashes in a file, with one of three roles.

A token is `NAME.SECRET`. The file has a table for each name; it is read again when it changes, so that a
token is given or taken away without a restart. Strangers keep out: which route wants which role is in `table`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from makegood.api.problems import Unacceptable, busy
from makegood.app.toml_text import read_toml
from makegood.engine.log import log, names
from makegood.errors import ConfigurationError, nearest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
COST = 2**14
"""Of scrypt: about 16 MiB and some 30 ms for one try."""
_HASH = re.compile(r"scrypt\$([0-9]{1,7})\$([A-Za-z0-9+/=]{16,64})\$([A-Za-z0-9+/=]{40,100})")
_CHECKED_S = 1.0
"""How often the file is looked at."""
_KNOWN_MAX = 1_000
_TRIES_MAX = 32
"""Tokens that wait to be tried; more is too much at once."""


class Role(IntEnum):
    """What a token allows; each role allows what those before it do."""

    VIEWER = 1
    """Look."""
    OPERATOR = 2
    """Start, signal, cancel, retry, resolve."""
    ADMIN = 3
    """Definitions and services."""


ROLES = {role.name.lower(): role for role in Role}


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who may ask."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class _Kept:
    who: Who
    cost: int
    salt: bytes
    key: bytes


NOBODY = Who("", Role.ADMIN)
"""Whoever asks a server without `[auth]`: everybody may do everything."""


class Tokens:
    """The tokens of a file.

    Args:
        path: Of the file.

    Raises:
        ConfigurationError: It cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._kept = read_tokens(path)
        self._looked_at = time.monotonic()
        self._known: dict[bytes, Who] = {}
        self._trying = asyncio.Semaphore(1)
        self._waiting = 0

    async def who(self, authorization: str | None) -> Who:
        """Who sends this header.

        Raises:
            Unacceptable: Nobody that is known.
        """
        self._look_again()
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _unknown("Send Authorization: Bearer TOKEN.")
        # Only what was found right once is kept, and as a hash.
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        who = self._known.get(digest) or await self._try(token)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[digest] = who
        return who

    async def _try(self, token: str) -> Who:
        name, _, secret = token.partition(".")
        kept = self._kept.get(name)
        if kept is None or not secret or len(token) > 500:
            raise _unknown("This token is not known.")
        if self._waiting >= _TRIES_MAX:
            raise busy("Too many tokens are being tried at once.")
        self._waiting += 1
        try:
            async with self._trying:
                tried = await asyncio.to_thread(_hashed, secret, kept.salt, kept.cost)
        finally:
            self._waiting -= 1
        if not hmac.compare_digest(tried, kept.key):
            raise _unknown("This token is not known.")
        return kept.who

    def _look_again(self) -> None:
        if time.monotonic() - self._looked_at < _CHECKED_S:
            return
        self._looked_at = time.monotonic()
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._kept = read_tokens(self._path)
        except ConfigurationError as error:
            # The tokens that were there go on: a slip of the pen must not lock everybody out.
            log.error(names.TOKENS_UNREADABLE, error=str(error))
        self._known.clear()


def _unknown(why: str) -> Unacceptable:
    return Unacceptable(401, "unauthorized", why, headers={"WWW-Authenticate": 'Bearer realm="makegood"'})


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _hashed(secret: str, salt: bytes, cost: int) -> bytes:
    raw = secret.encode("utf-8", "surrogateescape")
    return hashlib.scrypt(raw, salt=salt, n=cost, r=8, p=1, maxmem=256 * 1024 * 1024, dklen=32)


# --- the file ----------------------------------------------------------------------------------


def read_tokens(path: str) -> Mapping[str, _Kept]:
    """The tokens of a file, by name.

    Raises:
        ConfigurationError: It cannot be read, or one of them does not fit.
    """
    text = read_toml(path)
    found: dict[str, _Kept] = {}
    for name, table in text.tree.items():
        where = text.where((name,))
        if not isinstance(table, dict) or NAME.fullmatch(name) is None:
            raise ConfigurationError(f"{where}: write a table [NAME] with role and hash for each token.")
        if unknown := next((key for key in table if key not in {"role", "hash"}), None):
            raise ConfigurationError(f"{where}: a token has no key {unknown!r}.{nearest(unknown, ('role', 'hash'))}")
        role = ROLES.get(str(table.get("role")))
        if role is None:
            raise ConfigurationError(f"{where}: the role of token {name!r} is {' or '.join(map(repr, ROLES))}.")
        match = _HASH.fullmatch(str(table.get("hash")))
        cost = int(match[1]) if match else 0
        if match is None or cost < 2 or cost & (cost - 1) or cost > 2**17:
            raise ConfigurationError(f"{where}: token {name!r} has no hash that `makegood token add` would write.")
        try:
            salt, key = base64.b64decode(match[2], validate=True), base64.b64decode(match[3], validate=True)
        except ValueError:
            raise ConfigurationError(f"{where}: the hash of token {name!r} cannot be read.") from None
        found[name] = _Kept(Who(name, role), cost, salt, key)
    return found


def hashes(path: str) -> dict[str, tuple[str, str]]:
    """Role and hash of each token of a file, by name. Raises as `read_tokens`."""
    read_tokens(path)
    return {name: (table["role"], table["hash"]) for name, table in read_toml(path).tree.items()}


def new_token(name: str) -> tuple[str, str]:
    """A new token, and the hash that is kept of it.

    Raises:
        ConfigurationError: The name cannot be one.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"{name!r} cannot name a token: use at most 63 letters, digits, _ and -, beginning with a letter or digit."
        )
    secret = secrets.token_urlsafe(32)
    salt = secrets.token_bytes(16)
    key = _hashed(secret, salt, COST)
    told = f"scrypt${COST}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"
    return f"{name}.{secret}", told


def tokens_text(kept: Mapping[str, tuple[str, str]]) -> str:
    """The text of a file: role and hash of each token, by name."""
    tables = [f'[{name}]\nrole = "{role}"\nhash = "{told}"\n' for name, (role, told) in kept.items()]
    title = "# Tokens of makegood, as hashes. `makegood token add` and `makegood token remove` write here.\n"
    return "\n".join([title, *tables])
