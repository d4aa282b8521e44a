"""Drives the executions of this process: puts news before the core, appends, and does what follows.

The one path of every execution: news -> decide -> append -> durable -> send. Nothing is sent before
the record that starts it is durable (rule 31), nobody hears of an end before it is (rule 35).
Recovery takes the same path: load, fold, ask what is outstanding.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from makegood.core import inputs
from makegood.core.continuing import extend, is_full
from makegood.core.decide import decide
from makegood.core.events import Record
from makegood.core.judgement import Moment, Settings
from makegood.core.outcome import Reply
from makegood.core.outstanding import (
    Attend,
    Command,
    Dispatch,
    GoOn,
    Send,
    is_wanted,
    newly_outstanding,
    next_moment_ms,
    outstanding,
    ripen,
)
from makegood.engine.alarm import Alarm
from makegood.engine.calling import Calls, is_open, service_of
from makegood.engine.committer import Pending, Settled
from makegood.engine.live import Live, append_of, as_others_hear, when_durable
from makegood.engine.log import log, names
from makegood.engine.parking import Parking, Writing
from makegood.engine.places import Places
from makegood.engine.tenure import Tenure
from makegood.errors import MakegoodError
from makegood.ports import Clock, Invoker, Slot, Start

Watcher = Callable[[Live, Record], None]


class Runner:
    """Everything between the core and the world, for the executions that are in memory.

    Args:
        on_end: Called with an execution whose end is durable.
        on_park: Called with the moment at which a parked execution is due, or None.
        on_record: Called with every record once it is durable.
        on_lost: Called with the id of an execution that cannot go on in this process, and why.
        on_attend: Called with what an execution wants of a child, once that is durable.
        on_room: Called when an execution has left memory.
        on_well: Called with a service's name when it may be well again.
        on_wait: Called with the name of each service that an execution waits for which was parked.

    Attributes:
        alarm: Wakes executions in memory.
        live: What is in memory, by id.
        parking: How it leaves memory to wait.
        stopping: Nothing is sent any more.
    """

    def __init__(  # noqa: PLR0913 - everything around it, by name
        self,
        committer: Writing,
        invoker: Invoker,
        tenure: Tenure,
        clock: Clock,
        settings: Settings,
        *,
        on_end: Callable[[Live], None],
        on_park: Callable[[int | None], None],
        on_record: Watcher,
        on_lost: Callable[[str, Exception], None],
        on_attend: Callable[[Live, Attend], None],
        on_room: Callable[[], None],
        on_well: Callable[[str], None],
        on_wait: Callable[[str], None],
    ) -> None:
        self._committer = committer
        self._invoker = invoker
        self._clock = clock
        self._settings = settings
        self._on_end = on_end
        self._on_record = on_record
        self._on_lost = on_lost
        self._on_attend = on_attend
        self._on_room = on_room
        self.alarm = Alarm(clock, self._ring)
        self._calls = Calls(invoker, tenure, self._tell_live)
        self._places = Places(
            invoker, stopping=lambda: self.stopping, on_place=self._ask_again, on_gone=self.rest, on_well=on_well
        )
        self.live: dict[str, Live] = {}
        self.parking = Parking(committer, clock, forget=self._forget, on_park=on_park, on_wait=on_wait)
        self.stopping = False

    # --- entering and leaving ---

    def moment(self, at_ms: int | None = None) -> Moment:
        """Now, or then, and some chance."""
        return Moment(self._clock.now_ms() if at_ms is None else at_ms, random.getrandbits(64))

    def begin(self, execution: Live, record: Record, start: Start, told: Settled, *, waits: bool = False) -> None:
        """Take in a new execution whose first record has been decided. Who begins one has the turn of its id.

        Args:
            waits: There is no room for it: it is stored as due, for whoever has room.
        """
        assert execution.id not in self.live
        if waits and not execution.state.ended:  # One that ends at once needs no room, and waits for nothing.
            self.parking.park_new(execution, record, start, told)
            return
        self.live[execution.id] = execution
        self._advance(execution, record, self.moment(record.at_ms), start=start, told=told)

    def last_beside(self, execution: Live, record: Record) -> Pending:
        """The last record of an execution that has ended, to be written with the first one of its successor."""
        append = append_of(execution, record, together=execution.id)
        return append, lambda error: self._settled(execution, record, [], None, error, ended=True)

    def resume(self, execution: Live, quarantine: str | None = None) -> None:
        """Take in an execution that was loaded: what was open is lost, then everything outstanding.

        Args:
            quarantine: Why it is suspended instead.
        """
        self.live[execution.id] = execution
        try:
            self._take_over(execution, quarantine)
        except Exception as error:
            self._lose(execution, error)
            raise

    def _take_over(self, execution: Live, quarantine: str | None) -> None:
        moment = self.moment()
        record = decide(execution.state, inputs.TakeOver(), moment, self._settings)
        if quarantine is not None and not execution.state.ended:
            stop = inputs.Suspend("engine", quarantine, "quarantine")
            record = extend(record, execution.state, stop, moment, self._settings)
        ripen(execution.state, moment.now_ms)
        execution.state.touched.clear()
        self._advance(execution, record, moment, commands=outstanding(execution.state))

    def tell(self, execution: Live, news: inputs.Input, told: Settled | None = None) -> None:
        """Put news before the core. `told` is called when what followed is durable.

        Raises:
            Refused: The news are refused; nothing was changed. Likewise NotFound and InputError.
        """
        moment = self.moment()
        try:
            record = decide(execution.state, news, moment, self._settings)
        except MakegoodError:
            raise
        except Exception as error:
            self._lose(execution, error)
            raise
        self._advance(execution, record, moment, told=told)

    # --- one round ---

    def _advance(
        self,
        execution: Live,
        record: Record | None,
        moment: Moment,
        *,
        start: Start | None = None,
        told: Settled | None = None,
        commands: Sequence[Command] | None = None,
    ) -> None:
        """Find places for what is to be sent, append, and arrange what follows. A first record is never divided."""
        state = execution.state
        sends: list[Send | Attend] = []
        pending = list(newly_outstanding(state) if commands is None else commands)
        # It grows while it is walked: what is granted a place is to be sent.
        for command in pending:
            if isinstance(command, Send | Attend):
                sends.append(command)
            elif isinstance(command, Dispatch):
                if start is None and is_full(record, self._settings):
                    self._append(execution, record, None, sends, None)
                    record, sends = None, []
                record = self._dispatch(execution, command, record, moment)
                pending.extend(newly_outstanding(state))
        self._append(execution, record, start, sends, told)
        if state.more and any(isinstance(each, GoOn) for each in pending):
            asyncio.get_running_loop().call_soon(self._tell_live, execution, inputs.Continue())
        self._set_alarm(execution)

    def _dispatch(self, execution: Live, command: Dispatch, record: Record | None, moment: Moment) -> Record | None:
        """A call or undo wants to be sent: journal its attempt if there is a place, else wait for one."""
        key, undo = command.key, command.undo
        if (key, undo) in execution.asked or self.stopping:
            return record
        service = service_of(execution.state, key, undo)
        match self._places.reserve(service, execution, command):
            case Slot.GRANTED:
                return self._granted(execution, command, service, record, moment)
            case Slot.BUSY:
                return record
            case Slot.UNWELL:
                news = inputs.Unwell(key, undo, service, self._invoker.wait_ms(service))
                record = extend(record, execution.state, news, moment, self._settings)
                self._places.wait_till_well(service, execution, command)
                return record
            case Slot.MISSING:
                message = f"there is no service {service!r} here"
                reply = Reply("not_sent", code="service_not_found", message=message)
                return extend(record, execution.state, inputs.Unreachable(key, undo, reply), moment, self._settings)

    def _granted(
        self, execution: Live, command: Dispatch, service: str, record: Record | None, moment: Moment
    ) -> Record | None:
        """A place is held: journal the attempt, or give the place back when it is not wanted any more."""
        key, undo = command.key, command.undo
        news = inputs.Granted(key, undo, self._invoker.default_timeout_ms(service))
        try:
            return extend(record, execution.state, news, moment, self._settings)
        finally:
            if (key, undo) not in execution.state.open:
                self._invoker.release(service)

    def _append(
        self,
        execution: Live,
        record: Record | None,
        start: Start | None,
        sends: list[Send | Attend],
        told: Settled | None,
    ) -> None:
        if record is None:
            for send in sends:
                self._send(execution, send)
            if told is not None:
                when_durable(execution, told)
            return
        append = append_of(execution, record, start)
        beside, execution.beside = execution.beside, None
        ended = execution.state.ended

        def settled(error: Exception | None) -> None:
            # Behind a record that was refused none is written: that was told then.
            lost = start is None and not execution.leaving
            self._settled(execution, record, sends, told, error, ended=ended)
            if error is not None and lost:
                self._on_lost(execution.id, error)

        self._committer.append(append, settled, beside)

    def _settled(
        self,
        execution: Live,
        record: Record,
        sends: list[Send | Attend],
        told: Settled | None,
        error: Exception | None,
        *,
        ended: bool,
    ) -> None:
        """The record is durable, or was refused: then this engine's picture of the execution is void."""
        execution.queued -= 1
        if error is not None:
            self._drop(execution, sends)
        else:
            for send in sends:
                self._send(execution, send)
            self._on_record(execution, record)
        if told is not None:
            told(error)
        if execution.on_durable and (execution.queued == 0 or error is not None):
            waiting, execution.on_durable = execution.on_durable, []
            for each in waiting:
                each(as_others_hear(error))
        if error is None:
            if ended and execution.queued == 0 and execution.state.ended:
                self.rest(execution)
                self._on_end(execution)
            else:
                self.parking.park_if_idle(execution)

    def _drop(self, execution: Live, sends: list[Send | Attend]) -> None:
        for send in sends:
            if isinstance(send, Send):
                self._invoker.release(service_of(execution.state, send.key, send.undo))
        self._forget(execution)

    def _forget(self, execution: Live) -> None:
        execution.leaving = True
        self._places.forget(execution)
        if self.live.get(execution.id) is execution:
            del self.live[execution.id]
            self.alarm.set(execution.id, None)
            self._on_room()

    def _lose(self, execution: Live, error: Exception) -> None:
        """Judging it went wrong, which is a mistake of ours: it stops here, alone, as its journal stands."""
        log.error(names.JUDGEMENT_FAILED, execution=execution.id, error=repr(error))
        self._forget(execution)
        self._on_lost(execution.id, error)

    def rest(self, execution: Live) -> None:
        """It was only looked at: one that has ended, or that just waits, need not stay in memory."""
        if not execution.state.ended:
            self.parking.park_if_idle(execution)
        elif not execution.queued and not execution.held and not execution.leaving:
            self._forget(execution)

    def release(self, execution: Live) -> None:
        """One that held it has looked."""
        execution.held -= 1
        self.rest(execution)

    # --- sending ---

    def _send(self, execution: Live, send: Send | Attend) -> None:
        if isinstance(send, Attend):
            if not self.stopping and not execution.leaving:
                execution.sending += 1
                self._on_attend(execution, send)
            return
        if self.stopping or execution.leaving or not is_open(execution.state, send):
            # While the record was being written: it is sent again, or not wanted any more.
            self._invoker.release(service_of(execution.state, send.key, send.undo))
            return
        self._calls.send(execution, send)

    def attended(self, execution: Live) -> None:
        """What an execution wanted of a child is done."""
        execution.sending -= 1
        self.parking.park_if_idle(execution)

    def _tell_live(self, execution: Live, news: inputs.Input) -> None:
        """News that nobody waits for, for an execution that may have left meanwhile."""
        if execution.leaving:
            return
        try:
            self.tell(execution, news)
        except Exception as error:  # noqa: BLE001 - one execution must not stop the others
            if isinstance(error, MakegoodError):
                log.error(names.JUDGEMENT_FAILED, execution=execution.id, error=repr(error))
            elif not execution.leaving:
                self._lose(execution, error)
        self.parking.park_if_idle(execution)

    def _ask_again(self, execution: Live, command: Dispatch, service: str, slot: Slot) -> None:
        """The place that a call or undo waited for is held for it, or there is no such service any more."""
        execution.asked.pop((command.key, command.undo), None)
        wanted = is_wanted(execution.state, command.key, undo=command.undo)
        if execution.leaving or self.stopping or not wanted:
            if slot is Slot.GRANTED:
                # Whoever waits next hears of it.
                self._invoker.release(service)
        else:
            try:
                moment = self.moment()
                if slot is Slot.GRANTED:
                    self._advance(execution, self._granted(execution, command, service, None, moment), moment)
                else:
                    self._advance(execution, None, moment, commands=[command])
            except Exception as error:  # noqa: BLE001 - one execution must not stop the others
                self._lose(execution, error)
        self.rest(execution)

    # --- time ---

    def _set_alarm(self, execution: Live) -> None:
        if not execution.leaving:
            self.alarm.set(execution.id, next_moment_ms(execution.state))

    def _ring(self, execution_id: str) -> None:
        if (execution := self.live.get(execution_id)) is not None:
            ripen(execution.state, self._clock.now_ms())
            self._tell_live(execution, inputs.TimeReached())

    # --- stopping ---

    async def stop(self, drain_s: float) -> None:
        """Send nothing new, release what has no open call, give open calls some time, leave the rest."""
        self.stopping = True
        try:
            await self._release(lambda each: not (each.sending or each.queued))
            await self._calls.stop(drain_s)
        finally:
            self.alarm.close()
        await self._release(lambda _: True)

    async def _release(self, fit: Callable[[Live], bool]) -> None:
        if self._committer.broken is None:
            await self._committer.flush()
            for execution in filter(fit, list(self.live.values())):
                self.parking.park(execution, self._clock.now_ms())
            await self._committer.flush()
