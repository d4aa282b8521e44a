"""A resolver that knows what a test tells it, in the place of the machine's."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

Answers = dict[str, Sequence[str] | Callable[[], Sequence[str]]]


class Names:
    """Names and what they lead to.

    Attributes:
        answers: Addresses by name, or a function that gives them anew at each question.
        asked: Every name that was asked for, in order.
    """

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        """As `socket.getaddrinfo`."""
        if "%" in host:
            # An address with a zone, which is how an event loop learns the zone's number.
            return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", _address(host, port))]
        self.asked.append(host)
        answer = self.answers.get(host)
        if answer is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = answer() if callable(answer) else answer
        return [_entry(address, port) for address in found]


def _address(host: str, port: int) -> tuple[str, int, int, int]:
    bare, _, zone = host.partition("%")
    return bare, port, 0, socket.if_nametoindex(zone)


def _entry(address: str, port: int) -> tuple[Any, ...]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)
