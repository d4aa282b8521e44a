"""Discovery over DNS: addresses of a host name, or SRV records with their priorities and weights.

Asked again when the records' time to live is over, within bounds. What a resolver says about a name that is not
there is an answer; that it says nothing, or that it cannot tell, is none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from makegood.errors import ConfigurationError
from makegood.services.discovery.port import ENDPOINTS_MAX, Absent, Asked, Settings, Unreachable
from makegood.services.endpoint import Endpoint

ANSWER_S_MAX = 5.0
TRY_S_MAX = 2.0
"""How long one server may take to answer, before it or the next one is asked again."""
ABSENT_S_MAX = 30.0
"""How long a name that is not there is not asked for again, however long its zone says."""
TARGETS_MAX = 100
"""Of one SRV name."""
_AT_ONCE = 16
_FAMILIES = ("A", "AAAA")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class _Records:
    """The records of one name and kind, and for how many seconds they hold."""

    found: tuple[Any, ...]
    ttl_s: float


class Dns:
    """Finds services by name in the DNS.

    Args:
        settings: `dns_server` as ADDRESS or ADDRESS:PORT (None: the servers of this machine), `domain` below which
            services are found by their own names, and the bounds of a record's time to live.
        sleep: Waits for so many seconds.
        answer_s_max: How long a resolver may take for one question, all of its servers and repetitions included.

    Raises:
        ConfigurationError: A setting does not fit.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> None:
        self._server = None if settings.dns_server is None else _server(settings.dns_server)
        self._domain = None if settings.domain is None else _name("service_registry.domain", settings.domain)
        self._ttl_s_min, self._ttl_s_max = settings.ttl_seconds_min, settings.ttl_seconds_max
        if self._ttl_s_min > self._ttl_s_max:
            raise ConfigurationError(
                f"service_registry.ttl_seconds_min = {self._ttl_s_min:g} is more than "
                f"ttl_seconds_max = {self._ttl_s_max:g}"
            )
        self._sleep = sleep
        self._answer_s_max = answer_s_max

    def check(self, asked: Asked) -> bool:
        """Whether it is a name that can be asked for, or becomes one below `domain`."""
        if asked.discover is None:
            return self._domain is not None and not asked.service.startswith("_")
        name = _name(f"service {asked.service!r}: discover", asked.discover)
        if _is_srv(name) and asked.url is not None and urlsplit(asked.url).port is not None:
            raise ConfigurationError(
                f"service {asked.service!r}: {asked.discover!r} is an SRV name, whose records give the port. "
                "Take the port out of url."
            )
        return True

    async def watch(self, asked: Asked) -> AsyncGenerator[Sequence[Endpoint], None]:
        """The endpoints that the name leads to, whenever they have changed."""
        name = self._asked_name(asked)
        lookups = _Lookups(self._resolver())
        before: list[Endpoint] | None = None
        while True:
            try:
                found, ttl_s = await (_by_srv if _is_srv(name) else _by_host)(lookups, name, asked)
            except Absent as absent:
                absent.again_s = self._within(min(absent.again_s or 0, ABSENT_S_MAX))
                raise
            if found != before:
                before = found
                yield found
            await self._sleep(self._within(ttl_s))

    async def aclose(self) -> None:
        """Nothing is open: each question has a socket of its own."""

    def _asked_name(self, asked: Asked) -> dns.name.Name:
        if asked.discover is not None:
            return _name(f"service {asked.service!r}: discover", asked.discover)
        if self._domain is None:
            raise Absent("service_registry has no domain below which services are found by their names")
        return _name("service", asked.service).derelativize(self._domain.derelativize(dns.name.root))

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Made anew for every watch, so that a changed /etc/resolv.conf is read after a failure."""
        try:
            resolver = dns.asyncresolver.Resolver(configure=self._server is None)
        except dns.resolver.NoResolverConfiguration as error:
            raise Unreachable(f"this machine names no DNS server: {error}") from None
        if self._server is not None:
            resolver.nameservers = [self._server]
        resolver.lifetime, resolver.timeout = self._answer_s_max, min(self._answer_s_max, TRY_S_MAX)
        return resolver

    def _within(self, ttl_s: float) -> float:
        return min(max(ttl_s, self._ttl_s_min), self._ttl_s_max)


class _Lookups:
    """Questions to one resolver; knows which of them were answered before."""

    def __init__(self, resolver: dns.asyncresolver.Resolver) -> None:
        self._resolver = resolver
        self._answered: set[tuple[dns.name.Name, str]] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def records(self, name: dns.name.Name, kind: str) -> _Records:
        """The records of a name; none when it has none of that kind.

        Raises:
            Absent: There is no such name.
            Unreachable: There was no answer that says so or otherwise.
        """
        search = bool(self._resolver.search) and not name.is_absolute()
        try:
            async with self._turns:
                answer = await self._resolver.resolve(name, kind, search=search, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN as error:
            raise Absent(f"there is no name {_shown(name)} in the DNS", again_s=_negative_s(error)) from None
        except (dns.exception.DNSException, OSError) as error:
            raise Unreachable(f"the DNS gives no answer for {_shown(name)} ({kind}): {_why(error)}") from None
        if answer.rrset is None:
            self._answered.discard((name, kind))
            return _Records((), _lasting_s(answer.response))
        self._answered.add((name, kind))
        return _Records(tuple(answer.rrset), _lasting_s(answer.response))

    def answered(self, name: dns.name.Name) -> bool:
        """Whether addresses of it were found before."""
        return any((name, kind) in self._answered for kind in _FAMILIES)

    async def addresses(self, name: dns.name.Name) -> tuple[list[str], float]:
        """Both families' addresses of a name, in order, and for how many seconds they hold.

        Raises:
            Absent: There is no such name.
            Unreachable: A family gave no answer, and had addresses before, or the other one has none.
        """
        answers = await asyncio.gather(*(self.records(name, kind) for kind in _FAMILIES), return_exceptions=True)
        found, failed, ttl_s = list[str](), list[tuple[str, Unreachable]](), list[float]()
        for kind, answer in zip(_FAMILIES, answers, strict=True):
            if isinstance(answer, Unreachable):
                failed.append((kind, answer))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                ttl_s.append(answer.ttl_s)
                found += [str(record) for record in answer.found]
        for kind, failure in failed:
            if not found or (name, kind) in self._answered:
                raise failure
        return sorted(_routed(found)), min(ttl_s)


async def _by_host(lookups: _Lookups, name: dns.name.Name, asked: Asked) -> tuple[list[Endpoint], float]:
    addresses, ttl_s = await lookups.addresses(name)
    if not addresses:
        raise Absent(f"the name {_shown(name)} has no address in the DNS", again_s=ttl_s)
    labels = {"host": _shown(name)}
    return [asked.endpoint(address, None, labels=labels) for address in addresses[:ENDPOINTS_MAX]], ttl_s


async def _by_srv(lookups: _Lookups, name: dns.name.Name, asked: Asked) -> tuple[list[Endpoint], float]:
    """Endpoints of all priorities: who chooses looks at their labels."""
    records = await lookups.records(name, "SRV")
    if not records.found:
        raise Absent(f"the name {_shown(name)} has no SRV record in the DNS", again_s=records.ttl_s)
    # A target "." says that there is no such service (RFC 2782).
    offered = [srv for srv in records.found if srv.target != dns.name.root]
    if not offered:
        raise Absent(f"the SRV record of {_shown(name)} says that there is no such service", again_s=records.ttl_s)
    wanted = sorted(offered, key=lambda srv: (srv.priority, -srv.weight, srv.target, srv.port))[:TARGETS_MAX]
    addresses, ttl_s = await _of_targets(lookups, list(dict.fromkeys(srv.target for srv in wanted)))
    ttl_s = min(ttl_s, records.ttl_s)
    found = {
        endpoint.url: endpoint
        for srv in reversed(wanted)
        for address in addresses.get(srv.target, ())
        for endpoint in [asked.endpoint(address, srv.port, scheme=_scheme(name, srv.port), labels=_srv_labels(srv))]
    }
    if not found:
        raise Absent(f"the SRV records of {_shown(name)} lead to names without an address", again_s=ttl_s)
    # Reversed twice: of two records for one place the better one counts, and the best come first.
    return list(reversed(found.values()))[:ENDPOINTS_MAX], ttl_s


async def _of_targets(
    lookups: _Lookups, targets: Sequence[dns.name.Name]
) -> tuple[dict[dns.name.Name, list[str]], float]:
    """The addresses of SRV targets; one without an address does not stand in the way of the others."""
    answers = await asyncio.gather(*map(lookups.addresses, targets), return_exceptions=True)
    found, ttl_s, failed = dict[dns.name.Name, list[str]](), float("inf"), list[Unreachable]()
    for target, answer in zip(targets, answers, strict=True):
        match answer:
            case Absent():
                ttl_s = min(ttl_s, answer.again_s or 0)
            case Unreachable():
                if lookups.answered(target):
                    raise answer
                failed.append(answer)
                ttl_s = 0
            case BaseException():
                raise answer
            case addresses, each_s:
                found[target], ttl_s = addresses, min(ttl_s, each_s)
    if failed and not any(found.values()):
        raise failed[0]
    return found, ttl_s


def _scheme(name: dns.name.Name, port: int) -> str:
    return "https" if name.labels[0].lower() == b"_https" or port == 443 else "http"


def _srv_labels(srv: Any) -> dict[str, str]:
    return {"host": _shown(srv.target), "priority": str(srv.priority), "weight": str(srv.weight)}


def _is_srv(name: dns.name.Name) -> bool:
    return name.labels[0].startswith(b"_")


def _routed(addresses: Sequence[str]) -> list[str]:
    """Without the IPv6 addresses that this machine has no way to, where there are others."""
    reachable = [each for each in addresses if ":" not in each or _has_route(each)]
    return reachable or list(addresses)


def _has_route(address: str) -> bool:
    """Whether the kernel knows a way; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
    except OSError:
        return False
    return True


