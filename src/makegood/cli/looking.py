"""The commands that look: list, show, history, watch, and the definitions and state of a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from makegood.app.keeping import engines_on
from makegood.app.reading import Reading, before_of, cursor_of, event_views, path_of, reading, row_view
from makegood.cli import exits
from makegood.cli.failures import complain
from makegood.cli.loop import StopSignals, run_async
from makegood.cli.output import print_json
from makegood.cli.places import Place
from makegood.cli.progress import Follower, progress_for_stderr
from makegood.cli.running import database_option, summary_of
from makegood.cli.showing import detail_lines, history_line, page_lines, table
from makegood.cli.watching import watch_server
from makegood.core.events import Record
from makegood.core.program import Program
from makegood.core.state import ENDS, MOVING, STATUSES
from makegood.engine.observing import PAGES
from makegood.errors import InputError, nearest
from makegood.ports import Query
from makegood.storage import is_postgres, shown

POLL_S = 0.2
"""How often `watch` looks for more."""
LIMIT_MAX = 10_000
PAGE_MAX = 1_000
"""So many a server lists at once."""


def list_executions(place: Place, query: Query, cursor: str | None, *, json: bool) -> None:
    """Print executions, newest first; where the next page begins goes to stderr."""
    if query.status is not None and query.status not in STATUSES:
        raise InputError(f"--status {query.status!r}: there is no such state.{nearest(query.status, STATUSES)}")
    if not 1 <= query.limit <= LIMIT_MAX:
        raise InputError(f"--limit {query.limit}: between 1 and {LIMIT_MAX} executions are listed at once.")
    remote = place.remote
    if remote is not None:
        views, more = remote.executions(_asked(query, cursor))
    else:
        views, more = _rows(place, query, None if cursor is None else before_of(cursor))
    if json:
        print_json({"executions": views, "cursor": more})
        return
    table(("id", "workflow", "version", "status", "error_code", "business_key", "started_at", "ended_at"), views)
    if more is not None:
        complain(f"there are more; the next page: --cursor {more}")


def _asked(query: Query, cursor: str | None) -> dict[str, Any]:
    """A query as a server takes it."""
    return {
        "workflow": query.workflow, "status": query.status, "business_key": query.business_key,
        "waiting_for": query.waiting_for, "limit": min(query.limit, PAGE_MAX), "cursor": cursor,
        **{f"search.{name}": text for name, text in query.search.items()},
    }  # fmt: skip


def _rows(place: Place, query: Query, before: tuple[int, str] | None) -> tuple[list[dict[str, Any]], str | None]:
    async def rows() -> tuple[list[dict[str, Any]], str | None]:
        async with reading(place.path) as store:
            asked = replace(query, limit=query.limit + 1, before=before)
            found = await store.executions(asked)
            more = cursor_of(found[query.limit - 1]) if len(found) > query.limit else None
            return [row_view(each) for each in found[: query.limit]], more

    return run_async(rows())


def show(place: Place, execution_id: str, cursor: str | None = None, only: str | None = None, *, json: bool) -> None:
    """Print one execution, or a page of one of its lists: `only` that one; a cursor alone is of its steps."""
    if only is not None and only not in PAGES:
        raise InputError(f"--only {only!r}: there are pages of {', '.join(PAGES)}.{nearest(only, PAGES)}")
    rows = only or (None if cursor is None else "steps")

    async def view() -> dict[str, Any]:
        async with reading(place.path) as store:
            return await (store.describe(execution_id) if rows is None else store.page(execution_id, rows, cursor))

    remote = place.remote
    if remote is None:
        found = run_async(view())
    else:
        found = remote.describe(execution_id) if rows is None else remote.page(execution_id, rows, cursor)
    if json:
        print_json(found)
        return
    for line in detail_lines(found) if rows is None else page_lines(found):
        print(line)
    for each in PAGES if rows is None else (rows,):
        more = found[f"{each}_cursor" if rows is None else "cursor"]
        if more is not None:
            which = "" if each == "steps" else f"--only {each} "
            complain(f"there are more {each}; the next page: {which}--cursor {more}")


def history(place: Place, execution_id: str, *, json: bool) -> None:
    """Print the journal of one execution, an event a line."""

    def tell(view: dict[str, Any]) -> None:
        if json:
            print_json(view, indent=None)
        else:
            print(history_line(view))

    async def told() -> None:
        async with reading(place.path) as store:
            async for position, record in store.records(execution_id):
                for each in event_views(position, record):
                    tell(each)

    remote = place.remote
    if remote is None:
        run_async(told())
        return
    for each in remote.events(execution_id):
        tell(each)


def watch(place: Place, execution_id: str, *, json: bool) -> int:
    """Follow one execution to its end, from outside; the exit code is that of `run`."""
    remote = place.remote
    if remote is not None:
        return run_async(watch_server(remote, execution_id, json=json))
    return run_async(_watch(place.path, execution_id, json=json))


async def _watch(database: str, execution_id: str, *, json: bool) -> int:
    with StopSignals() as stop:
        async with reading(database) as store:

            async def program() -> Program:
                return await store.program(execution_id)

            await program()
            alone = not await engines_on(database)
            follower = None if json else Follower(progress_for_stderr(), program)
            try:
                if follower is not None:
                    follower.start(_records(store, execution_id, once=alone))
                await _until_rest(store, execution_id, stop, once=alone)
            finally:
                if follower is not None:
                    await follower.aclose(0.0 if stop.stopped else 1.0)
            view = await store.describe(execution_id)
    if stop.stopped:
        return exits.INTERRUPTED
    if json:
        print_json(view)
    else:
        complain(summary_of(view, database_option(database)))
    if alone and view["status"] not in ENDS:
        complain(
            f"no engine is running on {shown(database)}: nothing happens to this execution until one goes on with it."
        )
    return exits.exit_of(view["status"])


async def _records(store: Reading, execution_id: str, *, once: bool) -> AsyncIterator[Record]:
    """Every record there is, and unless `once` those that come, until the execution is at rest."""
    position = 0
    while True:
        at_rest = once or await _is_at_rest(store, execution_id)
        async for at, record in store.records(execution_id, position):
            position = at + 1
            yield record
        if at_rest:
            return
        await asyncio.sleep(POLL_S)


async def _is_at_rest(store: Reading, execution_id: str) -> bool:
    status = (await store.row(execution_id)).standing.status
    return status not in MOVING


async def _until_rest(store: Reading, execution_id: str, stop: StopSignals, *, once: bool) -> None:
    while not stop.stopped and not await _is_at_rest(store, execution_id) and not once:
        try:
            await asyncio.wait_for(stop.wait(), POLL_S)
        except TimeoutError:
            continue


# --- definitions ---


def list_workflows(place: Place, *, json: bool) -> None:
    """Print the newest version of every workflow."""

    async def found() -> list[dict[str, Any]]:
        async with reading(place.path) as store:
            return [
                {"name": each.name, "version": each.version, "description": each.tree.get("description", "")}
                for each in await store.definitions()
            ]

    remote = place.remote
    views = run_async(found()) if remote is None else [_workflow(each) for each in remote.workflows()]
    if json:
        print_json(views)
    else:
        table(("name", "version", "description"), views)


def show_workflow(place: Place, name: str, version: int | None) -> None:
    """Print one version of a definition as JSON."""

    async def tree() -> Any:
        async with reading(place.path) as store:
            found = await store.definition(name, version)
            return {**found.tree, "version": found.version}

    remote = place.remote
    print_json(run_async(tree()) if remote is None else remote.workflow(name, version))


def _workflow(view: dict[str, Any]) -> dict[str, Any]:
    return {name: view[name] for name in ("name", "version", "description")}


# --- the database ---


def database_status(place: Place, *, json: bool) -> None:
    """Print what is known of the database."""
    database = place.path

    async def look() -> tuple[dict[str, int], list[str]]:
        async with reading(database) as store:
            return await store.statuses(LIMIT_MAX), await engines_on(database)

    executions, engines = run_async(look())
    where = shown(database) if is_postgres(database) else path_of(database)
    if json:
        engine = None if not engines else ", ".join(engines)
        print_json({"database": where, "engine": engine, "engines": engines, "executions": executions})
        return
    print(f"database    {where}")
    print(f"engine      {', '.join(engines) or 'none is running'}")
    told = ", ".join(f"{count}{'+' if count == LIMIT_MAX else ''} {status}" for status, count in executions.items())
    print(f"executions  {told or 'none'}")
