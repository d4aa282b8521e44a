"""From a host name to the addresses that may be connected to. Resolved once, checked, then used as is.

Keeps out: connections. What is refused and why: docs/decisions/0019-addresses-a-service-may-have.md.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from itertools import zip_longest

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    {
        ipaddress.ip_address("100.100.100.200"),  # Alibaba
        ipaddress.ip_address("192.0.0.192"),  # Oracle
        ipaddress.ip_address("168.63.129.16"),  # Azure's host agent
        ipaddress.ip_address("fd00:ec2::254"),  # Amazon
        ipaddress.ip_address("fd00:ec2::23"),  # Amazon, for pods
        ipaddress.ip_address("fd20:ce::254"),  # Google
        ipaddress.ip_address("fd00:42::42"),  # Scaleway
    }
)
"""Addresses where clouds give out credentials, beside 169.254.0.0/16, which is link-local."""

_LAST_32_BITS = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "64:ff9b::/96",  # NAT64, RFC 6052
        "::ffff:0:0:0/96",  # stateless translation, RFC 2765
        "::/96",  # IPv4-compatible, RFC 4291
    )
)
"""Networks whose addresses end in an IPv4 address."""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


class ForbiddenAddress(Exception):
    """The name leads to an address that services may not have; the message says which, and the remedy."""


async def resolve(host: str, port: int, *, allow_link_local: bool) -> list[str]:
    """The addresses of a host, in the resolver's order with the two families taking turns.

    Raises:
        ForbiddenAddress: One of them is link-local or a cloud's metadata service.
        OSError: The name cannot be resolved.
    """
    written = _written(host)
    if written is not None:
        addresses = [written]
    else:
        addresses = _in_turns(await asyncio.get_running_loop().run_in_executor(None, _looked_up, host, port))
    if not allow_link_local:
        for address in addresses:
            if forbidden(address):
                raise ForbiddenAddress(
                    f"{host} leads to {address}, a link-local or metadata address; "
                    "set allow_link_local = true for the service if that is meant"
                )
    return addresses


def forbidden(address: str) -> bool:
    """Whether it is link-local or a metadata service's, also when wrapped in an IPv6 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return any(each.is_link_local or each in _METADATA for each in (parsed, *_wrapped(parsed)))


def _written(host: str) -> str | None:
    """The address that a host is if it is no name: also `2852039166`, `0xa9fea9fe` and `0251.0376.1`."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return str(ipaddress.IPv4Address(socket.inet_aton(host)))
    except (OSError, UnicodeError):
        return None


def _looked_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _wrapped(address: IPAddress) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that a gateway or the kernel may take an IPv6 address for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    bits = int(address)
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _LAST_32_BITS) or (bits >> 32) & 0xFFFFFFFF in _ISATAP:
        found.append(ipaddress.IPv4Address(bits & 0xFFFFFFFF))
    if address in _LOCAL_NAT64:
        # Two layouts of RFC 6052: behind 96 bits, or behind 48 with a gap of eight zeros in the middle.
        found.append(ipaddress.IPv4Address(bits & 0xFFFFFFFF))
        found.append(ipaddress.IPv4Address(((bits >> 64) & 0xFFFF) << 16 | (bits >> 40) & 0xFFFF))
    return [each for each in found if each is not None]


def _in_turns(addresses: list[str]) -> list[str]:
    """The family of the first one first: where one family leads nowhere, the second try is of the other."""
    six = [each for each in addresses if ":" in each]
    four = [each for each in addresses if ":" not in each]
    first, second = (six, four) if addresses and ":" in addresses[0] else (four, six)
    return [each for pair in zip_longest(first, second) for each in pair if each is not None]
