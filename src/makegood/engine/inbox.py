"""Requests put before executions: by a caller here, or by other processes through the inbox.

One for an execution that another worker advances goes to that worker's inbox, and its verdict is
awaited for a while. Strangers keep out: whether a request is allowed is for the core to say, and how
an execution comes into memory for the intake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from makegood.core import inputs
from makegood.engine.committer import durable
from makegood.engine.definitions import check_payload
from makegood.engine.intake import AFTER_TROUBLE_S, Elsewhere, Intake, Store
from makegood.engine.live import Live, Void, all_durable
from makegood.engine.log import log, names
from makegood.engine.repeats import Repeats, once_in, once_of
from makegood.engine.requests import message_of, request_of
from makegood.engine.runner import Runner
from makegood.engine.starts import Turn
from makegood.engine.verdicts import refusal_of, verdict_of
from makegood.errors import Fenced, StorageError
from makegood.ports import InboxRow, KeyedRequest

INBOX_S = 0.25
"""How often the inbox is looked at."""
SHARED_INBOX_S = 0.5
"""The same where every look is a statement."""
INBOX_MAX = 100
"""Requests looked at at once."""
CHILD = "child"
"""A request that only workers leave: a child has ended that its parent, advanced by another, has not heard of."""
OWNER_S = 2.0
"""How long the verdict of the worker that advances an execution is awaited."""
VERDICT_S = 0.05
TURNS_MAX = 5
"""How often a request follows an execution that changes hands."""

REVIVING = (inputs.Compensate, inputs.Retry, inputs.Resolve)
"""What brings back an execution that has ended."""


class Inbox:
    """Decides requests, or has them decided.

    Args:
        allowed: Whether this engine advances an execution at all.
        on_fenced: Told when somebody else holds the database, or this worker was declared dead.
        on_child: Told of an execution and its child that another worker saw end.
        on_rerun: Does what a request for a rerun asks for, and settles it.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        intake: Intake,
        repeats: Repeats,
        *,
        allowed: Callable[[str], bool],
        on_fenced: Callable[[Fenced], None],
        on_child: Callable[[str, str], Awaitable[None]],
        on_rerun: Callable[[InboxRow], Awaitable[None]],
    ) -> None:
        self._store = store
        self._runner = runner
        self._intake = intake
        self._repeats = repeats
        self._allowed = allowed
        self._on_fenced = on_fenced
        self._on_child = on_child
        self._on_rerun = on_rerun
        self._task: asyncio.Task[None] | None = None
        # Requests from the inbox that are being decided: the reader and a signal may come upon the same one.
        self._under_way: dict[int, asyncio.Future[None]] = {}

    def start(self) -> None:
        """Begin to read what other processes leave."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._read_inbox_forever(), name="makegood-inbox")

    def halt(self) -> None:
        """Read no more, without waiting for what is under way."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def stop(self) -> None:
        """Read no more."""
        self.halt()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def tell_of_child(self, parent: str, child: str) -> None:
        """A child has ended whose parent another worker advances."""
        await self._store.put_request(parent, CHILD, {"child": child})

    async def request(
        self, execution_id: str, news: inputs.Input, *, inbox_id: int | None = None, once: KeyedRequest | None = None
    ) -> bool:
        """Put a request before an execution, wherever it is; return when the verdict is durable.

        Args:
            once: Under which key it is asked: what was done under it is not done again.

        Returns:
            Whether it is decided; False where another worker advances the execution and has not decided yet.

        Raises:
            NotFound: There is no such execution.
            Refused: Its state does not allow it; nothing was changed.
            InputError: The payload of a signal does not fit.
            Conflict: The key stands for another request.
        """
        try:
            if once is None:
                await self._ask(execution_id, news, inbox_id)
                return True
            async with self._repeats.turn(once) as turn:
                if turn is not None:
                    await self._ask(execution_id, news, inbox_id, once, turn)
                    return True
        except Elsewhere:
            if inbox_id is not None:
                raise
            return await self._ask_owner(execution_id, news, once)
        if inbox_id is not None:
            await self._store.drop_inbox([inbox_id])
        return True

    async def _ask(
        self, execution_id: str, news: inputs.Input, inbox_id: int | None,
        once: KeyedRequest | None = None, turn: Turn | None = None,
    ) -> None:  # fmt: skip
        for number in range(1, TURNS_MAX + 1):
            try:
                await self._decide(execution_id, news, inbox_id, once, turn)
                return
            except Void:
                # What it was judged by never came to be.
                if number == TURNS_MAX:
                    raise
            except Fenced:
                # Another worker brought back what had ended, at the same moment: it advances it now.
                if not self._store.shared or number == TURNS_MAX:
                    raise
                await asyncio.sleep(VERDICT_S)

    async def _decide(
        self,
        execution_id: str,
        news: inputs.Input,
        inbox_id: int | None,
        once: KeyedRequest | None,
        turn: Turn | None,
    ) -> None:
        async with self._intake.holding(execution_id) as live:
            if isinstance(news, inputs.Signal) and (inbox_id is None or self._store.shared):
                # What was left in the inbox before it is heard before it, whoever read what first.
                for row in await self._store.inbox(limit=INBOX_MAX, execution_id=live.id):
                    if inbox_id is None or row.id < inbox_id:
                        await self._handle(row)
            if inbox_id is not None and self._store.shared and await self._store.verdict(inbox_id) is not None:
                # Since it was read, another worker has had this execution and settled it.
                return
            if isinstance(news, inputs.Signal):
                check_payload((node.step for node in live.program.nodes), news.name, news.payload)
            if live.state.superseded_by is not None:
                await all_durable(live)
            if live.leaving:
                raise Void(f"execution {execution_id!r} has left memory meanwhile; try again")
            if live.state.ended and isinstance(news, REVIVING):
                self._intake.check_served(execution_id, live.program)
            effectless = await self._tell(live, news, inbox_id, once, turn)
        if effectless and inbox_id is not None:
            await self._store.drop_inbox([inbox_id])
        if effectless and once is not None:
            await self._repeats.keep(once)

    async def _ask_owner(self, execution_id: str, news: inputs.Input, once: KeyedRequest | None) -> bool:
        kind, body = message_of(news)
        # Its owner keeps the key together with the effect, so that nobody's death comes between the two.
        number = await self._store.put_request(execution_id, kind, body if once is None else body | once_in(once))
        loop = asyncio.get_running_loop()
        until_s = loop.time() + OWNER_S
        while (verdict := await self._store.verdict(number)) is None:
            if loop.time() >= until_s:
                return False
            await asyncio.sleep(VERDICT_S)
        if verdict:
            raise refusal_of(verdict)
        return True

    async def _tell(
        self, live: Live, news: inputs.Input, inbox_id: int | None, once: KeyedRequest | None, turn: Turn | None
    ) -> bool:
        """Put news before a live execution; return when what followed is durable. Whether no record came of it."""
        done, settled = durable()

        def told(error: Exception | None) -> None:
            if turn is not None and turn.kept:
                turn.give()
            settled(error)

        position = live.position
        live.inbox_ids += [] if inbox_id is None else [inbox_id]
        live.requests += [] if once is None else [once]
        try:
            self._runner.tell(live, news, told)
        finally:
            effectless = live.position == position
            if effectless:
                # Whatever comes next is not their effect.
                live.inbox_ids = [each for each in live.inbox_ids if each != inbox_id]
                live.requests = [each for each in live.requests if each is not once]
            elif turn is not None and not done.done():
                # Kept until the record is durable, also when nobody waits for it any more.
                turn.kept = True
        await done
        return effectless

    # --- the inbox ---

    async def _read_inbox_forever(self) -> None:
        while True:
            rest_s = SHARED_INBOX_S if self._store.shared else INBOX_S
            try:
                await self._intake.suspects.clear()
                self._intake.try_suspects()
                await self._repeats.sweep()
                rows = await self._store.inbox(limit=INBOX_MAX)
                for row in rows:
                    if self._allowed(row.execution_id):
                        await self._handle(row)
            except Fenced as error:
                self._on_fenced(error)
                return
            except Exception as error:  # noqa: BLE001 - the requests stay where they are
                log.warning(names.COMMIT_FAILED, error=repr(error))
                rest_s = AFTER_TROUBLE_S
            await asyncio.sleep(rest_s)

    async def _handle(self, row: InboxRow) -> None:
        under_way = self._under_way.get(row.id)
        if under_way is not None:
            await asyncio.wait([under_way])
            return
        self._under_way[row.id] = asyncio.get_running_loop().create_future()
        try:
            await self._settle(row)
        finally:
            self._under_way.pop(row.id).set_result(None)

    async def _settle(self, row: InboxRow) -> None:
        try:
            if row.kind == CHILD:
                await self._on_child(row.execution_id, str(row.body.get("child")))
                await self._store.drop_inbox([row.id])
            elif row.kind == "rerun":
                await self._on_rerun(row)
            else:
                news, once = request_of(row.kind, row.body), once_of(row.body)
                await self.request(row.execution_id, news, inbox_id=row.id, once=once)
        except Elsewhere:
            # Another worker has taken the execution, and finds this in its own inbox.
            return
        except (StorageError, Fenced):
            # No verdict: it stays in the inbox, for this engine or the next one.
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be understood must not stop the others
            log.warning(names.REQUEST_DROPPED, execution=row.execution_id, kind=row.kind, error=repr(error))
            await self._store.drop_inbox([row.id], verdict=verdict_of(error))
