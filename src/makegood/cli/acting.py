"""The commands that act on one execution: cancel, suspend, resume, retry, compensate, resolve, rerun, signal."""

from __future__ import annotations

import getpass
import shlex
from typing import Any

from makegood.app.config import load_config
from makegood.app.deciding import Verdict, put_request
from makegood.cli import exits
from makegood.cli.given import read_json_argument
from makegood.cli.loop import run_async
from makegood.cli.output import print_json
from makegood.cli.places import Place
from makegood.core.state import ENDS
from makegood.errors import InputError


def act(
    kind: str,
    execution_id: str,
    body: dict[str, Any],
    place: Place,
    *,
    json: bool,
) -> int:
    """Put a request before an execution, and say what came of it; the exit code.

    Who asks is the user of this process when `by` of the body is None.
    """
    asked = {**body, "by": _me() if body.get("by") is None else body["by"]}
    remote = place.remote
    if remote is not None:
        where, verdict = remote.url, remote.request(kind, execution_id, asked)
    else:
        where = place.path
        verdict = run_async(put_request(where, load_config(place.config), execution_id, kind, asked))
    if json:
        view = verdict.view
        told = {
            "id": execution_id,
            "request": kind,
            "verdict": verdict.verdict,
            "status": view["status"],
            "phase": view["phase"],
            **({"superseded_by": view["superseded_by"]} if kind == "rerun" and "superseded_by" in view else {}),
        }
        print_json(told)
    else:
        print(_sentence(kind, execution_id, verdict, where))
    return exits.COMPLETED


def signal_body(name: str, payload: str | None) -> dict[str, Any]:
    """The arguments of a signal."""
    return {"name": name, "payload": None if payload is None else read_json_argument(payload, "--payload")}


def resolve_body(step: str, note: str, outcome: str | None = None, output: str | None = None) -> dict[str, Any]:
    """The arguments of `resolve`.

    Raises:
        InputError: There is no note, the outcome is none, or the output is no JSON.
    """
    if not note.strip():
        raise InputError("--note is empty. Say how the effect was undone; it is kept in the history.")
    if outcome is None:
        if output is not None:
            raise InputError("--output belongs to --as succeeded: what an undone effect answered matters to nobody.")
        return {"step": step, "note": note}
    if outcome not in {"succeeded", "failed"}:
        raise InputError(f"--as {outcome!r} is no outcome. Use --as succeeded or --as failed.")
    return {
        "step": step,
        "note": note,
        "as": outcome,
        "output": None if output is None else read_json_argument(output, "--output"),
    }


def _sentence(kind: str, execution_id: str, verdict: Verdict, database: str) -> str:
    status = verdict.view["status"]
    halting = status == "running" and verdict.view["phase"] == "halting"
    shown = "stopping" if halting else status
    if verdict.verdict == "pending":
        return f"{kind} is pending: the engine of {database} has not decided yet. Execution {execution_id} is {shown}."
    if kind == "rerun":
        return _rerun_sentence(execution_id, verdict, database)
    if verdict.by_engine or status in ENDS or status == "suspended":
        return f"{kind} accepted: execution {execution_id} is {shown}."
    return f"{kind} accepted: execution {execution_id} is {shown}. {_no_engine(execution_id, database)}"


def _rerun_sentence(execution_id: str, verdict: Verdict, database: str) -> str:
    successor = verdict.view["superseded_by"]
    told = f"rerun accepted: execution {execution_id} goes on as {successor}."
    return told if verdict.by_engine else f"{told} {_no_engine(successor, database)}"


def _no_engine(execution_id: str, database: str) -> str:
    resumed = f"makegood run FILE --id {execution_id} --database {shlex.quote(database)}"
    return (
        f"No engine is running on {database}; "
        f"what is to be done now happens when one goes on with it, for example: {resumed}"
    )


def _me() -> str:
    """The user of this process, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