def _name(setting: str, text: str) -> dns.name.Name:
    """A name as it was written: with a dot at its end it is whole, without it may be searched for."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        raise ConfigurationError(f"{setting}: {text!r} is an address, not a name; an address is written as a url")
    try:
        name = dns.name.from_text(text, origin=None)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ConfigurationError(f"{setting}: {text!r} is no name of the DNS: {error}") from None
    if any(not label.isascii() or not _LABEL.fullmatch(label.decode("ascii")) for label in name.labels if label):
        raise ConfigurationError(
            f"{setting}: {text!r} is no host name or SRV name, such as hotels.example or _http._tcp.hotels.example"
        )
    if name in (dns.name.root, dns.name.empty):
        raise ConfigurationError(f"{setting}: {text!r} is no name of the DNS")
    return name


def _server(text: str) -> dns.nameserver.Do53Nameserver:
    try:
        parts = urlsplit(f"//{text}" if text.count(":") < 2 or text.startswith("[") else f"//[{text}]")
        address, port = str(ipaddress.ip_address(parts.hostname or "")), parts.port or 53
    except ValueError:
        raise ConfigurationError(
            f"service_registry.dns_server = {text!r} is no address of a DNS server, such as 10.0.0.2 or [::1]:8600"
        ) from None
    return dns.nameserver.Do53Nameserver(address, port)


def _shown(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


def _lasting_s(response: Any) -> float:
    return float(response.resolve_chaining().minimum_ttl)


def _negative_s(error: dns.resolver.NXDOMAIN) -> float:
    return min((_lasting_s(each) for each in error.kwargs.get("responses", {}).values()), default=0.0)


def _why(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, dns.resolver.NoNameservers):
        failures = [f"{tried[0].removeprefix('Do53:')} says {tried[3]}" for tried in error.kwargs.get("errors", ())]
        return "; ".join(failures) or "all servers failed"
    return str(error) or type(error).__name__
