"""A service on the loopback that records every call, answers as told, and can be held up. Knows no makegood."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Answer:
    """What a method answers."""

    status: int = 200
    body: Any = None


@dataclass
class RecordingService:
    """Use as a context manager; `url` is its root.

    Attributes:
        answers: By method: one answer for every call.
        callbacks: Of each call: where it may call back.
        pages: By path: what a GET is answered.
        calls: (method, step, attempt, key, body) of each call, in order of arrival.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    callbacks: list[str | None] = field(default_factory=list)
    pages: dict[str, Answer] = field(default_factory=dict)
    calls: list[tuple[str, str, int, str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[str, threading.Event] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # The answer leaves in one packet, so that no delayed acknowledgement slows a test down.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(length) or b"null")
                answer = service.answer(self.path.rsplit("/", 1)[-1], dict(self.headers), body)
                raw = json.dumps(answer.body).encode()
                try:
                    self.send_response(answer.status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True

            def do_GET(self) -> None:
                answer = service.pages.get(self.path, Answer(404))
                raw = json.dumps(answer.body).encode()
                self.send_response(answer.status)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256  # Of 5, the kernel drops what a hundred connect at once.
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, headers: dict[str, str], body: Any) -> Answer:
        call = (
            method, headers["Makegood-Step"], int(headers["Makegood-Attempt"]), headers["Idempotency-Key"], body,
        )  # fmt: skip
        with self._changed:
            self.calls.append(call)
            self.callbacks.append(headers.get("Makegood-Callback"))
            self._changed.notify_all()
            held = self._held.get(method)
        if held is not None:
            held.wait(PATIENCE_S)
        return self.answers.get(method, Answer(200, {"done": method}))

    def hold(self, method: str) -> threading.Event:
        """Answer calls of this method only once the event is set."""
        self._held[method] = threading.Event()
        return self._held[method]

    def wait_for(self, method: str, count: int = 1) -> None:
        """Return when so many calls of this method have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.methods.count(method) >= count, PATIENCE_S), self.calls

    @property
    def methods(self) -> list[str]:
        return [call[0] for call in self.calls]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._held.values():
            each.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
