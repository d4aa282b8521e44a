"""Writes that their senders may repeat: one effect for each Idempotency-Key, for a day.

Strangers keep out: what a request does is not known here, only whether it was done.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec

from makegood.core.children import derived_id
from makegood.engine.starts import Turn, Turns
from makegood.errors import Conflict
from makegood.ports import Clock, KeyedRequest, Requests

KEPT_MS = 24 * 3600 * 1000
"""How long a key stands for what was done under it."""
SWEPT_EVERY_MS = 3600 * 1000
SWEPT_MAX = 1_000
"""Keys forgotten at once: nobody waits for the writer meanwhile for long."""


class Repeats:
    """What was done under which key.

    Args:
        opened: The store, or raises that the engine is closed.
    """

    def __init__(self, opened: Callable[[], Requests], clock: Clock) -> None:
        self._opened = opened
        self._clock = clock
        self._turns = Turns()
        self._swept_ms: int | None = None

    def keyed(self, key: str, asked: str, content: Any) -> KeyedRequest:
        """A request as it is kept.

        Args:
            key: The sender's.
            asked: What is asked, and of whom; a key means nothing beyond it.
            content: What was sent, plain JSON.
        """
        text = msgspec.json.encode(content, order="deterministic")
        return KeyedRequest(
            key=hashlib.sha256(f"{asked}\n{key}".encode()).hexdigest(),
            content=hashlib.sha256(text).hexdigest(),
            at_ms=self._clock.now_ms(),
        )

    @asynccontextmanager
    async def turn(self, request: KeyedRequest) -> AsyncIterator[Turn | None]:
        """The right to do it, one at a time for each key; None when it was done already.

        Raises:
            Conflict: Something else was done under its key.
        """
        async with self._turns.turn(request.key) as turn:
            yield turn if await self.done(request) is None else None

    async def done(self, request: KeyedRequest) -> KeyedRequest | None:
        """What was done under its key, or None.

        Raises:
            Conflict: Something else was.
        """
        store = self._opened()
        found = await store.request(request.key)
        if found is None:
            return None
        if found.at_ms < request.at_ms - KEPT_MS:
            # There are few: of the rest, `sweep` has taken care.
            while await store.forget(request.at_ms - KEPT_MS, limit=SWEPT_MAX) == SWEPT_MAX:
                pass
            return None
        if found.content != request.content:
            raise reused()
        return found

    async def sweep(self) -> None:
        """Once an hour, forget what has been kept for a day. To be called often: each time it does a piece of that."""
        now_ms = self._clock.now_ms()
        if self._swept_ms is not None and 0 <= now_ms - self._swept_ms < SWEPT_EVERY_MS:
            return
        if await self._opened().forget(now_ms - KEPT_MS, limit=SWEPT_MAX) < SWEPT_MAX:
            self._swept_ms = now_ms

    async def keep(self, request: KeyedRequest, answer: Any = None) -> None:
        """It was done, and no record is its effect."""
        await self._opened().keep(replace(request, answer=answer))


def once_in(request: KeyedRequest) -> dict[str, Any]:
    """The key, beside the arguments of a request that is left for another worker."""
    return {"once": [request.key, request.content, request.at_ms]}


def once_of(body: Any) -> KeyedRequest | None:
    """The key that came with a request; None without one."""
    match body:
        case {"once": [str(key), str(content), int(at_ms)]}:
            return KeyedRequest(key=key, content=content, at_ms=at_ms)
        case _:
            return None


def reused() -> Conflict:
    """The key stands for another request."""
    return Conflict(
        "this Idempotency-Key was used before for a request with other content. Use another key, or the same content.",
        code="idempotency_key_reused",
    )


def id_of(key: str) -> str:
    """The id of an execution that is started under a key and without an id: an UUID of version 8."""
    # As a child's id follows from its parent's key; no execution's key begins like this.
    return derived_id(f"start\n{key}")
