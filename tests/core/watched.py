"""A world that checks, at every record and every request, what must hold at every moment (I1 to I8)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from trees import SIGNALS, News, Saga

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.evolve import close_record, evolve, fold
from makegood.core.failing import RESOLVED
from makegood.core.operating import _waiting_for_a_person
from makegood.core.outstanding import Command, Send, outstanding, ripen
from makegood.core.program import Kind, Program
from makegood.core.state import ROOT, Key, State
from makegood.core.transitions import execution_allowed, place_of, step_allowed
from makegood.core.undoing import calling_execution
from makegood.errors import InputError, NotFound, Refused
from makegood.language import load_tree
from makegood.simulation.script import Call, Scripted, ScriptedServices, Spell
from makegood.simulation.world import START_MS, World

INPUT = {"yes": True, "no": False, "list": [10, 20, 30], "none": []}
HAPPENINGS_MAX = 30_000


class Fates(ScriptedServices):
    """Services that answer each key by its own course, and then, and from then on, `ok`.

    404 to an undo is said in honesty alone: while nothing that could be undone has happened yet.
    """

    def __init__(
        self,
        scripts: dict[str, list[Scripted]],
        down: Sequence[str] = (),
        unwell: dict[str, list[Spell]] | None = None,
        wait_ms: int = 0,
    ) -> None:
        super().__init__(scripts, (), unwell, wait_ms)
        self.down = set(down)  # type: ignore[assignment]
        self.cut_off: list[Call] = []
        self._read: dict[str, int] = {}

    def _next(self, call: Call) -> Scripted:
        key = call.key
        script, read = self.scripts.get(call.method, []), self._read.get(key, 0)
        self._read[key] = read + 1
        reply = script[read] if read < len(script) else Scripted(kind="ok", effect=True)
        there = self._is_there(key.removesuffix(":undo"))
        if reply.kind == "ok" or (reply.value == 404 and there):
            return Scripted(kind="ok", value=_answer(key), delay_ms=reply.delay_ms, effect=True)
        return reply

    def _is_there(self, key: str) -> bool:
        """Whether there is something to undo: an effect, or what a called workflow did, which no service knows of."""
        called = key.split(":")[1].startswith("k")
        return f"{key}:undo" not in self.ledger._undone if called else f"{key}:do" in self.ledger._applied

    def answered(self, call: Call, reply: Scripted, now_ms: int) -> None:
        super().answered(call, reply, now_ms)
        if reply.kind == "reset":
            self.cut_off.append(call)

    def heal(self) -> None:
        """From now on they all answer `ok`."""
        self.scripts.clear()
        self._lost.clear()
        self.down.clear()  # type: ignore[attr-defined]
        self.unwell.clear()


def _answer(key: str) -> dict[str, int]:
    name = key.split(":")[1]
    return {"n": int(name.rsplit("[", 1)[1][:-1]) if "[" in name else 0}


class Watching(World):
    """What watches one execution, in a world of its own or in a family."""

    def watch_for(self, saga: Saga, before: int = 0) -> None:
        """Begin to watch. `before`: records that an earlier play has written."""
        self.saga = saga
        self.person: set[Key] = set()
        self.helped = 0
        self.shadow: State | None = None
        self.handed: set[Command] = set()
        self.order = random.Random(saga.seed)
        self.taking_over = False
        self.bodies: dict[str, Any] = {}
        self.statuses: dict[Key, tuple[str, str]] = {}
        self.requests: list[tuple[Call, Key]] = []
        self.undone: set[Key] = set()
        self.caught: set[Key] = set()
        self._before = before

    def _later(self, act: Callable[[], object], delay_ms: int = 0) -> None:
        """With a seed, news that come at the same moment come in any order; after what services do then."""
        before = self._number
        if self.saga.seed:
            self._number = 2**32 + self.order.getrandbits(32)
        super()._later(act, delay_ms)
        self._number = before + 1

    # --- records ---

    def _shadow(self) -> State:
        if self.shadow is None:
            self.shadow = fold(self.program, self.journal[: self._before])
            self.statuses = {key: (each.forward, each.compensation) for key, each in self.shadow.instances.items()}
            for record in self.journal[: self._before]:
                for event in record.events:
                    self._note(self.shadow, event)
        return self.shadow

    def _note(self, shadow: State, event: ev.Event) -> None:
        if isinstance(event, ev.UndoDone):
            self.undone.add((shadow.program.index[event.step], event.iteration))
        if isinstance(event, ev.HandlerTaken):
            self.caught.add((shadow.program.index[event.step], event.iteration))

    def watch(self) -> None:
        shadow, record = self._shadow(), self.journal[-1]
        for event in record.events:
            place = place_of(shadow)
            self._check_before(shadow, event, record.at_ms)
            evolve(shadow, event, record.at_ms)
            assert execution_allowed(place, type(event), place_of(shadow)), (place, event, place_of(shadow))
            self._check_statuses(shadow, event)
            self._note(shadow, event)
        close_record(shadow, record.more)
        assert not (shadow.ended and (shadow.open or any(shadow.undoing.values()))), "at its end something is open"
        assert _known(shadow) == _known(self.state)  # I8: replay and judgement see the same
        again = fold(self.program, self.journal)
        assert again.same_as(self.state)
        ripen(again, self.now_ms)
        live = set(outstanding(self.state))
        assert live <= set(outstanding(again)), "I7: what is outstanding follows from the journal"
        late = {each for each in set(outstanding(again)) - live if not _due_now(self.state, each, self.now_ms)}
        assert not late, ("I7", late)

    def _check_statuses(self, shadow: State, event: ev.Event) -> None:
        for key, each in shadow.instances.items():
            now = (each.forward, each.compensation)
            was = self.statuses.get(key)
            if now != was:
                before = None if was is None else SimpleNamespace(forward=was[0], compensation=was[1])
                assert step_allowed(before, type(event), each), (shadow.name(key), was, event, now)
                self.statuses[key] = now

    def _check_before(self, shadow: State, event: ev.Event, at_ms: int) -> None:
        match event:
            case ev.AttemptStarted():
                key = (shadow.program.index[event.step], event.iteration)
                assert event.deadline_ms > at_ms
                if event.undo:
                    self._check_undo_attempt(shadow, key, at_ms)
                else:
                    self._check_attempt(shadow, key)
            case ev.ServiceAwaited():
                self._check_wait(shadow, event, at_ms)
            case ev.UndoScheduled() | ev.UndoSkipped():
                self._check_turn(shadow, (shadow.program.index[event.step], event.iteration))
            case ev.UndoDone():
                assert (shadow.program.index[event.step], event.iteration) not in self.undone, "I5: undone twice"
            case ev.AbortDecided():
                assert not shadow.pivoted or event.cause == RESOLVED, "rule 26: an abort behind a pivot"
            case ev.CompensationStarted():
                assert not any(not undo for _, undo in shadow.open), "I3: compensation while a call is open"
            case ev.ScopeUndoing():
                node = shadow.program.node(event.step)
                assert not shadow.leaves.get((node.children[0], event.iteration), 0), "I3"
            case _:
                pass

    def _check_wait(self, shadow: State, event: ev.ServiceAwaited, at_ms: int) -> None:
        """Journaled once, only while the service is unwell, and for nothing that an abort has stopped."""
        key = (shadow.program.index[event.step], event.iteration)
        track = shadow.instances[key].track(event.undo)
        assert track.awaits is None
        assert track.open_until is None
        assert event.until_ms > at_ms
        assert self.services.unwell_until(event.service, at_ms - START_MS) is not None
        if not event.undo and not track.ongoing:
            assert not shadow.is_halted(shadow.node(key), key[1]), "I3: a step waits for its service after the abort"

    def _check_attempt(self, shadow: State, key: Key) -> None:
        instance = shadow.instances[key]
        assert instance.forward == "running", "called again after it settled"
        assert shadow.status == "running"
        if not instance.track(False).ongoing:
            assert not shadow.is_halted(shadow.node(key), key[1]), "I3: a forward attempt after the abort"

    def _check_undo_attempt(self, shadow: State, key: Key, at_ms: int) -> None:
        instance = shadow.instances[key]
        assert instance.compensation == "running"
        assert key not in self.undone
        assert at_ms >= (instance.call.silent_until_ms or 0 if instance.call else 0), "rule 13"
        scope = _scope(shadow, key)
        for other, undo in shadow.open:
            if not undo:
                assert not _inside(shadow, other, scope), "I3: undo while a call of its scope is open"

    def _check_turn(self, shadow: State, key: Key) -> None:
        """I4."""
        scope, mine = _scope(shadow, key), shadow.instances[key].settled_at
        structured = self.program.definition.compensation_order == "structured"
        for other in shadow.entries:
            each = shadow.instances[other]
            if each.settled_at > mine and each.compensation in {"pending", "running"} and _inside(shadow, other, scope):
                free = structured and _beside(shadow, key, other)
                assert free, ("I4", shadow.name(key), shadow.name(other))

    # --- commands ---

    def _perform(self, commands: Sequence[Command]) -> None:
        """`outstanding` and `newly_outstanding` agree: each thing is asked for when it becomes outstanding."""
        now = set(outstanding(self.state))
        assert len(set(commands)) == len(commands), "the same thing is asked for twice"
        assert set(commands) <= now, "something is asked for that is not outstanding"
        self.handed = (self.handed & now) | set(commands)
        if set(commands) == now:
            self.taking_over = False
        assert self.taking_over or now <= self.handed, (
            "something is outstanding that was never asked for",
            now - self.handed,
        )
        super()._perform(commands)

    def _take_over(self) -> None:
        self.handed, self.taking_over = set(), True
        super()._take_over()
        assert set(outstanding(self.state)) <= self.handed

    def _send(self, command: Send) -> None:
        key, read = command.key, len(self.services.calls)
        instance = self.state.instances[key]
        assert self.now_ms <= (instance.track(command.undo).open_until or 0), "sent after its deadline"
        if command.undo:
            self._check_silence(key)
        super()._send(command)
        for call in self.services.calls[read : read + 1]:
            body = self.bodies.setdefault(call.key, call.body)
            assert body == call.body, "another body under the same key"
            mine = calling_execution(self.state, key)
            assert command.undo or mine == self.state.execution_id, "what was taken over is called again"
            assert call.key == f"{mine}:{call.step}:{'undo' if command.undo else 'do'}"
            self.requests.append((call, key))

    def _check_silence(self, key: Key) -> None:
        """No request of the scope is open for the service; the entry's own are past their deadline (rule 13)."""
        scope = _scope(self.state, key)
        for call, other in self.requests:
            if call.undo or call.at_ms > self.now_ms:
                continue
            silent = call.lost or call.answered_at_ms is None or call in self.services.cut_off  # type: ignore[attr-defined]
            if other == key and silent:
                assert self.now_ms >= call.deadline_ms, (
                    "rule 13: undone before the deadline of a call without an answer"
                )
            if call.answered_at_ms is None and not call.lost and _inside(self.state, other, scope):
                assert self.now_ms >= call.deadline_ms, "I3: undo while a request of its scope is open"

    # --- to the end ---

    def run(self) -> State:
        """Let things happen until there is nothing left."""
        for _ in range(HAPPENINGS_MAX):
            if not self.step():
                return self.state
        raise AssertionError("it does not come to rest")

    def tell_in_time(self, at_ms: int, make: Callable[[State], inputs.Input | None]) -> None:
        """Tell it something at a moment, again if the engine dies over it. A refusal changes nothing."""

        def act() -> None:
            news = make(self.state)
            if news is None:
                return
            try:
                heard = self.tell(news)
            except (Refused, NotFound, InputError):
                assert fold(self.program, self.journal).same_as(self.state), "a refusal changed something"
                heard = True
            if not heard:
                self.at(self.now_ms, act)

        self.at(at_ms, act)

    def help_on(self) -> bool:
        """Do what a person or caller has to, so that it goes on; whether there was anything to do."""
        if self.state.status == "suspended":
            self.helped += 1
            stuck = self.helped % 3 == 0 and self.state.suspended_reason == "after_pivot" and self.state.stuck
            self.tell_in_time(self.now_ms, lambda state: _settle(self, state) if stuck else inputs.Resume())
        elif not self.state.ended and self.state.waiting:
            for name in [name for name, keys in self.state.waiting.items() if keys]:
                self.tell_in_time(self.now_ms, lambda _, name=name: inputs.Signal(name, {"n": 1}))  # type: ignore[misc]
        else:
            return False
        return True


