"""Where a service that has accepted a call tells what came of it: an address for that call alone.

The address is made from the call's idempotency key, the attempt and a secret that all servers of a database share, so
that any of them knows its own, whichever sent the call, before or after a restart. Nothing is stored.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from makegood.errors import ConfigurationError
from makegood.services.secrets import MissingSecret, resolve

HEADER = "Makegood-Callback"
SECRET_MIN = 16
_SIDES = {"do": False, "undo": True}


class Called(NamedTuple):
    """Which call an address stands for: execution, name of the step instance, and whether it is the undo."""

    execution_id: str
    step: str
    undo: bool


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The addresses of one set of servers.

    Attributes:
        url: Where services reach the servers, without the slash at its end.
        secret: `env:NAME`, `file:/path`, or the secret itself.
    """

    url: str
    secret: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ConfigurationError(f"callbacks.url = {self.url!r} is not an http:// or https:// URL with a host")

    def __repr__(self) -> str:
        return f"Callbacks(url={self.url!r}, secret='***')"

    def address(self, key: str, attempt: int) -> str:
        """Where to tell what came of this attempt of the call with this idempotency key.

        Raises:
            MissingSecret: The secret is not where it should be, or too short to be one.
        """
        place = f"{self.url.rstrip('/')}/v1/callbacks/{quote(key, safe='')}"
        return f"{place}?attempt={attempt}&token={self._token(key, attempt)}"

    def knows(self, key: str, attempt: str, token: str) -> bool:
        """Whether that address is one of ours.

        Raises:
            MissingSecret: As for `address`.
        """
        return hmac.compare_digest(self._token(key, attempt).encode(), token.encode("utf-8", "surrogatepass"))

    def _token(self, key: str, attempt: int | str) -> str:
        secret = resolve(self.secret) if self.secret.startswith(("env:", "file:")) else self.secret
        if len(secret) < SECRET_MIN:
            raise MissingSecret(f"callbacks.secret has less than {SECRET_MIN} characters")
        return hmac.new(
            secret.encode(), f"{attempt} {key}".encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()


def called(key: str) -> Called | None:
    """The call of an idempotency key (rule 15); None when it is none."""
    parts = key.split(":")
    if len(parts) != 3 or parts[2] not in _SIDES:
        return None
    return Called(parts[0], parts[1], _SIDES[parts[2]])
