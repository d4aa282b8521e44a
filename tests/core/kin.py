"""A family under watch: an execution with its children, theirs, and the detached ones (I1 to I8, and rule 25)."""

from __future__ import annotations

import random
from typing import Any

from trees import SIGNALS, Saga
from watched import INPUT, Fates, Watching, _input, _inside, _signal, check_end

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.program import Kind
from makegood.core.state import ROOT, Instance, Key, State
from makegood.engine.definitions import Registered, compiled
from makegood.language import load_tree
from makegood.simulation.course import Course, Member
from makegood.simulation.world import START_MS

HAPPENINGS_MAX = 60_000


class Relative(Watching, Member):
    """One execution of a family under watch."""

    course: Kin

    def __init__(self, course: Kin, registered: Registered, value: Any, name: str, **rest: Any) -> None:
        self.watch_for(course.saga)
        Member.__init__(self, course, registered, value, name, **rest)

    def recorded(self) -> None:
        super().recorded()
        self.watch()

    def _check_before(self, shadow: State, event: ev.Event, at_ms: int) -> None:
        super()._check_before(shadow, event, at_ms)
        match event:
            case ev.CompensationStarted():
                self._check_children_rest(shadow, ROOT)
            case ev.ScopeUndoing():
                node = shadow.program.node(event.step)
                self._check_children_rest(shadow, (node.children[0], event.iteration))
            case _:
                pass

    def _check_children_rest(self, shadow: State, scope: Key) -> None:
        """I3: no child in what is undone goes forward, however deep."""
        for key, child in self.children(shadow):
            if _inside(shadow, key, scope) and not shadow.program.nodes[key[0]].step.detached:  # type: ignore[union-attr]
                assert not any(not undo for _, undo in child.state.open), "I3: undone while a child's call is open"
                child._check_children_rest(child.state, ROOT)

    def children(self, state: State) -> list[tuple[Key, Relative]]:
        """The calls of workflows that have a child, each with it."""
        worlds = self.course.worlds
        return [
            (key, worlds[each.child])  # type: ignore[misc]
            for key, each in state.instances.items()
            if each.child is not None and each.child in worlds
        ]


class Kin(Course):
    """A family under watch.

    Args:
        crash_after: Numbers of records, of all together, after which the engine dies.
        crash_before: Numbers of records that it dies over.
    """

    worlds: dict[str, Relative]  # type: ignore[assignment]

    def __init__(self, saga: Saga, **crashes: Any) -> None:
        self.saga = saga
        self.order = random.Random(saga.seed)
        workflows = {tree["name"]: compiled(load_tree(tree).definition, 1) for tree in saga.workflows}
        services = Fates(saga.scripts, saga.down, saga.unwell, saga.wait_ms)
        super().__init__(
            compiled(load_tree(saga.tree).definition, 1),
            INPUT,
            services,
            workflows=workflows,
            seed=saga.seed,
            **crashes,
        )

    def member(self, registered: Registered, value: Any, name: str, **rest: Any) -> Relative:
        return Relative(self, registered, value, name, **rest)

    def first_of(self, due: list[tuple[int, int]]) -> tuple[int, int]:
        """With a seed, what happens at one moment happens in any order of executions."""
        at_ms = min(due)[0]
        now = [each for each in due if each[0] == at_ms]
        return self.order.choice(now) if self.saga.seed else now[0]

    # --- from outside ---

    def arrange(self) -> None:
        """Have the news arrive when they are due, each for whoever is there by then, and the services come up."""
        for each in self.saga.news:
            self.first.at(START_MS + each.at_ms, lambda each=each: self._told(each))  # type: ignore[misc]
        for at_ms in (700, 2_200, 6_000, 15_000, 40_000, 100_000, 250_000):
            self.first.at(START_MS + at_ms, self._signals)
        self.first.at(START_MS + self.saga.up_at_ms, self.services.down.clear)  # type: ignore[attr-defined]

    def _told(self, news: Any) -> None:
        members = list(self.worlds.values())
        one = members[news.who % len(members)]
        one.tell_in_time(self.now_ms, lambda state: _input(one, state, news))

    def _signals(self) -> None:
        for one in list(self.worlds.values()):
            for name in SIGNALS:
                one.tell_in_time(self.now_ms, lambda state, name=name: _signal(state, name))  # type: ignore[misc]

    # --- to the end ---

    def run(self) -> None:
        """Let things happen until there is nothing left."""
        for _ in range(HAPPENINGS_MAX):
            if not self.step():
                return
        raise AssertionError("it does not come to rest")

    def finish(self) -> None:
        """Play on, with whatever a person or caller would have to add, until everybody's end."""
        self.run()
        for _ in range(90):
            if not [one for one in list(self.worlds.values()) if one.help_on()]:
                break
            self.run()

    def roots(self) -> list[Relative]:
        """The execution that it is about, and the detached ones."""
        return [one for name, one in self.worlds.items() if one.state.root in {None, name}]

    def make_good(self) -> None:
        """What an operator can do brings every root to `completed` or `compensated`, once services are well."""
        assert isinstance(self.services, Fates)
        self.services.heal()
        for _ in range(4):
            for one in self.roots():
                news: inputs.Input | None = {"failed": inputs.Compensate(), "compensation_failed": inputs.Retry()}.get(
                    one.state.status
                )
                if news is not None:
                    one.tell_in_time(self.now_ms, lambda _, news=news: news)  # type: ignore[misc]
            self.finish()
            self.check()
        assert {one.state.status for one in self.roots()} <= {"completed", "compensated"}

    # --- at the end ---

    def check(self) -> None:
        """I1 and I2 of each, and of all together."""
        for one in self.worlds.values():
            check_end(one)
            assert not one.state.attending, "it ended while it looked after a child"
            for key, child in one.children(one.state):
                assert (child.state.parent, child.state.execution_id) == (one.name, child.name)
                self._check_child(one, one.state.instances[key], child)

    def _check_child(self, one: Relative, call: Instance, child: Relative) -> None:
        """What became of a child is what became of its call."""
        node = one.program.nodes[call.node]
        assert node.kind is Kind.WORKFLOW
        if node.step.detached:  # type: ignore[union-attr]
            assert child.state.root == child.name
            assert (call.forward, call.output) == ("succeeded", {"id": child.name})
            return
        there = f"{one.name}:{one.state.name(call.key)}:undo" in self.services.ledger._undone
        where = (one.name, one.state.name(call.key), call.forward, call.compensation, child.state.status)
        if call.forward in {"skipped", "failed"} and call.key not in one.person:
            assert child.state.status == "compensated", ("I1: a child remains of a call that settled", where)
        if call.compensation == "done" and not call.note:
            if node.undo is None:
                assert child.state.status == "compensated", ("I1: a child remains that was undone", where)
            else:
                assert there, ("the call's own compensation was not made", where)
        if node.undo is not None and call.compensation in {"none", "armed"}:
            assert not there, ("undone before its turn", where)
        if (
            one.state.status == "completed"
            and call.forward == "succeeded"
            and call.compensation not in {"done", "failed"}
        ):
            assert child.state.status == "completed" or call.key in one.person, ("I2", where)
        if one.state.status == "compensated" and call.compensation != "skipped":
            assert call.forward in {"failed", "skipped"} or call.compensation == "done", ("I1", where)


def played(saga: Saga, **crashes: Any) -> Kin:
    """A family from its start to the end of everything, under watch."""
    kin = Kin(saga, **crashes)
    kin.arrange()
    kin.finish()
    kin.check()
    return kin
