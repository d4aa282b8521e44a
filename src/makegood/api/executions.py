"""What is asked of executions: start, look, follow, act. Thin: the engine decides, its words are passed on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from makegood.api.answers import Answer, Stream
from makegood.api.asked import Asked, Handler
from makegood.api.bodies import shaped
from makegood.api.problems import bad_request
from makegood.api.shapes import Request, RerunExecution, ResolveStep, StartExecution
from makegood.app.reading import before_of, cursor_of, event_views, row_view
from makegood.core.events import Record
from makegood.engine.handle import Execution
from makegood.engine.observing import whole
from makegood.engine.repeats import id_of, reused
from makegood.engine.requests import request_of
from makegood.errors import Conflict, DefinitionError, InputError, MakegoodError, StorageError
from makegood.ports import Query

PAGE_BYTES = 4 * 1024 * 1024
"""A page of a journal ends when it has grown beyond this."""
RECORDS_AT_ONCE = 64
QUIET_S = 15.0
"""So long nothing is said in a stream; then a comment, so that nobody takes it for dead."""
_EVENT_ID = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")
_encode = msgspec.json.encode


# --- starting ----------------------------------------------------------------------------------


async def start(asked: Asked) -> Answer:
    """Start an execution; answer when that is durable, or at its end."""
    try:
        execution = await _begun(asked)
    except DefinitionError as error:
        if all(problem.code != "unknown_service" for problem in error.problems):
            raise
        # Perhaps it was put at another replica a moment ago.
        await asked.server.services.refresh()
        execution = await _begun(asked)
    await _rest(asked, execution.id)
    view = execution.seen or await asked.server.engine.observer.whole(execution.id)
    location = {"Location": f"/v1/executions/{execution.id}"}
    return Answer(200 if execution.resumed else 201, view, headers=location)


async def _begun(asked: Asked) -> Execution:
    body: StartExecution = shaped(asked.body, StartExecution)
    derived = body.id is None and asked.key is not None
    execution_id = id_of(asked.key) if derived and asked.key is not None else body.id
    try:
        return await asked.server.engine.start(
            body.workflow,
            body.input,
            id=execution_id,
            version=body.version,
            business_key=body.business_key,
            search=body.search,
            once=None if derived or asked.key is None else asked.once(asked.body),
            look=None if asked.parameters["wait"] else whole,
        )
    except Conflict as conflict:
        if derived and conflict.code == "id_taken":
            raise reused() from conflict
        raise


async def _rest(asked: Asked, execution_id: str) -> None:
    """Wait for the end, or for a suspension, as long as was asked for."""
    wait_ms = asked.parameters.get("wait")
    if not wait_ms:
        return
    try:
        await asked.server.traffic.or_draining(asked.server.engine.end(execution_id), wait_ms / 1000)
    except StorageError:
        raise
    except MakegoodError:
        # It cannot go on here: how it stands is the answer.
        return


# --- looking -----------------------------------------------------------------------------------


async def list_(asked: Asked) -> Answer:
    """A page of executions, newest first."""
    given = asked.parameters
    query = Query(
        workflow=given["workflow"],
        status=given["status"],
        business_key=given["business_key"],
        started_after_ms=given["started_after"],
        limit=given["limit"] + 1,
        before=None if given["cursor"] is None else _before(given["cursor"]),
        search=given["search"],
        waiting_for=given["waiting_for"],
    )
    found = await asked.server.engine.observer.executions(query)
    page = found[: given["limit"]]
    more = cursor_of(page[-1]) if len(found) > len(page) else None
    return Answer(200, {"executions": [row_view(each) for each in page], "cursor": more})


def _before(cursor: str) -> tuple[int, str]:
    try:
        return before_of(cursor)
    except InputError as error:
        raise bad_request(f"The parameter 'cursor': {error}") from None


async def show(asked: Asked) -> Answer:
    """The whole execution, at its end if so asked."""
    execution_id = asked.path["id"]
    if asked.parameters["wait"]:
        await asked.server.engine.observer.row(execution_id)
        await _rest(asked, execution_id)
    return Answer(200, await asked.server.engine.observer.whole(execution_id))


def paged(rows: str) -> Handler:
    """What answers with a page of one of its lists."""

    async def page(asked: Asked) -> Answer:
        cursor, limit = asked.parameters["cursor"], asked.parameters["limit"]
        try:
            return Answer(200, await asked.server.engine.observer.page(asked.path["id"], rows, cursor, limit))
        except InputError as error:
            raise bad_request(f"The parameter 'cursor': {error}") from None

    return page


async def history(asked: Asked) -> Answer:
    """A page of its journal: so many records at most, each with all its events."""
    first = at = _place(asked.parameters["cursor"])
    left = asked.parameters["limit"]
    events: list[Any] = []
    size = 0
    observer = asked.server.engine.observer
    while left > 0 and size < PAGE_BYTES:
        asked_for = min(left, RECORDS_AT_ONCE)
        records = await observer.records(asked.path["id"], at, asked_for)
        for record in records:
            views = list(event_views(at, record))
            size += len(_encode(views))
            events += views
            at += 1
            left -= 1
            if size >= PAGE_BYTES:
                break
        if len(records) < asked_for:
            break
    there = (await observer.row(asked.path["id"])).positions
    return Answer(200, {"events": events, "cursor": str(at) if first < at < there else None})


def _place(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 9):
        raise bad_request(f"The parameter 'cursor': {cursor[:100]!r} is none that a page gave.")
    return int(cursor)


async def events(asked: Asked) -> Answer | Stream:
    """Its journal, live: each event as a server-sent one, from the one after `Last-Event-ID`."""
    execution_id = asked.path["id"]
    position, index = _after(asked.head.get(b"last-event-id"))
    stored = await asked.server.engine.observer.row(execution_id)
    if stored.standing.ended_at_ms is not None and position >= stored.positions:
        # All was told: by this answer a browser knows not to come again.
        return Answer(204)
    return Stream(_told(asked, execution_id, position, index))


def _after(told: str | None) -> tuple[int, int]:
    """Position of the record to begin with, and how many of its events were told before."""
    if told is None:
        return 0, 0
    position, _, index = told.partition(".")
    if _EVENT_ID.fullmatch(told) is None:
        raise bad_request(f"Last-Event-ID {told[:100]!r} is none that was told here.")
    return int(position), int(index) + 1


async def _told(asked: Asked, execution_id: str, position: int, skipped: int) -> AsyncIterator[bytes]:
    traffic = asked.server.traffic
    records = asked.server.engine.observer.follow(execution_id, position)
    coming: Any = None
    yield b": the journal of one execution\n\n"
    try:
        while True:
            # Also when there is nothing to say for a while, the same one is waited for.
            coming = coming or asyncio.ensure_future(_next(records))
            found = await traffic.or_draining(asyncio.shield(coming), QUIET_S)
            if found is None and not coming.done():
                if traffic.draining.is_set():
                    return
                yield b": nothing new\n\n"
                continue
            coming = None
            if found is None:
                return
            at, record = found
            for number, view in enumerate(event_views(at, record)):
                if number >= skipped:
                    yield b"id: %d.%d\ndata: %s\n\n" % (at, number, _encode(view))
            skipped = 0
    except MakegoodError:
        # The server stops, or the database is gone: whoever follows comes again with the last id.
        return
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await records.aclose()  # type: ignore[attr-defined]


async def _next(records: AsyncIterator[tuple[int, Record]]) -> tuple[int, Record] | None:
    return await anext(records, None)


# --- acting ------------------------------------------------------------------------------------


def act(kind: str) -> Any:
    """The handler of a request without arguments of its own: cancel, suspend, resume, retry, compensate."""

    async def handler(asked: Asked) -> Answer:
        body: Request = shaped(asked.body, Request)
        return await _request(asked, kind, {"note": body.note, "by": body.by})

    return handler


async def resolve(asked: Asked) -> Answer:
    """Declare an undo done by other means, or a step settled."""
    body: ResolveStep = shaped(asked.body, ResolveStep)
    if body.output is not None and body.as_ != "succeeded":
        raise InputError("an output belongs to `as: succeeded`.", pointer="/output")
    return await _request(
        asked, "resolve", {"step": body.step, "note": body.note, "as": body.as_, "output": body.output}
    )


async def rerun(asked: Asked) -> Answer:
    """Have a failed execution go on from a step, as a new one."""
    body: RerunExecution = shaped(asked.body, RerunExecution)
    engine, execution_id = asked.server.engine, asked.path["id"]
    by = body.by if asked.server.tokens is None else asked.who.name
    once = asked.once(asked.body)
    if once is not None and (done := await engine.repeats.done(once)) is not None:
        successor = done.answer
    else:
        made = await engine.rerun(execution_id, body.from_, version=body.version, by=by, note=body.note)
        successor = made.id
        if once is not None:
            await engine.repeats.keep(once, successor)
    answer = await verdict_view(asked, execution_id, "rerun", "accepted")
    return Answer(202, {**answer, "superseded_by": successor}, headers={"Location": f"/v1/executions/{successor}"})


async def signal(asked: Asked) -> Answer:
    """Send a signal: the body is its payload."""
    return await _request(asked, "signal", {"name": asked.path["name"], "payload": asked.body})


async def _request(asked: Asked, kind: str, arguments: dict[str, Any]) -> Answer:
    engine, execution_id = asked.server.engine, asked.path["id"]
    news = request_of(kind, arguments if asked.server.tokens is None else {**arguments, "by": asked.who.name})
    verdict = await engine.request(execution_id, news, once=asked.once(arguments))
    return Answer(202, await verdict_view(asked, execution_id, kind, verdict))


async def verdict_view(asked: Asked, execution_id: str, kind: str, verdict: str) -> dict[str, Any]:
    """What is told of a request, and how the execution stands then."""
    standing = (await asked.server.engine.observer.row(execution_id)).standing
    return {
        "id": execution_id,
        "request": kind,
        "verdict": verdict,
        "pending": verdict == "pending",
        "status": standing.status,
        "phase": standing.phase,
    }
