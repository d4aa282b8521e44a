"""Numbered migrations: read in order, each applied in one transaction with the number it leads to.

Strangers keep out: no driver is imported here; an adapter lends its database as `Schema`. Files are
named `0001_words.sql`, numbers without gaps. A released file never changes. A migration is forward
compatible by one release: it adds, and the release after the next removes. One that removes says in its
first line which code the database serves from then on: `-- serves: 3` is code that knows migration 3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

from makegood.errors import StorageVersion

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_SERVES = re.compile(r"-- serves: (\d+)\n")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: from `number - 1` to `number`."""

    number: int
    name: str
    sql: str

    @property
    def serves(self) -> int:
        """The oldest schema whose code works on this one too, as far as this step goes."""
        said = _SERVES.match(self.sql)
        return int(said[1]) if said else 1


class Schema(Protocol):
    """A database that can be migrated."""

    def version(self) -> int:
        """The number of the last migration applied, 0 for none."""
        ...

    def apply(self, migration: Migration) -> None:
        """Run the script and set the number, in one transaction."""
        ...


def migrations(package: str) -> tuple[Migration, ...]:
    """The migrations in the folder `migrations` of a package, in order."""
    found = []
    for each in resources.files(package).joinpath("migrations").iterdir():
        match = _NAME.fullmatch(each.name)
        if match:
            found.append(Migration(int(match[1]), match[2], each.read_text("utf-8")))
    found.sort(key=lambda each: each.number)
    if [each.number for each in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {package} are not numbered without gaps")
    return tuple(found)


def serves(steps: Sequence[Migration]) -> int:
    """The oldest schema whose code works on the one that these steps lead to."""
    return max(each.serves for each in steps)


def upgrade(schema: Schema, steps: Sequence[Migration], where: str) -> list[Migration]:
    """Apply what is missing, in order; returns what was applied.

    Raises:
        StorageVersion: The database is newer than this code.
    """
    version = schema.version()
    refuse_newer(version, len(steps), where)
    missing = list(steps[version:])
    for each in missing:
        schema.apply(each)
    return missing


def require(version: int, newest: int, where: str, oldest: int | None = None) -> None:
    """Refuse a schema that this code does not work on.

    Args:
        oldest: The oldest schema whose code it serves; None when it serves its own alone.

    Raises:
        StorageVersion: It is older, or newer and does not serve this code.
    """
    refuse_newer(version, newest, where, oldest)
    if version < newest:
        raise StorageVersion(
            f"{where} has schema {version}, and this version of makegood needs {newest}. "
            "Make a copy of it, stop its engine and run `makegood db upgrade`."
        )


def refuse_newer(version: int, newest: int, where: str, oldest: int | None = None) -> None:
    """Refuse a schema from a later release that does not serve this one. Raises StorageVersion."""
    if version > newest and (oldest is None or oldest > newest):
        raise StorageVersion(
            f"{where} has schema {version}, which is newer than the {newest} that this version of makegood knows. "
            "Upgrade makegood; the database was left as it is."
        )