class Watched(Watching):
    """One execution under watch."""

    def __init__(self, saga: Saga, before: Watched | None = None, **rest: Any) -> None:
        self.watch_for(saga, len(rest.get("journal", ())))
        services = rest.pop("services", None) or Fates(saga.scripts, saga.down, saga.unwell, saga.wait_ms)
        definition = rest.pop("program", None) or load_tree(saga.tree).definition
        if before is not None:
            # It reruns that one: what was seen of the calls that it takes over counts here.
            self.requests, self.caught = list(before.requests), set(before.caught)
            self.undone = before.undone & _taken_over(definition, rest["journal"][0])
        super().__init__(definition, INPUT, services, on_record=_watch, seed=saga.seed, **rest)

    def finish(self) -> State:
        """Play on, with whatever a person or caller would have to add, until the end."""
        self.run()
        for _ in range(60):
            if not self.help_on():
                break
            self.run()
        return self.state


def _taken_over(program: Program, first: ev.Record) -> set[Key]:
    return {(program.index[each.step], each.iteration) for each in first.events if isinstance(each, ev.StepTakenOver)}


def _watch(world: World) -> None:
    assert isinstance(world, Watched)
    world.watch()


def _known(state: State) -> Any:
    return state._known()


def _due_now(state: State, command: Any, now_ms: int) -> bool:
    """Whether the live state only has not been asked yet for what has come due."""
    track = state.instances[command.key].track(command.undo) if hasattr(command, "key") else None
    return track is not None and track.due_ms is not None and track.due_ms <= now_ms


