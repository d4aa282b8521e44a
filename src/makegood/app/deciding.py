"""Putting a request before an execution from outside: `cancel`, `retry` and kin.

Where an engine holds the database, the request goes into its inbox and the engine decides. Where none
does, the request is decided here, under the engine's lock, and nothing is sent to any service.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from makegood.app.config import Config
from makegood.app.keeping import engines_on
from makegood.app.reading import path_of, reading
from makegood.app.wiring import settings_of
from makegood.engine.client import Engine
from makegood.engine.definitions import check_payload
from makegood.engine.verdicts import refusal_of
from makegood.errors import NotFound, StorageHeld, nearest
from makegood.model import SignalStep
from makegood.ports import Slot
from makegood.services import Registry
from makegood.storage import is_postgres, open_store
from makegood.storage.sqlite import SqliteInbox

WAIT_S = 5.0
"""How long an engine's verdict is awaited."""
LOOK_S = 0.1
"""How often it is looked for on a PostgreSQL database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a request.

    Attributes:
        verdict: `accepted`; or `pending` where the engine has not decided yet.
        by_engine: Whether an engine holds the database and goes on with the execution.
        view: The execution afterwards.
    """

    verdict: Literal["accepted", "pending"]
    by_engine: bool
    view: dict[str, Any]


class _Closed(Registry):
    """Knows every service and has no place at any: what is decided under it is journaled, and nothing is sent."""

    def offers(self, service: str) -> bool:
        """Every service is known to somebody."""
        return bool(service)

    def reserve(self, service: str) -> Slot:
        """There is never a place."""
        return Slot.BUSY if service else Slot.MISSING


async def put_request(database: str, config: Config, execution_id: str, kind: str, body: dict[str, Any]) -> Verdict:
    """Put a request before an execution.

    Args:
        database: A SQLite file, or a PostgreSQL database.
        config: What an engine would decide by.
        execution_id: Which execution.
        kind: `cancel`, `suspend`, `resume`, `retry`, `compensate`, `resolve`, `signal` or `rerun`.
        body: Its arguments, as the inbox keeps them.

    Raises:
        NotFound: There is no such execution.
        Refused: Its state does not allow the request; nothing was changed.
        InputError: A signal's payload does not fit.
        StorageError: The database cannot be used.
    """
    async with reading(database) as store:
        program = await store.program(execution_id)
    if kind == "signal":
        steps = [node.step for node in program.nodes if isinstance(node.step, SignalStep)]
        _check_signal(steps, body)
    if not await engines_on(database):
        try:
            return await _decided_here(database, config, execution_id, kind, body)
        except StorageHeld:
            # An engine has come up meanwhile: it decides.
            pass
    return await _decided_there(database, execution_id, kind, body)


async def start_here(database: str, config: Config, workflow: str, given: Any, **options: Any) -> dict[str, Any]:
    """Start an execution in a database that no engine holds: it goes on when one does.

    Args:
        given: The input.
        options: What `Engine.start` takes besides.

    Returns:
        The execution.

    Raises:
        StorageHeld: An engine holds the database: it is the one to ask.
        MakegoodError: As `Engine.start`.
    """
    async with _closed_engine(database, config) as engine:
        execution = await engine.start(workflow, given, **options)
        return await engine.observer.whole(execution.id)


def _closed_engine(database: str, config: Config) -> Engine:
    return Engine(database, settings=settings_of(config), only=(), drain_seconds=0.0, registry=_Closed())


def _check_signal(steps: list[SignalStep], body: dict[str, Any]) -> None:
    names = {step.signal for step in steps}
    if body["name"] not in names:
        raise NotFound(f"no step of the definition waits for signal {body['name']!r}.{nearest(body['name'], names)}")
    check_payload(steps, body["name"], body["payload"])


async def _decided_here(database: str, config: Config, execution_id: str, kind: str, body: dict[str, Any]) -> Verdict:
    async with _closed_engine(database, config) as engine:
        by, note = body.get("by", ""), body.get("note", "")
        match kind:
            case "cancel":
                await engine.cancel(execution_id, by=by, note=note)
            case "suspend":
                await engine.suspend(execution_id, by=by, note=note)
            case "resume":
                await engine.resume_execution(execution_id, by=by, note=note)
            case "retry":
                await engine.retry(execution_id, by=by, note=note)
            case "compensate":
                await engine.compensate(execution_id, by=by, note=note)
            case "resolve":
                outcome, output = body.get("as"), body.get("output")
                await engine.resolve(execution_id, body["step"], note=note, by=by, outcome=outcome, output=output)
            case "rerun":
                await engine.rerun(execution_id, body["from"], version=body.get("version"), by=by, note=note)
            case "signal":
                await engine.signal(execution_id, body["name"], body["payload"])
            case _:
                raise NotFound(f"there is no request {kind!r}")
        return Verdict(verdict="accepted", by_engine=False, view=await engine.describe(execution_id))


async def _decided_there(database: str, execution_id: str, kind: str, body: dict[str, Any]) -> Verdict:
    told = await (_asked_postgres if is_postgres(database) else _asked_file)(database, execution_id, kind, body)
    if told:
        raise refusal_of(told)
    async with reading(database) as store:
        view = await store.describe(execution_id)
    return Verdict(verdict="pending" if told is None else "accepted", by_engine=True, view=view)


async def _asked_file(database: str, execution_id: str, kind: str, body: dict[str, Any]) -> str | None:
    inbox = SqliteInbox(path_of(database))
    number = await asyncio.to_thread(inbox.put, execution_id, kind, body)
    return await asyncio.to_thread(inbox.wait, number, WAIT_S)


async def _asked_postgres(database: str, execution_id: str, kind: str, body: dict[str, Any]) -> str | None:
    store = open_store(database, exclusive=False)
    try:
        number = await store.put_request(execution_id, kind, body)
        for _ in range(round(WAIT_S / LOOK_S)):
            if (told := await store.verdict(number)) is not None:
                return told
            await asyncio.sleep(LOOK_S)
        return None
    finally:
        await store.aclose()
