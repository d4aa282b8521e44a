"""A DNS server on the loopback, over UDP and TCP, authoritative for what a test puts into it.

It speaks with dnspython's message classes, as a server does: CNAMEs are followed, a name that has other records
answers without one, one that is not there with NXDOMAIN and the zone's SOA, and what does not fit into a datagram is
cut off with the flag that says so. It knows nothing of makegood.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

ZONE = dns.name.from_text("example.")
DATAGRAM_MAX = 512
"""Where the question does not say that it takes more."""


class DnsServer:
    """The server. Use as an async context manager.

    Attributes:
        port: Of both protocols.
        asked: Every question, as (name, type, protocol), in order of arrival.
        silent: Whether no question is answered.
        refuses: The status that every question is answered with instead.
        unanswered: Types of which no question is answered.
        negative_s: The zone's time to live of an answer that there is nothing.
    """

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[tuple[str, str, str]] = []
        self.silent = False
        self.refuses: dns.rcode.Rcode | None = None
        self.unanswered: set[str] = set()
        self.negative_s = 60
        self._records: dict[dns.name.Name, dict[dns.rdatatype.RdataType, dns.rrset.RRset]] = {}
        self._changed = asyncio.Condition()
        self._tcp: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> str:
        """As `dns_server` is written."""
        return f"127.0.0.1:{self.port}"

    def put(self, name: str, kind: str, *records: str, ttl_s: int = 60) -> None:
        """The records that a name has of one type, instead of those it had."""
        rrset = dns.rrset.from_text(dns.name.from_text(name), ttl_s, "IN", kind, *records)
        self._records.setdefault(rrset.name, {})[rrset.rdtype] = rrset

    def remove(self, name: str, kind: str | None = None) -> None:
        """Take away a name, or its records of one type."""
        if kind is None:
            del self._records[dns.name.from_text(name)]
        else:
            del self._records[dns.name.from_text(name)][dns.rdatatype.from_text(kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; asked after every question."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        loop = asyncio.get_running_loop()
        for _ in range(20):
            self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), ("127.0.0.1", port), family=socket.AF_INET
                )
            except OSError:
                # Somebody else has the other protocol's port of that number.
                self._tcp.close()
                continue
            self.port = port
            return
        raise AssertionError("no port is free for both protocols")

    async def stop(self) -> None:
        """Listen no more: questions are refused by the system."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
            await self._tcp.wait_closed()

    async def answered(self, wire: bytes, protocol: str) -> bytes | None:
        """The answer to a question; None where there is none."""
        question = dns.message.from_wire(wire)
        (asked,) = question.question
        kind = dns.rdatatype.to_text(asked.rdtype)
        self.asked.append((asked.name.to_text(omit_final_dot=True), kind, protocol))
        async with self._changed:
            self._changed.notify_all()
        if self.silent or kind in self.unanswered:
            return None
        answer = self._answer(question, asked)
        if protocol == "tcp":
            return answer.to_wire(max_size=65_535)
        size_max = max(DATAGRAM_MAX, question.payload if question.edns >= 0 else 0)
        whole = answer.to_wire(max_size=65_535)
        if len(whole) <= size_max:
            return whole
        cut = dns.message.make_response(question)
        cut.flags |= dns.flags.AA | dns.flags.TC
        return cut.to_wire()

    def _answer(self, question: dns.message.Message, asked: dns.rrset.RRset) -> dns.message.Message:
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.AA | dns.flags.RA
        if self.refuses is not None:
            answer.set_rcode(self.refuses)
            return answer
        name = asked.name
        for _ in range(8):
            here = self._records.get(name, {})
            if asked.rdtype in here:
                answer.answer.append(here[asked.rdtype])
                return answer
            alias = here.get(dns.rdatatype.CNAME)
            if alias is None:
                break
            answer.answer.append(alias)
            name = alias[0].target
        below = any(each.is_subdomain(name) for each in self._records)
        if not below:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns.example. admin.example. 1 3600 600 86400 {self.negative_s}"
        answer.authority.append(dns.rrset.from_text(ZONE, self.negative_s, "IN", "SOA", soa))
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                answer = await self.answered(await reader.readexactly(size), "tcp")
                if answer is not None:
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._answering: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.ensure_future(self._answer(data, addr))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = await self._server.answered(data, "udp")
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
