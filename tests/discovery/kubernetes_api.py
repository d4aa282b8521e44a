"""The part of Kubernetes' API that lists and watches EndpointSlices, on the loopback, over TLS.

As a real one: versions count up over all objects, a watch goes on after a version and streams lines of JSON in chunks,
bookmarks come when asked for, a version that was compacted away is answered by an ERROR event or by status 410, a
token that is none by 401, one that may not by 403. It knows nothing of makegood.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

PATH = re.compile(r"/apis/discovery\.k8s\.io/v1/namespaces/([a-z0-9-]+)/endpointslices")
Key = tuple[str, str]


class KubernetesApi:
    """The API. Use as an async context manager.

    Attributes:
        token: The only one that is accepted.
        allowed: Namespaces in which it may list and watch.
        requests: Every query, as a dictionary with `namespace`, `authorization` and its parameters.
        watching: How many watches are open.
        lists_break: Whether a list is answered by 500.
        late_410: Whether a compacted version is told by an event (else by the status).
    """

    def __init__(self, tls: ssl.SSLContext, token: str) -> None:
        self.token = token
        self.allowed = {"shop", "other"}
        self.requests: list[dict[str, str]] = []
        self.watching = 0
        self.lists_break = False
        self.late_410 = True
        self.port = 0
        self._tls = tls
        self._version = 100
        self._compacted = 0
        self._objects: dict[Key, dict[str, Any]] = {}
        self._history: list[tuple[int, str, dict[str, Any]]] = []
        self._ending = 0
        self._bookmarks = 0
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """As `kubernetes_api` is written."""
        return f"https://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Break all connections, listen no more."""
        assert self._server is not None
        self._server.close()
        self.break_connections()
        await self.until(lambda: not self._writers)
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; asked after every request and change."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    # --- what a cluster's controllers do ---

    async def put(self, service: str, name: str, *, namespace: str = "shop", **parts: Any) -> None:
        """Write an EndpointSlice of a service, whole."""
        key = namespace, name
        described = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "endpoints": [],
            "ports": [],
            **parts,
        }
        await self._tell("MODIFIED" if key in self._objects else "ADDED", key, described)
        self._objects[key] = described

    async def delete(self, name: str, *, namespace: str = "shop") -> None:
        """Remove an EndpointSlice."""
        await self._tell("DELETED", (namespace, name), self._objects.pop((namespace, name)))

    async def bookmark(self) -> None:
        """Have every watch told how far it is, as happens about every minute."""
        self._bookmarks += 1
        self._version += 1
        await self._notify()

    async def compact(self) -> None:
        """Forget what happened until now."""
        self._version += 1
        self._compacted = self._version
        self._history.clear()

    async def end_watches(self) -> None:
        """End every watch in good order, as when its time is over."""
        self._ending += 1
        await self._notify()

    def break_connections(self) -> None:
        """As when the API's machine is gone."""
        for writer in self._writers:
            writer.transport.abort()

    async def _tell(self, kind: str, key: Key, described: dict[str, Any]) -> None:
        self._version += 1
        metadata = {**described["metadata"], "resourceVersion": str(self._version)}
        described["metadata"] = metadata
        self._history.append((self._version, kind, json.loads(json.dumps(described))))
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # --- HTTP ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                if not await self._answer(head[0].split(" ")[1], headers, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()
            await self._notify()

    async def _answer(self, target: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> bool:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = PATH.fullmatch(parts.path)
        namespace = found[1] if found else ""
        self.requests.append({"namespace": namespace, "authorization": headers.get("Authorization", ""), **query})
        await self._notify()
        if headers.get("Authorization") != f"Bearer {self.token}":
            return await _respond(writer, 401, _status(401, "Unauthorized", "Unauthorized"))
        if not found:
            return await _respond(writer, 404, _status(404, "NotFound", "the server could not find the resource"))
        if namespace not in self.allowed:
            message = (
                'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:shop:makegood" cannot list '
                f'resource "endpointslices" in API group "discovery.k8s.io" in the namespace "{namespace}"'
            )
            return await _respond(writer, 403, _status(403, "Forbidden", message))
        service = query["labelSelector"].removeprefix("kubernetes.io/service-name=")
        if query.get("watch") == "1":
            await self._watch(namespace, service, query, writer)
            return False
        if self.lists_break:
            return await _respond(writer, 500, _status(500, "InternalError", "etcdserver: request timed out"))
        items = [each for (there, _), each in self._objects.items() if there == namespace and _of(each, service)]
        metadata = {"resourceVersion": str(self._version)}
        return await _respond(
            writer, 200,
            {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata, "items": items},
        )  # fmt: skip

    async def _watch(self, namespace: str, service: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        at = int(query["resourceVersion"])
        gone = _status(410, "Expired", f"too old resource version: {at} ({self._version})")
        if at < self._compacted and not self.late_410:
            await _respond(writer, 410, gone)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        ending, bookmarks = self._ending, self._bookmarks
        if at < self._compacted:
            await _line(writer, {"type": "ERROR", "object": gone})
            await _end(writer)
            return
        self.watching += 1
        try:
            while not writer.transport.is_closing():
                for version, kind, described in [each for each in self._history if each[0] > at]:
                    at = version
                    if described["metadata"]["namespace"] == namespace and _of(described, service):
                        await _line(writer, {"type": kind, "object": described})
                if bookmarks != self._bookmarks and query.get("allowWatchBookmarks") == "true":
                    bookmarks, at = self._bookmarks, self._version
                    metadata = {"resourceVersion": str(at), "creationTimestamp": None}
                    await _line(writer, {"type": "BOOKMARK", "object": {"kind": "EndpointSlice", "metadata": metadata}})
                if ending != self._ending:
                    break
                await self._pause(writer, at, ending, bookmarks)
            await _end(writer)
        finally:
            self.watching -= 1

    async def _pause(self, writer: asyncio.StreamWriter, at: int, ending: int, bookmarks: int) -> None:
        """Until there is something to tell or nobody to tell it to."""
        closed = asyncio.ensure_future(_closed(writer))
        closed.add_done_callback(lambda _: asyncio.ensure_future(self._notify()))
        async with self._changed:
            self._changed.notify_all()
            await self._changed.wait_for(
                lambda: (
                    ending != self._ending
                    or bookmarks != self._bookmarks
                    or any(version > at for version, _, _ in self._history)
                    or closed.done()
                )
            )
        closed.cancel()


async def _closed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(Exception):
        await asyncio.shield(writer.wait_closed())


def _of(described: dict[str, Any], service: str) -> bool:
    return bool(described["metadata"]["labels"].get("kubernetes.io/service-name") == service)


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    }  # fmt: skip


async def _respond(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> bool:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    await writer.drain()
    return True


async def _line(writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
    data = json.dumps(event).encode() + b"\n"
    # In two chunks: a line is not a chunk.
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        await writer.drain()


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.write(b"0\r\n\r\n")
    await writer.drain()
