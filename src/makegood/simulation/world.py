"""The core alone in a world of its own: a virtual clock, scripted services, a journal in memory.

The journal is a list of records. A crash throws the state away; what goes on is a fold of the
journal, as after a real one.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from makegood.core import inputs
from makegood.core.children import Family
from makegood.core.decide import begin, decide
from makegood.core.events import Record
from makegood.core.evolve import fold
from makegood.core.judgement import Moment, Settings
from makegood.core.outcome import Reply
from makegood.core.outstanding import (
    Attend,
    Command,
    Dispatch,
    GoOn,
    Send,
    newly_outstanding,
    next_moment_ms,
    outstanding,
    ripen,
)
from makegood.core.program import Program, compile_program
from makegood.core.state import Key, State
from makegood.engine.calling import invocation_of, service_of
from makegood.model import Definition
from makegood.simulation.replies import as_reply
from makegood.simulation.script import ENDLESS_MS, Call, Scripted, ScriptedServices

START_MS = 1_700_000_000_000
"""The virtual clock's first moment."""
STEPS_MAX = 2_000_000
"""A play that has not come to rest after so many happenings never will."""


@dataclass(order=True, slots=True)
class _Happening:
    at_ms: int
    number: int
    act: Callable[[], object] = field(compare=False)


class World:
    """One execution, played to its end.

    Args:
        definition: The workflow, compiled or not.
        value: Its input.
        services: How the services answer.
        execution_id: Its id.
        seed: Of all chance: jitter, ids, the order of simultaneous happenings.
        settings: The core's.
        crash_after: Numbers of journal records (from 1) after which the engine crashes, once each.
            A set is shared: what has happened is taken out of it.
        crash_before: Numbers of records that it dies over, once each: decided, and never written.
        on_record: Told of each record when it is written.
        journal: Where an earlier play stopped; another engine takes over from there.
        now_ms: When it starts.
        business_key: Already evaluated.
        family: Of a child: who called it.
    """

    def __init__(  # noqa: PLR0913 - what a world is made of
        self,
        definition: Definition | Program,
        value: Any,
        services: ScriptedServices,
        *,
        execution_id: str = "play",
        seed: int = 0,
        settings: Settings | None = None,
        crash_after: Collection[int] = (),
        crash_before: Collection[int] = (),
        on_record: Callable[[World], None] | None = None,
        journal: Sequence[Record] = (),
        now_ms: int = START_MS,
        business_key: str | None = None,
        family: Family | None = None,
    ) -> None:
        if isinstance(definition, Definition):
            definition = compile_program(definition, definition.version or 1)
        self.program: Program = definition
        self.services = services
        self.settings = settings or Settings()
        self.journal: list[Record] = list(journal)
        self.now_ms = self.journal[-1].at_ms if self.journal else now_ms
        self.crashes = 0
        self._chance = random.Random(seed)  # noqa: S311 - a play must be repeatable
        self._crash_after = crash_after if isinstance(crash_after, set) else set(crash_after)
        self._crash_before = crash_before if isinstance(crash_before, set) else set(crash_before)
        self._on_record = on_record
        self._agenda: list[_Happening] = []
        self._number = 0
        self._incarnation = 0
        if self.journal:
            self._take_over()
            return
        self.state, record = begin(
            self.program, execution_id, value, self._moment(), self.settings, business_key=business_key, family=family
        )
        self._append(record)

    # --- playing ---

    def play(self, until: Callable[[State], bool] | None = None) -> State:
        """Let things happen until nothing is left that would move the execution, or `until` holds."""
        for _ in range(STEPS_MAX):
            if until is not None and until(self.state):
                return self.state
            if not self.step():
                return self.state
        raise AssertionError("the play does not come to rest")

    def step(self) -> bool:
        """Let the next thing happen; whether there was one."""
        wake_ms = next_moment_ms(self.state)
        due = self._agenda[0].at_ms if self._agenda else None
        if wake_ms is not None and (due is None or wake_ms < due):
            self.now_ms = max(self.now_ms, wake_ms)
            self._time_reached()
            return True
        if due is None:
            return False
        self.now_ms = max(self.now_ms, due)
        heapq.heappop(self._agenda).act()
        return True

    def next_ms(self) -> int | None:
        """When the next thing happens, or None."""
        moments = [next_moment_ms(self.state), self._agenda[0].at_ms if self._agenda else None]
        return min((at_ms for at_ms in moments if at_ms is not None), default=None)

    def at(self, at_ms: int, act: Callable[[], object]) -> None:
        """Have something happen at a moment; simultaneous things happen in the order of asking."""
        self._number += 1
        heapq.heappush(self._agenda, _Happening(at_ms, self._number, act))

    def tell(self, news: inputs.Input) -> bool:
        """Put news before the core. Raises Refused and kin when they are refused.

        Returns:
            False when the engine died over what they led to, so that they are lost.
        """
        record = decide(self.state, news, self._moment(), self.settings)
        if record is not None:
            return self._append(record)
        self._perform(newly_outstanding(self.state))
        return True

    def crash(self) -> None:
        """The engine dies, and another goes on from the journal."""
        self.crashes += 1
        self._incarnation += 1
        self.services.crashed(self.now_ms)
        self._take_over()

    def _take_over(self) -> None:
        self.state = fold(self.program, self.journal)
        incarnation = self._incarnation
        self.tell(inputs.TakeOver())
        if incarnation != self._incarnation:
            return  # It died again over that, and what follows has been seen to.
        ripen(self.state, self.now_ms)
        self.state.touched.clear()
        self._perform(outstanding(self.state))

    def _moment(self) -> Moment:
        return Moment(self.now_ms, self._chance.getrandbits(64))

    def _append(self, record: Record) -> bool:
        """Write a record, unless the engine dies over it; whether it was written."""
        number = self._next_number()
        if number in self._crash_before:
            self._crash_before.discard(number)
            self.crash()
            return False
        self.journal.append(record)
        if self._on_record is not None:
            self._on_record(self)
        if number in self._crash_after:
            self._crash_after.discard(number)
            self.crash()
        else:
            self._perform(newly_outstanding(self.state))
        return True

    def _next_number(self) -> int:
        return len(self.journal) + 1

    def _time_reached(self) -> None:
        before = (len(self.journal), self.crashes)
        ripen(self.state, self.now_ms)
        self.tell(inputs.TimeReached())
        idle = next_moment_ms(self.state) == self.now_ms and not self.state.ready
        if idle and (len(self.journal), self.crashes) == before:
            raise AssertionError("a moment came and nothing followed from it")

    # --- what the core asks for ---

    def _perform(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case GoOn():
                    self._later(lambda: self.tell(inputs.Continue()))
                case Dispatch(key, undo):
                    self._dispatch(key, undo)
                case Send():
                    self._send(command)
                case Attend():
                    self._attend(command)

    def _attend(self, command: Attend) -> None:
        """A world of one execution has no other workflows to call."""
        if command.want == "resolve":
            self._later(lambda: self.tell(inputs.ChildResolved(command.key, None)))

    def _later(self, act: Callable[[], object], delay_ms: int = 0) -> None:
        """Happens unless the engine has crashed by then."""
        incarnation = self._incarnation
        self.at(self.now_ms + delay_ms, lambda: act() if incarnation == self._incarnation else None)

    def _dispatch(self, key: Key, undo: bool) -> None:
        self._later(lambda: self._find_place(key, undo))

    def _find_place(self, key: Key, undo: bool) -> None:
        service = service_of(self.state, key, undo)
        until_ms = self.services.unwell_until(service, self.now_ms - START_MS)
        if until_ms is None:
            self.tell(inputs.Granted(key, undo))
            return
        if until_ms != ENDLESS_MS:
            self._later(lambda: self._ask_again(key, undo), until_ms - (self.now_ms - START_MS))
        self.tell(inputs.Unwell(key, undo, service, self.services.wait_ms))

    def _ask_again(self, key: Key, undo: bool) -> None:
        """The service is well again: whoever still waits for it hears of it."""
        if (key, undo) in self.state.awaiting:
            self._find_place(key, undo)

    def _send(self, command: Send) -> None:
        asked = invocation_of(self.state, command)
        if asked.service in self.services.down:
            message = f"{asked.service}.{asked.method} refuses connections"
            self._reply(command, Reply("not_sent", code="service_unavailable", message=message))
            return
        self._serve(command, *self.services.read(asked, self.now_ms))

    def _serve(self, command: Send, call: Call, scripted: Scripted) -> None:
        """The service's side: the effect happens whatever becomes of the engine."""
        if scripted.effect:
            self.at(self.now_ms + scripted.booked_after_ms, lambda: self.services.book(call))
        answers_at = self.now_ms + scripted.delay_ms
        if scripted.kind == "hang" or answers_at > call.deadline_ms:
            timeout = Reply("unknown", code="call_timeout", message="no answer in time", answered=False)
            self._later(lambda: self._hung_up(command, call, scripted, timeout), call.deadline_ms - self.now_ms)
            return
        self._later(lambda: self._answer(command, call, scripted), scripted.delay_ms)

    def _hung_up(self, command: Send, call: Call, scripted: Scripted, reply: Reply) -> None:
        self.services.hung_up(call, self.now_ms)
        if not self._reply(command, reply):
            self.services.unheard(call, scripted, self.now_ms)

    def _answer(self, command: Send, call: Call, scripted: Scripted) -> None:
        self.services.answered(call, scripted, self.now_ms)
        if not self._reply(command, as_reply(scripted, self.now_ms)):
            self.services.unheard(call, scripted, self.now_ms)

    def _reply(self, command: Send, reply: Reply) -> bool:
        return self.tell(inputs.Replied(command.key, command.undo, command.attempt, reply))
