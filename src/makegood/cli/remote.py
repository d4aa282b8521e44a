"""A server asked from the shell: the same answers as `looking` and `acting` find in a database.

Strangers keep out: nothing is printed here. What a server refuses becomes the error that the engine would raise.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from makegood.app.deciding import Verdict
from makegood.core.events import Record
from makegood.core.program import Program, compile_program
from makegood.core.state import ENDS
from makegood.errors import (
    ConfigurationError,
    Conflict,
    DefinitionError,
    InputError,
    MakegoodError,
    NotFound,
    Problem,
    Refused,
    ServerUnavailable,
)
from makegood.language import load_canonical
from makegood.storage.codec import decode_event

PATIENCE_S = 60.0
"""How long an answer may take."""
LOOK_S = 2
"""How long one question for the end may take; then it is asked again."""


class Remote:
    """One server.

    Args:
        url: Where it listens.
        token: Sent along; None sends none.

    Raises:
        ConfigurationError: The URL is none.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or parts.query or parts.fragment:
            raise ConfigurationError(f"--server {url!r} is no URL. Write http://HOST:PORT, for example.")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigurationError("--token holds what no token can: take it as `makegood token add` printed it.")
        self.url = url.rstrip("/")
        self._parts = parts
        self._token = token
        self._followed: http.client.HTTPConnection | None = None

    # --- executions ---

    def start(self, body: Mapping[str, Any], wait: str | None) -> dict[str, Any]:
        """Start an execution; how it stands."""
        found: dict[str, Any] = self._json("POST", "/v1/executions", {"wait": wait}, body)
        return found

    def executions(self, asked: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
        """A page of executions, and where the next one begins."""
        found = self._json("GET", "/v1/executions", asked)
        return found["executions"], found["cursor"]

    def describe(self, execution_id: str) -> dict[str, Any]:
        """One execution, whole."""
        found: dict[str, Any] = self._json("GET", _execution(execution_id))
        return found

    def page(self, execution_id: str, rows: str, cursor: str | None) -> dict[str, Any]:
        """A page of its `steps`, `compensations` or `effects`."""
        found: dict[str, Any] = self._json(
            "GET", f"{_execution(execution_id)}/{rows}", {"cursor": cursor, "limit": 1000}
        )
        return found

    def events(self, execution_id: str) -> Iterator[dict[str, Any]]:
        """Its journal, event by event."""
        cursor: str | None = None
        while True:
            page = self._json("GET", f"{_execution(execution_id)}/history", {"cursor": cursor, "limit": 1000})
            yield from page["events"]
            cursor = page["cursor"]
            if cursor is None:
                return

    def at_rest(self, execution_id: str) -> dict[str, Any] | None:
        """It, if it ends or is suspended within a moment; else None."""
        view = self._json("GET", _execution(execution_id), {"wait": f"{LOOK_S}s"})
        return view if view["status"] in ENDS or view["status"] == "suspended" else None

    def program(self, execution_id: str) -> Program:
        """The compiled definition of an execution."""
        view = self.describe(execution_id)
        found = self._json("GET", f"/v1/workflows/{quote(view['workflow'])}/versions/{view['version']}")
        return compile_program(load_canonical(found["definition"]), view["version"])

    def follow(self, execution_id: str) -> Iterator[Record]:
        """Its events, live, each as a record, until it has ended or `leave` is called."""
        for view in self._told(execution_id):
            # Each by itself: which one is the last of its record is known only when the next record comes.
            at_ms = _moment_ms(view.pop("at"))
            del view["position"]
            yield Record(at_ms, (decode_event({"e": view.pop("event"), "v": view.pop("event_version"), **view}),))

    def leave(self) -> None:
        """Follow no more: whoever waits for the next record is told that there is none."""
        connection, self._followed = self._followed, None
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _told(self, execution_id: str) -> Iterator[dict[str, Any]]:
        connection = self._followed = self._connection()
        try:
            reply = self._send(connection, "GET", f"{_execution(execution_id)}/events")
            if reply.status == 204:
                return
            if reply.status != 200:
                raise _refusal(reply.status, _parsed(reply.read()))
            for line in _lines(reply):
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
        finally:
            connection.close()

    def request(self, kind: str, execution_id: str, body: Mapping[str, Any]) -> Verdict:
        """Put a request before an execution."""
        where = f"{_execution(execution_id)}/{kind}"
        if kind == "signal":
            told = self._json(
                "POST", f"{_execution(execution_id)}/signals/{quote(body['name'], safe='')}", {}, body["payload"]
            )
        else:
            told = self._json("POST", where, {}, {name: each for name, each in body.items() if each is not None})
        return Verdict(verdict=told["verdict"], by_engine=True, view=told)

    # --- definitions and services ---

    def workflows(self) -> list[dict[str, Any]]:
        """The newest version of every workflow."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/workflows")["workflows"]
        return found

    def workflow(self, name: str, version: int | None) -> dict[str, Any]:
        """The definition of one version, or of the newest."""
        middle = "" if version is None else f"/versions/{version}"
        found = self._json("GET", f"/v1/workflows/{quote(name, safe='')}{middle}")
        return {**found["definition"], "version": found["version"]}

    def put_workflow(self, name: str, raw: bytes, media: str, source: str) -> tuple[dict[str, Any], bool]:
        """Register a definition; what was told, and whether it is a new version."""
        status, told = self._ask("PUT", f"/v1/workflows/{quote(name, safe='')}", raw, media)
        if status not in {200, 201}:
            raise _refusal(status, told, source)
        return told, status == 201

    def services(self) -> list[dict[str, Any]]:
        """All services."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/services")["services"]
        return found

    def service(self, name: str) -> dict[str, Any]:
        """One service, and how its endpoints are."""
        found: dict[str, Any] = self._json("GET", _service(name))
        return found

    def check_service(self, name: str) -> dict[str, Any]:
        """What its endpoints answer just now."""
        found: dict[str, Any] = self._json("POST", f"{_service(name)}/check")
        return found

    def put_service(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Add a service, or replace it."""
        found: dict[str, Any] = self._json("PUT", _service(name), {}, body)
        return found

    def remove_service(self, name: str) -> None:
        """Forget a service."""
        self._json("DELETE", _service(name))

    # --- asking ---

    def _json(self, method: str, path: str, asked: Mapping[str, Any] | None = None, value: Any = ...) -> Any:
        query = urlencode({name: text for name, text in (asked or {}).items() if text is not None})
        raw = None if value is ... else json.dumps(value).encode()
        status, told = self._ask(method, f"{path}?{query}" if query else path, raw, "application/json")
        if status >= 300:
            raise _refusal(status, told)
        return told

    def _ask(self, method: str, target: str, raw: bytes | None, media: str) -> tuple[int, Any]:
        connection = self._connection()
        try:
            reply = self._send(connection, method, target, raw, media)
            return reply.status, _parsed(reply.read())
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        raw: bytes | None = None,
        media: str = "",
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json"}
        if raw is not None:
            headers["Content-Type"] = media
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, self._parts.path.rstrip("/") + target, raw, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)

    def _unreachable(self, error: Exception) -> ServerUnavailable:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServerUnavailable(
            f"the server at {self.url} cannot be asked: {why}. See that `makegood serve` is running there."
        )


def _service(name: str) -> str:
    return f"/v1/services/{quote(name, safe='')}"


def _execution(execution_id: str) -> str:
    return f"/v1/executions/{quote(execution_id, safe='')}"


def _moment_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _lines(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            line = reply.readline()
        except (OSError, http.client.HTTPException, AttributeError, ValueError):
            return
        if not line:
            return
        yield line.rstrip(b"\r\n")


def _parsed(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return {"detail": raw[:200].decode("utf-8", "replace")}


def _refusal(status: int, told: Any, source: str = "definition") -> MakegoodError:
    """What a server refuses, as the error that it was there."""
    problem = told if isinstance(told, dict) else {}
    detail, code = str(problem.get("detail", f"the server answered {status}")), str(problem.get("code", "error"))
    match status:
        case 404:
            return NotFound(detail)
        case 409 if "execution_status" in problem:
            return Refused(detail, code=code, status=problem["execution_status"])
        case 409:
            return Conflict(detail, code=code, existing=problem.get("existing"))
        case 422 if problem.get("problems"):
            return DefinitionError([Problem(**each) for each in problem["problems"]], source)
        case 401:
            return ConfigurationError(f"{detail} Give --token, or MAKEGOOD_TOKEN.")
        case 429 | 503:
            return ServerUnavailable(detail)
        case _:
            return InputError(detail, pointer=str(problem.get("pointer", "")))
