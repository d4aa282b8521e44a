"""Duplicates, reordering, deliveries at once and death between any two statements: the effects are those of the rule.

Each delivery is a conversation of its own over a connection of its own. One thread takes their steps, one at a time, in
an order that is found by the property; to die is to lose the connection in the middle. Who would wait gives up at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from participant_worlds import World, world_of

from makegood.participant import NotDone, Ongoing, Rejected
from makegood.participant.answers import KEY_REUSED, UNDONE, Answer, answer_of
from makegood.participant.connections import Connection, connection_of
from makegood.participant.driving import Hands, drive
from makegood.participant.rule import Asked, Step, Work, delivered
from makegood.participant.upkeep import created

STEPS = ("hotel", "ship[0]")
EXAMPLES = int(os.environ.get("MAKEGOOD_SCHEDULES", "25"))
OUTCOMES = ("done", "rejected", "broken", "ongoing")


@dataclass
class Kept:
    """What the rule says about one call: what has been committed, in order.

    Attributes:
        call: None, or `done`, `rejected`, `ongoing`, `undone`.
        undo: None, or `done`, `ongoing`.
        effects: What the service's own table has.
        answers: By end of the key, the answer that every later delivery gets.
        hashes: By end of the key, of the request that had it first.
    """

    call: str | None = None
    undo: str | None = None
    effects: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


@dataclass
class Arrival:
    """One delivery under way."""

    number: int
    step: str
    end: str
    outcome: str
    hash: str
    connection: Any
    work: Work
    hands: Hands
    pending: Step
    performed: Answer | None = None
    told: Any = None


class Broken(Exception):
    """What a function raised."""


class Deliveries(RuleBasedStateMachine):
    """Any schedule."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.execution = uuid.uuid4().hex
        self.rule_says = {step: Kept() for step in STEPS}
        self.under_way: list[Arrival] = []
        self.numbers = itertools.count()

    # --- what may happen ---

    @rule(
        step=st.sampled_from(STEPS), end=st.sampled_from(["do", "undo"]), outcome=st.sampled_from(OUTCOMES),
        other=st.sampled_from([False, False, False, True]),
    )  # fmt: skip
    def arrive(self, step: str, end: str, outcome: str, other: bool) -> None:
        if len(self.under_way) < 4:
            self.begin(step, end, outcome, "other" if other else "same")

    @rule(which=st.integers(0, 3), steps=st.integers(1, 12))
    def go_on(self, which: int, steps: int) -> None:
        if self.under_way:
            arrival = self.under_way[which % len(self.under_way)]
            for _ in range(steps):
                if arrival not in self.under_way or not self.take(arrival):
                    break

    @rule(step=st.sampled_from(STEPS), end=st.sampled_from(["do", "undo"]), outcome=st.sampled_from(OUTCOMES))
    def come_and_go(self, step: str, end: str, outcome: str) -> None:
        """Undisturbed, unless others are in the way."""
        arrival = self.begin(step, end, outcome, "same")
        while arrival in self.under_way and self.take(arrival):
            pass
        if arrival in self.under_way:
            self.leave(arrival)

    @rule(which=st.integers(0, 3), executed=st.booleans())
    def die(self, which: int, executed: bool) -> None:
        """Before a statement, or after it, its result unheard."""
        if not self.under_way:
            return
        arrival = self.under_way[which % len(self.under_way)]
        if executed and arrival.pending.verb != "pause":
            with contextlib.suppress(Exception):
                arrival.hands.take(arrival.pending)
                if arrival.pending.verb == "commit":
                    self.committed(arrival)
        self.leave(arrival)

    @rule()
    def die_all(self) -> None:
        """The process is killed."""
        for arrival in list(self.under_way):
            self.leave(arrival)

    # --- taking steps ---

    def begin(self, step: str, end: str, outcome: str, hash_: str) -> Arrival:
        native = self.world.connect()
        connection = connection_of(native)
        assert connection is not None
        key = f"{self.execution}:{step}:{end}"
        asked = Asked(
            key=key, hash=hash_, at_ms=1, wait_s=0, dialect=connection.dialect, table="makegood_barrier",
        )  # fmt: skip
        work = delivered(asked)
        number = next(self.numbers)
        arrival = Arrival(number, step, end, outcome, hash_, native, work, None, None)  # type: ignore[arg-type]
        arrival.hands = Hands(connection, lambda done: self.perform(arrival, connection, done), lambda _: None)
        arrival.pending = next(work)
        self.under_way.append(arrival)
        return arrival

    def perform(self, arrival: Arrival, connection: Connection, done: Any) -> Answer:
        arrival.told = done
        what = {"do": "had", "undo": "undone"}[arrival.end]
        self.world.effect(connection.native, f"{self.execution}:{arrival.step}", f"{what} by {arrival.number}")
        match arrival.outcome:
            case "rejected":
                arrival.performed = Answer(409, f'{{"error": {{"code": "no", "message": "{arrival.number}"}}}}')
                raise Rejected("no", str(arrival.number))
            case "broken":
                raise Broken
            case "ongoing":
                arrival.performed = answer_of(Ongoing(1))
            case _:
                arrival.performed = answer_of({"by": arrival.number})
        return arrival.performed

    def take(self, arrival: Arrival) -> bool:
        """One step; False when it has to wait for others, or is over."""
        step = arrival.pending
        try:
            try:
                result = arrival.hands.take(step)
            except Exception as error:
                arrival.pending = arrival.work.throw(error)
                return True
            if step.verb == "commit":
                self.committed(arrival)
            arrival.pending = arrival.work.send(result)
            return result is not False
        except StopIteration as stop:
            self.answered(arrival, stop.value)
        except NotDone:
            assert arrival.performed is None
        except Broken:
            assert arrival.outcome == "broken"
        self.leave(arrival)
        return False

    def leave(self, arrival: Arrival) -> None:
        """Its connection is gone; what it had not committed is rolled back."""
        self.under_way.remove(arrival)
        arrival.work.close()
        if isinstance(arrival.connection, psycopg.Connection):
            arrival.connection.pgconn.finish()
        arrival.connection.close()

    # --- what the rule says ---

    def committed(self, arrival: Arrival) -> None:
        kept, performed = self.rule_says[arrival.step], arrival.performed
        assert kept.hashes.setdefault(arrival.end, arrival.hash) == arrival.hash
        if arrival.end == "do":
            assert performed is not None
            assert kept.call in (None, "ongoing")
            kept.call = performed.fate
            if performed.fate != "rejected":
                kept.effects.append(f"had by {arrival.number}")
        elif performed is None:
            assert kept.undo is None
            assert kept.call in (None, "rejected"), "there was something to undo"
            kept.call, kept.undo = kept.call or "undone", "done"
        else:
            assert kept.call in (("done", "ongoing") if kept.undo is None else ("done", "undone"))
            assert kept.undo in (None, "ongoing")
            assert arrival.told == (None if kept.call != "done" else value(kept.answers["do"]))
            assert performed.fate in ("done", "ongoing"), "an undo's rejection is not kept"
            kept.call = "undone" if kept.call == "ongoing" else kept.call
            kept.undo = performed.fate
            kept.effects.append(f"undone by {arrival.number}")
        if performed is None or performed.fate in ("done", "rejected"):
            kept.answers[arrival.end] = performed or answer_of(None)

    def answered(self, arrival: Arrival, answer: Answer) -> None:
        kept = self.rule_says[arrival.step]
        if answer == KEY_REUSED:
            assert kept.hashes[arrival.end] != arrival.hash
        elif answer == UNDONE:
            assert arrival.end == "do"
            assert kept.call == "undone"
        elif answer.fate == "ongoing" or (arrival.end == "undo" and answer.fate == "rejected"):
            assert arrival.performed is not None
        else:
            assert kept.hashes[arrival.end] == arrival.hash
            assert value(answer) == value(kept.answers[arrival.end])

    @invariant()
    def effects_are_those_of_the_rule(self) -> None:
        found = self.world.ask(f"SELECT step, what FROM effect WHERE step LIKE '{self.execution}:%'")
        expected = [
            (f"{self.execution}:{step}", what) for step, kept in self.rule_says.items() for what in kept.effects
        ]
        assert sorted(found) == sorted(expected)

    def teardown(self) -> None:
        """Everything dies; then the engine asks for every call once more, and undoes it."""
        self.die_all()
        for step, end in itertools.product(STEPS, ("do", "undo")):
            self.until_answered(step, end)
        for kept in self.rule_says.values():
            assert kept.undo == "done"
            had = [each for each in kept.effects if each.startswith("had")]
            assert bool(had) or not kept.effects, "something was undone that had not been done"
        self.effects_are_those_of_the_rule()

    def until_answered(self, step: str, end: str) -> None:
        """As the engine does: the same key again. A server may take a moment to notice that a client died."""
        for _ in range(2000):
            arrival = self.begin(step, end, "done", self.rule_says[step].hashes.get(end, "same"))
            while arrival in self.under_way:
                self.take(arrival)
            kept = self.rule_says[step]
            if end in kept.answers or (end == "do" and kept.call == "undone"):
                return
        raise AssertionError(f"{step}:{end} is never done")


def value(answer: Answer) -> Any:
    """Its meaning: a rejection's code and message, else its body."""
    body = json.loads(answer.body)
    if answer.fate == "rejected":
        return body["error"]["code"], body["error"]["message"]
    return body


@pytest.fixture(params=["sqlite3", "apsw", "psycopg"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(request.param, tmp_path) as made:
        yield made


@pytest.mark.slow
def test_every_schedule_has_the_effects_of_the_rule(world: World) -> None:
    native = world.connect()
    connection = connection_of(native)
    assert connection is not None
    drive(created(connection.dialect, "makegood_barrier", 5), Hands(connection, print, print))
    native.close()

    class Here(Deliveries):
        pass

    Here.world = world
    run_state_machine_as_test(
        Here, settings=settings(max_examples=EXAMPLES, stateful_step_count=40, suppress_health_check=list(HealthCheck))
    )
