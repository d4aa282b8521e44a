"""Asking the application without a network; every answer is held against what the description says of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from makegood.api import shapes
from makegood.api.asked import Server
from makegood.api.description import statuses
from makegood.api.door import Door
from makegood.api.table import ROUTES, Route
from makegood.api.tokens import Tokens
from makegood.app.contracts import Contracts
from makegood.app.directory import SharedServices
from makegood.engine.client import Engine
from makegood.services import Registry
from makegood.services.callbacks import Callbacks

SIGNAL = {
    "name": "approval",
    "description": "Waits to be approved.",
    "search": {"city": "input.city"},
    "steps": [{"id": "go", "signal": "go", "schema": {"type": "object"}}],
    "output": {"told": "${steps.go}"},
}
CALLS = {
    "name": "trip",
    "steps": [
        {"id": "hotel", "call": "hotels.reserve", "compensation": "hotels.cancel"},
        {"id": "pay", "call": "hotels.pay"},
    ],
}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/problem+json", self
        return str(self.json["code"])


@dataclass
class Api:
    """An application and whoever asks it.

    Attributes:
        token: Sent with every request; None sends none.
    """

    server: Server
    door: Door
    token: str | None = None
    origin: tuple[str, int] = ("127.0.0.1", 50_000)
    pending: list[Any] = field(default_factory=list)

    async def call(
        self,
        method: str,
        target: str,
        value: Any = None,
        *,
        body: bytes | None = None,
        media: str | None = None,
        parts: Sequence[bytes] | None = None,
        **headers: str,
    ) -> Reply:
        """One request: `value` is sent as JSON, `body` as it is, `parts` as a stream without a length."""
        if value is not None:
            body = json.dumps(value).encode()
            media = media or "application/json"
        sent = {name.replace("_", "-").lower(): text for name, text in headers.items()}
        if body is not None and parts is None:
            sent.setdefault("content-length", str(len(body)))
        if parts is not None:
            sent["transfer-encoding"] = "chunked"
        if media is not None:
            sent["content-type"] = media
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        scope = self._scope(method, target, sent)
        coming = [*(parts if parts is not None else [body or b""])]
        reply = await self._through(scope, coming)
        if method != "HEAD":
            check(method, urlsplit(target).path, reply)
        return reply

    def _scope(self, method: str, target: str, headers: dict[str, str]) -> dict[str, Any]:
        parts = urlsplit(target)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": method,
            "path": parts.path,
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in headers.items()],
            "client": self.origin,
        }

    async def _through(self, scope: dict[str, Any], coming: list[bytes]) -> Reply:
        sent: list[dict[str, Any]] = []
        answered = asyncio.Event()
        read: list[bytes] = []

        async def receive() -> dict[str, Any]:
            if coming:
                read.append(coming.pop(0))
                return {"type": "http.request", "body": read[-1], "more_body": bool(coming)}
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answered.set()

        await self.door(scope, receive, send)
        self.pending = coming
        headers = {name.decode(): text.decode("latin-1") for name, text in sent[0]["headers"]}
        return Reply(sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:]))

    @asynccontextmanager
    async def stream(self, target: str, **headers: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Follow server-sent events: each as `{id, data}`; a comment as `{comment}`; ends with the stream."""
        sent = {name.replace("_", "-").lower(): text for name, text in headers.items()}
        queue: asyncio.Queue[Any] = asyncio.Queue()
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await queue.put(message)

        task = asyncio.ensure_future(self.door(self._scope("GET", target, sent), receive, send))
        try:
            first = await queue.get()
            assert first["status"] == 200
            yield _events(queue)
        finally:
            gone.set()
            await asyncio.wait_for(task, 10)

    async def put(self, definition: dict[str, Any]) -> None:
        reply = await self.call("PUT", f"/v1/workflows/{definition['name']}", definition)
        assert reply.status in {200, 201}, reply

    async def start(self, workflow: str, value: Any = None, **given: Any) -> dict[str, Any]:
        reply = await self.call("POST", "/v1/executions", {"workflow": workflow, "input": value, **given})
        assert reply.status in {200, 201}, reply
        return dict(reply.json)


async def _events(queue: asyncio.Queue[Any]) -> AsyncIterator[dict[str, Any]]:
    text = b""
    while True:
        message = await asyncio.wait_for(queue.get(), 20)
        text += message.get("body", b"")
        while b"\n\n" in text:
            block, text = text.split(b"\n\n", 1)
            event: dict[str, Any] = {}
            for line in block.decode().splitlines():
                name, _, value = line.partition(": ")
                event[name or "comment"] = value
            if "data" in event:
                event["data"] = json.loads(event["data"])
            yield event
        if not message.get("more_body"):
            return


def route_of(method: str, path: str) -> Route | None:
    for route in ROUTES:
        if route.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path):
            return route
    return None


def check(method: str, path: str, reply: Reply) -> None:
    """Raises when the description does not say this."""
    assert "content-security-policy" in reply.headers
    route = route_of(method, path)
    if reply.headers.get("content-type") == "application/problem+json":
        told = msgspec.convert(reply.json, shapes.ProblemDocument)
        assert told.status == reply.status
        assert told.detail
        assert "Traceback" not in told.detail
    if route is None:
        assert reply.status in {401, 404, 405}, reply
        return
    assert reply.status in statuses(route), (route, reply)
    found = route.answers.get(reply.status)
    if reply.headers.get("content-type") == "application/json" and isinstance(found, type):
        msgspec.convert(reply.json, found)


@asynccontextmanager
async def api_on(
    database: str,
    registry: Registry | None = None,
    tokens: Tokens | None = None,
    *,
    callbacks: Callbacks | None = None,
    **options: Any,
) -> AsyncIterator[Api]:
    registry = registry or Registry()
    async with Engine(database, registry=registry, **options) as engine:
        await engine.resume()
        services = SharedServices(lambda: engine.directory, registry, 30.0)
        await services.load()
        server = Server(
            engine=engine, registry=registry, services=services, node="test",
            contracts=Contracts(registry, directory=lambda: engine.directory),
            tokens=tokens,
            callbacks=callbacks,
        )  # fmt: skip
        yield Api(server, Door(server))
