"""The schema of a PostgreSQL database: made when it is empty, looked at when it is opened, upgraded on demand.

Strangers keep out: nothing of executions. Each migration is one transaction with the number it leads
to; of several processes that create or upgrade one database at once, one does it and the others see it done.
A database says which older code it serves, so that replicas of the release before come and go while it is rolled out.
"""

from __future__ import annotations

from typing import NamedTuple

from makegood.errors import StorageError, StorageVersion
from makegood.storage import migrate
from makegood.storage.postgres.failures import RecordRefused, translated
from makegood.storage.postgres.links import Link
from makegood.storage.postgres.sql import QUERIES

MIGRATIONS = migrate.migrations(__package__ or "")
SCHEMA = len(MIGRATIONS)

_STEP = """BEGIN;
LOCK TABLE makegood.schema_version IN ACCESS EXCLUSIVE MODE;
DO $check$ BEGIN
    IF (SELECT version FROM makegood.schema_version) <> {before} THEN
        RAISE EXCEPTION 'another process has changed the schema meanwhile' USING ERRCODE = '23505';
    END IF;
END $check$;
{sql}
ALTER TABLE makegood.schema_version ADD COLUMN IF NOT EXISTS serves integer;
UPDATE makegood.schema_version SET version = {number}, serves = {serves};
COMMIT;
"""
_TRIES = 20


class Found(NamedTuple):
    """What a database says of itself.

    Attributes:
        version: The number of the last migration applied.
        serves: The oldest version whose code works on it.
    """

    version: int
    serves: int


async def look(link: Link) -> Found | None:
    """The schema that there is; None when there is nothing of ours."""
    if not (await link.ask(QUERIES["has_schema"]))[0][0]:
        return None
    rows = await link.ask(QUERIES["schema_version"])
    return Found(*rows[0]) if rows else Found(0, 0)


async def prepare(link: Link, shown: str, *, create: bool) -> None:
    """See that the schema is one that this code reads and writes.

    Args:
        create: Make it when there is none.

    Raises:
        StorageVersion: It is older, or newer and does not serve this code.
        StorageError: There is none, or it cannot be made.
    """
    found = await look(link)
    if found is None and not create:
        raise StorageError(f"{shown} holds nothing of makegood. Start an engine on it first, or correct its name.")
    if found is None or (found.version == 0 and create):
        await upgrade(link, shown)
        return
    migrate.require(found.version, SCHEMA, shown, found.serves)


async def upgrade(link: Link, shown: str) -> list[migrate.Migration]:
    """Apply what is missing, in order; returns what was applied here.

    Raises:
        StorageVersion: The database is newer than this code, and does not serve it.
        StorageError: A migration failed; it left no trace, and those before it stay.
    """
    applied: list[migrate.Migration] = []
    for _ in range(_TRIES):
        found = await look(link)
        try:
            if found is None:
                await link.script(QUERIES["create_schema"])
                continue
            before, serves = found
            migrate.refuse_newer(before, SCHEMA, shown, serves)
            if before >= SCHEMA:
                return applied
            # A new database is made as a whole: another process that looks meanwhile never finds it half made.
            steps = MIGRATIONS if before == 0 else MIGRATIONS[before : before + 1]
            number, sql = steps[-1].number, "\n".join(each.sql for each in steps)
            serves = migrate.serves(MIGRATIONS[:number])
            await link.script(_STEP.format(before=before, number=number, serves=serves, sql=sql))
            applied += steps
        except RecordRefused:
            # Another process is at the same: look again how far it has come.
            continue
        except (StorageError, StorageVersion):
            raise
        except Exception as error:
            if found is None and getattr(error, "sqlstate", None) == "42P07":
                continue  # Another process has created it since we looked.
            raise translated(error, shown) from error
    raise StorageError(f"{shown}: the schema cannot be brought up to date. See which other process is changing it.")
