"""What Kubernetes' API is asked, as the service account of the pod: one list, one watch.

Here: address, token, certificate authority, and what a status of the API means. What is read is the caller's.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import msgspec

from makegood.services.config import checked_url, sendable, split_url
from makegood.services.connecting import Connector, Target
from makegood.services.deadline import Deadline
from makegood.services.discovery.port import Settings, Unreachable
from makegood.services.http_client import Client, Lost, NotSent, Unreadable
from makegood.services.http_stream import open_stream
from makegood.services.secrets import MissingSecret, resolve
from makegood.services.tls import Tls, Trust

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where Kubernetes puts `token`, `ca.crt` and `namespace` of a pod that may ask."""
CONNECT_S = 5.0
LIST_S = 15.0
WATCH_S = 240
"""How long the API is asked to keep a watch open; then another one goes on where it ended."""
SILENCE_S_MAX = WATCH_S + 30.0
"""A watch that says nothing for so long is lost."""
LIST_BYTES_MAX = 32 * 1024 * 1024
LINE_BYTES_MAX = 8 * 1024 * 1024


class Gone(Exception):
    """The version from which a watch was to go on is no longer known: list again."""


class Cluster:
    """The API of one cluster.

    Args:
        settings: `kubernetes_api` (None: that of the cluster this pod is in), `service_account` (None: the folder
            where Kubernetes puts it), `namespace` (None: the service account's).

    Raises:
        ConfigurationError: A setting does not fit.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = None if settings.kubernetes_api is None else checked_url("kubernetes", settings.kubernetes_api)
        self._folder = settings.service_account or SERVICE_ACCOUNT
        self._namespace = settings.namespace
        # The certificates are read again when their file has changed.
        trust = Trust(Tls(ca=os.path.join(self._folder, "ca.crt")))
        self._client = Client(Connector(trust, allow_link_local=False), idle_max=4)

    def namespace(self) -> str:
        """Where services are that do not say otherwise.

        Raises:
            Unreachable: None is configured, and the service account has none.
        """
        if self._namespace is not None:
            return self._namespace
        return self._read("namespace", "Set namespace in [service_registry].").strip()

    async def list(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """A list of objects.

        Raises:
            Unreachable: There was no such answer; the message says why.
        """
        target, request = self._request(path, query)
        deadline = Deadline(_monotonic_ms() + round(LIST_S * 1000), _monotonic_ms)
        try:
            answer = await self._client.send(target, request, deadline, connect_s=CONNECT_S, body_max=LIST_BYTES_MAX)
        except (NotSent, Lost, Unreadable) as error:
            raise Unreachable(f"the API of Kubernetes gives no answer: {error}") from None
        if answer.status != 200:
            raise Unreachable(_refusal(answer.status, answer.body))
        return _decoded(answer.body)

    async def watch(self, path: str, query: Mapping[str, str], version: str) -> AsyncGenerator[dict[str, Any], None]:
        """The events after a version, until the API ends the watch or the connection breaks.

        Raises:
            Gone: The version is too old.
            Unreachable: There was no such answer; the message says why.
        """
        asked = {
            **query, "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }  # fmt: skip
        target, request = self._request(path, asked)
        try:
            async with await open_stream(
                self._client, target, request, connect_s=CONNECT_S, silence_s_max=SILENCE_S_MAX
            ) as stream:
                if stream.status == 410:
                    raise Gone
                if stream.status != 200:
                    raise Unreachable(_refusal(stream.status, await stream.body(LINE_BYTES_MAX)))
                async with aclosing(stream.lines(LINE_BYTES_MAX)) as lines:
                    async for line in lines:
                        yield _event(line)
        except (NotSent, Lost, Unreadable) as error:
            raise Unreachable(f"the watch of the API of Kubernetes broke: {error}") from None

    def close(self) -> None:
        """Close all connections; what is watched ends as unreachable."""
        self._client.close()

    def _request(self, path: str, query: Mapping[str, str]) -> tuple[Target, bytes]:
        parts, host, port = split_url(self._url or _own_cluster())
        lines = [
            f"GET {parts.path}{path}?{urlencode(query)} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Accept: application/json",
            "Accept-Encoding: identity",
            "User-Agent: makegood",
        ]
        if parts.scheme == "https":
            # Read for every request: it is replaced about every hour. Never sent without TLS.
            token = self._read("token", "Give the pod its service account's token.")
            if not sendable(token):
                raise Unreachable(f"{self._folder}/token holds what no token does")
            lines.append(f"Authorization: Bearer {token}")
        return Target(host, port, parts.scheme == "https"), ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _read(self, name: str, remedy: str) -> str:
        try:
            return resolve(f"file:{os.path.join(self._folder, name)}")
        except MissingSecret as error:
            raise Unreachable(f"{error}. {remedy}") from None


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _own_cluster() -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT_HTTPS", "443")
    if not host:
        raise Unreachable(
            "this process is in no pod (KUBERNETES_SERVICE_HOST is not set). Set kubernetes_api in [service_registry]."
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _event(line: bytes) -> dict[str, Any]:
    event = _decoded(line)
    if event.get("type") != "ERROR":
        return event
    status = event.get("object") or {}
    if status.get("code") == 410:
        raise Gone
    raise Unreachable(f"the watch of the API of Kubernetes ended: {status.get('message') or 'no reason given'}")


def _refusal(status: int, body: bytes) -> str:
    try:
        said = str(msgspec.json.decode(body).get("message") or "")
    except (msgspec.DecodeError, AttributeError):
        said = ""
    match status:
        case 401:
            return "the API of Kubernetes does not accept the service account's token (401)"
        case 403:
            return f"the service account needs a Role to get, list and watch endpointslices (403: {said[:300]})"
        case _:
            return f"the API of Kubernetes answers {status}{': ' if said else ''}{said[:300]}"


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise Unreachable(f"the API of Kubernetes answers what is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unreachable("the API of Kubernetes answers what is no object")
    return found
