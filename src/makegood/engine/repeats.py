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


class Repeats:
    """What was done under which key.

    Args:
        opened: The store, or raises that the engine is closed.
    """

    def __init__(self, opened: Callable[[], Requests], clock: Clock) -> None:
        self._opened = opened
        self._clock = clock
        self._turns = Turns()

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
        turn = await self._turns.take(request.key)
        try:
            yield turn if await self.done(request) is None else None
        finally:
            if not turn.kept:
                turn.give()

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
            await store.forget(request.at_ms - KEPT_MS)
            return None
        if found.content != request.content:
            raise reused()
        return found

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