def _inside(state: State, key: Key, scope: Key) -> bool:
    return state.program.inside(key[0], scope[0]) and key[1][: len(scope[1])] == scope[1]


def _scope(state: State, key: Key) -> Key:
    """What is being undone around an entry: the execution, or the body of a try."""
    if state.status == "compensating":
        return ROOT
    found = [region for region in state.regions_around(state.node(key), key[1]) if region in state.queues]
    assert found, "undone without a scope that is being undone"
    return found[-1]


def _beside(state: State, one: Key, other: Key) -> bool:
    """Whether two entries are in different branches of one parallel."""
    nodes = state.program.nodes

    def path(key: Key) -> dict[Key, int]:
        found, inner = {}, key[0]
        for outer in state.program.around(key[0]):
            if nodes[outer].kind is Kind.PARALLEL:
                found[(outer, key[1][: nodes[outer].depth])] = inner
            inner = outer
        return found

    here, there = path(one), path(other)
    return any(here[each] != there[each] for each in here.keys() & there.keys())


def arrange(world: Watched, news: Sequence[News]) -> None:
    """Have the news of a saga arrive when they are due, and its services come up."""
    for each in news:
        world.tell_in_time(START_MS + each.at_ms, lambda state, each=each: _input(world, state, each))  # type: ignore[misc]
    for at_ms in (700, 2_200, 6_000, 15_000, 40_000, 100_000, 250_000):
        for name in SIGNALS:
            world.tell_in_time(START_MS + at_ms, lambda state, name=name: _signal(state, name))  # type: ignore[misc]
    world.at(START_MS + world.saga.up_at_ms, world.services.down.clear)  # type: ignore[attr-defined]


