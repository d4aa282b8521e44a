"""Fixtures: a DNS server, the API of Kubernetes, and each way of discovery with a world in which it finds things."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from clockwork import Naps
from discovery_worlds import WORLDS, ServiceAccount
from dns_server import DnsServer
from kubernetes_api import KubernetesApi


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: their sockets differ in what they say and when."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=kube-ca "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {file}.key -out {file}"
    )
    subprocess.run(command.split(), check=True, capture_output=True, timeout=20)
    file.write_text(file.read_text() + Path(f"{file}.key").read_text())
    return file


@pytest.fixture
def account(tmp_path: Path, certificate: Path) -> ServiceAccount:
    """What Kubernetes puts into a pod."""
    return ServiceAccount.made(tmp_path / "serviceaccount", certificate)


@pytest.fixture
async def dns_server() -> AsyncIterator[DnsServer]:
    """A DNS server on the loopback."""
    async with DnsServer() as running:
        yield running


@pytest.fixture(scope="session")
def tls(certificate: Path) -> ssl.SSLContext:
    """How the API of Kubernetes proves who it is."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
async def api(tls: ssl.SSLContext, account: ServiceAccount) -> AsyncIterator[KubernetesApi]:
    """The API of a cluster on the loopback."""
    async with KubernetesApi(tls, account.token) as running:
        yield running


@pytest.fixture
def naps() -> Naps:
    """Time under the test's hand."""
    return Naps()


@pytest.fixture(params=sorted(WORLDS))
async def world(request: pytest.FixtureRequest, naps: Naps, tls: ssl.SSLContext, account: ServiceAccount) -> Any:
    """Each way of discovery, with a world in which it finds things."""
    async with WORLDS[request.param](naps, tls, account) as made:
        yield made
        await made.discovery.aclose()
