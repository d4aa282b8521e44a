"""The barrier of a service: a decorator and an ASGI middleware over its own database.

Opens a connection for each delivery, and hands it to the rule. Knows neither an engine nor a web framework.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

from makegood.errors import NotDone, Ongoing
from makegood.participant.answers import Answer, answer_of, value_of
from makegood.participant.asked import Delivery, hash_of
from makegood.participant.connections import Connection, connection_of, unknown_connection
from makegood.participant.driving import Hands, drive, drive_async
from makegood.participant.rule import Asked, Work, delivered
from makegood.participant.statements import TABLE, statements
from makegood.participant.upkeep import created, forgotten
from makegood.participant.wishes import Wishes

_Function = TypeVar("_Function", bound=Callable[..., Any])
WAIT_S = 5.0
KEPT_MIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Performing:
    """What an application behind the middleware finds in `scope["makegood"]`.

    Attributes:
        db: The service's connection, in the transaction of the barrier, which alone commits.
        call: The delivery.
        done: Of an undo: what its call answered; None where that is not known.
    """

    db: Any
    call: Delivery
    done: Any


class Barrier:
    """The same key has one effect and one answer; an undo may come before its call, and bars it.

    Args:
        connect: Gives a connection of `sqlite3`, `apsw`, `asyncpg` or `psycopg` 3 that is in no transaction, or an
            object like `makegood.participant.Connection`, or a context manager or an awaitable of one. Called for each
            delivery; what it gives is closed, or its context left, afterwards.
        wait_s: How long a delivery waits for another one of the same call that is under way, in seconds; in SQLite,
            for any other writer. After that it is answered "not done", and comes again.
        table: Name of the table, with a schema before it if need be.
        create: Make the table when it is missing. False: your migrations do.

    Raises:
        ValueError: `wait_s` is negative, or `table` is no name.
    """

    def __init__(
        self, connect: Callable[[], Any], *, wait_s: float = WAIT_S, table: str = TABLE, create: bool = True
    ) -> None:
        if not wait_s >= 0:
            raise ValueError(f"wait_s is a number of seconds from 0, not {wait_s!r}")
        statements("sqlite", table)
        self._connect = connect
        self._wait_s = wait_s
        self._table = table
        self._is_there = not create

    def __call__(self, function: _Function) -> _Function:
        """Decorate a plain or `async` function: what it does with the connection it is given is done once for a key.

        The function takes the connection first, and then, by name, any of `input`, `call` (the `Delivery`, or the
        `makegood.Call` of a local service) and `done` (of an undo: what its call answered, or None). It returns JSON,
        or `Ongoing`; raises `Rejected` for a definite no; does not commit. What comes back takes `(input, call)`, where
        `call` has an attribute `key`, or is the key: a method of a local service, or what a view calls.

        It raises `Rejected` (the function's own, now or when the key first came; `undone`; `key_reused`), `NotDone`
        when nothing was done and the same call should come again, and whatever else the function raises: then nothing
        is kept.

        Raises:
            TypeError: The function does not take a connection, or wants something that there is not.
        """
        wishes = Wishes.of(function)
        decorating = self._asynchronous if inspect.iscoroutinefunction(function) else self._plain
        decorated: Any = decorating(function, wishes)
        functools.update_wrapper(decorated, function)
        decorated.__signature__ = wishes.signature
        return cast("_Function", decorated)

    def _plain(self, function: Callable[..., Any], wishes: Wishes) -> Callable[..., Any]:
        def decorated(*given: Any) -> Any:
            before, value, call = wishes.taken(given)
            perform = functools.partial(_performed, function, wishes, before, value, call)
            return value_of(self.deliver(_key(call), hash_of(wishes.name, value), perform))

        return decorated

    def _asynchronous(self, function: Callable[..., Any], wishes: Wishes) -> Callable[..., Any]:
        async def decorated(*given: Any) -> Any:
            before, value, call = wishes.taken(given)
            perform = functools.partial(_performed_async, function, wishes, before, value, call)
            return value_of(await self.deliver_async(_key(call), hash_of(wishes.name, value), perform))

        return decorated

    def deliver(self, key: str, hash_: str, perform: Callable[[Connection, Any], Any]) -> Answer:
        """Deal with one delivery: `perform` gets the connection and what the call answered, and gives an `Answer`."""
        with self._opened() as connection:
            hands = Hands(connection, functools.partial(perform, connection), time.sleep)
            self._have_table(connection, hands)
            return drive(self._work(key, hash_, connection), hands)

    async def deliver_async(self, key: str, hash_: str, perform: Callable[[Connection, Any], Any]) -> Answer:
        """The same on an event loop."""
        async with self._opened_async() as connection:
            hands = Hands(connection, functools.partial(perform, connection), asyncio.sleep)
            await self._have_table_async(connection, hands)
            return await drive_async(self._work(key, hash_, connection), hands)

    def forget(self, older_than: timedelta) -> int:
        """Delete what is kept of keys that last came longer ago than that; how many.

        A key that comes again afterwards is a new one: its effect is had twice, and an undo whose call was forgotten
        answers success and undoes nothing. So keep more than the longest life of an execution, the days included in
        which a person may still repair one: 90 days, if nothing speaks for another number.

        Raises:
            ValueError: Less than a day.
        """
        with self._opened() as connection:
            hands = Hands(connection, _nothing, time.sleep)
            self._have_table(connection, hands)
            return int(drive(self._forgotten(connection, older_than), hands).body)

    async def forget_async(self, older_than: timedelta) -> int:
        """As `forget`, with an asynchronous connection."""
        async with self._opened_async() as connection:
            hands = Hands(connection, _nothing, asyncio.sleep)
            await self._have_table_async(connection, hands)
            return int((await drive_async(self._forgotten(connection, older_than), hands)).body)

    def _forgotten(self, connection: Connection, older_than: timedelta) -> Work:
        if older_than < KEPT_MIN:
            raise ValueError(f"what is kept of a key is needed while its execution may live; {older_than} is too short")
        before_ms = _now_ms() - round(older_than.total_seconds() * 1000)
        return forgotten(connection.dialect, self._table, before_ms, self._wait_s)

    def _work(self, key: str, hash_: str, connection: Connection) -> Work:
        asked = Asked(
            key=key, hash=hash_, at_ms=_now_ms(), wait_s=self._wait_s, dialect=connection.dialect, table=self._table
        )
        return delivered(asked)

    def _have_table(self, connection: Connection, hands: Hands) -> None:
        if not self._is_there:
            drive(created(connection.dialect, self._table, self._wait_s), hands)
            self._is_there = True

    async def _have_table_async(self, connection: Connection, hands: Hands) -> None:
        if not self._is_there:
            await drive_async(created(connection.dialect, self._table, self._wait_s), hands)
            self._is_there = True

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        given = self._called()
        known = connection_of(given)
        if known is not None:
            try:
                yield known
            finally:
                given.close()
        elif hasattr(given, "__enter__"):
            with _entered(given) as inner:
                yield _known(inner)
        else:
            if inspect.iscoroutine(given):
                given.close()
                raise TypeError("a plain function cannot use an asynchronous connection: make it `async def`")
            raise unknown_connection(given)

    @asynccontextmanager
    async def _opened_async(self) -> AsyncIterator[Connection]:
        given = self._called()
        if inspect.iscoroutine(given):
            given = await _awaited(given)
        known = connection_of(given)
        if known is not None:
            try:
                yield known
            finally:
                closed = given.close()
                if inspect.isawaitable(closed):
                    await closed
        elif hasattr(given, "__aenter__"):
            async with _entered_async(given) as inner:
                yield _known(inner)
        elif hasattr(given, "__enter__"):
            with _entered(given) as inner:
                yield _known(inner)
        else:
            raise unknown_connection(given)

    def _called(self) -> Any:
        try:
            return self._connect()
        except Exception as error:
            raise _no_connection(error) from error


@contextmanager
def _entered(context: Any) -> Iterator[Any]:
    try:
        inner = context.__enter__()
    except Exception as error:
        raise _no_connection(error) from error
    try:
        yield inner
    finally:
        context.__exit__(None, None, None)


@asynccontextmanager
async def _entered_async(context: Any) -> AsyncIterator[Any]:
    try:
        inner = await context.__aenter__()
    except Exception as error:
        raise _no_connection(error) from error
    try:
        yield inner
    finally:
        await context.__aexit__(None, None, None)


async def _awaited(given: Any) -> Any:
    try:
        return await given
    except Exception as error:
        raise _no_connection(error) from error


def _no_connection(error: Exception) -> NotDone:
    return NotDone(f"nothing was done: {type(error).__name__} when connecting to the service's database")


def _known(given: Any) -> Connection:
    known = connection_of(given)
    if known is None:
        raise unknown_connection(given)
    return known


def _performed(
    function: Callable[..., Any], wishes: Wishes, before: tuple[Any, ...], value: Any, call: Any,
    connection: Connection, done: Any,
) -> Answer:  # fmt: skip
    try:
        return answer_of(function(*before, connection.native, **wishes.named(value, call, done)))
    except Ongoing as ongoing:
        return answer_of(ongoing)


async def _performed_async(
    function: Callable[..., Any], wishes: Wishes, before: tuple[Any, ...], value: Any, call: Any,
    connection: Connection, done: Any,
) -> Answer:  # fmt: skip
    try:
        return answer_of(await function(*before, connection.native, **wishes.named(value, call, done)))
    except Ongoing as ongoing:
        return answer_of(ongoing)


def _key(call: Any) -> str:
    key = call if isinstance(call, str) else getattr(call, "key", None)
    if not isinstance(key, str) or not key:
        raise TypeError(
            "a decorated function is called with (input, call): `call` is the idempotency key, or has it as `key`"
        )
    return key


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _nothing(*_: Any) -> Any:
    raise AssertionError("upkeep calls no function")
