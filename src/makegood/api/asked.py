"""What a handler is given: who asks what of which server. Values only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from makegood.api.answers import Answer, Stream
from makegood.api.bodies import Head
from makegood.api.measures import Measures
from makegood.api.tokens import Tokens, Who
from makegood.api.traffic import Traffic
from makegood.app.contracts import Contracts
from makegood.app.directory import SharedServices
from makegood.engine.client import Engine
from makegood.ports import KeyedRequest
from makegood.services import Registry
from makegood.services.callbacks import Callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What one server holds.

    Attributes:
        contracts: What the services say of themselves.
        services: Those of its own, and those that the database keeps.
        tokens: None: everybody may do everything.
        callbacks: The addresses that services call back; None: they are given none.
        node: What this process is called.
    """

    engine: Engine
    registry: Registry
    contracts: Contracts
    services: SharedServices
    node: str
    tokens: Tokens | None = None
    callbacks: Callbacks | None = None
    traffic: Traffic = field(default_factory=Traffic)
    measures: Measures = field(default_factory=Measures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, read and checked.

    Attributes:
        path: The parts of the path that vary, by name.
        parameters: Every parameter of the route.
        body: As the shape of the route's body, plain JSON or bytes.
        media: Of the body.
        key: Its Idempotency-Key.
        asked: What is asked and of whom: what a key is good for.
    """

    server: Server
    head: Head
    who: Who
    path: dict[str, str]
    parameters: dict[str, Any]
    body: Any = None
    media: str = ""
    key: str | None = None
    asked: str = ""

    def once(self, content: Any) -> KeyedRequest | None:
        """Under which key this content is sent; None without one."""
        return None if self.key is None else self.server.engine.repeats.keyed(self.key, self.asked, content)


Handler: TypeAlias = Callable[[Asked], Awaitable[Answer | Stream]]
