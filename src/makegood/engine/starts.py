"""What a start asks for, and whether two starts ask for the same."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from makegood.errors import Conflict, InputError
from makegood.model import LIMITS, Limits
from makegood.ports import Stored
from makegood.services.payload import InvalidPayload, PayloadTooLarge, plain

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A start as it was sent."""

    workflow: str
    version: int | None
    input: Any
    id: str | None = None
    business_key: str | None = None
    search: dict[str, Any] = field(default_factory=dict)


class Turn:
    """The right to do what one alone may do at a time: begin an execution of an id, act under a key.

    Attributes:
        kept: It is given back later, whatever becomes of the one who took it.
    """

    __slots__ = ("_give", "kept")

    def __init__(self, give: Callable[[], None]) -> None:
        self._give: Callable[[], None] | None = give
        self.kept = False

    def give(self) -> None:
        """Let the next one have it. Once is enough."""
        give, self._give = self._give, None
        if give is not None:
            give()


class Turns:
    """One at a time for each name, such as the id of an execution: the second finds what the first made durable."""

    def __init__(self) -> None:
        self._taken: dict[str, asyncio.Future[None]] = {}

    async def take(self, name: str) -> Turn:
        """Wait until nobody else has the turn of that name."""
        while (taken := self._taken.get(name)) is not None:
            await asyncio.wait([taken])
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._taken[name] = given

        def give() -> None:
            del self._taken[name]
            given.set_result(None)

        return Turn(give)

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[Turn]:
        """The turn of that name, given back at the end unless it is kept beyond it."""
        turn = await self.take(name)
        try:
            yield turn
        finally:
            if not turn.kept:
                turn.give()


def start_hash(request: StartRequest) -> str:
    """What decides "same content": workflow, version as given, input, key and search attributes."""
    return content_hash([request.workflow, request.version, request.input, request.business_key, request.search])


def content_hash(content: Any) -> str:
    """Equal for equal plain JSON."""
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def same_start(stored: Stored, request: StartRequest) -> None:
    """Accept a repeated start.

    Raises:
        Conflict: The id belongs to other content.
    """
    if stored.start.start_hash != start_hash(request):
        raise Conflict(
            f"execution {stored.execution_id!r} exists with other content (workflow {stored.start.workflow!r}, "
            f"started earlier with another input, version or key). Use another id, or the same content.",
            code="id_taken",
            existing=stored.execution_id,
        )


def checked_id(execution_id: str) -> str:
    """The id, if it may be one.

    Raises:
        InputError: It may not.
    """
    if ID.fullmatch(execution_id) is None:
        raise InputError(
            f"{execution_id!r} cannot be an id: use 1 to 100 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    return execution_id


def checked_key(key: Any) -> str | None:
    """The business key that a start names, if it may be one; None is none.

    Raises:
        InputError: It is no text.
    """
    if key is None:
        return None
    if not isinstance(key, str):
        raise InputError(f"a business key must be a string, not {type(key).__name__}")
    plain_json(key, LIMITS)
    return key


def checked_search(search: Any, limits: Limits) -> dict[str, Any]:
    """The search attributes that a start names, if they may be; None is none.

    Raises:
        InputError: They are no mapping of names to plain JSON.
    """
    if search is None:
        return {}
    if not isinstance(search, dict):
        raise InputError(f"search attributes are a mapping of names to values, not {type(search).__name__}")
    attributes: dict[str, Any] = plain_json(search, limits, "search")
    return attributes


def plain_json(value: Any, limits: Limits, what: str = "the input") -> Any:
    """A private copy of a value as plain JSON, so that nobody can change it afterwards.

    Raises:
        InputError: It is no JSON, too large or too deep.
    """
    try:
        return plain(value, limits.payload_bytes)
    except PayloadTooLarge as error:
        raise InputError(f"{what} is too large: {error}") from error
    except InvalidPayload as error:
        raise InputError(f"{what} is not plain JSON: {error}", pointer=_pointer(error.path)) from error


def _pointer(path: list[Any]) -> str:
    """The JSON pointer of a place that was noted from the inside out."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in reversed(path))
