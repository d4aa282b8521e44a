"""From a start that is asked for to an execution that is durable, whether new or found.

What makes a start's content is in `starts`; the first record is the core's, and what follows it the
runner's. Strangers keep out: nothing is done here to an execution that there is already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from makegood.core.decide import begin
from makegood.core.events import Record
from makegood.core.judgement import Settings
from makegood.core.state import State
from makegood.engine.committer import durable
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
        turns: Of those that begin executions, by id.
        ours: Whether an execution is advanced here at all; others are stored as due.
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
        turns: Turns,
        ours: Callable[[str], bool],
        room: Callable[[], int],
        opened: Callable[[], Store],
        check_usable: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._definitions = definitions
        self._registry = registry
        self._settings = settings
        self._ours = ours
        self._room = room
        self._opened = opened
        self._check_usable = check_usable
        self._repeats = repeats
        self._turns = turns

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
            Conflict: The id is taken by other content, or the business key by a live execution; or the key it is
                asked under stands for another request.
            NotFound: No such workflow.
            DefinitionError: A service is not registered.
        """
        if request.id is not None:
            checked_id(request.id)
        if once is None:
            return await self._start(workflow, request, None, look, [])
        async with self._repeats.turn(once) as turn:
            if turn is not None:
                return await self._start(workflow, request, once, look, [turn])
        # It was done under this key, which does not mean that it is there: it is found, or begins anew.
        return await self._start(workflow, request, None, look, [])

    async def _start(
        self,
        workflow: Definition | str,
        request: StartRequest,
        once: KeyedRequest | None,
        look: Look | None,
        turns: list[Turn],
    ) -> Started:
        if request.id is None:
            return await self._start_new(workflow, request, once, look, turns)
        async with self._turns.turn(request.id) as turn:
            if not await self._was_started(request.id, request):
                try:
                    return await self._start_new(workflow, request, once, look, [*turns, turn])
                except Conflict as conflict:
                    # Another engine that shares the database was quicker by a moment.
                    if conflict.code != "execution_exists" or not await self._was_started(request.id, request):
                        raise
        if once is not None:
            await self._repeats.keep(once)
        return Started(request.id, found=True)

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
        once: KeyedRequest | None,
        look: Look | None,
        turns: list[Turn],
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
        await self.begin(live, record, start, turns=turns)
        return Started(execution_id, found=False, seen=seen)

    async def begin(
        self, live: Live, record: Record, start: Start, *, turns: Sequence[Turn], served: bool = True
    ) -> None:
        """Take in a new execution; return when its start is durable, or raise why it was refused.

        Args:
            turns: That of its id, and perhaps others: given back then.
            served: Whether its services are all here; else it is stored as due, for an engine that has them.
        """
        done, settled = durable()
        for each in turns:
            # Kept until the start is durable, also when nobody waits for it any more.
            each.kept = True

        def told(error: Exception | None) -> None:
            for each in turns:
                each.give()
            settled(error)

        waits = not served or not self._ours(live.id) or self._room() <= 0
        self._runner.begin(live, record, start, told, waits=waits)
        await done

    def _check_services(self, services: frozenset[str], workflow: str) -> None:
        known = self._registry.names()
        missing = sorted(name for name in services if not self._registry.offers(name))
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
