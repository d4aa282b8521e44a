"""The example services as a process of their own, and requests to them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVE = EXAMPLES / "services" / "serve.py"


class ExampleServices:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"

    def request(
        self, path: str, body: object = None, headers: dict[str, str] | None = None, *, method: str = "POST"
    ) -> tuple[int, Any]:
        """One request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, content if method == "POST" else None, headers or {})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def call(self, method: str, key: str, body: object = None, **behaviour: int) -> tuple[int, Any]:
        """Call `service.method` as the engine does: `key` is `execution:step:do` or `...:undo`."""
        execution, step, _ = key.split(":")
        headers = {"Idempotency-Key": key, "Makegood-Execution": execution, "Makegood-Step": step}
        headers |= {f"X-{name.replace('_', '-')}": str(value) for name, value in behaviour.items()}
        return self.request("/" + method.replace(".", "/"), body or {}, headers)

    def ledger(self, execution: str = "") -> dict[str, Any]:
        """What they did."""
        query = f"?execution={execution}" if execution else ""
        return dict(self.request(f"/ledger{query}", method="GET")[1])

    def calls(self, execution: str) -> list[str]:
        """The methods that were called, in order."""
        return [call["call"] for call in self.ledger(execution)["calls"]]


@contextmanager
def example_services(*options: str) -> Iterator[ExampleServices]:
    """The services on a free port, until the block ends."""
    command = [sys.executable, str(SERVE), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield ExampleServices(int(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait(10)
