"""Where a command finds what it is about: a server, or a database itself. Nothing is opened here."""

from __future__ import annotations

from dataclasses import dataclass

from makegood.app.config import load_config
from makegood.app.wiring import database_of
from makegood.cli.remote import Remote
from makegood.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which database, or which server, as the command line says."""

    config: str | None = None
    database: str | None = None
    server: str | None = None
    token: str | None = None

    @property
    def path(self) -> str:
        """What names the database.

        Raises:
            ConfigurationError: It is a server's.
        """
        if self.remote is not None:
            raise ConfigurationError("this command looks into a database itself: give --database, and no --server.")
        return database_of(load_config(self.config), self.database)

    @property
    def remote(self) -> Remote | None:
        """The server; None where a database is looked at."""
        return None if self.server is None else Remote(self.server, self.token)


def place_of(config: str | None, database: str | None, server: str | None, token: str | None) -> Place:
    """The place that options and variables name; what is written out wins over a variable.

    Raises:
        ConfigurationError: Both are named.
    """
    import os

    if server is not None and database is not None:
        raise ConfigurationError("--server and --database are two places. Give one of them.")
    if server is None and database is None:
        server = os.environ.get("MAKEGOOD_SERVER") or None
    return Place(
        config=config,
        database=database,
        server=server,
        token=token or os.environ.get("MAKEGOOD_TOKEN") or None,
    )
