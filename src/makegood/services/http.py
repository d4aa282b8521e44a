"""Calling a service over HTTP: what is sent, and to which endpoint.

Keeps out: connections and bytes (http_client), what an answer means (http_replies), and what the engine
makes of a reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from urllib.parse import quote

from makegood.core.outcome import Reply
from makegood.model.limits import LIMITS
from makegood.ports import Invocation
from makegood.services import health
from makegood.services.callbacks import HEADER, Callbacks
from makegood.services.choice import HOST
from makegood.services.circuit import speaks_well
from makegood.services.config import TCP, ServiceConfig, host_header, sendable, split_url
from makegood.services.connecting import Connector, Target
from makegood.services.deadline import Deadline
from makegood.services.http_client import Client, Lost, NotSent, Unreadable
from makegood.services.http_replies import broken, meaning
from makegood.services.http_wire import Response
from makegood.services.payload import encode
from makegood.services.placeholders import Unfillable
from makegood.services.pool import Pool, Visit
from makegood.services.secrets import MissingSecret, is_reference, resolve
from makegood.services.templates import WITH_BODY, Method, Request
from makegood.services.tls import Trust

_NO_METHODS = frozenset({"", ".", ".."})
"""Segments that would change the path."""
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
"""What a label may put into a header and a handshake."""
_TEXT_MAX = 500
CONNECT_S = 1.0
"""So long at least an endpoint may take to be connected to, while there is so much time."""
_BODY_MAX = LIMITS.payload_bytes


class HttpService:
    """One service reached over HTTP, at the endpoints of a pool."""

    def __init__(self, config: ServiceConfig, pool: Pool, callbacks: Callbacks | None = None) -> None:
        self._config = config
        self._pool = pool
        self._callbacks = callbacks
        self._client = Client(
            Connector(Trust(config.pem_files), allow_link_local=config.allow_link_local), idle_max=config.max_concurrent
        )
        self._templates = config.templates
        self._endpoints: dict[str, _Endpoint] = {}
        self._secrets = {name: value for name, value in config.headers.items() if is_reference(value)}

    async def call(self, invocation: Invocation, deadline: Deadline) -> Reply:
        """Send one request; try the next endpoint while none could be connected to."""
        with self._pool.visit() as visit:
            prepared = self._prepared(invocation)
            if isinstance(prepared, Reply):
                return prepared
            return await self._send(visit, prepared, invocation, deadline)

    async def _send(self, visit: Visit, prepared: _Prepared, invocation: Invocation, deadline: Deadline) -> Reply:
        failures = []
        while (url := visit.go()) is not None:
            endpoint = self._endpoint(url)
            # Of many endpoints each still gets the time that a connection may take.
            remaining_s = deadline.remaining_s
            share_s = max(remaining_s / visit.left, min(remaining_s / 2, CONNECT_S))
            try:
                response = await self._client.send(
                    endpoint.target, prepared.bytes_for(endpoint), deadline, connect_s=share_s,
                    body_max=LIMITS.payload_bytes,
                )  # fmt: skip
            except NotSent as error:
                visit.failed(str(error), sent=False)
                failures.append(str(error))
                continue
            except (Lost, Unreadable) as error:
                reply = broken(error)
            else:
                reply = _understood(prepared.template, invocation, response, deadline.now_ms)
            if speaks_well(reply):
                visit.answered()
            else:
                visit.failed(_in_short(reply), sent=True)
            return reply
        message = "; ".join(failures)[:_TEXT_MAX] or self._pool.why()
        return Reply("not_sent", code="service_unavailable", message=message)

    def _endpoint(self, url: str) -> _Endpoint:
        name = self._pool.label(url, HOST)
        if name is not None and not _HOST_NAME.fullmatch(name):
            name = None
        known = self._endpoints.get(url)
        if known is None or known.target.name != name:
            if len(self._endpoints) >= 2 * len(self._pool) + 16:
                # Of a pool that moves, those that are gone need not be kept.
                self._endpoints.clear()
            known = self._endpoints[url] = _Endpoint(url, self._config, name)
        return known

    async def look(self, url: str, deadline: Deadline) -> str:
        """Why an endpoint is not well; empty when it is. One that is not checked is connected to."""
        endpoint, path = self._endpoint(url), self._config.health
        try:
            asks = None if path in (None, TCP) else endpoint.asks(path) + self._resolved()
        except (MissingSecret, ValueError) as error:
            return str(error)
        return await health.asked(self._client, endpoint.target, asks, deadline)

    def _prepared(self, invocation: Invocation) -> _Prepared | Reply:
        """What is sent to whichever endpoint; a reply if nothing can be."""
        template = self._templates.get(invocation.method)
        request = None
        if template is None:
            if invocation.method in _NO_METHODS:
                return Reply("rejected", code="method_not_found", message=f"{invocation.method!r} names no method")
            body: bytes | None = encode(invocation.body)
        else:
            try:
                request = template.request(invocation)
            except Unfillable as error:
                message = f"method {invocation.method!r}: {error}"[:_TEXT_MAX]
                return Reply("rejected", code="invalid_request", message=message)
            body = request.body
        limit = LIMITS.payload_bytes
        if body is not None and len(body) > limit and not invocation.undo:
            message = f"the input is {len(body)} bytes of JSON, more than {limit}"
            return Reply("not_sent", code="payload_too_large", message=message)
        try:
            framing = _framing(request, body) + self._calling_back(template, invocation)
            headers = _headers(invocation, framing) + self._resolved()
        except (MissingSecret, ValueError) as error:
            return Reply("not_sent", code="service_unavailable", message=str(error))
        return _Prepared(invocation.method, template, request, headers + (body or b""))

    def _calling_back(self, template: Method | None, invocation: Invocation) -> str:
        """The header with the call's own address."""
        if template is None or not template.callback or self._callbacks is None:
            return ""
        return f"{HEADER}: {self._callbacks.address(invocation.key, invocation.attempt)}\r\n"

    def retire(self) -> None:
        """Take no new calls; open ones go on."""
        self._client.retire()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _resolved(self) -> bytes:
        """The headers with secrets in them, and the end of the head."""
        auth = self._config.credentials
        if auth is None and not self._secrets:
            return b"\r\n"
        values = [(name, reference, resolve(reference)) for name, reference in self._secrets.items()]
        if auth is not None:
            values.append(("Authorization", "auth", auth.header()))
        for _, source, value in values:
            if not sendable(value):
                raise ValueError(f"{source}: the value holds what a header cannot")
        return ("".join(f"{name}: {value}\r\n" for name, _, value in values) + "\r\n").encode("latin-1")


