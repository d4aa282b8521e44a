"""The barrier before an ASGI application, and decorated functions as an ASGI application of their own.

Speaks ASGI 3 itself: no web framework is needed, and any may stand behind it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from makegood.errors import NotDone, Rejected
from makegood.participant.answers import NOTHING, Answer, answer_of, refusal, refused
from makegood.participant.asked import delivery_of, hash_of_body
from makegood.participant.barrier import Barrier, Performing
from makegood.participant.connections import Connection

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_BYTES_MAX = 4 * 1024 * 1024
READING = ("GET", "HEAD", "OPTIONS", "TRACE")
RETRY_AFTER_S = 1
_log = logging.getLogger("makegood.participant")


class Middleware:
    """Every request that changes something passes the barrier; the application works in its transaction.

    The application finds `scope["makegood"]` (`db`, `call`, `done`), and answers as makegood reads it: 2xx keeps effect
    and answer, 4xx keeps the answer alone, and anything else (408, 425, 429, 3xx, 5xx, an exception) keeps nothing.
    202 with `Makegood-Poll-After` keeps the effect; the same key is let through again. An answer that is kept is given
    again with its status, its `content-type` and its body, which is text. It is sent once the transaction is durable.
    Requests by GET, HEAD, OPTIONS and TRACE pass by.

    Args:
        app: The application.
        barrier: Over the service's database.
        body_bytes_max: A longer request is refused with 413.
    """

    def __init__(self, app: App, barrier: Barrier, *, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._app, self._barrier, self._body_bytes_max = app, barrier, body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in READING:
            await self._app(scope, receive, send)
            return
        call = delivery_of(_headers(scope))
        if call is None:
            await _send(send, _NO_KEY)
            return
        body = await _body(receive, self._body_bytes_max)
        if isinstance(body, Answer):
            await _send(send, body)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        method = f"{scope['method']} {scope['path']}?{query}"
        heard: list[Message] = []

        async def perform(connection: Connection, done: Any) -> Answer:
            inner = {**scope, "makegood": Performing(connection.native, call, done)}
            await self._app(inner, _replayed(body, receive), _kept_in(heard))
            return _answer_in(heard)

        try:
            answer = await self._barrier.deliver_async(call.key, hash_of_body(method, body), perform)
        except NotDone as error:
            await _send(send, _not_done(error))
            return
        for message in heard or _messages(answer):
            await send(message)


class Methods:
    """Functions as a service: `POST /{name}` calls the one of that name with the JSON that was sent.

    They are decorated by a `Barrier`, or take `(input, call)` and see to their duties themselves. Plain ones run in a
    thread. `GET /healthz` answers 200.

    Args:
        functions: Each is called as it is named.

    Raises:
        ValueError: Two have one name.
    """

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self._functions = {each.__name__: each for each in functions}
        if len(self._functions) < len(functions):
            raise ValueError("two of the functions have one name")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _send(send, await self._answer(scope, receive))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        name = scope["path"].rpartition("/")[2]
        if scope["method"] == "GET" and name == "healthz":
            return NOTHING
        function = self._functions.get(name)
        if function is None:
            return refusal("method_not_found", f"there is no method {name!r}", status=404)
        if scope["method"] != "POST":
            return refusal("method_not_allowed", "methods are called by POST", status=405)
        call = delivery_of(_headers(scope))
        if call is None:
            return _NO_KEY
        body = await _body(receive, BODY_BYTES_MAX)
        if isinstance(body, Answer):
            return body
        try:
            value = json.loads(body or b"null")
        except (ValueError, RecursionError):
            return refusal("invalid_json", "the body is no JSON", status=400)
        return await _called(function, value, call)


async def _called(function: Callable[..., Any], value: Any, call: Any) -> Answer:
    try:
        if inspect.iscoroutinefunction(function):
            return answer_of(await function(value, call))
        return answer_of(await asyncio.to_thread(function, value, call))
    except Rejected as error:
        return refused(error)
    except NotDone as error:
        return _not_done(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told that the outcome is unknown
        _log.exception("%s raised; its key is %s", getattr(function, "__name__", function), call.key)
        return refusal("service_error", type(error).__name__, status=500)


# --- ASGI ------------------------------------------------------------------------------------


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def _body(receive: Receive, bytes_max: int) -> bytes | Answer:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return refusal("cut_off", "the request was cut off", status=400)
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > bytes_max:
            return refusal("payload_too_large", f"more than {bytes_max} bytes", status=413)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    rest = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return rest.pop() if rest else await receive()

    return again


def _kept_in(heard: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        heard.append(message)

    return keep


def _answer_in(heard: list[Message]) -> Answer:
    """Of the messages with which an application answered.

    Raises:
        RuntimeError: It did not answer.
        UnicodeDecodeError: Its answer is no text.
    """
    start = next((each for each in heard if each["type"] == "http.response.start"), None)
    if start is None:
        raise RuntimeError("the application behind the barrier did not answer")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start.get("headers", ())}
    body = b"".join(each.get("body", b"") for each in heard if each["type"] == "http.response.body")
    poll_after = headers.get("makegood-poll-after")
    poll_after_s = None if poll_after is None else float(poll_after)
    return Answer(start["status"], body.decode(), headers.get("content-type", ""), poll_after_s)


def _messages(answer: Answer, *more: tuple[bytes, bytes]) -> list[Message]:
    body = answer.body.encode()
    headers = [(b"content-length", str(len(body)).encode()), *more]
    if answer.media_type:
        headers.append((b"content-type", answer.media_type.encode("latin-1")))
    if answer.status == 425:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    if answer.poll_after_s is not None:
        headers.append((b"makegood-poll-after", f"{answer.poll_after_s:g}".encode()))
    if answer.status == 204:
        headers = headers[1:]
    return [
        {"type": "http.response.start", "status": answer.status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]


async def _send(send: Send, answer: Answer) -> None:
    for message in _messages(answer):
        await send(message)


def _not_done(error: NotDone) -> Answer:
    _log.warning("not done: %s", error, exc_info=error.__cause__)
    return refusal("not_done", str(error), status=425)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


_NO_KEY = refusal("key_missing", "a request that changes something needs the header Idempotency-Key", status=400)
