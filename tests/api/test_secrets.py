"""Secrets reach the services that they are for, and nobody else: all that is written or told is looked through."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from served import PATIENCE_S, Served

SECRET = re.compile(rb"hunter2-[a-z]+")
IN_VARIABLES = {
    "SHOP_TOKEN": "hunter2-bearer",
    "SHOP_KEY": "hunter2-key",
    "BROKEN": "hunter2-broken\r\nEvil: 1",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=hunter2-collector",
}
CONFIG = """
[auth]
tokens_file = "tokens.toml"

[callbacks]
url = "http://127.0.0.1:1"
secret = "hunter2-callback-secret"

[services.shop]
url = "{shop}"
auth = {{bearer = "env:SHOP_TOKEN"}}
headers = {{X-Literal = "hunter2-literal", X-Key = "env:SHOP_KEY", X-File = "file:{folder}/key"}}
[services.shop.methods.garbled]
path = "/garbled"
output = "${{reply.body.missing}}"
[services.shop.methods.later]
callback = true
[services.shop.methods.nowhere]
path = "/{{input.missing}}"

[services.basic]
url = "{shop}"
auth = {{user = "ada", password = "file:{folder}/password"}}

[services.refused]
url = "http://127.0.0.1:1"
auth = {{bearer = "env:SHOP_TOKEN"}}

[services.plain]
url = "{tls}"
auth = {{bearer = "env:SHOP_TOKEN"}}
headers = {{X-Key = "env:SHOP_KEY"}}

[services.forbidden]
url = "http://169.254.169.254"
auth = {{bearer = "env:SHOP_TOKEN"}}

[services.broken]
url = "{shop}"
auth = {{bearer = "env:BROKEN"}}
headers = {{X-Literal = "hunter2-literal"}}

