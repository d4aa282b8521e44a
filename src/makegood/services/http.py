"""Calling a service over HTTP: what is sent, and the table of what each reply means.

Keeps out: connections and bytes (http_client), and what the engine makes of a reply. The table is the
one of "Calling a service over HTTP"; `meaning` is pure, so it can be tested without a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from makegood.core.outcome import Reply
from makegood.model.limits import LIMITS
from makegood.ports import Invocation
from makegood.services import health
from makegood.services.circuit import speaks_well
from makegood.services.config import TCP, ServiceConfig, sendable, split_url
from makegood.services.deadline import Deadline
from makegood.services.http_client import Client, Lost, NotSent, Target, Unreadable
from makegood.services.payload import InvalidPayload, decode, encode
from makegood.services.pool import Pool, Visit
from makegood.services.secrets import MissingSecret, is_reference, resolve

_NO_METHODS = frozenset({"", ".", ".."})
"""Segments that would change the path."""
_NOT_DONE = frozenset({408, 425, 429})
_RETRY_AFTER_MS_MAX = 24 * 3600 * 1000
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_TEXT_MAX = 500
_BODY_MAX = LIMITS.payload_bytes


class HttpService:
    """One service reached over HTTP, at the endpoints of a pool."""

    def __init__(self, config: ServiceConfig, pool: Pool) -> None:
        self._config = config
        self._pool = pool
        self._client = Client(idle_max=config.max_concurrent, allow_link_local=config.allow_link_local)
        self._endpoints: dict[str, _Endpoint] = {}
        self._secrets = {name: value for name, value in config.headers.items() if is_reference(value)}

    async def call(self, invocation: Invocation, deadline: Deadline) -> Reply:
        """Send one request; try the next endpoint while none could be connected to."""
        with self._pool.visit() as visit:
            if invocation.method in _NO_METHODS:
                return Reply("rejected", code="method_not_found", message=f"{invocation.method!r} names no method")
            body = encode(invocation.body)
            limit = LIMITS.payload_bytes
            if len(body) > limit and not invocation.undo:
                message = f"the input is {len(body)} bytes of JSON, more than {limit}"
                return Reply("not_sent", code="payload_too_large", message=message)
            try:
                headers = _headers(invocation, len(body)) + self._resolved()
            except (MissingSecret, ValueError) as error:
                return Reply("not_sent", code="service_unavailable", message=str(error))
            return await self._send(visit, invocation.method, headers + body, deadline)

    async def _send(self, visit: Visit, method: str, rest: bytes, deadline: Deadline) -> Reply:
        failures = []
        while (url := visit.go()) is not None:
            endpoint = self._endpoint(url)
            share_s = deadline.remaining_s / visit.left
            try:
                response = await self._client.send(
                    endpoint.target, endpoint.start(method) + rest, deadline, connect_s=share_s, body_max=_BODY_MAX
                )
            except NotSent as error:
                visit.failed(str(error), sent=False)
                failures.append(str(error))
                continue
            except (Lost, Unreadable) as error:
                reply = _broken(error)
            else:
                reply = meaning(response.status, response.headers, response.body, deadline.now_ms)
            if speaks_well(reply):
                visit.answered()
            else:
                visit.failed(_in_short(reply), sent=True)
            return reply
        message = "; ".join(failures)[:_TEXT_MAX] or self._pool.why()
        return Reply("not_sent", code="service_unavailable", message=message)

    def _endpoint(self, url: str) -> _Endpoint:
        known = self._endpoints.get(url)
        if known is None:
            if len(self._endpoints) >= 2 * len(self._pool) + 16:
                # Of a pool that moves, those that are gone need not be kept.
                self._endpoints.clear()
            known = self._endpoints[url] = _Endpoint(url, self._config)
        return known

    async def look(self, url: str, deadline: Deadline) -> str:
        """Why an endpoint is not well; empty when it is. One that is not checked is connected to."""
        endpoint, path = _Endpoint(url, self._config), self._config.health
        try:
            asks = None if path in (None, TCP) else endpoint.asks(path) + self._resolved()
        except (MissingSecret, ValueError) as error:
            return str(error)
        return await health.asked(self._client, endpoint.target, asks, deadline)

    def retire(self) -> None:
        """Take no new calls; open ones go on."""
        self._client.retire()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _resolved(self) -> bytes:
        if not self._secrets:
            return b"\r\n"
        lines = []
        for name, reference in self._secrets.items():
            value = resolve(reference)
            if not sendable(value):
                raise ValueError(f"{reference}: the value holds what a header cannot")
            lines.append(f"{name}: {value}\r\n")
        return ("".join(lines) + "\r\n").encode("latin-1")


class _Endpoint:
    """One URL, and the part of a request's head that is the same in all of them."""

    def __init__(self, url: str, config: ServiceConfig) -> None:
        parts, host, port = split_url(url)
        self.target = Target(host, port, parts.scheme == "https")
        self._path = parts.path
        given = {name.lower() for name in config.headers}
        defaults = {"User-Agent": "makegood", "Accept": "application/json", "Accept-Encoding": "identity"}
        lines = [f"Host: {parts.netloc}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in defaults.items() if name.lower() not in given]
        lines += [f"{name}: {value}" for name, value in config.headers.items() if not is_reference(value)]
        self._fixed = "\r\n".join(lines) + "\r\n"
        self._starts: dict[str, bytes] = {}

    def asks(self, path: str) -> bytes:
        """Request line and fixed headers of a health check: its path is the host's, not the URL's."""
        return f"GET {path} HTTP/1.1\r\n{self._fixed}".encode("latin-1")

    def start(self, method: str) -> bytes:
        """Request line and fixed headers."""
        start = self._starts.get(method)
        if start is None:
            line = f"POST {self._path}/{quote(method, safe='')} HTTP/1.1\r\n"
            start = (line + self._fixed).encode("latin-1")
            self._starts[method] = start
        return start


def _headers(invocation: Invocation, length: int) -> bytes:
    """The headers that say which attempt this is. They cannot break out of their line."""
    lines = (
        f"Content-Length: {length}\r\n"
        f"Idempotency-Key: {invocation.key}\r\n"
        f"Makegood-Execution: {invocation.execution_id}\r\n"
        f"Makegood-Step: {invocation.step}\r\n"
        f"Makegood-Attempt: {invocation.attempt}\r\n"
        f"Makegood-Deadline: {timestamp(invocation.deadline_ms)}\r\n"
    )
    values = invocation.key + invocation.execution_id + invocation.step
    if invocation.traceparent is not None:
        lines += f"traceparent: {invocation.traceparent}\r\n"
        values += invocation.traceparent
    if not sendable(values):
        raise ValueError(f"the key, execution or step {invocation.key!r} holds what a header cannot")
    return lines.encode("latin-1")


def timestamp(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    seconds, ms = divmod(at_ms, 1000)
    return f"{_whole_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=64)
def _whole_second(seconds: int) -> str:
    """Cached: the deadlines of calls made together fall into a few seconds."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def meaning(status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> Reply:
    """What a whole answer means.

    Args:
        status: Of HTTP.
        headers: By their names in lower case.
        body: As it came.
        now_ms: When it came; dates in `headers` count from here.
    """
    if 200 <= status < 300:
        return _success(status, headers, body)
    retry_after_ms = _retry_after(headers.get("retry-after"), now_ms)
    code, message, details = _error(status, body)
    if 400 <= status < 500 and status not in _NOT_DONE:
        return Reply("rejected", code=code or f"http_{status}", message=message, details=details, status=status)
    if status in _NOT_DONE:
        return Reply(
            "not_sent", code=code or f"http_{status}", message=message, details=details, status=status,
            retry_after_ms=retry_after_ms,
        )  # fmt: skip
    if 500 <= status < 600:
        return Reply(
            "unknown", code="service_error", message=message, details=details, status=status,
            retry_after_ms=retry_after_ms,
        )  # fmt: skip
    what = "a redirect, which is not followed" if 300 <= status < 400 else "no status of HTTP"
    return Reply("unknown", code="invalid_reply", message=f"HTTP {status}: {what}", status=status)


def _success(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    poll_after = headers.get("makegood-poll-after")
    if status == 202 and poll_after is not None:
        if _SECONDS.fullmatch(poll_after) is None:
            return _invalid("Makegood-Poll-After is not a number of seconds", status)
        return Reply("ongoing", status=status, poll_after_ms=round(float(poll_after) * 1000))
    coding = headers.get("content-encoding", "identity")
    if body and coding.lower() != "identity":
        return _invalid("the body is compressed, and identity was asked for", status)
    if not body.strip():
        return Reply("ok", status=status)
    try:
        return Reply("ok", output=decode(body), status=status)
    except InvalidPayload as error:
        return _invalid(str(error), status)


def _invalid(message: str, status: int | None) -> Reply:
    return Reply("unknown", code="invalid_reply", message=message, status=status)


def _in_short(reply: Reply) -> str:
    """Why an endpoint is not well. No word of its own: what it says may be anything."""
    return f"{reply.code}, HTTP {reply.status}" if reply.status else reply.code or reply.outcome


def _broken(error: Lost | Unreadable) -> Reply:
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
