"""A service over HTTP whose health can be chosen: it answers GET with a status, and POST with `{"at": its name}`."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any, Self

PATIENCE_S = 30.0


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """Callers that hang up are nothing to speak of."""


class Clinic:
    """One endpoint; it can be stopped and started again on the same port.

    Attributes:
        status: Of the answers to GET.
        asked: `GET /path` in order.
        calls: Idempotency keys of POST in order.
    """

    def __init__(self, name: str = "clinic") -> None:
        self.name, self.status, self.body = name, 200, b"ok"
        self.asked: list[str] = []
        self.headers: list[Any] = []
        self.calls: list[str] = []
        self._free = threading.Event()
        self._free.set()
        self._port = 0
        self._server: _Quiet | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def hold(self) -> None:
        """Answer nothing until the end."""
        self._free.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._free.set()
        self.stop()

    def start(self) -> None:
        clinic = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                clinic.asked.append(f"GET {self.path}")
                clinic.headers.append(self.headers)
                clinic._free.wait(PATIENCE_S)
                self._answer(clinic.status, clinic.body if clinic.status != 204 else b"")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                clinic.calls.append(self.headers["Idempotency-Key"])
                self._answer(200, json.dumps({"at": clinic.name}).encode())

            def _answer(self, status: int, body: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self._thread.join(PATIENCE_S)
            server.server_close()
