"""A verdict on a request, as it is left for whoever asked in another process, and read there.

Strangers keep out: where it is kept. An asker hears the same as if it had asked the owner itself.
"""

from __future__ import annotations

from typing import Any

import msgspec

from makegood.errors import Conflict, InputError, MakegoodError, NotFound, Refused


def verdict_of(error: Exception) -> str:
    """The text to leave for a request that was refused."""
    told: dict[str, Any] = {"message": str(error) or repr(error)}
    match error:
        case Refused():
            told |= {"kind": "refused", "code": error.code, "status": error.status}
        case Conflict():
            told |= {"kind": "conflict", "code": error.code, "existing": error.existing}
        case NotFound():
            told |= {"kind": "not_found"}
        case InputError():
            told |= {"kind": "input", "pointer": error.pointer}
        case _:
            pass
    return msgspec.json.encode(told).decode()


def refusal_of(text: str) -> MakegoodError:
    """The error that a text stands for; one that is none of ours is why it was refused, in words."""
    try:
        told = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return Refused(text)
    if not isinstance(told, dict) or not isinstance(told.get("message"), str):
        return Refused(text)
    message = told["message"]
    match told.get("kind"):
        case "not_found":
            return NotFound(message)
        case "input":
            return InputError(message, pointer=str(told.get("pointer") or ""))
        case "conflict":
            return Conflict(message, code=str(told.get("code")), existing=told.get("existing"))
        case "refused":
            return Refused(message, code=str(told.get("code")), status=told.get("status"))
        case _:
            return Refused(message)
