"""Children: executions that a step of another execution calls (rule 25).

The core says what it wants of a child; here that becomes starts, requests and news. Everything may
be asked twice: the child's id follows from the call's key, and an end is told again after a crash by
looking at the child's row. Telling the parent at once is only the quick way; a parked parent looks
after its children by itself now and then. What goes wrong is tried again; what cannot be understood
in the end stops the parent for a person, since nobody knows then how its child stands.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import suppress

from makegood.core.children import family_of
from makegood.core.decide import begin
from makegood.core.events import Failure
from makegood.core.inputs import ChildBegun, ChildEnded, ChildRefused, ChildResolved, Compensate, Halt, Suspend
from makegood.core.judgement import Settings
from makegood.core.outstanding import Attend
from makegood.core.state import ENDS, MOVING, Key
from makegood.core.undoing import calling_execution
from makegood.engine.child_care import call_of, care, end_of, missing, refusal
from makegood.engine.definitions import Definitions, Registered, business_key_of, search_of
from makegood.engine.inbox import Inbox
from makegood.engine.intake import Elsewhere, Intake, Store
from makegood.engine.live import Live, standing_of
from makegood.engine.log import log, names
from makegood.engine.looking import Onlooker
from makegood.engine.runner import Runner
from makegood.engine.starting import Starter
from makegood.engine.starts import StartRequest, Turn, Turns, start_hash
from makegood.errors import Conflict, MakegoodError, NotFound, Refused, StorageError
from makegood.ports import Invoker, Start

News = ChildResolved | ChildBegun | ChildRefused | ChildEnded

AGAIN_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""After so long what went wrong is tried again; then the parent is stopped. Trouble with the store passes by itself."""
ELSEWHERE = frozenset({"unserved", "suspect"})
"""A child that this engine does not advance now, for a reason that passes."""


