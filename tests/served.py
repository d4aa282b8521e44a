"""`makegood serve` in a process of its own, and a plain client."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

LISTENS = re.compile(r"makegood listens on (http://\S+)")
PATIENCE_S = 30.0


@dataclass
class Served:
    """A server process; killed at the end if it still runs.

    Attributes:
        words: Of the command line, after `serve --listen 127.0.0.1:0`.
    """

    folder: Path
    words: tuple[str, ...] = ()
    listen: str = "127.0.0.1:0"
    environment: dict[str, str] = field(default_factory=dict)
    url: str = ""
    said: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKEGOOD_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "makegood", "serve", "--listen", self.listen, *self.words],
            cwd=self.folder, env={**kept, **self.environment}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._spoken = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for("makegood listens on")
        return self

    def wait_for(self, words: str) -> None:
        """Return when it has said that."""
        with self._spoken:
            said = self._spoken.wait_for(lambda: any(words in line for line in self.said), PATIENCE_S)
        assert said, self.said

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := LISTENS.search(line):
                self.url = found[1]
            with self._spoken:
                self.said.append(line.rstrip())
                self._spoken.notify_all()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def ask(self, method: str, target: str, value: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of one request on a connection of its own."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE_S)
        try:
            sent = {name.replace("_", "-"): text for name, text in headers.items()}
            body = None
            if value is not None:
                body = json.dumps(value).encode()
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, target, body, sent)
            reply = connection.getresponse()
            raw = reply.read()
            return reply.status, json.loads(raw) if raw[:1] in (b"{", b"[") else raw
        finally:
            connection.close()


def ports_of(pid: int) -> set[int]:
    """From which ports a process has TCP connections."""
    try:
        held = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return set()
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(words[1].split(":")[1], 16) for words in connections if f"socket:[{words[9]}]" in held}


def has_port(pid: int, port: int) -> bool:
    """Whether a process has a TCP connection from that port."""
    return port in ports_of(pid)
