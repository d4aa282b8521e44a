"""`makegood run`: one execution from a file, from start or resume to its end, with progress on the way."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from makegood.app.config import load_config
from makegood.app.contracts import Contracts, contracts_of, load_held
from makegood.app.wiring import database_of, engine_of, registry_of
from makegood.cli import exits
from makegood.cli.failures import complain
from makegood.cli.given import read_duration_s, read_json_argument, read_services
from makegood.cli.logs import Warnings
from makegood.cli.loop import StopSignals, run_async
from makegood.cli.output import print_json
from makegood.cli.progress import Follower, progress_for_stderr
from makegood.cli.showing import uncompensated_line
from makegood.core.program import Program
from makegood.core.state import State, instance_name
from makegood.core.view import describe
from makegood.engine.client import Engine
from makegood.engine.starting import new_id
from makegood.engine.starts import checked_id, plain_json
from makegood.errors import Conflict, DefinitionError, NotFound, Problem, StorageError, nearest
from makegood.language import Loaded
from makegood.language.files import name_from, read_definition
from makegood.model import LIMITS, Definition
from makegood.storage import is_postgres, shown, sqlite_path

DRAWN_S = 1.0
"""How long the last records may take to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for; None is what was not given."""

    file: str
    input: str | None = None
    config: str | None = None
    services: Sequence[str] = ()
    id: str | None = None
    database: str | None = None
    timeout: str | None = None
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The same, read and checked."""

    wish: Wish
    id: str
    definition: Definition | DefinitionError
    input: Any
    input_given: bool
    timeout_s: float | None
    services: frozenset[str]
    database: str


@dataclass(frozen=True, slots=True)
class _Rest:
    """How it came to rest, or did not: the view, and whether a signal or the timeout came first."""

    view: dict[str, Any]
    stopped: bool = False
    timed_out: bool = False


def run(wish: Wish) -> int:
    """Do what `makegood run` does; the exit code.

    Raises:
        MakegoodError: Nothing was started, or the database failed on the way.
    """
    config = load_config(wish.config)
    registry = registry_of(config, read_services(list(wish.services)))
    database = database_of(config, wish.database)
    timeout_s = None if wish.timeout is None else read_duration_s(wish.timeout, "--timeout")
    if wish.id is not None:
        checked_id(wish.id)
    contracts = contracts_of(config, registry)
    definition = _definition(wish, frozenset(registry.names()), database, contracts)
    given = None if wish.input is None else read_json_argument(wish.input, "--input")
    plan = _Plan(
        wish=wish,
        id=wish.id or new_id(),
        definition=definition,
        input=plain_json(given, LIMITS),
        input_given=wish.input is not None,
        timeout_s=timeout_s,
        services=frozenset(registry.names()),
        database=database,
    )
    engine = engine_of(config, registry, database, only=(plan.id,))
    rest = run_async(_run(engine, plan, contracts))
    return _finish(plan, rest)


def _definition(
    wish: Wish, services: frozenset[str], database: str, contracts: Contracts
) -> Definition | DefinitionError:
    """The file's definition; its mistakes are kept for later where a stored one may take its place."""
    try:
        raw = read_definition(wish.file)
        known = {"source": wish.file, "name": name_from(wish.file), "services": services}
        loaded: Loaded = run_async(load_held(raw, contracts, **known))
    except DefinitionError as error:
        path = None if is_postgres(database) else sqlite_path(database)
        there = is_postgres(database) or (path is not None and os.path.exists(path))
        if any(problem.code == "unknown_service" for problem in error.problems):
            error.add_note("Services are given as --service NAME=URL, or as [services.NAME] in makegood.toml.")
        if wish.id is None or not there:
            raise
        return error
    for warning in loaded.warnings:
        complain(warning.located(wish.file))
    return loaded.definition


# --- the execution ---


async def _run(engine: Engine, plan: _Plan, contracts: Contracts) -> _Rest:
    with StopSignals() as stop, Warnings():
        await contracts.follow()
        async with engine:
            earlier = await _earlier(engine, plan)
            if earlier is not None and (earlier.ended or earlier.status == "suspended"):
                return _Rest(describe(earlier))
            follower = _follower(engine, plan, earlier)
            patience_s = 0.0
            try:
                await _set_going(engine, plan, earlier)
                rest = await _until_rest(engine, plan, stop)
                patience_s = 0.0 if rest.stopped or rest.timed_out else DRAWN_S
                return rest
            except StorageError as error:
                error.add_note(f"Once that is mended, execution {plan.id} goes on with:\n  {_again(plan)}")
                raise
            finally:
                if follower is not None:
                    await follower.aclose(patience_s)


async def _earlier(engine: Engine, plan: _Plan) -> State | None:
    """The execution of that id, if there is one and it is the one that is meant."""
    if plan.wish.id is None:
        return None
    try:
        state = await engine.state_of(plan.id)
    except NotFound:
        return None
    _check_same(state, plan)
    missing = sorted(state.program.services - plan.services)
    if missing and not state.ended:
        raise DefinitionError(
            [
                Problem(
                    f"execution {plan.id!r} needs the service {name!r}, which is not known here."
                    f"{nearest(name, plan.services)} Add --service {name}=URL, or [services.{name}] to makegood.toml.",
                    code="unknown_service",
                )
                for name in missing
            ],
            plan.wish.file,
        )
    return state