class Children:
    """Starts, halts and undoes children, and tells parents of their ends.

    Args:
        turns: Of those that begin executions, by id.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - everything that an execution has to do with
        self,
        store: Store,
        runner: Runner,
        intake: Intake,
        inbox: Inbox,
        onlooker: Onlooker,
        definitions: Definitions,
        invoker: Invoker,
        settings: Settings,
        *,
        starter: Starter,
        turns: Turns,
    ) -> None:
        self._store = store
        self._runner = runner
        self._intake = intake
        self._inbox = inbox
        self._onlooker = onlooker
        self._definitions = definitions
        self._invoker = invoker
        self._settings = settings
        self._starter = starter
        self._turns = turns
        self._tasks: set[asyncio.Task[None]] = set()

    def attend(self, parent: Live, command: Attend) -> None:
        """Do what the parent's core wants of a child."""
        self._go(self._attended(parent, command))

    def ended(self, child: Live) -> None:
        """A child's end is durable: its parent hears of it."""
        state = child.state
        if state.parent is not None:
            self._intake.allow(child.id, ended=True)
        if state.parent is not None and state.root != child.id:
            # How it ended is taken down now: its parent may have it undone before it hears of this.
            self._go(self._told(state.parent, child.id, end_of(NOWHERE, state)))

    async def stop(self) -> None:
        """Look after nobody any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what goes wrong ---

    async def _attended(self, parent: Live, command: Attend) -> None:
        """See to it that what is wanted is done, once or again; the parent stays in memory meanwhile."""
        try:
            for number in itertools.count():
                try:
                    await self._attend(parent, command)
                except Exception as error:  # noqa: BLE001 - one must not stop the others, nor keep its parent for ever
                    if not self._goes_on(parent, command, error, number):
                        return
                else:
                    return
                await asyncio.sleep(AGAIN_S[min(number, len(AGAIN_S) - 1)])
                if not self._wanted(parent, command):
                    return
        finally:
            self._runner.attended(parent)

    def _goes_on(self, parent: Live, command: Attend, error: Exception, number: int) -> bool:
        """Whether what went wrong is to be tried again, at once after a pause."""
        child = parent.state.instances[command.key].child
        facts = {"execution": parent.id, "child": child, "want": command.want, "error": repr(error)}
        if isinstance(error, Refused):
            # The child goes on elsewhere, or later: who waits for it need not stay in memory.
            log.warning(names.CHILD_LEFT, **facts)
            self._go(self._again(parent, command))
            return False
        if (isinstance(error, StorageError) and error.retriable) or number < len(AGAIN_S):
            log.warning(names.CHILD_LEFT, **facts)
            return True
        log.error(names.CHILD_LOST, **facts)
        step = parent.state.name(command.key)
        note = f"the workflow that step {step!r} calls (execution {child!r}) cannot be looked after: {error!r}"
        if not parent.leaving:
            with suppress(Refused):
                self._runner.tell(parent, Suspend("engine", note, "quarantine"))
        return False

    async def _again(self, parent: Live, command: Attend) -> None:
        """One that is not parked meanwhile, and asks anew when it is taken in again."""
        await asyncio.sleep(AGAIN_S[-1])
        if self._wanted(parent, command):
            parent.sending += 1
            self.attend(parent, command)

    def _wanted(self, parent: Live, command: Attend) -> bool:
        """Whether the parent, still in memory, wants what it wanted. Otherwise it says anew what it does."""
        state, undo = parent.state, command.want == "undo"
        if parent.leaving or state.status not in MOVING or (command.key, undo) not in state.attending:
            return False
        return command.want != "run" or not state.is_halted(state.node(command.key), command.key[1])

    # --- one wish each ---

    async def _attend(self, parent: Live, command: Attend) -> None:
        key, child = command.key, parent.state.instances[command.key].child
        if command.want == "resolve":
            await self._resolve(parent, key)
            return
        assert child is not None
        # One at a time for each child: whoever is to halt it waits until its start is durable.
        async with self._turns.turn(child) as turn:
            if not self._wanted(parent, command):
                return
            stored = await self._store.find(child)
            status = None if stored is None else stored.standing.status
            ours = stored is not None and stored.start.parent == calling_execution(parent.state, key)
            if ours:
                self._intake.allow(child, ended=status in ENDS)
            match care(command.want, detached=call_of(parent.state, key).detached, status=status, ours=ours):
                case "start":
                    await self._start(parent, key, child, turn)
                case "refuse":
                    why = f"its id {child!r} belongs to an execution that somebody else started"
                    self._refuse(parent, key, Conflict(why, code="id_taken", existing=child))
                case "tell_gone":
                    self._news(parent, ChildEnded(key, None))
                case "tell_begun":
                    self._news(parent, ChildBegun(key))
                case "tell_end":
                    await self._report(parent, key, child)
                case "ask":
                    await self._ask(child, undo=command.want == "undo")
                case "wait":
                    pass

    async def _resolve(self, parent: Live, key: Key) -> None:
        step = call_of(parent.state, key)
        error: Failure | None
        version: int | None = None
        try:
            registered = await self._definitions.get(step.workflow, step.version)
            error = refusal(registered, parent.state, key)
            version = registered.program.version if error is None else None
        except NotFound as nobody:
            error = missing(parent.state, key, str(nobody))
        self._news(parent, ChildResolved(key, version, error))

    async def _start(self, parent: Live, key: Key, child: str, turn: Turn) -> None:
        """Start a child; return when it is durable, or refused."""
        step, version = call_of(parent.state, key), parent.state.instances[key].child_version
        try:
            registered = await self._definitions.get(step.workflow, version)
            unfit = refusal(registered, parent.state, key)
        except NotFound as nobody:
            unfit = missing(parent.state, key, str(nobody))
        if unfit is not None:
            self._news(parent, ChildRefused(key, unfit))
            return
        if not self._wanted(parent, Attend(key, "run")):
            return
        try:
            await self._begin(parent, key, child, registered, turn)
        except Conflict as taken:
            if taken.code != "business_key_taken":
                raise
            self._refuse(parent, key, taken)
            return
        if step.detached:
            self._news(parent, ChildBegun(key))

    async def _begin(self, parent: Live, key: Key, child: str, registered: Registered, turn: Turn) -> None:
        value, version = parent.state.instances[key].input, registered.program.version
        family, business_key = family_of(parent.state, key), business_key_of(registered, value)
        moment = self._runner.moment()
        state, record = begin(
            registered.program, child, value, moment, self._settings, business_key=business_key, family=family
        )
        start = Start(
            workflow=state.workflow,
            version=version,
            start_hash=start_hash(StartRequest(state.workflow, version, value, child)),
            started_at_ms=moment.now_ms,
            business_key=business_key,
            parent=family.parent,
            root=family.root,
            search=search_of(registered, value),
        )
        served = all(self._invoker.offers(name) for name in registered.program.services)
        live = Live(child, registered.program, state, 0, standing_of(state))
        self._intake.allow(child, begins=True)
        await self._starter.begin(live, record, start, turns=[turn], served=served)

    def _refuse(self, parent: Live, key: Key, taken: Conflict) -> None:
        """Its id or its business key is another's."""
        self._news(parent, ChildRefused(key, Failure(taken.code, str(taken), taken.existing, "rejected")))

    async def _ask(self, child: str, *, undo: bool) -> None:
        """Bring the parent's abort to a child, or its turn to be undone."""
        try:
            await self._inbox.request(child, Compensate("parent", parent=True) if undo else Halt())
        except Refused as refused:
            # Where it stands does not allow it: it comes to an end by itself, and that will be told.
            if refused.code in ELSEWHERE:
                raise

    # --- news ---

    async def _report(self, parent: Live, key: Key, child: str) -> None:
        self._news(parent, await self._onlooker.look(child, lambda state: end_of(key, state)))

    async def _told(self, parent_id: str, child: str, end: ChildEnded) -> None:
        """Tell a parent of an end; one that cannot be told now looks after its children by itself later.

        Where the call was taken over by a rerun, the successor is the one to tell.
        """
        try:
            async with self._intake.holding(parent_id) as parent:
                for key, _ in list(parent.state.attending):
                    if parent.state.instances[key].child == child:
                        self._news(parent, ChildEnded(key, end.status, end.output, end.error, end.reclaimed))
                successor = parent.state.superseded_by
            if successor is not None:
                await self._told(successor, child, end)
        except Elsewhere:
            with suppress(StorageError):
                await self._inbox.tell_of_child(parent_id, child)
        except Exception as error:  # noqa: BLE001 - nobody waits for this, and others are to be told
            told = log.warning if isinstance(error, MakegoodError) else log.error
            told(names.CHILD_LEFT, execution=parent_id, child=child, want="hear", error=repr(error))

    async def heard(self, parent_id: str, child: str) -> None:
        """Another worker has seen a child end: its parent, if it is here, is told how.

        Raises:
            Elsewhere: Another worker advances the parent.
            NotFound: There is no such parent.
        """
        async with self._intake.holding(parent_id) as parent:
            for key, _ in list(parent.state.attending):
                stored = await self._store.find(child)
                ours = parent.state.instances[key].child == child
                if ours and stored is not None and stored.standing.status in ENDS:
                    await self._report(parent, key, child)

    def _news(self, parent: Live, news: News) -> None:
        if not parent.leaving:
            self._runner.tell(parent, news)


NOWHERE: Key = (-1, ())
