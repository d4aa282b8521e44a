"""From EndpointSlices to endpoints. Pure: objects as the API of Kubernetes gives them in, endpoints out.

Source: the API `discovery.k8s.io/v1`. Nothing in an object is relied on to be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from makegood.services.discovery.port import ENDPOINTS_MAX, Absent, Asked
from makegood.services.endpoint import Endpoint

Slice = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Place:
    """One endpoint of one slice.

    Attributes:
        pod: What is behind it; two addresses of one pod are one place.
        ready: Whether it takes new calls.
        serving: Whether it answers, though it may be going.
    """

    pod: str
    address: str
    port: int
    scheme: str
    zone: str | None
    ready: bool
    serving: bool


def endpoints(slices: Iterable[Slice], asked: Asked, *, host: str, port: str | None) -> list[Endpoint]:
    """The endpoints that can be called, in order of their URLs.

    Those that are ready; when there is none, those that are going and still serve, as kube-proxy does.

    Args:
        slices: All of one service.
        host: The service's name in the cluster, which becomes the label `host`.
        port: Name of the port; None takes the only one, or the one named `http` or `https`.

    Raises:
        Absent: The service has no such port.
    """
    there = list(slices)
    places = [place for each in there for place in _places(each, _port(each, port))]
    if not places:
        _check_port(there, host, port)
    chosen = [each for each in places if each.ready] or [each for each in places if each.serving]
    # IPv4 first, so that a pod with both is called by it.
    chosen.sort(key=lambda each: (ip_address(each.address).version, each.address, each.port))
    pods: dict[tuple[str, int], _Place] = {}
    for each in chosen:
        pods.setdefault((each.pod, each.port), each)
    found = (_endpoint(each, asked, host) for each in pods.values())
    return sorted({each.url: each for each in found}.values(), key=lambda each: each.url)[:ENDPOINTS_MAX]


def _endpoint(place: _Place, asked: Asked, host: str) -> Endpoint:
    labels = {"host": host} | ({} if place.zone is None else {"zone": place.zone})
    return asked.endpoint(place.address, place.port, scheme=place.scheme, labels=labels)


def _places(described: Slice, port: Mapping[str, Any] | None) -> Iterator[_Place]:
    number = port.get("port") if port is not None else None
    if port is None or not isinstance(number, int) or not 0 < number < 65_536:
        return
    for each in described.get("endpoints") or ():
        conditions = each.get("conditions") or {}
        going = conditions.get("terminating") is True
        # What is not said is to be taken as so: "In most cases consumers should interpret this as ready".
        ready = conditions.get("ready") is not False
        serving = conditions.get("serving")
        for address in (each.get("addresses") or ())[:1]:
            if not _is_address(address):
                continue
            yield _Place(
                pod=str((each.get("targetRef") or {}).get("uid") or address),
                address=address,
                port=number,
                scheme="https" if _is_https(port) else "http",
                zone=each.get("zone"),
                ready=ready,
                serving=serving is True or (serving is None and ready and not going),
            )


def _port(described: Slice, name: str | None) -> Mapping[str, Any] | None:
    ports = _ports(described)
    if name is not None:
        return next((each for each in ports if each.get("name") == name), None)
    if len(ports) == 1:
        return ports[0]
    return next((each for each in ports if each.get("name") in ("http", "https")), None)


def _ports(described: Slice) -> list[Mapping[str, Any]]:
    return [each for each in described.get("ports") or () if each.get("protocol") in (None, "TCP")]


def _check_port(slices: Iterable[Slice], host: str, port: str | None) -> None:
    """Say that there is no such port where there are others; a service without pods has none at all."""
    names = {each.get("name") or "(without a name)" for described in slices for each in _ports(described)}
    if not names or (port is not None and port in names) or (port is None and names & {"http", "https"}):
        return
    if port is None and len(names) == 1:
        return
    shown = ", ".join(sorted(names))
    wanted = f"has no port {port!r}; it has {shown}" if port is not None else f"has the ports {shown}; say which"
    raise Absent(f"the service {host} {wanted}, as in discover = 'namespace/service:port'")


def _is_https(port: Mapping[str, Any]) -> bool:
    name = port.get("name") or ""
    return port.get("appProtocol") == "https" or name == "https" or name.startswith("https-")


def _is_address(text: Any) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
