"""The curl examples of the page on serving are carried out, in order, against a server."""

from __future__ import annotations

import http.client
import shlex
from pathlib import Path

import pytest
from pages import ROOT, blocks

from served import PATIENCE_S, Served

PAGE = ROOT / "docs/howto/serve.md"
ADDRESS = "127.0.0.1:8080"


def curls() -> list[list[str]]:
    lines = [line for block in blocks("sh") if block.page == PAGE for line in block.text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("curl ")]


def carried_out(served: Served, words: list[str], folder: Path) -> tuple[int, bytes]:
    """What curl would do with these words, as far as the page uses it."""
    method, url, body, headers = None, "", None, {}
    rest = iter(words)
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest).encode()
        elif word == "--data-binary":
            body = (folder / next(rest).removeprefix("@")).read_bytes()
        elif word != "-N":
            url = word
    address, _, target = url.removeprefix("http://").partition("/")
    assert address == ADDRESS
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request(method or ("GET" if body is None else "POST"), f"/{target}", body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


@pytest.mark.slow
def test_the_examples_with_curl_work_in_order(tmp_path: Path) -> None:
    definition = next(block for block in blocks("yaml") if block.page == PAGE)
    (tmp_path / "approval.yaml").write_text(definition.text)
    commands = curls()
    assert len(commands) >= 10

    with Served(tmp_path) as served:
        for words in commands:
            status, body = carried_out(served, words, tmp_path)
            assert status < 300, (words, body)
        assert served.ask("GET", "/v1/executions/a-1")[1]["output"] == {"ok": True}
        assert served.stop() == 0
