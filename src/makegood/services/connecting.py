"""From a host and port to one connection, over whichever of its addresses answers first.

Here: names, the order of tries, and what is said when none succeeds. What is spoken over the connection
is its protocol's business. The address that was checked is the address that is connected to.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from makegood.services.addresses import ForbiddenAddress, resolve
from makegood.services.tls import TlsUnready, Trust, failure

STAGGER_S = 0.25
"""How long one address is waited for before the next is tried beside it. Source: RFC 8305."""
_TEXT_MAX = 300


class Unconnected(Exception):
    """There is no connection; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect to.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port.
        tls: Whether to speak TLS, with the name checked against the certificate.
        name: By which name it is known, where `host` is an address.
    """

    host: str
    port: int
    tls: bool
    name: str | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Connection(asyncio.Protocol):
    """What is made of a transport."""

    def abort(self) -> None:
        """Close at once."""
        raise NotImplementedError


C = TypeVar("C", bound=Connection)


class Connector:
    """How one service's endpoints are connected to.

    Args:
        trust: For those that speak TLS.
        allow_link_local: Whether link-local and metadata addresses may be connected to.
    """

    def __init__(self, trust: Trust, *, allow_link_local: bool) -> None:
        self._trust = trust
        self._allow_link_local = allow_link_local
        self._lookups: dict[Target, asyncio.Task[list[str]]] = {}

    async def connect(self, target: Target, made: Callable[[], C], timeout_s: float) -> C:
        """A connection, its handshake done.

        Args:
            made: Makes the protocol of a connection.
            timeout_s: Bounds everything, finding the address included.

        Raises:
            Unconnected: None came about in time.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        addresses = await self._found(target, end)
        try:
            context = self._trust.context() if target.tls else None
        except TlsUnready as error:
            raise Unconnected(f"cannot connect to {target}: {error}") from None

        async def to(address: str) -> C:
            _, connection = await loop.create_connection(
                made,
                address,
                target.port,
                ssl=context,
                server_hostname=(target.name or target.host) if context is not None else None,
            )
            return connection

        return await _first(target, addresses, to, end)

    async def _found(self, target: Target, end: float) -> list[str]:
        try:
            async with asyncio.timeout_at(end):
                return await asyncio.shield(self._lookup(target))
        except TimeoutError:
            raise Unconnected(f"the name {target.host} was not resolved in time") from None
        except ForbiddenAddress as error:
            raise Unconnected(str(error)) from None
        except (OSError, UnicodeError) as error:
            raise Unconnected(f"the name {target.host} cannot be resolved: {reason(error)}") from None

    def _lookup(self, target: Target) -> asyncio.Task[list[str]]:
        """One question at a time: a hundred calls of a name that nobody answers for hold one thread, not all."""
        loop = asyncio.get_running_loop()
        asked = self._lookups.get(target)
        if asked is None or asked.get_loop() is not loop:
            asked = loop.create_task(resolve(target.host, target.port, allow_link_local=self._allow_link_local))
            self._lookups[target] = asked
            asked.add_done_callback(lambda done: self._answered(target, done))
        return asked

    def _answered(self, target: Target, done: asyncio.Task[list[str]]) -> None:
        if self._lookups.get(target) is done:
            del self._lookups[target]
        if not done.cancelled():
            # Perhaps nobody waits for it any more, and then its failure would be told as a mistake.
            done.exception()


async def _first(target: Target, addresses: list[str], to: Callable[[str], Coroutine[Any, Any, C]], end: float) -> C:
    """The connection that comes about first. An address is tried when the one before it has failed, or hesitates."""
    loop = asyncio.get_running_loop()
    left = list(addresses)
    failures: list[str] = []
    trying: dict[asyncio.Task[C], str] = {}
    try:
        while (left or trying) and (wait_s := end - loop.time()) > 0:
            if left:
                address = left.pop(0)
                trying[loop.create_task(to(address))] = address
            # The last one has all the time there is.
            wait_s = min(wait_s, STAGGER_S) if left else wait_s
            done, _ = await asyncio.wait(trying, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    del trying[task]
                    return task.result()
                failures.append(f"{trying.pop(task)}: {_said(error)}")
        failures += [f"{address}: timed out" for address in trying.values()]
    finally:
        for task in trying:
            task.add_done_callback(_abandon)
            task.cancel()
    raise Unconnected(f"cannot connect to {target}: {'; '.join(failures)[:_TEXT_MAX] or 'no address'}")


def _abandon(task: asyncio.Task[C]) -> None:
    """Close what a try that came second has opened all the same."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()


def _said(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return failure(error)
    if isinstance(error, ConnectionError) and not error.args:
        return "the connection was closed during the TLS handshake"
    if isinstance(error, OSError | ValueError):
        return reason(error)
    raise error


def reason(error: BaseException) -> str:
    """An error in words."""
    return str(error) or type(error).__name__
