"""Connections that come back: one statement at a time, each a transaction of its own.

Strangers keep out: what a statement means. A statement that is under way is never called back, not
even when its caller is cancelled: nobody could tell whether it was committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg

from makegood.errors import StorageUnavailable
from makegood.storage.postgres.dsn import Target
from makegood.storage.postgres.failures import Again, Lost, sorted_out, unreachable

ANSWER_S = 60.0
"""How long one statement may take before its connection is given up."""
AGAIN_MAX = 10
"""How often a transaction is tried again that the server gave up in favour of another."""

Rows = list[Any]
T = TypeVar("T")


class Link:
    """One connection, made when it is needed and made anew when it broke."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._turn = asyncio.Lock()
        self._connection: asyncpg.Connection[Any] | None = None
        self._warned = ""
        self._closed = False

    async def ask(self, statement: str, *values: Any) -> Rows:
        """The rows that a statement gives, when it is committed.

        Raises:
            StorageUnavailable: There is no connection; nothing was sent.
            Lost: Nobody knows whether it was committed.
            RecordRefused: Nothing was written: a value is refused.
            Exception: The server's error; nothing was written.
        """
        work = asyncio.ensure_future(self._ask(statement, values))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_seen)
            raise

    async def _ask(self, statement: str, values: Sequence[Any]) -> Rows:
        async with self._turn:
            for tries in range(AGAIN_MAX + 1):
                connection = await self._connected()
                self._warned = ""
                try:
                    rows = await _fetched(connection, statement, values)
                except asyncio.CancelledError:
                    self.drop()
                    raise
                except Exception as error:
                    found = sorted_out(error)
                    if isinstance(found, Lost):
                        self.drop()
                    if isinstance(found, Again) and tries < AGAIN_MAX:
                        await asyncio.sleep(0.01 * tries)
                        continue
                    if getattr(found, "sqlstate", None) == "25006":
                        # The server is a standby now: the next attempt looks for the primary.
                        self.drop()
                    raise found from error
                if self._warned:
                    # A warning on a commit says that it may not hold on the standby: it is no answer.
                    self.drop()
                    raise Lost(self._warned)
                return rows
            raise AssertionError

    async def together(self, work: Callable[[Any], Awaitable[T]], idle_ms: int) -> T:
        """Do work in one transaction of several statements; what it raises undoes it.

        Args:
            work: Is given what asks a statement.
            idle_ms: After so long without a statement the server gives the transaction up, so that a process
                that is stopped in the middle keeps no lock.

        Raises:
            Lost: Nobody knows whether it was committed.
        """

        async def run() -> T:
            async with self._turn:
                connection = await self._connected()
                self._warned = ""
                try:
                    async with connection.transaction():
                        await connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = {idle_ms:d}")
                        return await work(connection.fetch)
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, UnicodeEncodeError) as error:
                    found = sorted_out(error)
                    if isinstance(found, Lost):
                        self.drop()
                    raise found from error

        doing = asyncio.ensure_future(run())
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            doing.add_done_callback(_seen)
            raise

    async def script(self, text: str) -> None:
        """Run several statements as one transaction that the text itself opens and commits."""
        async with self._turn:
            connection = await self._connected()
            try:
                await connection.execute(text)
            except Exception as error:
                found = sorted_out(error)
                self.drop()
                raise found from error

    async def _connected(self) -> asyncpg.Connection[Any]:
        if self._closed:
            raise StorageUnavailable(f"{self._target.shown}: the store is closed")
        if self._connection is None or self._connection.is_closed():
            try:
                # Its own timeout is for each host; this one is for all of them.
                connection = await asyncpg.connect(self._target.dsn, **self._target.options)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
                raise unreachable(error, self._target.shown) from error
            connection.add_log_listener(self._note)
            self._connection = connection
        return self._connection

    def _note(self, _: Any, message: Any) -> None:
        if getattr(message, "severity_en", None) == "WARNING" or getattr(message, "severity", "") == "WARNING":
            self._warned = str(message)

    def drop(self) -> None:
        """Let go of the connection without a word."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def aclose(self) -> None:
        """Finish what is under way, then close."""
        self._closed = True
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                try:
                    await connection.close(timeout=2.0)
                except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    connection.terminate()


class Links:
    """A few connections for whatever need not wait for one another."""

    def __init__(self, target: Target, count: int) -> None:
        self._all = [Link(target) for _ in range(count)]
        self._free = list(self._all)
        self._some = asyncio.Semaphore(count)

    async def ask(self, statement: str, *values: Any) -> Rows:
        """As `Link.ask`, on one that is free; a read that got lost is asked once more."""
        async with self._some:
            link = self._free.pop()
            try:
                return await link.ask(statement, *values)
            except Lost:
                return await link.ask(statement, *values)
            finally:
                self._free.append(link)

    async def aclose(self) -> None:
        """Close all."""
        for each in self._all:
            await each.aclose()

    def drop(self) -> None:
        """Let go of all without a word."""
        for each in self._all:
            each.drop()


async def _fetched(connection: asyncpg.Connection[Any], statement: str, values: Sequence[Any]) -> Rows:
    """The rows. A server that is silent for too long is hung up on; it is not asked to stop."""
    work = asyncio.ensure_future(connection.fetch(statement, *values))
    try:
        done, _ = await asyncio.wait((work,), timeout=ANSWER_S)
    finally:
        if not work.done():
            connection.terminate()
    if not done:
        await asyncio.gather(work, return_exceptions=True)
        raise Lost(f"no answer for {ANSWER_S:g} s")
    rows: Rows = work.result()
    return rows


def _seen(work: asyncio.Future[Any]) -> None:
    if not work.cancelled():
        work.exception()
