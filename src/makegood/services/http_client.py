"""HTTP/1.1 requests over connections of our own, so that we know whether a byte of one has left.

What an orchestrator must know of a failure, and clients hide: `NotSent` is raised only while nothing
of the request was written, or the server refused the handshake under which it was; otherwise it is
`Lost` or `Unreadable`. Nothing is retried or redirected, no proxy, cookie or environment variable is
heeded, and a cancelled call closes its connection at once. How a connection comes about (`connecting`),
services' settings and the meaning of a status are none of this module's business.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import cast

from makegood.services.connecting import Connection, Connector, Target, Unconnected, reason
from makegood.services.deadline import Deadline
from makegood.services.http_wire import Malformed, Response, TooLarge, Truncated
from makegood.services.tls import REFUSALS, failure

IDLE_S = 4.0
"""How long an unused connection is kept: less than the 5 s after which Node and uvicorn close theirs,
since a request that meets a closing connection cannot be told from one that was served."""


_GONE_S = 0.1
"""How long the end of a connection that closes already is waited for."""


class NotSent(Exception):
    """No byte of the request can have been read by the service; the message says why."""


class Lost(Exception):
    """The request was sent, wholly or partly, and no whole answer came."""

    def __init__(self, message: str, *, timed_out: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.status = status


class Unreadable(Exception):
    """An answer came that cannot be read."""

    def __init__(self, message: str, *, too_large: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.too_large = too_large
        self.status = status


class Client:
    """A pool of connections. It belongs to the event loop that it is first used on.

    Args:
        connector: How a target is connected to.
        idle_max: Unused connections kept for one target.
    """

    def __init__(self, connector: Connector, *, idle_max: int = 100) -> None:
        self._connector = connector
        self._idle_max = idle_max
        self._idle: dict[Target, list[_Connection]] = {}
        self._open: set[_Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._retired = False

    async def send(
        self, target: Target, request: bytes, deadline: Deadline, *, connect_s: float, body_max: int
    ) -> Response:
        """Send one request and read its answer.

        Args:
            request: Head and body, as they go over the wire.
            deadline: Bounds everything.
            connect_s: Bounds finding and connecting, within the deadline.
            body_max: Bytes that the answer's body may have.

        Raises:
            NotSent: Nothing was written, or nothing of it was read.
            Lost: Written, and no whole answer came by the deadline.
            Unreadable: The answer is not HTTP or too large.
        """
        connection = self._checkout(target) or await self.open(target, connect_s)
        # Asked now, not before connecting: the process may have been stopped for a while.
        remaining_s = deadline.remaining_s
        if remaining_s <= 0 or connection.closing:
            why = await connection.end()
            raise NotSent(why or f"the deadline or the connection to {target} ended before anything was sent")
        response = await connection.exchange(request, remaining_s, body_max)
        self._checkin(connection, response)
        return response

    async def reach(self, target: Target, connect_s: float) -> None:
        """Connect, and hang up.

        Raises:
            NotSent: It cannot be connected to.
        """
        (await self.open(target, connect_s)).abort()

    def retire(self) -> None:
        """Close what is idle now, and the rest when its call has ended."""
        self._retired = True
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def close(self) -> None:
        """Close every connection; open calls end as lost."""
        self.retire()
        for connection in list(self._open):
            connection.abort()

    def _checkout(self, target: Target) -> _Connection | None:
        idle = self._idle.get(target)
        loop = asyncio.get_running_loop()
        while idle:
            connection = idle.pop()
            if connection.loop is loop and connection.fresh():
                return connection
            connection.abort()
        return None

    def _checkin(self, connection: _Connection, response: Response) -> None:
        if not response.reusable or connection.closing or self._retired:
            connection.abort()
            return
        idle = self._idle.setdefault(connection.target, [])
        if len(idle) >= self._idle_max:
            connection.abort()
            return
        connection.idle_since = connection.loop.time()
        idle.append(connection)
        if self._sweep is None:
            self._sweep = connection.loop.call_later(IDLE_S, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Close what was not used for long. The timer exists only while something is idle."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_S
        for target, connections in list(self._idle.items()):
            kept = [each for each in connections if each.idle_since > oldest and not each.closing]
            for connection in connections:
                if connection not in kept:
                    connection.abort()
            if kept:
                self._idle[target] = kept
            else:
                del self._idle[target]
        if self._idle:
            self._sweep = loop.call_later(IDLE_S / 2, self._sweep_idle)

    async def open(self, target: Target, connect_s: float) -> _Connection:
        """A new connection, which is not shared.

        Raises:
            NotSent: There is none within `connect_s`.
        """
        loop = asyncio.get_running_loop()
        try:
            return await self._connector.connect(target, lambda: _Connection(target, loop, self._open), connect_s)
        except Unconnected as error:
            raise NotSent(str(error)) from None


class _Connection(Connection):
    """One connection, which carries one request at a time.

    Attributes:
        idle_since: When its last answer was complete, by the loop's clock.
    """

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop, all_open: set[_Connection]) -> None:
        self.target = target
        self.loop = loop
        self.idle_since = 0.0
        self._refusal = ""
        self._gone: asyncio.Future[None] | None = None
        self._heard = False
        self._open = all_open
        self._transport: asyncio.Transport | None = None
        self._readable: Callable[[int], object] | None = None
        self._response: Response | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._on_data: Callable[[], None] | None = None

    @property
    def closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    def fresh(self) -> bool:
        """Whether it can be used again, as far as this side can know.

        The kernel is asked, since the event loop may not yet have read that the other side closed.
        """
        if self.closing or self.loop.time() - self.idle_since > IDLE_S:
            return False
        return self._readable is None or not self._readable(0)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def end(self) -> str:
        """Close at once; why the other side has refused it, if it has."""
        self.abort()
        if self._transport is not None:
            # What the other side said is told with the loss of the connection, some turns of the loop later.
            self._gone = self.loop.create_future()
            await asyncio.wait([self._gone], timeout=_GONE_S)
        return self._refusal

    def begin(self, request: bytes, response: Response, on_data: Callable[[], None]) -> asyncio.Future[Response]:
        """Write a request whose answer is read as it arrives.

        Args:
            on_data: Called whenever something came.

        Returns:
            Done with the answer's end: whole, or as `Lost` or `Unreadable`.
        """
        assert self._transport is not None
        assert self._waiter is None
        self._response, self._on_data = response, on_data
        self._waiter = self.loop.create_future()
        self._transport.write(request)
        return self._waiter

    def keep_alive(self, options: Mapping[str, int]) -> None:
        """Have the kernel ask whether the other side is still there.

        Args:
            options: TCP's, by their names; those that this system does not have are left out.
        """
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in options.items():
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def pause(self, *, paused: bool) -> None:
        """Read nothing more for now, or again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading() if paused else self._transport.resume_reading()

    async def exchange(self, request: bytes, timeout_s: float, body_max: int) -> Response:
        """Write a request, and wait for the whole answer."""
        assert self._transport is not None
        assert self._waiter is None
        self._response = Response(body_max)
        self._waiter = self.loop.create_future()
        timer = self.loop.call_later(timeout_s, self._expire)
        try:
            self._transport.write(request)
            return await self._waiter
        except BaseException:
            self.abort()
            raise
        finally:
            timer.cancel()
            self._waiter = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an assertion: uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):
            poller = select.poll()
            poller.register(sock.fileno(), select.POLLIN)
            self._readable = poller.poll

    def data_received(self, data: bytes) -> None:
        self._heard = True
        response = self._response
        if response is None or self._waiter is None or self._waiter.done():
            self.abort()
            return
        try:
            if response.feed(data):
                self._complete(response)
        except Malformed as error:
            self._fail(Unreadable(str(error), status=response.status or None))
        except TooLarge:
            self._fail(Unreadable("the body is too large", too_large=True, status=response.status or None))
        if self._on_data is not None:
            self._on_data()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._end(exc)
        self._transport = None
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _end(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError) and exc.reason in REFUSALS and not self._heard:
            self._refusal = f"{self.target} refused the handshake: {failure(exc)}"
        response = self._response
        if response is None or self._waiter is None or self._waiter.done():
            return
        status = response.status or None
        if self._refusal:
            self._fail(NotSent(self._refusal))
            return
        if exc is not None:
            self._fail(Lost(f"the connection broke: {reason(exc)}", status=status))
            return
        try:
            response.end()
        except Truncated:
            self._fail(Lost("the connection was closed before the answer was complete", status=status))
        else:
            self._complete(response)

    def _complete(self, response: Response) -> None:
        assert self._waiter is not None
        if self._transport is not None and self._transport.get_write_buffer_size():
            # Answered before all of the request was sent: the rest must not precede the next one.
            response.reusable = False
        self._response = None
        self._waiter.set_result(response)

    def _fail(self, error: Exception) -> None:
        assert self._waiter is not None
        self._response = None
        self._waiter.set_exception(error)
        self.abort()

    def _expire(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            status = self._response.status if self._response else None
            self._fail(Lost("no whole answer within the deadline", timed_out=True, status=status or None))
