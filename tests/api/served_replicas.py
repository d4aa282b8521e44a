"""Several `makegood serve` on one PostgreSQL, and the service that they call."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from served import PATIENCE_S, Served

LEASE_S = 1.0


def replica(
    folder: Path,
    dsn: str,
    node: str = "",
    *,
    lease_s: float = LEASE_S,
    source: Path | None = None,
    check_s: float | None = None,
) -> Served:
    """A server on a database, not started yet; of other code than this if that is named.

    With an interval between checks of services, if that is given.
    """
    words = ("--database", dsn, *(("--node", node) if node else ()))
    environment = {"MAKEGOOD_WORKFLOW_ENGINE__LEASE_SECONDS": str(lease_s)}
    if check_s is not None:
        environment["MAKEGOOD_SERVICE_REGISTRY__HEALTH_CHECK_INTERVAL_SECONDS"] = str(check_s)
    return Served(folder, words, environment=environment | ({} if source is None else {"PYTHONPATH": str(source)}))


@contextmanager
def replicas(
    folder: Path, dsn: str, count: int, *, lease_s: float = LEASE_S, check_s: float | None = None
) -> Iterator[list[Served]]:
    """So many servers that share a database."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(replica(folder, dsn, f"n{number}", lease_s=lease_s, check_s=check_s))
            for number in range(count)
        ]


def everywhere(servers: list[Served], method: str, target: str, value: Any = None) -> None:
    """Ask every server the same; each must do it."""
    for each in servers:
        status, told = each.ask(method, target, value)
        assert status < 300, told


def until(served: Served, method: str, target: str, wanted: int, **headers: str) -> Any:
    """Ask until the answer has a status; its body."""
    give_up_at_s = time.monotonic() + PATIENCE_S
    while True:
        status, told = served.ask(method, target, **headers)
        if status == wanted:
            return told
        assert time.monotonic() < give_up_at_s, (status, told)


class Quiet(http.server.ThreadingHTTPServer):
    """Says nothing of callers that die."""

    daemon_threads = True
    request_queue_size = 256  # Of 5, the kernel drops what many connect at once.

    def handle_error(self, *_: object) -> None:
        pass


class Desk:
    """A service over HTTP that writes down its calls; `hold` keeps their answers back until `let_go`.

    It does all that it is asked, but `refuse`.

    Args:
        delay_s: Before each answer.

    Attributes:
        calls: (method of the service, Idempotency-Key) in order of arrival.
        arrivals: (monotonic time in seconds, Idempotency-Key, the caller's port), likewise.
    """

    def __init__(self, delay_s: float = 0.0) -> None:
        self.calls: list[tuple[str, str]] = []
        self.arrivals: list[tuple[float, str, int]] = []
        self._counts: Counter[str] = Counter()
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._free = threading.Event()
        self._free.set()
        desk = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                key = self.headers["Idempotency-Key"]
                with desk._changed:
                    desk.arrivals.append((time.monotonic(), key, self.client_address[1]))
                    desk._counts[key.partition(":")[0]] += 1
                    desk.calls.append((self.path.rpartition("/")[2], key))
                    desk._changed.notify_all()
                desk._over.wait(delay_s)
                desk._free.wait(PATIENCE_S)
                body = b'{"done": true}'
                try:
                    self.send_response(409 if self.path.endswith("/refuse") else 200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/desk"

    def hold(self) -> None:
        self._free.clear()

    def let_go(self) -> None:
        self._free.set()

    def count(self, execution_id: str) -> int:
        """How many calls an execution has made."""
        with self._changed:
            return self._counts[execution_id]

    def until_calls(self, count: int, patience_s: float = PATIENCE_S) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, patience_s), self.calls[-50:]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._over.set()
        self._server.shutdown()
        self._thread.join(PATIENCE_S)
        self._server.server_close()


def told_live(served: Served, execution_id: str) -> list[str]:
    """The server-sent events of an execution until its end, as text."""
    host, _, port = served.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        connection.sendall(f"GET /v1/executions/{execution_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        text = b""
        while not text.endswith(b"0\r\n\r\n"):
            part = connection.recv(65536)
            if not part:
                break
            text += part
    return [line[6:] for line in text.decode().splitlines() if line.startswith("data: ")]