@dataclass(slots=True)
class _Prepared:
    """One request but for its endpoint.

    Attributes:
        rest: What follows the headers that are the same in all requests to an endpoint.
    """

    method: str
    template: Method | None
    request: Request | None
    rest: bytes

    def bytes_for(self, endpoint: _Endpoint) -> bytes:
        """All of it."""
        if self.request is None:
            return endpoint.start(self.method) + self.rest
        return endpoint.start_of(self.request.verb, self.request.target) + self.rest


class _Endpoint:
    """One URL, and the part of a request's head that is the same in all of them."""

    def __init__(self, url: str, config: ServiceConfig, name: str | None) -> None:
        parts, host, port = split_url(url)
        self.target = Target(host, port, parts.scheme == "https", name)
        self._path = parts.path
        given = {name.lower() for name in config.headers}
        defaults = {"User-Agent": "makegood", "Accept": "application/json", "Accept-Encoding": "identity"}
        asked = host_header(parts) if name is None else name if parts.port is None else f"{name}:{parts.port}"
        lines = [f"Host: {asked}"]
        lines += [f"{name}: {value}" for name, value in defaults.items() if name.lower() not in given]
        lines += [f"{name}: {value}" for name, value in config.headers.items() if not is_reference(value)]
        self._fixed = "\r\n".join(lines) + "\r\n"
        self._starts: dict[str, bytes] = {}

    def asks(self, path: str) -> bytes:
        """Request line and fixed headers of a health check: its path is the host's, not the URL's."""
        return f"GET {path} HTTP/1.1\r\n{self._fixed}".encode("latin-1")

    def start(self, method: str) -> bytes:
        """Request line and fixed headers of a method without a template."""
        start = self._starts.get(method)
        if start is None:
            start = self.start_of("POST", f"/{quote(method, safe='')}")
            self._starts[method] = start
        return start

    def start_of(self, verb: str, target: str) -> bytes:
        """Request line and fixed headers."""
        return f"{verb} {self._path}{target} HTTP/1.1\r\n{self._fixed}".encode("latin-1")


def _understood(template: Method | None, invocation: Invocation, response: Response, now_ms: int) -> Reply:
    status = response.status
    if template is None:
        return meaning(status, response.headers, response.body, now_ms)
    return meaning(
        status, response.headers, response.body, now_ms,
        said=template.outcomes.get(status), read=partial(template.answered, invocation), calls_back=template.callback,
    )  # fmt: skip


def _framing(request: Request | None, body: bytes | None) -> str:
    """The headers that describe the body."""
    if body is not None:
        return f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    assert request is not None
    return "Content-Length: 0\r\n" if request.verb in WITH_BODY else ""


def _headers(invocation: Invocation, framing: str) -> bytes:
    """The headers that say which attempt this is. They cannot break out of their line."""
    lines = (
        f"{framing}"
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


def _in_short(reply: Reply) -> str:
    """Why an endpoint is not well. No word of its own: what it says may be anything."""
    return f"{reply.code}, HTTP {reply.status}" if reply.status else reply.code or reply.outcome
