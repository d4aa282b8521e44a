"""Children: executions that a step of another execution calls (rule 25).

The core says what it wants of a child; here that becomes starts, requests and news. Everything may
be asked twice: the child's id follows from the call's key, and an end is told again after a crash by
looking at the child's row. Telling the parent at once is only the quick way; a parked parent looks
after its children by itself now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

from makegood.core.children import Family as Ancestry
from makegood.core.decide import begin
from makegood.core.events import Failure
from makegood.core.inputs import ChildEnded, ChildResolved, Compensate, Halt
from makegood.core.judgement import Settings
from makegood.core.outstanding import Attend
from makegood.core.state import ENDS, Key, State
from makegood.engine.definitions import Definitions, business_key_of, search_of
from makegood.engine.intake import Intake, Store
from makegood.engine.live import Live, standing_of
from makegood.engine.log import log, names
from makegood.engine.runner import Runner
from makegood.engine.starts import StartRequest, start_hash
from makegood.errors import Conflict, InputError, MakegoodError, NotFound, Refused
from makegood.model import ChildWorkflow
from makegood.ports import Start


class Children:
    """Starts, halts and undoes children, and tells parents of their ends."""

    def __init__(
        self, store: Store, runner: Runner, intake: Intake, definitions: Definitions, settings: Settings
    ) -> None:
        self._store = store
        self._runner = runner
        self._intake = intake
        self._definitions = definitions
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()

    def attend(self, parent: Live, command: Attend) -> None:
        """Do what the parent's core wants of a child."""
        self._go(self._attended(parent, command), parent.id)

    def ended(self, child: Live) -> None:
        """A child's end is durable: its parent hears of it."""
        if child.state.parent is not None:
            # How it ended is taken down now: its parent may have it undone before it hears of this.
            self._go(self._tell(child.state.parent, child.id, _end_of(NOWHERE, child.state)), child.id)

    async def stop(self) -> None:
        """Look after nobody any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go(self, work: Coroutine[None, None, None], execution_id: str) -> None:
        async def guarded() -> None:
            try:
                await work
            except MakegoodError as error:
                log.warning(names.CHILD_LEFT, execution=execution_id, error=str(error))

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attended(self, parent: Live, command: Attend) -> None:
        try:
            await self._attend(parent, command)
        finally:
            self._runner.attended(parent)

    async def _attend(self, parent: Live, command: Attend) -> None:
        key = command.key
        match command.want:
            case "resolve":
                await self._resolve(parent, key)
            case "run":
                await self._run(parent, key)
            case "halt" | "undo":
                await self._reach(parent, key, undo=command.want == "undo")

    # --- one wish each ---

    async def _resolve(self, parent: Live, key: Key) -> None:
        step = _step(parent.state, key)
        error: Failure | None = None
        version: int | None = None
        try:
            registered = await self._definitions.get(step.workflow, step.version)
            registered.check_input(parent.state.instances[key].input)
            version = registered.program.version
        except NotFound as missing:
            error = Failure("child_failed", str(missing), None, "failed", step.id, key[1])
        except InputError as unfit:
            error = Failure("schema_error", str(unfit), None, "failed", step.id, key[1])
        self._news(parent, ChildResolved(key, version, error))

    async def _run(self, parent: Live, key: Key) -> None:
        child = parent.state.instances[key].child
        assert child is not None
        self._intake.allow(child)
        stored = await self._store.find(child)
        if stored is None:
            await self._start(parent, key, child)
        elif stored.standing.status in ENDS:
            await self._report(parent, key, child)

    async def _start(self, parent: Live, key: Key, child: str) -> None:
        instance = parent.state.instances[key]
        step = _step(parent.state, key)
        registered = await self._definitions.get(step.workflow, instance.child_version)
        request = StartRequest(step.workflow, instance.child_version, instance.input, child)
        root = parent.state.root or parent.id
        # A detached child is nobody's: its caller does not wait for it and does not undo it.
        ancestry = Ancestry(parent.id, root, parent.state.depth + 1)
        moment = self._runner.moment()
        business_key = business_key_of(registered, instance.input)
        state, record = begin(
            registered.program,
            child,
            instance.input,
            moment,
            self._settings,
            business_key=business_key,
            family=ancestry,
        )
        start = Start(
            workflow=step.workflow,
            version=registered.program.version,
            start_hash=start_hash(request),
            started_at_ms=moment.now_ms,
            business_key=business_key,
            parent=parent.id,
            root=root,
            search=search_of(registered, instance.input),
        )
        live = Live(child, registered.program, state, 0, standing_of(state))

        def told(error: Exception | None) -> None:
            if isinstance(error, Conflict) and error.code == "business_key_taken":
                self._news(parent, ChildEnded(key, "compensated", None, Failure(error.code, str(error))))

        if child not in self._runner.live:
            self._runner.begin(live, record, start, told)

    async def _reach(self, parent: Live, key: Key, *, undo: bool) -> None:
        """Bring the parent's abort to a child, or its turn to be undone."""
        child = parent.state.instances[key].child
        stored = None if child is None else await self._store.find(child)
        if child is None or stored is None:
            self._news(parent, ChildEnded(key, None))
            return
        self._intake.allow(child)
        status = stored.standing.status
        if undo and status != "compensated":
            with suppress(Refused):
                await self._intake.request(child, Compensate("parent", parent=True))
        elif status in ENDS:
            await self._report(parent, key, child)
        else:
            with suppress(Refused):
                await self._intake.request(child, Halt())

    async def _report(self, parent: Live, key: Key, child: str) -> None:
        live = await self._intake.activate(child)
        try:
            self._news(parent, _end_of(key, live.state))
        finally:
            self._runner.rest(live)

    async def _tell(self, parent_id: str, child: str, end: ChildEnded) -> None:
        parent = await self._intake.activate(parent_id)
        try:
            for key, _ in list(parent.state.attending):
                if parent.state.instances[key].child == child:
                    self._news(parent, ChildEnded(key, end.status, end.output, end.error, end.reclaimed))
        finally:
            self._runner.rest(parent)

    def _news(self, parent: Live, news: ChildResolved | ChildEnded) -> None:
        if not parent.leaving:
            self._runner.tell(parent, news)


NOWHERE: Key = (-1, ())


def _step(state: State, key: Key) -> ChildWorkflow:
    step = state.node(key).step
    assert isinstance(step, ChildWorkflow)
    return step


def _end_of(key: Key, child: State) -> ChildEnded:
    return ChildEnded(key, child.status, child.output, child.error, child.reclaimed)
