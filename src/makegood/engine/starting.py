"""From a start that is asked for to an execution that is durable, whether new or found.

What makes a start's content is in `starts`; the first record is the core's, and what follows it the
runner's. Strangers keep out: nothing is done here to an execution that there is already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from makegood.core.decide import begin
from makegood.core.events import Record
from makegood.core.judgement import Settings
from makegood.core.state import State
from makegood.engine.committer import Pending
from makegood.engine.definitions import Definitions, Registered, business_key_of, search_of
from makegood.engine.intake import Store
from makegood.engine.live import Live, standing_of
from makegood.engine.repeats import Repeats
from makegood.engine.runner import Runner
from makegood.engine.starts import StartRequest, Turn, Turns, checked_id, same_start, start_hash
from makegood.errors import Conflict, DefinitionError, Problem, nearest
from makegood.language import services_of
from makegood.model import Definition
from makegood.ports import KeyedRequest, Start
from makegood.services import Registry

Look = Callable[[State], Any]


@dataclass(frozen=True, slots=True)
class Started:
    """An execution that was asked for.

    Attributes:
        found: Whether it was there already.
        seen: What was made of its state as its first record left it; None if it was there already.
    """

    id: str
    found: bool
    seen: Any = None


class Starter:
    """Registers definitions and starts executions of them.

    Args:
        only: Executions that are advanced here; others are stored as due. None advances all.
        room: How many more executions may be taken in.
        opened: The store, or raises that the engine is closed.
        check_usable: Raises when the engine is closed or broken.
    """

    def __init__(  # noqa: PLR0913 - everything around it, by name
        self,
        runner: Runner,
        definitions: Definitions,
        registry: Registry,
        settings: Settings,
        *,
        repeats: Repeats,
        only: Collection[str] | None,
        room: Callable[[], int],
        opened: Callable[[], Store],
        check_usable: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._definitions = definitions
        self._registry = registry
        self._settings = settings
        self._only = only
        self._room = room
        self._opened = opened
        self._check_usable = check_usable
        self._repeats = repeats
        self._turns = Turns()

    async def register(self, definition: Definition) -> tuple[Registered, bool]:
        """Register a workflow definition: a new version (True) if its content is new, else the one there is.

        Raises:
            DefinitionError: It names a service that is not registered here, or a workflow with a pivot would
                become a child by it. Nothing was stored.
            Conflict: Its explicit version exists with other content.
        """
        self._check_usable()
        # Before anything is stored: what is refused leaves no trace.
        self._check_services(services_of(definition), definition.name)
        registered, new = await self._definitions.register(definition)
        return registered, new

    async def start(
        self,
        workflow: Definition | str,
        request: StartRequest,
        once: KeyedRequest | None = None,
        look: Look | None = None,
    ) -> Started:
        """The execution, durable by then.

        Args:
            once: Under which key it is asked.
            look: Shown the state as its first record leaves it.

        Raises:
            InputError: The input does not fit, or the id is malformed.
            Conflict: The id is taken by other content, or the business key by a live execution.
            NotFound: No such workflow.
            DefinitionError: A service is not registered.
        """
        if request.id is None:
            return await self._start_new(workflow, request, None, once, look)
        turn = await self._turns.take(checked_id(request.id))
        try:
            if await self._was_started(request.id, request):
                return Started(request.id, found=True)
            if once is not None:
                await self._repeats.done(once)
            try:
                return await self._start_new(workflow, request, turn, once, look)
            except Conflict as conflict:
                # Another engine that shares the database was quicker by a moment.
                if conflict.code != "execution_exists" or not await self._was_started(request.id, request):
                    raise
                return Started(request.id, found=True)
        finally:
            if not turn.kept:
                turn.give()

    async def _was_started(self, execution_id: str, request: StartRequest) -> bool:
        """Whether there is an execution of that id. Whoever has room for it goes on with it."""
        stored = await self._opened().find(execution_id)
        if stored is None:
            return False
        same_start(stored, request)
        return True

    async def _start_new(
        self,
        workflow: Definition | str,
        request: StartRequest,
        turn: Turn | None,
        once: KeyedRequest | None,
        look: Look | None,
    ) -> Started:
        if isinstance(workflow, Definition):
            registered, _ = await self.register(workflow)
        else:
            registered = await self._definitions.get(workflow, request.version)
            self._check_services(registered.program.services, workflow)
        registered.check_input(request.input)
        key = request.business_key
        if key is None:
            key = business_key_of(registered, request.input)
        execution_id = request.id or new_id()
        moment = self._runner.moment()
        state, record = begin(registered.program, execution_id, request.input, moment, self._settings, business_key=key)
        # Now: in the next moment it goes on.
        seen = None if look is None else look(state)
        start = Start(
            workflow=registered.program.definition.name,
            version=registered.program.version,
            start_hash=start_hash(request),
            started_at_ms=moment.now_ms,
            business_key=key,
            root=execution_id,
            search={**search_of(registered, request.input), **request.search},
        )
        live = Live(execution_id, registered.program, state, 0, standing_of(state))
        live.requests += [] if once is None else [once]
        await self.begin(live, record, start, turn=turn)
        return Started(execution_id, found=False, seen=seen)

    async def begin(
        self, live: Live, record: Record, start: Start, *, turn: Turn | None = None, beside: Pending | None = None
    ) -> None:
        """Take in a new execution; return when its start is durable, or raise why it was refused.

        Args:
            turn: Given back then.
            beside: What is written if and only if the start is.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if turn is not None:
            # Kept until the start is durable, also when nobody waits for it any more.
            turn.kept = True

        def told(error: Exception | None) -> None:
            if turn is not None:
                turn.give()
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        not_ours = self._only is not None and live.id not in self._only
        self._runner.begin(live, record, start, told, waits=not_ours or self._room() <= 0, beside=beside)
        await done

    def _check_services(self, services: frozenset[str], workflow: str) -> None:
        known = self._registry.names()
        missing = sorted(name for name in services if not self._registry.knows(name))
        if missing:
            raise DefinitionError(
                [
                    Problem(
                        f"service {name!r} is not registered with this engine.{nearest(name, known)} "
                        f"Register it first: engine.register({name!r}, ...).",
                        code="unknown_service",
                    )
                    for name in missing
                ],
                workflow,
            )


def new_id() -> str:
    """A new execution id: an UUID of version 7, so that ids sort by time."""
    from uuid_utils import uuid7  # noqa: PLC0415 - not needed where ids are given

    return str(uuid7())