[services.unset]
url = "{shop}"
auth = {{user = "ada", password = "env:UNSET"}}
headers = {{X-Key = "env:SHOP_KEY"}}
"""
CALLS = [
    *(f"shop.{method}" for method in ("fine", "later", "no", "wrong", "garbled", "cut", "nowhere")),
    *(f"{service}.do" for service in ("basic", "refused", "plain", "forbidden", "broken", "unset")),
]
FINE = {"shop.fine", "shop.later", "basic.do"}
DSNS = {
    "url": "postgresql://me:hunter2-dsn@127.0.0.1:1/trips",
    "query": "postgresql://me@127.0.0.1:1/trips?password=hunter2-dsn",
    "no port": "postgresql://me:hunter2-dsn@127.0.0.1:port/trips",
    "no option": "postgresql://me:hunter2-dsn@127.0.0.1:1/trips?sslmode=maybe",
    "not one": "mysql://me:hunter2-dsn@127.0.0.1/trips",
}
WRONG = {
    "auth": 'auth = {bearer = "hunter2-wrong"}',
    "headers": 'headers = {Authorization = ["hunter2-wrong"]}',
    "url": 'urls = ["http://me:hunter2-wrong@shop"]',
}


@contextmanager
def listening() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """A server that answers by its path, well or badly, and remembers what it was told."""
    heard: list[tuple[str, dict[str, str], bytes]] = []
    answers = {
        "later": (202, b""), "no": (409, b'{"error": {"code": "no"}}'), "wrong": (500, b"oops"),
        "garbled": (200, b'{"a": 1}'),
    }  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            heard.append((self.path, dict(self.headers), body))
            method = self.path.rsplit("/", 1)[-1]
            if method == "cut":
                self.close_connection = True
                return
            status, raw = answers.get(method, (200, b"{}"))
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", heard
    server.shutdown()
    thread.join()
    server.server_close()


def makegood(folder: Path, *words: str, **environment: str) -> bytes:
    """All that a command writes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKEGOOD_")}
    done = subprocess.run(
        [sys.executable, "-m", "makegood", *words], cwd=folder, capture_output=True, timeout=PATIENCE_S,
        env=kept | IN_VARIABLES | environment, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def definition(call: str) -> dict[str, Any]:
    step = {"id": "a", "call": call, "input": {"n": 1}, "retry": {"max_attempts": 1}, "read_only": True}
    return {"name": call.replace(".", "-"), "steps": [step]}


def asked_for_everything(served: Served, token: str) -> dict[str, Any]:
    """Every kind of answer that the API gives, errors included."""
    held = {"Authorization": f"Bearer {token}"}
    told: dict[str, Any] = {}
    for call in CALLS:
        made = definition(call)
        name = made["name"]
        told[f"put {call}"] = served.ask("PUT", f"/v1/workflows/{name}", made, **held)
        given = {"workflow": name, "id": name, "input": {}}
        told[f"start {call}"] = served.ask(
            "POST", f"/v1/executions?wait={1 if call == 'shop.later' else 10}s", given, **held
        )
        for part in ("", "/history"):
            told[f"{call}{part}"] = served.ask("GET", f"/v1/executions/{name}{part}", **held)
    for target in (
        "/v1/services",
        "/v1/services/shop",
        "/v1/executions",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/readyz",
    ):
        told[target] = served.ask("GET", target, **held)
    told["stranger"] = served.ask("GET", "/v1/services", Authorization="Bearer admin.hunter2-stranger")
    for number, wrong in enumerate(
        [
            {"url": "http://h", "auth": {"bearer": "hunter2-put"}},
            {"url": "http://h", "auth": "hunter2-put"},
            {"url": "http://h", "auth": {"user": "u", "password": ["hunter2-put"]}},
            {"url": "http://me:hunter2-put@h"},
            {"url": "http://h", "headers": {"X-Key": ["hunter2-put"]}},
            {"url": "http://h", "headers": {"X-Key": "hunter2-put\n"}},
            {"url": "http://h", "headers": {"X-Key": "hunter2-stored"}},
        ]
    ):
        told[f"put service {number}"] = served.ask("PUT", f"/v1/services/s{number}", wrong, **held)
        told[f"service {number}"] = served.ask("GET", f"/v1/services/s{number}", **held)
    return told


def called_back(served: Served, heard: list[tuple[str, dict[str, str], bytes]]) -> tuple[str, dict[str, Any]]:
    """The token of the call that waits for one, and what a wrong and a right one are answered."""
    address = next(headers["Makegood-Callback"] for path, headers, _ in heard if path.endswith("/later"))
    target = address.removeprefix("http://127.0.0.1:1")
    where, token = target.split("&token=")
    told = {
        "callback, wrong": served.ask("POST", f"{where}&token={token[:-1]}", {"output": 1}),
        "callback": served.ask("POST", target, {"output": 1}),
        "callback, again": served.ask("POST", target, {"output": 2}),
    }
    return token, told


def commands(folder: Path, url: str, token: str) -> dict[str, bytes]:
    """What the command line says, of a server, of the file, and of what is wrong."""
    server = ("--server", url, "--token", token)
    told = {
        " ".join(words[:2]): makegood(folder, *words, *server)
        for words in [
            ("list",), ("show", "refused-do"), ("history", "plain-do"), ("watch", "broken-do"), ("services", "list"),
            ("services", "put", "s9", "--url", "http://me:hunter2-cli@h"), ("workflows", "list"),
        ]
    }  # fmt: skip
    told["stranger"] = makegood(folder, "list", "--server", url, "--token", "admin.hunter2-stranger")
    (folder / "fine.json").write_text(json.dumps(definition("broken.do")))
    for name, line in WRONG.items():
        (folder / f"{name}.toml").write_text(
            f"[services.shop]\n{line}\n{'' if 'url' in line else 'url = ' + repr(url)}\n"
        )
        told[f"check {name}"] = makegood(folder, "check", "fine.json", "--config", f"{name}.toml")
    return told


def databases(folder: Path) -> dict[str, bytes]:
    """What is said of a database that cannot be had."""
    told = {}
    (folder / "ref.toml").write_text('[storage]\ntype = "postgres"\nconnection_string = "env:DSN"\n')
    for name, dsn in DSNS.items():
        (folder / "dsn.toml").write_text(f'[storage]\ntype = "postgres"\nconnection_string = "{dsn}"\n')
        told[f"{name}, status"] = makegood(folder, "db", "status", "--config", "dsn.toml")
    for name in ("url", "no port"):
        serve = ("serve", "--listen", "127.0.0.1:0", "--config", "ref.toml")
        told[f"{name}, serve"] = makegood(folder, *serve, DSN=DSNS[name])
    told["run"] = makegood(folder, "run", "fine.json", "--database", DSNS["url"])
    told["list"] = makegood(folder, "list", "--database", DSNS["query"])
    return told


def files(folder: Path) -> dict[str, bytes]:
    """The database, with all that lies beside it.

    A header that was written out in `PUT /v1/services` has to be kept there, and is not looked for.
    """
    return {each.name: each.read_bytes().replace(b"hunter2-stored", b"") for each in folder.glob("makegood.db*")}


def leaks(told: dict[str, bytes], *tokens: str) -> dict[str, list[bytes]]:
    """Where something that is secret stands."""
    found = [base64.b64encode(b"ada:hunter2-password"), *(each.encode() for each in tokens)]
    secret = re.compile(b"|".join([SECRET.pattern, *map(re.escape, found)]))
    return {name: secret.findall(raw) for name, raw in told.items() if secret.search(raw)}


@pytest.mark.slow
def test_secrets_stand_nowhere_but_in_requests(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2-file\n")
    (tmp_path / "password").write_text("hunter2-password\n")
    token = makegood(tmp_path, "token", "add", "admin", "--role", "admin").decode().split()[0]
    with listening() as (shop, heard), listening() as (collector, spans):
        config = CONFIG.format(shop=shop, folder=tmp_path, tls=shop.replace("http:", "https:"))
        (tmp_path / "makegood.toml").write_text(config)
        environment = IN_VARIABLES | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector}
        with Served(tmp_path, environment=environment) as served:
            answers = asked_for_everything(served, token)
            callback, settled = called_back(served, heard)
            told = commands(tmp_path, served.url, token) | files(tmp_path)
            assert served.stop() == 0
    told |= {name: json.dumps(each, default=repr).encode() for name, each in (answers | settled).items()}
    told |= {f"span {number}": body for number, (_, _, body) in enumerate(spans)}
    told |= {"log": "\n".join(served.said).encode(), "journal": b"".join(files(tmp_path).values())}
    refused = databases(tmp_path)
    told |= refused

    assert leaks(told, token.partition(".")[2], callback) == {}
    # Looked through is what is there: errors happened, spans and events were written, and services got their secrets.
    outcomes = {call: answers[call][1]["steps"][0]["error"] for call in CALLS if call not in FINE}
    assert {call: each["code"] for call, each in outcomes.items()} == {
        "shop.no": "no", "shop.wrong": "service_error", "shop.garbled": "invalid_reply", "shop.cut": "connection_reset",
        "shop.nowhere": "invalid_request", "refused.do": "service_unavailable", "plain.do": "service_unavailable",
        "forbidden.do": "service_unavailable", "broken.do": "service_unavailable", "unset.do": "service_unavailable",
    }  # fmt: skip
    assert [
        name for name, raw in refused.items() if not re.search(b"cannot be reached|needs connection_string", raw)
    ] == []
    assert [settled[name][0] for name in ("callback, wrong", "callback", "callback, again")] == [401, 202, 409]
    assert b"broken-do" in told["journal"]
    assert any(b"shop.wrong" in body for _, _, body in spans)
    assert b"write_asked" in told["log"]
    got = set(SECRET.findall(repr([headers for _, headers, _ in heard]).encode()))
    assert got == {b"hunter2-bearer", b"hunter2-key", b"hunter2-file", b"hunter2-literal"}
    assert any(b"ada:hunter2" in base64.b64decode(each["Authorization"].split()[1]) for _, each, _ in heard
               if each["Authorization"].startswith("Basic"))  # fmt: skip
    assert {each["authorization"] for _, each, _ in spans if "authorization" in each} | {
        each["Authorization"] for _, each, _ in spans if "Authorization" in each
    } == {"hunter2-collector"}