def _check_same(state: State, plan: _Plan) -> None:
    """Warn of an edited file; refuse another workflow or another input.

    Raises:
        Conflict: The id belongs to something else.
    """
    found = plan.definition
    if isinstance(found, Definition) and found.name != state.workflow:
        raise Conflict(
            f"execution {plan.id!r} belongs to workflow {state.workflow!r}, and {plan.wish.file} defines "
            f"{found.name!r}. Use another --id, or the file it was started with.",
            existing=plan.id,
        )
    if plan.input_given and plan.input != state.input:
        raise Conflict(
            f"execution {plan.id!r} exists with another input. Use another --id for this input, "
            "or leave --input out to go on with the one it has.",
            existing=plan.id,
        )
    if isinstance(found, DefinitionError):
        complain(f"warning: {plan.wish.file} has mistakes and is ignored: version {state.version} goes on. {found}")
    elif found.tree != state.program.definition.tree:
        complain(
            f"warning: {plan.wish.file} has changed since execution {plan.id!r} was started and is ignored: "
            f"it goes on with version {state.version} of {state.workflow!r}. Use another --id to run the new one."
        )


def _follower(engine: Engine, plan: _Plan, earlier: State | None) -> Follower | None:
    """Has everything shown that happens from now on; nothing with `--json`."""
    if plan.wish.json:
        return None

    async def program() -> Program:
        return (await engine.state_of(plan.id)).program

    follower = Follower(progress_for_stderr(), program, earlier)
    follower.start(engine.watch(plan.id))
    return follower


async def _set_going(engine: Engine, plan: _Plan, earlier: State | None) -> None:
    if earlier is not None:
        await engine.resume()
        return
    if isinstance(plan.definition, DefinitionError):
        raise plan.definition
    await engine.start(plan.definition, plan.input, id=plan.id)


async def _until_rest(engine: Engine, plan: _Plan, stop: StopSignals) -> _Rest:
    """Wait for the end, a suspension, a signal or the timeout, whichever comes first."""
    end = asyncio.ensure_future(engine.end(plan.id))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([end, stopped], timeout=plan.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            return _Rest(end.result())
        view = await engine.describe(plan.id)
        return _Rest(view, stopped=stopped.done(), timed_out=not stopped.done())
    finally:
        for each in (end, stopped):
            each.cancel()
        await asyncio.gather(end, stopped, return_exceptions=True)


# --- what is said at the end ---


def _finish(plan: _Plan, rest: _Rest) -> int:
    """Print the result, say how to go on; the exit code."""
    view = rest.view
    if rest.stopped:
        complain(f"interrupted; execution {plan.id} is {view['status']} and goes on with:\n  {_again(plan)}")
    elif rest.timed_out:
        complain(
            f"execution {plan.id} is still {view['status']} after {plan.wish.timeout} "
            f"and goes on with:\n  {_again(plan)}"
        )
    elif not plan.wish.json:
        complain(summary_of(view, database_option(plan.database)))
    if plan.wish.json:
        print_json(view)
    elif view["status"] == "completed":
        print_json(view["output"])
    return exits.INTERRUPTED if rest.stopped else exits.exit_of(view["status"])


def summary_of(view: dict[str, Any], place: str) -> str:
    """How an execution ended, why, and what is left to do, in a few lines.

    Args:
        place: The option that says where it is, for the commands that are named.
    """
    lines = [f"execution {view['id']} {view['status'].replace('_', ' ')}"]
    error, stopped = view["error"], view.get("suspended")
    if stopped is not None:
        lines[0] += f" ({stopped['reason']})" + (f": {stopped['note']}" if stopped["note"] else "")
    if error is not None:
        at = f"step {error['step']}: " if error["step"] else ""
        lines[0] += f"; the cause: {at}{error['code']}" + (f": {error['message']}" if error["message"] else "")
    if view["uncompensated_steps"]:
        lines.append(uncompensated_line(view))
    where = f"{view['id']} {place}"
    if view["status"] == "compensation_failed":
        undone = [each for each in view["compensations"] if each["status"] == "failed"]
        lines += [f"undo of {each['step']} failed: {(each['error'] or {}).get('code', '')}" for each in undone]
        if view["compensations_cursor"] is not None:
            lines.append(f"there may be more: makegood show {where} --only compensations")
        lines.append(
            f"try again: makegood retry {where}; or declare one undone: makegood resolve {where} STEP --note WHY"
        )
    if "superseded_by" in view:
        lines.append(f"it goes on as {view['superseded_by']}: makegood watch {view['superseded_by']}")
    if view["status"] == "suspended":
        lines.append(f"let it go on: makegood resume {where}")
        if stopped is not None and stopped["reason"] in {"pivot_unknown", "after_pivot"}:
            lines.append(
                f"or settle it yourself: makegood resolve {where} {_step_to_settle(view)} --as succeeded --note WHY"
            )
    return "\n".join(lines)


def _step_to_settle(view: dict[str, Any]) -> str:
    """The step that waits for a person, or STEP where it is not clear which one does."""
    found = [each for each in view["steps"] if each["kind"] == "call" and each["forward"] in {"running", "unknown"}]
    return shlex.quote(instance_name(found[0]["step"], found[0]["iteration"])) if len(found) == 1 else "STEP"


def database_option(database: str) -> str:
    """`--database PATH`, for the shell."""
    return f"--database {shlex.quote(shown(database))}"


def _again(plan: _Plan) -> str:
    """The command that goes on with this execution."""
    wish = plan.wish
    words = ["makegood", "run", wish.file, "--id", plan.id]
    for option, value in (("--config", wish.config), ("--database", wish.database and shown(wish.database))):
        words += [option, value] if value is not None else []
    for service in wish.services:
        words += ["--service", service]
    return shlex.join(words)
