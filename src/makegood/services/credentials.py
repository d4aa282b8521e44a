"""The `auth` of a service: which secrets prove who we are, and the header that they become.

Rule: the configuration holds references alone; values are read when a request is made, by `secrets`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from makegood.errors import ConfigurationError, nearest
from makegood.services.secrets import is_reference, resolve

_FORM = 'auth is {bearer = "env:NAME"} or {user = "...", password = "env:NAME"}'
_KEYS = ("bearer", "user", "password")


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """Who we say we are: a bearer token, or a user with a password.

    Attributes:
        bearer: Reference to the token, `env:NAME` or `file:/path`.
        user: The user's name, or a reference to it.
        password: Reference to the password.
    """

    bearer: str | None = None
    user: str | None = None
    password: str | None = None

    def __post_init__(self) -> None:
        if (self.bearer is not None) == (self.user is not None or self.password is not None):
            raise ConfigurationError(_FORM, at=("auth",))
        if self.bearer is None and (self.user is None or self.password is None):
            raise ConfigurationError("auth with a user needs a password, and a password a user", at=("auth",))
        for name in ("bearer", "password"):
            value = getattr(self, name)
            if value is not None and not is_reference(value):
                # The value is not repeated: it is a secret written in the wrong place.
                raise ConfigurationError(
                    f"auth.{name} must be env:NAME or file:/path, not the secret itself", at=("auth", name)
                )

    def header(self) -> str:
        """The value of `Authorization`, as it is now.

        Raises:
            MissingSecret: A reference leads nowhere.
            ValueError: A value cannot be sent, such as a user's name with a colon, which would end it.
        """
        if self.bearer is not None:
            return f"Bearer {resolve(self.bearer)}"
        assert self.user is not None
        assert self.password is not None
        user, password = resolve(self.user), resolve(self.password)
        if ":" in user:
            raise ValueError("auth.user: a user's name cannot have a colon in it")
        try:
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        except UnicodeEncodeError:
            # Its own message has a piece of the secret in it.
            raise ValueError("auth: the user or the password is not UTF-8") from None


def auth_from(table: Mapping[str, str]) -> Auth:
    """The `auth` of a configuration.

    Raises:
        ConfigurationError: A key is unknown, or a value is no reference.
    """
    for name in table:
        if name not in _KEYS:
            raise ConfigurationError(f"auth has no key {name!r}.{nearest(str(name), _KEYS)}", at=("auth", str(name)))
        if not isinstance(table[name], str) or not table[name]:
            raise ConfigurationError(f"auth.{name} must be a text that is not empty", at=("auth", name))
    return Auth(**table)
