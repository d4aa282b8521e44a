"""Rerun from a step: a failed execution ends superseded in the transaction in which its successor begins.

Whether it may be is the core's to judge. Strangers keep out: nothing is done here to an execution that goes on.
"""

from __future__ import annotations

from makegood.core.decide import rerun
from makegood.core.judgement import Settings
from makegood.core.rerunning import Rerun, not_failed, rerun_id
from makegood.engine.definitions import Definitions, Registered, search_of
from makegood.engine.intake import Elsewhere, Intake, Store
from makegood.engine.live import Live, Void, all_durable, standing_of
from makegood.engine.requests import rerun_of
from makegood.engine.runner import Runner
from makegood.engine.starting import Starter
from makegood.engine.starts import Turn, Turns, content_hash
from makegood.errors import NotFound
from makegood.ports import InboxRow, Start, Stored
from makegood.storage.rules import id_taken


class Reruns:
    """Has failed executions go on as new ones.

    Args:
        turns: Of those that begin executions, by id.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        intake: Intake,
        starter: Starter,
        definitions: Definitions,
        settings: Settings,
        *,
        turns: Turns,
    ) -> None:
        self._store = store
        self._runner = runner
        self._intake = intake
        self._starter = starter
        self._definitions = definitions
        self._settings = settings
        self._turns = turns

    async def requested(self, row: InboxRow) -> None:
        """Do what another process asked for. Raises as `rerun`."""
        request, version = rerun_of(row.body)
        _, found = await self.rerun(row.execution_id, request, version, inbox_id=row.id)
        if found:
            await self._store.drop_inbox([row.id])

    async def rerun(
        self, execution_id: str, request: Rerun, version: int | None, *, inbox_id: int | None = None
    ) -> tuple[str, bool]:
        """The id of the successor, durable by then; whether it was there already.

        The id follows from the request, so that the same request again finds it.

        Args:
            version: Of the same workflow; None means the one that ran.
            inbox_id: The request that is settled by it.

        Raises:
            NotFound: There is no such execution, version or step.
            Refused: It cannot be rerun, or not from there.
            InputError: Its input does not fit that version.
            Conflict: Another live execution holds its business key.
        """
        stored = await self._store.find(execution_id)
        if stored is None:
            raise NotFound(f"there is no execution {execution_id!r}")
        wanted = stored.start.version if version is None else version
        registered = await self._definitions.get(stored.start.workflow, wanted)
        successor = rerun_id(execution_id, registered.program.version, request.step)
        async with self._turns.turn(successor) as turn:
            found = await self._store.find(successor)
            if found is not None:
                if found.start.rerun_of != execution_id:
                    raise id_taken(successor)
                return successor, True
            while True:
                try:
                    async with self._intake.holding(execution_id) as old:
                        await self._superseded(old)
                        await self._begin(old, stored, registered, successor, request, inbox_id, turn)
                except Void:
                    # The other one was refused: nothing stands in the way of this one.
                    continue
                except Elsewhere:
                    if stored.standing.ended_at_ms is None:
                        raise not_failed(execution_id, stored.standing.status) from None
                    raise
                return successor, False

    async def _superseded(self, old: Live) -> None:
        """Another rerun of it is under way: return when that is durable."""
        if old.state.superseded_by is not None:
            await all_durable(old)

    async def _begin(
        self,
        old: Live,
        stored: Stored,
        registered: Registered,
        successor: str,
        request: Rerun,
        inbox_id: int | None,
        turn: Turn,
    ) -> None:
        # From here to the queue nobody else gets a turn: what is judged is what is written.
        self._intake.check_served(successor, registered.program)
        registered.check_input(old.state.input)
        search = {**search_of(registered, old.state.input), **stored.start.search}
        program, moment = registered.program, self._runner.moment()
        state, first, last = rerun(old.state, program, successor, request, moment, self._settings)
        start = Start(
            workflow=state.workflow,
            version=program.version,
            start_hash=content_hash(["rerun", old.id, request.step, program.version]),
            started_at_ms=moment.now_ms,
            business_key=state.business_key,
            root=successor,
            search=search,
            rerun_of=old.id,
        )
        if inbox_id is not None:
            old.inbox_ids.append(inbox_id)
        live = Live(successor, program, state, 0, standing_of(state))
        live.beside = self._runner.last_beside(old, last)
        await self._starter.begin(live, first, start, turns=[turn])
