"""Whom TLS trusts, what it shows, and that a handshake that fails has sent nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from misbehaving import Misbehaving
from service_calls import invocation, send

from makegood.core.outcome import Reply
from makegood.errors import ConfigurationError
from makegood.services import Registry, ServiceConfig

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """One that the service's certificate is from."""
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    """Its certificate, as a file."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


def context(authority: trustme.CA, *names: str, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """A server with a certificate for these names, which lets in those that `clients` vouches for."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(made)
    if clients is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(made)
    return made


def client_files(authority: trustme.CA, folder: Path) -> dict[str, str]:
    """A client's certificate and key."""
    made = authority.issue_cert("engine.test")
    certificate, key = folder / "client.pem", folder / "client.key"
    certificate.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return {"certificate": str(certificate), "key": str(key)}


async def call(registry: Registry, url: str, tls: Mapping[str, str] | None) -> Reply:
    registry.register("svc", ServiceConfig(name="svc", urls=(url,), tls=tls))
    return await send(registry, invocation())


async def test_an_authority_of_ones_own_is_trusted(registry: Registry, authority: trustme.CA, ca: str) -> None:
    async with Misbehaving(tls=context(authority, "127.0.0.1")) as server:
        reply = await call(registry, server.url, {"ca": ca})
        await registry.aclose()

    assert reply.outcome == "ok"


async def test_a_stranger_is_not_trusted(registry: Registry, authority: trustme.CA, ca: str) -> None:
    async with Misbehaving(tls=context(trustme.CA(), "127.0.0.1")) as server:
        reply = await call(registry, server.url, {"ca": ca})

    assert (reply.outcome, reply.code, server.received) == ("not_sent", "service_unavailable", [])
    assert "its certificate is not trusted" in reply.message


