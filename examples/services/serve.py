#!/usr/bin/env python3
"""All example services behind one port: `POST /{service}/{method}`, and `GET /ledger` to see what they did.

    python examples/services/serve.py [--port 9000] [--ledger FILE] [--delay-ms N]

Misbehaviour, to see what an engine makes of it, by request header (the same names with `_` in the query, or
in a JSON input under `behave`):

    X-Delay-Ms: N       do it, and answer N ms later
    X-Fail-First: N     answer 503 to the first N requests with a key, and do nothing
    X-Lose-First: N     do it, and hang up without an answer on the first N requests with a key
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from businesses import SERVICES, Method
from ledger import Call, Ledger

BODY_BYTES_MAX = 4 * 1024 * 1024
DELAY_MS_MAX = 600_000


class Services(ThreadingHTTPServer):
    """The server with its ledger."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, ledger: Ledger, delay_ms: int) -> None:
        self.ledger = ledger
        self.delay_ms = delay_ms
        super().__init__(("127.0.0.1", port), Conversation)


class Conversation(BaseHTTPRequestHandler):
    """One connection, kept alive over many requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 120
    server: Services

    def do_GET(self) -> None:
        """The ledger, or whether we live."""
        url = urlsplit(self.path)
        if url.path == "/ledger":
            execution = parse_qs(url.query).get("execution", [None])[0]
            self._answer(200, self.server.ledger.report(execution))
        elif url.path in ("/", "/healthz") or url.path.endswith("/healthz"):
            self._answer(200, {"ok": True, "services": sorted(SERVICES)})
        else:
            self._answer(404, _error("not_found", "There is GET /ledger and GET /healthz."))

    def do_POST(self) -> None:
        """A call of a method."""
        body = self._body()
        if body is None:
            return
        url = urlsplit(self.path)
        service, _, method = url.path.strip("/").partition("/")
        known = SERVICES.get(service, {}).get(method)
        if known is None:
            self._answer(404, _error("no_such_method", f"There is no {service}.{method}."))
            return
        try:
            given = json.loads(body) if body else None
        except ValueError:
            self._answer(400, _error("bad_json", "The body is not JSON."))
            return
        self._perform(self._call(service, method, given), known, parse_qs(url.query))

    def _perform(self, call: Call, method: Method, query: dict[str, list[str]]) -> None:
        ledger = self.server.ledger
        fail_first = self._behaviour("fail_first", query, call.input)
        lose_first = self._behaviour("lose_first", query, call.input)
        before = ledger.requests[call.key] if fail_first or lose_first else 0
        if before < fail_first:
            ledger.note(call, "outage")
            self._answer(503, _error("outage", "The service is out of order."))
            return
        try:
            answer = ledger.perform(call, method.answer, effect=method.effect)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            # An input that the business cannot read: a definite no, nothing was done.
            self._answer(400, _error("bad_request", f"{call.service}.{call.method} cannot read its input: {error!r}"))
            return
        delay_ms = self._behaviour("delay_ms", query, call.input) or self.server.delay_ms
        time.sleep(min(delay_ms, DELAY_MS_MAX) / 1000)
        if before < lose_first:
            self.close_connection = True
            return
        self._answer(answer.status, answer.body)

    def _call(self, service: str, method: str, given: Any) -> Call:
        attempt = self.headers.get("Makegood-Attempt", "1")
        return Call(
            service=service,
            method=method,
            key=self.headers.get("Idempotency-Key") or f"no-key-{uuid4()}:do",
            input=given,
            execution=self.headers.get("Makegood-Execution", ""),
            step=self.headers.get("Makegood-Step", ""),
            attempt=int(attempt) if attempt.isdigit() else 1,
        )

    def _behaviour(self, name: str, query: dict[str, list[str]], given: Any) -> int:
        """A number from the header, the query or the input; 0 when nobody asks for it."""
        wanted = given.get("behave") if isinstance(given, dict) else None
        asked = wanted.get(name) if isinstance(wanted, dict) else None
        header = self.headers.get("X-" + name.replace("_", "-"))
        found = header or query.get(name, [None])[0] or asked or 0
        return int(found) if str(found).isdigit() else 0

    def _body(self) -> bytes | None:
        """The whole body, however it is framed; None when it was refused."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(413, _error("too_large", f"A body has at most {BODY_BYTES_MAX} bytes."))
            return None
        return self.rfile.read(int(length))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
            if len(body) > BODY_BYTES_MAX:
                self.close_connection = True
                return body
        while self.rfile.readline().strip():
            pass
        return body

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's word
        """Quiet: the ledger says more."""


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def main() -> int:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description="The example services.")
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one and prints it")
    parser.add_argument("--ledger", type=Path, help="file that keeps every call; left out: memory")
    parser.add_argument("--delay-ms", type=int, default=0, help="answer everything that much later")
    asked = parser.parse_args()
    ledger = Ledger(asked.ledger)
    try:
        server = Services(asked.port, ledger, asked.delay_ms)
    except OSError as error:
        print(f"Port {asked.port} cannot be used: {error.strerror}. Try --port 0.", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(server.server_port, flush=True)
    print(f"Example services on http://127.0.0.1:{server.server_port}/", file=sys.stderr, flush=True)
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    ledger.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
