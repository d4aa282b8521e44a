"""Requests as other processes leave them in the inbox, read as inputs to the core.

Strangers keep out: words and shapes are checked here, and nothing else. Whether a request is allowed
is for the core to say.
"""

from __future__ import annotations

from typing import Any, Literal

from makegood.core import inputs
from makegood.core.outcome import Reply
from makegood.core.rerunning import Rerun
from makegood.engine.starts import plain_json
from makegood.errors import InputError, NotFound
from makegood.model import LIMITS


def request_of(kind: str, body: dict[str, Any]) -> inputs.Input:
    """A request as an input to the core.

    Raises:
        NotFound: There is no such request.
        InputError: Its arguments do not fit.
    """
    if not isinstance(body, dict):
        raise InputError(f"the arguments of {kind!r} are no object")
    by, note = str(body.get("by") or ""), str(body.get("note") or "")
    match kind:
        case "cancel":
            return inputs.Cancel(by, note)
        case "suspend":
            return inputs.Suspend(by, note)
        case "resume":
            return inputs.Resume(by, note)
        case "retry":
            return inputs.Retry(by, note)
        case "compensate":
            return inputs.Compensate(by, note)
        case "resolve":
            output = plain_json(body.get("output"), LIMITS, "the output")
            return inputs.Resolve(_text(kind, body, "step"), note, by, _outcome(body.get("as")), output)
        case "halt":
            return inputs.Halt()
        case "undo":
            return inputs.Compensate("parent", parent=True)
        case "callback":
            undo = body.get("undo") is True
            attempt = body.get("attempt")
            number = attempt if isinstance(attempt, int) and not isinstance(attempt, bool) else None
            return inputs.CalledBack(_text(kind, body, "step"), undo, _reply(body), number)
        case "signal":
            return inputs.Signal(_text(kind, body, "name"), plain_json(body.get("payload"), LIMITS))
        case _:
            raise NotFound(f"there is no request {kind!r}")


def rerun_of(body: dict[str, Any]) -> tuple[Rerun, int | None]:
    """What a request for a rerun asks for, and under which version; None: the one that ran.

    Raises:
        InputError: Its arguments do not fit.
    """
    if not isinstance(body, dict):
        raise InputError("the arguments of 'rerun' are no object")
    version = body.get("version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise InputError(f"a version is a number, not {version!r}")
    return Rerun(_text("rerun", body, "from"), str(body.get("by", "")), str(body.get("note", ""))), version


def message_of(news: inputs.Input) -> tuple[str, dict[str, Any]]:
    """A request as it is left in the inbox: `request_of` reads it back."""
    match news:
        case inputs.Signal(name, payload):
            return "signal", {"name": name, "payload": payload}
        case inputs.CalledBack(step, undo, reply, attempt):
            said: dict[str, Any] = {"output": reply.output}
            if reply.outcome != "ok":
                said = {"error": {"code": reply.code, "message": reply.message, "details": reply.details}}
            return "callback", {"step": step, "undo": undo, "attempt": attempt, **said}
        case inputs.Resolve():
            body = {"by": news.by, "note": news.note, "step": news.step, "as": news.outcome, "output": news.output}
            return "resolve", body
        case inputs.Halt():
            return "halt", {}
        case inputs.Compensate(parent=True):
            return "undo", {}
        case inputs.Cancel() | inputs.Suspend() | inputs.Resume() | inputs.Retry() | inputs.Compensate():
            return type(news).__name__.lower(), {"by": news.by, "note": news.note}
        case _:
            raise AssertionError(news)


def _reply(body: dict[str, Any]) -> Reply:
    """What a service says: an output, or an error."""
    error = body.get("error")
    if error is None:
        return Reply.ok(plain_json(body.get("output"), LIMITS, "the output"))
    if not isinstance(error, dict):
        raise InputError("an error is an object of code, message and details", pointer="/error")
    details = plain_json(error.get("details"), LIMITS, "the details of the error")
    message = str(error.get("message") or "")[:_MESSAGE_MAX]
    return Reply("rejected", code=_text("error", error, "code")[:_MESSAGE_MAX], message=message, details=details)


_MESSAGE_MAX = 500


def _text(kind: str, body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise InputError(f"{kind!r} needs {name!r}, a string")
    return value


def _outcome(told: Any) -> Literal["succeeded", "failed"] | None:
    if told is None:
        return None
    if told == "succeeded":
        return "succeeded"
    if told == "failed":
        return "failed"
    raise InputError(f"a step is resolved as 'succeeded' or 'failed', not as {told!r}")
