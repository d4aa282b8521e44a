"""Each way of discovery with what it asks, under one vocabulary: services are placed, removed, and out of reach."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from clockwork import Naps
from dns_server import DnsServer
from kubernetes_api import KubernetesApi

from makegood.services.discovery import Asked, Discovery, Endpoint, Settings
from makegood.services.discovery.dns import Dns
from makegood.services.discovery.kubernetes import Kubernetes
from makegood.services.discovery.local import Local


@dataclass
class ServiceAccount:
    """The folder in which a pod finds its token, its cluster's certificate and its namespace."""

    folder: Path
    token: str

    @classmethod
    def made(cls, folder: Path, certificate: Path) -> Self:
        folder.mkdir()
        (folder / "ca.crt").write_text(certificate.read_text().partition("-----BEGIN PRIVATE")[0])
        (folder / "namespace").write_text("shop")
        account = cls(folder, "")
        account.give("first-token")
        return account

    def give(self, token: str) -> None:
        """Replace the token, as Kubernetes does: another file under the same name."""
        self.token = token
        (self.folder / "next").write_text(token + "\n")
        (self.folder / "next").rename(self.folder / "token")


class LocalWorld:
    """Services that are written down."""

    changes = False

    def __init__(self, naps: Naps, tls: ssl.SSLContext, account: ServiceAccount) -> None:
        self._services: dict[str, list[Endpoint]] = {}
        self.discovery: Discovery = Local()
        self.nonsense = Asked(service="hotels", discover="nowhere")
        self.asked = Asked(service="hotels")
        self.by_name = Asked(service="hotels")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def place(self, *addresses: str) -> None:
        self._services["hotels"] = [Endpoint(f"http://{each}:8080/api") for each in addresses]
        self.discovery = Local(self._services)

    async def look_again(self) -> None:
        pass

    def questions(self) -> int:
        return 0


class DnsWorld:
    """Host names at a DNS server."""

    changes = True

    def __init__(self, naps: Naps, tls: ssl.SSLContext, account: ServiceAccount) -> None:
        self._naps, self._server = naps, DnsServer()
        self.nonsense = Asked(service="hotels", discover="no host name")
        self.asked = Asked(service="hotels", discover="hotels.services.example", url="http://hotels:8080/api")
        self.by_name = Asked(service="hotels")

    async def __aenter__(self) -> Self:
        await self._server.start()
        settings = Settings(dns_server=self._server.address, domain="services.example")
        self.discovery: Discovery = Dns(settings, sleep=self._naps.sleep, answer_s_max=0.5)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def place(self, *addresses: str) -> None:
        self._server.put("hotels.services.example", "A", *addresses)

    async def remove(self) -> None:
        self._server.remove("hotels.services.example")

    async def lose(self) -> None:
        await self._server.stop()

    async def heal(self) -> None:
        await self._server.start()

    async def look_again(self) -> None:
        await self._naps.wake()

    def questions(self) -> int:
        return len(self._server.asked)


class KubernetesWorld:
    """Services of a cluster."""

    changes = True

    def __init__(self, naps: Naps, tls: ssl.SSLContext, account: ServiceAccount) -> None:
        self._naps, self._api, self._account = naps, KubernetesApi(tls, account.token), account
        self.nonsense = Asked(service="hotels", discover="a/b/c")
        self.asked = Asked(service="hotels", discover="shop/hotels:web", url="http://any/api")
        self.by_name = Asked(service="hotels")

    async def __aenter__(self) -> Self:
        await self._api.start()
        settings = Settings(kubernetes_api=self._api.url, service_account=str(self._account.folder))
        self.discovery: Discovery = Kubernetes(settings, sleep=self._naps.sleep)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.stop()

    async def place(self, *addresses: str) -> None:
        await self._api.put("hotels", "hotels-abc12", endpoints=[pod(each) for each in addresses], ports=[port("web")])

    async def remove(self) -> None:
        await self._api.delete("hotels-abc12")

    async def lose(self) -> None:
        await self._api.stop()

    async def heal(self) -> None:
        await self._api.start()

    async def look_again(self) -> None:
        pass

    def questions(self) -> int:
        return len(self._api.requests)


WORLDS: dict[str, Any] = {"local": LocalWorld, "dns": DnsWorld, "kubernetes": KubernetesWorld}


def pod(address: str, **parts: Any) -> dict[str, Any]:
    """One endpoint of a slice; `ready`, `serving` and `terminating` are its conditions."""
    conditions = {"ready": True, "serving": True, "terminating": False}
    conditions |= {name: parts.pop(name) for name in tuple(conditions) if name in parts}
    return {
        "addresses": [address],
        "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": f"pod-{address}", "uid": f"uid-{address}"},
        "nodeName": "node-1",
        **parts,
    }


def port(name: str, number: int = 8080, **parts: Any) -> dict[str, Any]:
    """One port of a slice."""
    return {"name": name, "port": number, "protocol": "TCP", **parts}