def _signal(state: State, name: str) -> inputs.Input | None:
    """What waits gets its signal in the end, though not soon."""
    return inputs.Signal(name, {"n": 1}) if state.waiting.get(name) and not state.ended else None


def _settle(world: Watching, state: State, outcome: Any = "succeeded") -> inputs.Input:
    """A person settles a step that waits for one."""
    waiting = _waiting_for_a_person(state)
    if not waiting:
        return inputs.Resume()
    name, key = next(iter(waiting.items()))
    world.person.add(key)
    return inputs.Resolve(name, "by hand", outcome=outcome)


def _input(world: Watching, state: State, each: News) -> inputs.Input | None:
    match each.deed:
        case "crash":
            world.crash()
            return None
        case "quarantine":
            return inputs.Suspend(reason="quarantine")
        case "resolve":
            left = [
                state.name(key) for key in state.entries if state.instances[key].compensation in {"failed", "armed"}
            ]
            return inputs.Resolve(left[0] if left else "c1", "by hand")
        case "settle":
            return _settle(world, state)
        case "give up":
            return _settle(world, state, "failed")
        case "go" | "stop":
            return inputs.Signal(each.deed, {"n": 2})
        case "retry":
            return inputs.Retry()
        case "compensate":
            return inputs.Compensate()
        case "cancel":
            return inputs.Cancel()
        case "suspend":
            return inputs.Suspend()
        case _:
            return inputs.Resume()


# --- at the end -----------------------------------------------------------------------------------


def check_end(world: Watching) -> None:
    """I1 and I2, when nothing is left that could happen."""
    state, applied = world.state, world.services.ledger._applied
    assert state.ended, (state.status, state.phase, state.waiting)
    assert not state.open
    assert not state.ready
    assert not state.awaiting
    assert not any(state.leaves.values())
    assert not any(state.undoing.values())
    assert state.timers.next_ms() is None, state.timers.items()
    for key, instance in state.instances.items():
        node = state.node(key)
        there = f"{calling_execution(state, key)}:{state.name(key)}:do" in applied
        if node.kind is not Kind.CALL:
            continue
        assert instance.forward in {"succeeded", "failed", "unknown", "skipped"}
        if state.status == "compensated" and node.undo is not None and instance.compensation != "skipped":
            assert not there or instance.note, f"I1: an effect of {state.name(key)} remains"
        if state.status == "completed" and instance.forward == "succeeded" and key not in world.person:
            if instance.compensation in {"done", "failed"}:
                assert instance.compensation == "done", "I2: completed, and an undo failed"
                assert _caught_around(world, key), f"I2: {state.name(key)} undone by nothing that caught"
                assert not there
            else:
                assert there, f"I2: the effect of {state.name(key)} is not there"
        if instance.compensation == "done" and not instance.note:
            assert not there, f"the effect of {state.name(key)} was undone and is there"


def _caught_around(world: Watching, key: Key) -> bool:
    nodes = world.program.nodes
    return any((outer, key[1][: nodes[outer].depth]) in world.caught for outer in world.program.around(key[0]))