async def test_the_systems_authorities_are_trusted_no_longer_beside_ones_own(
    registry: Registry, authority: trustme.CA, ca: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "system.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))

    async with Misbehaving(tls=context(other, "127.0.0.1")) as server:
        reply = await call(registry, server.url, {"ca": ca})

    assert (reply.outcome, server.received) == ("not_sent", [])


async def test_the_name_must_be_the_certificates(registry: Registry, authority: trustme.CA, ca: str) -> None:
    async with Misbehaving(tls=context(authority, "hotels.test")) as server:
        reply = await call(registry, server.url, {"ca": ca})

    assert (reply.outcome, server.received) == ("not_sent", [])
    assert "127.0.0.1" in reply.message
    assert "its certificate is not trusted" in reply.message


async def test_a_client_shows_its_certificate(
    registry: Registry, authority: trustme.CA, ca: str, tmp_path: Path
) -> None:
    clients = trustme.CA()
    async with Misbehaving(tls=context(authority, "127.0.0.1", clients=clients)) as server:
        reply = await call(registry, server.url, {"ca": ca, **client_files(clients, tmp_path)})
        await registry.aclose()

    assert reply.outcome == "ok"


async def test_certificate_and_key_may_share_a_file(
    registry: Registry, authority: trustme.CA, ca: str, tmp_path: Path
) -> None:
    clients = trustme.CA()
    both = tmp_path / "both.pem"
    both.write_bytes(clients.issue_cert("engine.test").private_key_and_cert_chain_pem.bytes())
    async with Misbehaving(tls=context(authority, "127.0.0.1", clients=clients)) as server:
        reply = await call(registry, server.url, {"ca": ca, "certificate": str(both)})
        await registry.aclose()

    assert reply.outcome == "ok"


@contextmanager
def openssl_server(wanted: ssl.SSLContext) -> Iterator[tuple[str, list[bytes]]]:
    """A server on blocking sockets, which says by an alert why it ends a handshake: asyncio's does not."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                options = {"server_side": True, "do_handshake_on_connect": False}
                with suppress(OSError), wanted.wrap_socket(plain, **options) as connection:
                    try:
                        connection.do_handshake()
                    except ssl.SSLError:
                        # What comes still is thrown away, and no reset runs over the alert.
                        while os.read(connection.fileno(), 4096):
                            pass
                    else:
                        received.append(connection.recv(1024))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}", received
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("shown", ["nothing", "a stranger's"])
async def test_a_client_that_is_not_let_in_has_sent_nothing(
    registry: Registry, authority: trustme.CA, ca: str, tmp_path: Path, version: ssl.TLSVersion, shown: str
) -> None:
    # With 1.3 the request leaves before the server has looked at the client's certificate.
    wanted = context(authority, "127.0.0.1", clients=trustme.CA())
    wanted.minimum_version = wanted.maximum_version = version
    files = {} if shown == "nothing" else client_files(trustme.CA(), tmp_path)

    with openssl_server(wanted) as (url, received):
        reply = await call(registry, url, {"ca": ca, **files})

    assert (reply.outcome, reply.code, received) == ("not_sent", "service_unavailable", []), reply.message
    assert "TLS failed" in reply.message


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
async def test_an_old_protocol_is_not_spoken(registry: Registry, authority: trustme.CA, ca: str) -> None:
    old = context(authority, "127.0.0.1")
    old.minimum_version = ssl.TLSVersion.TLSv1_1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")

    with openssl_server(old) as (url, received):
        reply = await call(registry, url, {"ca": ca})

    assert (reply.outcome, received) == ("not_sent", [])
    assert "TLS failed" in reply.message


async def test_a_handshake_that_is_broken_off_is_named(registry: Registry) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        reply = await call(registry, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)

    assert reply.outcome == "not_sent"
    assert "handshake" in reply.message


async def test_files_that_change_are_read_again(registry: Registry, authority: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    async with Misbehaving(tls=context(authority, "127.0.0.1")) as server:
        before = await call(registry, server.url, {"ca": str(file)})
        file.write_bytes(authority.cert_pem.bytes() + b"\n")
        after = await send(registry, invocation())
        await registry.aclose()

    assert (before.outcome, after.outcome) == ("not_sent", "ok")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"ca": "gone.pem"}, "No such file"),
        ({"ca": "."}, "tls.ca"),
        ({"ca": "junk.pem"}, "tls.ca"),
        ({"certificate": "junk.pem", "key": "junk.pem"}, "tls.certificate"),
        ({"certificate": "client.pem", "key": "other.key"}, "key values mismatch"),
        ({"certificate": "client.pem", "key": "locked.key"}, "tls.key"),
    ],
)
async def test_files_that_cannot_be_used_are_named_and_nothing_is_sent(
    registry: Registry, authority: trustme.CA, tmp_path: Path, files: dict[str, str], said: str
) -> None:
    client_files(authority, tmp_path)
    (tmp_path / "junk.pem").write_text("this is no certificate")
    (tmp_path / "other.key").write_bytes(authority.issue_cert("x.test").private_key_pem.bytes())
    (tmp_path / "locked.key").write_bytes(locked_key())
    async with Misbehaving(tls=context(authority, "127.0.0.1")) as server:
        reply = await call(registry, server.url, {name: str(tmp_path / file) for name, file in files.items()})

    assert (reply.outcome, reply.code, server.received) == ("not_sent", "service_unavailable", [])
    assert said in reply.message
    assert str(tmp_path) in reply.message


def locked_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls": {"cert": "a.pem"}}, "tls has no key 'cert'"),
        ({"tls": {"key": "a.pem"}}, "no certificate"),
        ({"tls": {"ca": ""}}, "tls.ca must be the path"),
        ({"tls": {"ca": 1}}, "tls.ca must be the path"),
        ({"tls": {"ca": "a.pem"}, "urls": ("http://h",)}, "not https"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refusal:
        ServiceConfig(**({"name": "svc", "urls": ("https://h",)} | settings))

    assert refusal.value.at[0] == "tls"
