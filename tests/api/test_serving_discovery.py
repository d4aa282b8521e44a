"""A server whose discovery is out of reach: it starts, says so, and calls when discovery is back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.discovery.dns_server import DnsServer
from tests.recording_service import RecordingService

from served import PATIENCE_S, Served

pytestmark = pytest.mark.slow

STAY = {"name": "stay", "steps": [{"id": "a", "call": "hotels.reserve", "read_only": True}], "output": "${steps.a}"}


class Resolver:
    """A DNS server on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = DnsServer()

    def do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def end(self) -> None:
        self.do(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    made.do(made.server.start())
    yield made
    made.end()


def soon(true: Callable[[], Any]) -> Any:
    """Ask until it is so; what was answered."""
    give_up_at_s = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < give_up_at_s
    return found


def discovery(served: Served) -> dict[str, Any]:
    status, told = served.ask("GET", "/v1/services/hotels")
    assert status == 200
    found: dict[str, Any] = told["discovery"]
    return found


def test_a_server_starts_without_its_discovery_says_so_and_goes_on_when_it_is_back(
    tmp_path: Path, resolver: Resolver
) -> None:
    resolver.do(resolver.server.stop())
    (tmp_path / "makegood.toml").write_text(
        f'[service_registry]\ntype = "dns"\ndns_server = "{resolver.server.address}"\n'
        '[services.hotels]\ndiscover = "_http._tcp.hotels.example"\n'
    )
    with RecordingService() as hotels, Served(tmp_path) as served:
        out = soon(lambda: (found := discovery(served))["state"] == "unreachable" and found)
        assert served.ask("PUT", "/v1/workflows/stay", STAY)[0] == 201
        _, begun = served.ask("POST", "/v1/executions", {"workflow": "stay", "input": None})
        resolver.server.put("_http._tcp.hotels.example", "SRV", f"0 0 {hotels.url.rsplit(':', 1)[1]} one.example.")
        resolver.server.put("one.example", "A", "127.0.0.1")
        resolver.do(resolver.server.start())
        ended = soon(
            lambda: (view := served.ask("GET", f"/v1/executions/{begun['id']}?wait=5s")[1])["ended_at"] and view
        )
        found = discovery(served)
        _, told = served.ask("GET", "/v1/services/hotels")

    assert "the DNS gives no answer for _http._tcp.hotels.example" in out["reason"]
    assert out["answered"] is None
    assert ended["status"] == "completed"
    assert (found["state"], found["reason"]) == ("found", "")
    assert [each["source"] for each in told["endpoints"]] == ["discovery"]
    assert told["endpoints"][0]["labels"]["host"] == "one.example"
