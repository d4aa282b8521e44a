"""What every request passes on its way in: the token first, then the route, its role, its parameters, its body.

Here alone it is decided who is let through, and here alone an error becomes an answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route as PathRoute
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from makegood.api import metrics
from makegood.api.answers import JSON, Answer, Stream, send_answer, send_stream
from makegood.api.asked import Asked, Server
from makegood.api.bodies import Gone, Head, check_media, read_body, read_json, read_query
from makegood.api.callbacks import PREFIX, service_behind
from makegood.api.parameters import read_parameters
from makegood.api.problems import Unacceptable, bad_request, problem
from makegood.api.table import PUBLIC, ROUTES, Carried, Route
from makegood.api.tokens import NOBODY, Role, Who
from makegood.engine.log import log, names
from makegood.errors import MakegoodError, StorageUnavailable

ANSWER_S = 10.0
"""So long an answer may take; what waits for an execution may take that much longer."""
_KEY = re.compile(r"[!-~]{1,255}")


_HERE = "makegood.passing"


@dataclass(slots=True)
class _Passing:
    """A request on its way in, and the answer on its way out."""

    head: Head
    who: Who = NOBODY
    route: Route | None = None
    answer: Answer | Stream | None = None


class Door:
    """The application: one server's routes as ASGI.

    Args:
        server: What the handlers are given.
        routes: Which there are.
    """

    def __init__(self, server: Server, routes: Iterable[Route] = ROUTES) -> None:
        self._server = server
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        paths = [PathRoute(path, _Path(server, methods)) for path, methods in by_path.items()]
        self._router = Router(paths, redirect_slashes=False, default=_Path(server, {}))
        server.measures.watch(metrics.HTTP_IN_FLIGHT, lambda: server.traffic.requests)
        server.measures.watch_engine(server.engine, server.registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            # There are no web sockets here.
            await send({"type": "websocket.close", "code": 1000})
            return
        began = time.perf_counter()
        with self._server.traffic.request():
            passing = scope[_HERE] = _Passing(Head(dict(scope["headers"])))
            try:
                if scope["method"] == "POST" and scope["path"].startswith(PREFIX):
                    given = read_query(scope["query_string"])
                    passing.who = service_behind(self._server.callbacks, scope["path"], given)
                elif self._server.tokens is not None and scope["path"] not in PUBLIC:
                    passing.who = await self._server.tokens.who(passing.head.get(b"authorization"))
                await self._router(scope, receive, send)
                assert passing.answer is not None, "whoever is asked answers"
                answer = passing.answer
            except Gone:
                return
            except Exception as error:  # noqa: BLE001 - every error is an answer
                answer = problem(error)
            self._count(scope, passing.route, answer, began)
            if isinstance(answer, Stream):
                await send_stream(answer, scope, receive, send)
            else:
                await send_answer(answer, send)

    def _count(self, scope: Scope, route: Route | None, answer: Answer | Stream, began: float) -> None:
        status = answer.status if isinstance(answer, Answer) else 200
        method, path = ("", "") if route is None else (route.method, route.path)
        timed = route is not None and not route.streams and b"wait=" not in scope["query_string"]
        seconds = time.perf_counter() - began if timed else None
        self._server.measures.answered(method, path, status, seconds)


class _Path:
    """One path with the routes of its methods; without any: a path that is not there."""

    def __init__(self, server: Server, methods: Mapping[str, Route]) -> None:
        self._server = server
        self._methods = dict(methods)
        if (get := methods.get("GET")) is not None and not get.streams:
            self._methods["HEAD"] = get

    async def __call__(self, scope: Scope, receive: Receive, _: Send) -> None:
        """Leave the answer where the door finds it."""
        passing: _Passing = scope[_HERE]
        if not self._methods:
            raise Unacceptable(
                404, "not_found", f"There is nothing at {scope['path'][:200]!r}. /docs says what there is."
            )
        route = passing.route = self._methods.get(scope["method"])
        if route is None:
            allowed = ", ".join(sorted(self._methods))
            message = f"{scope['method'][:20]} is not allowed here, only {allowed}."
            raise Unacceptable(405, "method_not_allowed", message, headers={"Allow": allowed})
        if self._server.tokens is not None and not route.public and passing.who.role < route.role:
            raise _forbidden(passing.who, route.role)
        given = read_query(scope["query_string"])
        parameters = read_parameters(given, route.parameters)
        if not route.writes:
            asked = Asked(
                server=self._server, head=passing.head, who=passing.who, path=scope["path_params"],
                parameters=parameters,
            )  # fmt: skip
            passing.answer = await _in_time(route.handler(asked), parameters)
            return
        with self._server.traffic.write(_queued(self._server)):
            passing.answer = await self._write(scope, receive, passing, route, parameters)

    async def _write(
        self, scope: Scope, receive: Receive, passing: _Passing, route: Route, parameters: dict[str, Any]
    ) -> Answer | Stream:
        key = _key(passing.head)
        body, media = await _carried(passing.head, receive, route.body)
        asked = Asked(
            server=self._server,
            head=passing.head,
            who=passing.who,
            path=scope["path_params"],
            parameters=parameters,
            body=body,
            media=media,
            key=key,
            asked=f"{route.method} {scope['path']}",
        )
        verdict = "failed"
        try:
            answer = await _in_time(route.handler(asked), parameters)
            verdict = str(answer.status) if isinstance(answer, Answer) else "200"
            return answer
        except Exception as error:
            verdict = getattr(error, "code", "internal_error")
            raise
        finally:
            client = scope.get("client")
            log.info(
                names.WRITE_ASKED,
                who=passing.who.name,
                method=route.method,
                path=scope["path"],
                origin=client[0] if client else "",
                verdict=verdict,
            )


async def _in_time(handled: Awaitable[Answer | Stream], parameters: Mapping[str, Any]) -> Answer | Stream:
    """The answer, unless the database keeps it waiting for too long, beyond what was asked for."""
    try:
        async with asyncio.timeout(ANSWER_S + (parameters.get("wait") or 0) / 1000):
            return await handled
    except TimeoutError:
        raise StorageUnavailable(
            f"the database did not answer within {ANSWER_S:g} s. What was asked may still be done: ask again, "
            "a write with the same id or Idempotency-Key."
        ) from None


def _queued(server: Server) -> int:
    try:
        return server.engine.queued
    except MakegoodError:
        # It is closed, or can write no more: what is asked of it says so.
        return 0


def _forbidden(who: Who, role: Role) -> Unacceptable:
    needed = role.name.lower()
    return Unacceptable(
        403, "forbidden", f"Token {who.name!r} has the role {who.role.name.lower()}, and this needs {needed}."
    )


def _key(head: Head) -> str | None:
    key = head.get(b"idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise bad_request("An Idempotency-Key has 1 to 255 printable ASCII characters without spaces.")
    return key


async def _carried(head: Head, receive: Receive, carried: Carried | None) -> tuple[Any, str]:
    """The body, parsed where it is JSON, and its media type."""
    if carried is None:
        await read_body(head, receive, 0)
        return None, ""
    told = head.get(b"content-length")
    empty = told in {None, "0"} and head.get(b"transfer-encoding") is None
    if empty and carried.optional:
        return carried.absent, ""
    media = check_media(head, carried.media)
    raw = await read_body(head, receive, carried.most)
    if carried.media != (JSON,):
        return raw, media
    if not raw and carried.optional:
        return carried.absent, ""
    return read_json(raw), media
