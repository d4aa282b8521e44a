"""A PostgreSQL database as a whole: brought up to date, looked at, and rid of what ended long ago.

Strangers keep out: nothing of executions that live. All of it may be done while engines are running.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from makegood.errors import MakegoodError
from makegood.storage.postgres import schema
from makegood.storage.postgres.dsn import target_of
from makegood.storage.postgres.failures import Lost, translated
from makegood.storage.postgres.links import Link
from makegood.storage.postgres.sql import QUERIES

FAMILIES = 200
"""Executions with their children that one statement deletes."""


@dataclass(frozen=True, slots=True)
class State:
    """What there is.

    Attributes:
        version: Of the schema; None when there is none.
        newest: The one that this code reads and writes.
        workers: Those that are alive, as people call them.
        statuses: How many executions there are in each state.
    """

    version: int | None
    newest: int
    workers: tuple[str, ...]
    statuses: dict[str, int]


async def upgrade(dsn: str) -> list[str]:
    """Bring the schema up to date, or make it; the names of what was applied.

    Raises:
        StorageVersion: The database is newer than this code.
        StorageError: It cannot be reached or changed; what was not applied left no trace.
    """
    target = target_of(dsn)
    link = Link(target)
    try:
        applied = await schema.upgrade(link, target.shown)
    except MakegoodError:
        raise
    except Exception as error:
        raise translated(error, target.shown) from error
    finally:
        await link.aclose()
    return [f"{each.number:04} {each.name}" for each in applied]


async def state(dsn: str) -> State:
    """What there is. Raises StorageError when it cannot be reached."""
    target = target_of(dsn)
    link = Link(target)
    try:
        found = await schema.look(link)
        version = None if found is None else found.version
        if not version:
            return State(version, schema.SCHEMA, (), {})
        workers = tuple(f"{row[1]} (worker {row[0]})" for row in await link.ask(QUERIES["living"]))
        statuses = {row[0]: row[1] for row in await link.ask(QUERIES["statuses"])}
        return State(version, schema.SCHEMA, workers, statuses)
    except MakegoodError:
        raise
    except Exception as error:
        raise translated(error, target.shown) from error
    finally:
        await link.aclose()


async def purge(dsn: str, before_ms: int) -> int:
    """Delete executions that ended before then, with all that belongs to them; how many.

    A child goes with its root, and no family goes of which somebody lives. Their ids are free afterwards.

    Raises:
        StorageError: The database cannot be reached, or has another schema; what was deleted stays deleted.
    """
    target = target_of(dsn)
    link = Link(target)
    deleted: int = 0
    try:
        await schema.prepare(link, target.shown, create=False)
        while True:
            begun_s = time.monotonic()
            try:
                roots, executions = (await link.ask(QUERIES["purge"], before_ms, FAMILIES))[0]
            except Lost:
                # What it deleted is not counted; whatever it did not is found again.
                continue
            deleted += int(executions)
            if roots < FAMILIES:
                return deleted
            # As long as it took: whoever works here has half of the database's time at least.
            await asyncio.sleep(time.monotonic() - begun_s)
    except MakegoodError:
        raise
    except Exception as error:
        raise translated(error, target.shown) from error
    finally:
        await link.aclose()
