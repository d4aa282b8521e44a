"""From an error to a problem document (RFC 9457). The one place that knows which error has which status."""

from __future__ import annotations

import traceback
from typing import Any

from makegood.api.answers import PROBLEM, Answer
from makegood.engine.log import log, names
from makegood.errors import (
    ConfigurationError,
    Conflict,
    DefinitionError,
    Fenced,
    InputError,
    MakegoodError,
    NotFound,
    Refused,
    StorageError,
)

TITLES = {
    400: "The request cannot be read",
    401: "A token is needed",
    403: "The token's role does not allow it",
    404: "Not found",
    405: "The method is not allowed here",
    409: "It conflicts with what there is",
    413: "The body is too large",
    415: "The media type is not supported",
    422: "The content does not fit",
    429: "Too much is asked at once",
    500: "A mistake of makegood",
    503: "It cannot be done now",
}
"""What each status means, as every problem of that status is titled."""


CODES = {
    "bad_json": "The body is no JSON that can be taken: a lone surrogate, a number outside double, too deep.",
    "bad_request": "A parameter or a header is unknown, comes twice or does not fit.",
    "body_too_large": "The body is larger than it may be; it was not read to its end.",
    "draining": "The server is stopping and takes nothing new.",
    "forbidden": "The token has a lesser role than this needs.",
    "head_too_large": "URL and headers together are too large.",
    "internal_error": "A mistake of makegood; the server's log says more.",
    "method_not_allowed": "The path takes other methods; `Allow` says which.",
    "not_found": "There is no such path, execution, workflow or service.",
    "too_busy": "More is asked than can be written at the moment; nothing was begun.",
    "unauthorized": "There is no token, or none that is known.",
    "unsupported_media_type": "The body has another media type than is taken here.",
}
"""The codes of problems that arise before the engine is asked, and what each means."""


class Unacceptable(MakegoodError):
    """A request that is refused before it reaches the engine; nothing was changed.

    Args:
        status: Of the answer.
        code: Stable name of the reason.
        headers: Of the answer.
        pointer: The place in the body.
    """

    def __init__(
        self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None, pointer: str = ""
    ) -> None:
        assert code in CODES, code
        self.status = status
        self.code = code
        self.headers = headers or {}
        self.pointer = pointer
        super().__init__(message)


def bad_request(message: str, *, code: str = "bad_request", pointer: str = "") -> Unacceptable:
    """The request itself is malformed."""
    return Unacceptable(400, code, message, pointer=pointer)


def busy(message: str) -> Unacceptable:
    """There is no room at the moment; nothing was begun."""
    return Unacceptable(429, "too_busy", message, headers={"Retry-After": "1"})


def problem(error: Exception) -> Answer:
    """The answer to a request that ended in an error."""
    if not isinstance(error, MakegoodError):
        log.error(names.REQUEST_FAILED, error=repr(error), trace="".join(traceback.format_exception(error)))
        return _document(500, "internal_error", "This is a bug of makegood. Its log says more.")
    status = status_of(error)
    headers = dict(getattr(error, "headers", {}))
    if status in {429, 503}:
        headers.setdefault("Retry-After", "1")
    return _document(status, error.code, str(error), headers, **_facts(error))


def status_of(error: MakegoodError) -> int:
    """The status of a deliberate error."""
    match error:
        case Unacceptable():
            return error.status
        case DefinitionError() | InputError() | ConfigurationError():
            return 422
        case NotFound():
            return 404
        case Refused(code="too_many_signals"):
            return 429
        case Conflict() | Refused():
            return 409
        case StorageError() | Fenced():
            return 503
        case _:
            return 500


def _facts(error: MakegoodError) -> dict[str, Any]:
    match error:
        case DefinitionError():
            return {"problems": [problem_view(each) for each in error.problems]}
        case Conflict() if error.existing is not None:
            return {"existing": error.existing}
        case Refused() if error.status is not None:
            return {"execution_status": error.status}
        case InputError() | Unacceptable() if error.pointer:
            return {"pointer": error.pointer}
        case _:
            return {}


def problem_view(each: Any) -> dict[str, Any]:
    """One mistake in a definition, or a warning about it."""
    return {
        "code": each.code,
        "message": each.message,
        "pointer": each.pointer,
        "line": each.line,
        "column": each.column,
        "severity": each.severity,
    }


def _document(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **facts: Any) -> Answer:
    body = {
        "type": f"urn:makegood:problem:{code}",
        "title": TITLES.get(status, "The request was refused"),
        "status": status,
        "code": code,
        "detail": detail,
        **facts,
    }
    return Answer(status, body, PROBLEM, headers or {})
