"""Where a service's description comes from: a file, or an address that is asked once.

An address is asked under the rules of every call: it is resolved and checked once, redirects are not
followed, and both time and size are bounded. Nothing secret is sent along.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

from makegood.services.config import ServiceConfig, host_header, split_url
from makegood.services.connecting import Connector, Target
from makegood.services.deadline import Deadline
from makegood.services.http_client import Client, Lost, NotSent, Unreadable
from makegood.services.tls import Trust

BYTES_MAX = 8 * 1024 * 1024
FETCH_MS = 5_000
"""Less than the time in which whoever registers a definition is answered."""


class NoDocument(Exception):
    """It cannot be had; the message says why, to go behind the source's name."""


def is_url(source: str) -> bool:
    """Whether it is asked for over HTTP; otherwise it is a file's path."""
    return source.startswith(("http://", "https://"))


async def fetched(config: ServiceConfig, folder: str) -> bytes:
    """The description that a service names.

    Args:
        config: Of the service.
        folder: Where a file is whose path is not whole.

    Raises:
        NoDocument: There is none to be had now.
    """
    assert config.openapi is not None
    if is_url(config.openapi):
        return await _asked(config, config.openapi)
    return await _read(Path(folder, config.openapi))


async def _read(path: Path) -> bytes:
    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)

    try:
        content = await asyncio.to_thread(read)
    except OSError as error:
        raise NoDocument(f"cannot be read: {error.strerror or error}. See that the path is right.") from None
    if len(content) > BYTES_MAX:
        raise NoDocument(f"is longer than {BYTES_MAX} bytes.")
    return content


async def _asked(config: ServiceConfig, url: str) -> bytes:
    parts = urlsplit(url)
    _, host, port = split_url(url)
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host_header(parts)}\r\nUser-Agent: makegood\r\n"
        "Accept: application/json, application/yaml\r\nAccept-Encoding: identity\r\n\r\n"
    )
    # What the service is shown, and trusts, is for its own hosts alone.
    ours = host in {split_url(each)[1] for each in config.urls}
    trust = Trust(config.pem_files if ours else None)
    client = Client(Connector(trust, allow_link_local=config.allow_link_local), idle_max=0)
    deadline = Deadline(time.time_ns() // 1_000_000 + FETCH_MS, lambda: time.time_ns() // 1_000_000)
    try:
        answer = await client.send(
            Target(host, port, parts.scheme == "https"), request.encode("latin-1"), deadline,
            connect_s=FETCH_MS / 1000, body_max=BYTES_MAX,
        )  # fmt: skip
    except (NotSent, Lost, Unreadable) as error:
        raise NoDocument(f"cannot be fetched: {error}.") from None
    finally:
        client.close()
    if answer.status != 200:
        raise NoDocument(f"cannot be fetched: HTTP {answer.status}.")
    return answer.body
