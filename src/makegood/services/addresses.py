"""From a host name to the addresses that may be connected to. Resolved once, checked, then used as is."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

_METADATA = frozenset(
    {
        ipaddress.ip_address("100.100.100.200"),  # Alibaba
        ipaddress.ip_address("192.0.0.192"),  # Oracle
        ipaddress.ip_address("fd00:ec2::254"),  # Amazon, IPv6
        ipaddress.ip_address("168.63.129.16"),  # Azure's host agent
    }
)
"""Addresses where clouds give out credentials, beside 169.254.169.254, which is link-local."""


class ForbiddenAddress(Exception):
    """The name leads to an address that services may not have; the message says which, and the remedy."""


async def resolve(host: str, port: int, *, allow_link_local: bool) -> list[str]:
    """The addresses of a host, in the resolver's order.

    Raises:
        ForbiddenAddress: One of them is link-local or a cloud's metadata service.
        OSError: The name cannot be resolved.
    """
    try:
        addresses = [str(ipaddress.ip_address(host))]
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
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
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None and forbidden(str(inner)):
            return True
    return parsed.is_link_local or parsed in _METADATA


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
