"""What an answer over HTTP means: a status, headers and a body, as a `Reply`. Pure: no network, no clock.

The table is the one of "Calling a service over HTTP"; a method of the configuration may say otherwise of a
status, and read the body in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from makegood.core.outcome import Outcome, Reply
from makegood.services.http_client import Lost, Unreadable
from makegood.services.payload import InvalidPayload, decode
from makegood.services.placeholders import Unfillable

_NOT_DONE = frozenset({408, 425, 429})
_POLL_AFTER_MS = 1000
"""Where a status is `ongoing` by configuration and the answer does not say when to ask again."""
_RETRY_AFTER_MS_MAX = 24 * 3600 * 1000
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_TEXT_MAX = 500

Read = Callable[[int, Mapping[str, str], bytes], Any]
"""From status, headers and body to the output; raises InvalidPayload or Unfillable."""


def _json(_status: int, _headers: Mapping[str, str], body: bytes) -> Any:
    return decode(body) if body.strip() else None


def meaning(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    now_ms: int,
    *,
    said: Outcome | None = None,
    read: Read = _json,
    calls_back: bool = False,
) -> Reply:
    """What a whole answer means.

    Args:
        status: Of HTTP.
        headers: By their names in lower case.
        body: As it came.
        now_ms: When it came; dates in `headers` count from here.
        said: What the configuration says of this status; None asks the table.
        calls_back: Whether the service was told where to say later what came of it: then 202 is `ongoing`, and
            is asked about only if it says when.
        read: How the output of an answer that is `ok` is read.
    """
    if said == "ok" or (said is None and 200 <= status < 300):
        if calls_back and said is None and status == 202 and "makegood-poll-after" not in headers:
            return Reply("ongoing", status=status)
        return _success(status, headers, body, said, read)
    retry_after_ms = _retry_after(headers.get("retry-after"), now_ms)
    if said == "ongoing":
        after_ms = _poll_after(headers)
        after_ms = after_ms if after_ms is not None else retry_after_ms
        if after_ms is None and calls_back:
            return Reply("ongoing", status=status)
        return Reply("ongoing", status=status, poll_after_ms=_POLL_AFTER_MS if after_ms is None else after_ms)
    outcome = said or _outcome(status)
    if outcome is None:
        what = "a redirect, which is not followed" if 300 <= status < 400 else "no status of HTTP"
        return Reply("unknown", code="invalid_reply", message=f"HTTP {status}: {what}", status=status)
    code, message, details = _error(status, body)
    code = "service_error" if outcome == "unknown" else code or f"http_{status}"
    return Reply(
        outcome, code=code, message=message, details=details, status=status,
        retry_after_ms=None if outcome == "rejected" else retry_after_ms,
    )  # fmt: skip


def _outcome(status: int) -> Outcome | None:
    if status in _NOT_DONE:
        return "not_sent"
    if 400 <= status < 500:
        return "rejected"
    return "unknown" if 500 <= status < 600 else None


def _success(status: int, headers: Mapping[str, str], body: bytes, said: Outcome | None, read: Read) -> Reply:
    if status == 202 and said is None and "makegood-poll-after" in headers:
        after_ms = _poll_after(headers)
        if after_ms is None:
            return _invalid("Makegood-Poll-After is not a number of seconds", status)
        return Reply("ongoing", status=status, poll_after_ms=after_ms)
    coding = headers.get("content-encoding", "identity")
    if body and coding.lower() != "identity":
        return _invalid("the body is compressed, and identity was asked for", status)
    try:
        return Reply("ok", output=read(status, headers, body), status=status)
    except (InvalidPayload, Unfillable) as error:
        return _invalid(str(error)[:_TEXT_MAX], status)


def _poll_after(headers: Mapping[str, str]) -> int | None:
    text = headers.get("makegood-poll-after")
    return None if text is None or _SECONDS.fullmatch(text) is None else round(float(text) * 1000)


def _invalid(message: str, status: int | None) -> Reply:
    return Reply("unknown", code="invalid_reply", message=message, status=status)


def broken(error: Lost | Unreadable) -> Reply:
    """The answer to a request that was sent, and came back broken or not at all."""
    if isinstance(error, Unreadable):
        code = "reply_too_large" if error.too_large else "invalid_reply"
        return Reply("unknown", code=code, message=str(error), status=error.status)
    code = "call_timeout" if error.timed_out else "connection_reset"
    return Reply("unknown", code=code, message=str(error), status=error.status, answered=False)


def _error(status: int, body: bytes) -> tuple[str, str, Any]:
    """Code, message and details of an answer that says no: `{"error": ...}` or a problem document."""
    plain = f"HTTP {status}"
    try:
        said = decode(body)
    except InvalidPayload:
        return "", plain, None
    if not isinstance(said, dict):
        return "", plain, said
    error = said.get("error")
    if isinstance(error, dict):
        return _text(error.get("code")), _text(error.get("message")) or plain, error.get("details")
    message = _text(said.get("detail")) or _text(said.get("title")) or _text(said.get("message")) or _text(error)
    return _text(said.get("code")), message or plain, said


def _text(value: Any) -> str:
    return value[:_TEXT_MAX] if isinstance(value, str) else ""


def _retry_after(text: str | None, now_ms: int) -> int | None:
    """Milliseconds from now; None when it was not sent or cannot be read."""
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        wait_ms = round(float(text) * 1000)
    else:
        try:
            at = parsedate_to_datetime(text)
            wait_ms = round(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000) - now_ms
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(max(wait_ms, 0), _RETRY_AFTER_MS_MAX)
