"""The course of a play: an execution with its children and second starts, and what happens to it from outside.

All of them live in one engine with one clock and the same services; when it crashes, all of them do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from makegood.core import inputs
from makegood.core.children import Family, family_of
from makegood.core.events import Failure, Record
from makegood.core.judgement import Settings
from makegood.core.outstanding import Attend
from makegood.core.state import MOVING, Key, State
from makegood.engine.child_care import call_of, care, end_of, missing, refusal
from makegood.engine.definitions import Registered, business_key_of, check_payload, search_of
from makegood.errors import Conflict, InputError, NotFound, Refused, nearest
from makegood.simulation.script import ScriptedServices
from makegood.simulation.world import START_MS, STEPS_MAX, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that happens from outside. Exactly one trigger is given.

    Attributes:
        after_calls: When the services have read so many requests.
        at_ms: So long after the start.
        at_end: When the execution has reached this end.
        deed: `cancel`, `suspend`, `resume`, `retry`, `compensate`, `resolve`, `start`, `signal`.
        arguments: Of the deed.
        answer: The HTTP status that it must get, or None for any 2xx.
    """

    after_calls: int | None = None
    at_ms: int | None = None
    at_end: str | None = None
    deed: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    answer: int | None = None


class Course:
    """An execution under way, from its start on.

    Args:
        registered: The workflow.
        value: Its input.
        services: How the services answer.
        workflows: Further workflows that it may call, by name.
        actions: What happens from outside.
        crash_after: Numbers of records, of all executions together, after which the engine crashes.
        crash_before: Numbers of records that it dies over.

    Attributes:
        records: Of all executions, as they were written.
        acted: How each action was answered: an HTTP status, or None while it was not due.

    Raises:
        InputError: The input does not fit, or gives no business key.
    """

    def __init__(  # noqa: PLR0913 - what a play is made of
        self,
        registered: Registered,
        value: Any,
        services: ScriptedServices,
        *,
        workflows: Mapping[str, Registered] | None = None,
        actions: Sequence[Action] = (),
        seed: int = 0,
        settings: Settings | None = None,
        crash_after: Collection[int] = (),
        crash_before: Collection[int] = (),
    ) -> None:
        self.workflows = dict(workflows or {})
        self.services = services
        self.actions = actions
        self.acted: list[int | None] = [None] * len(actions)
        self.worlds: dict[str, Member] = {}
        self.records: list[Record] = []
        self.now_ms = START_MS
        self.crashes = 0
        self._freed: set[str] = set()
        self._registered = registered
        self._value = value
        self._seed = seed
        self._settings = settings or Settings()
        self._crash_after = set(crash_after)
        self._crash_before = set(crash_before)
        first = self.begin(registered, value, "play")
        # The engine may die over the very first record; the caller starts it again, then.
        self.first = first if first.journal else self.begin(registered, value, "play")
        for number, action in enumerate(actions):
            if action.at_ms is not None:
                self.first.at(START_MS + action.at_ms, lambda number=number: self._do(number))  # type: ignore[misc]

    @property
    def state(self) -> State:
        """The state of the execution that it is about."""
        return self.first.state

    def begin(self, registered: Registered, value: Any, name: str, family: Family | None = None) -> Member:
        """Start an execution now.

        Raises:
            InputError: The input does not fit, or gives no business key.
            Conflict: A live execution holds the business key.
        """
        registered.check_input(value)
        key = business_key_of(registered, value)
        search_of(registered, value)
        workflow = registered.program.definition.name
        holder = self._holder(workflow, key)
        if holder is not None:
            raise Conflict(
                f"the business key {key!r} of workflow {workflow!r} is held by execution {holder!r}",
                code="business_key_taken", existing=holder,
            )  # fmt: skip
        return self.member(
            registered, value, name, business_key=key, family=family, seed=self._seed + len(self.worlds),
            settings=self._settings, crash_after=self._crash_after, crash_before=self._crash_before,
        )  # fmt: skip

    def member(self, registered: Registered, value: Any, name: str, **rest: Any) -> Member:
        """One execution more, from its first record on."""
        return Member(self, registered, value, name, **rest)

    def _holder(self, workflow: str, key: str | None) -> str | None:
        """Who holds a business key."""
        for name, world in self.worlds.items():
            state = world.state
            if key is not None and name not in self._freed and (state.workflow, state.business_key) == (workflow, key):
                return name
        return None

    def free_keys(self, root: str) -> None:
        """An execution of a family is at an end: its key is free from its root's end on, and for good (rule 28)."""
        if root in self.worlds and not self.worlds[root].state.ended:
            return
        family = (name for name, each in self.worlds.items() if (each.state.root or name) == root and each.state.ended)
        self._freed.update(family)

    # --- letting things happen ---

    def next_ms(self) -> int | None:
        """When the next thing happens, or None."""
        return min((at_ms for each in self.worlds.values() if (at_ms := each.next_ms()) is not None), default=None)

    def step(self, until_ms: int | None = None) -> bool:
        """Let the next thing happen, if it does by then; whether there was one."""
        self._act_on_calls()
        due = [
            (at_ms, number) for number, each in enumerate(self.worlds.values()) if (at_ms := each.next_ms()) is not None
        ]
        if due and (until_ms is None or min(due)[0] <= until_ms):
            at_ms, number = self.first_of(due)
            self.now_ms = max(self.now_ms, at_ms)
            list(self.worlds.values())[number].step()
            return True
        return self._act_on_end()

    def first_of(self, due: list[tuple[int, int]]) -> tuple[int, int]:
        """Which of the things that are due happens first: moments, each with the number of its execution."""
        return min(due)

    def play(self, until: Callable[[], bool] = lambda: False, until_ms: int | None = None) -> None:
        """Let things happen until nothing is left that would move anything, or as long as is said."""
        for _ in range(STEPS_MAX):
            if until() or not self.step(until_ms):
                break
        else:
            raise AssertionError("the play does not come to rest")
        if until_ms is not None and not until():
            self.now_ms = max(self.now_ms, until_ms)

    def tell(self, news: inputs.Input) -> bool:
        """Put news before the execution, now; False when the engine died over it.

        Raises:
            InputError: A signal's payload does not fit its schema. Refused and kin come from the core.
        """
        if isinstance(news, inputs.Signal):
            check_payload((node.step for node in self._registered.program.nodes), news.name, news.payload)
        self.first.now_ms = max(self.first.now_ms, self.now_ms)
        return self.first.tell(news)

    def crash(self) -> None:
        """The engine dies, and another one goes on with everything."""
        self.crashes += 1
        generation = self.crashes
        self.services.crashed(self.now_ms)
        for name in [name for name, world in self.worlds.items() if not world.journal]:
            del self.worlds[name]  # It never was: its first record was not written.
        for world in list(self.worlds.values()):
            if generation == self.crashes:  # Otherwise it died again meanwhile, and all of them have been seen to.
                world.go_on()

    # --- what happens from outside ---

    def _act_on_calls(self) -> None:
        for number, action in enumerate(self.actions):
            if action.after_calls is not None and len(self.services.calls) >= action.after_calls:
                self._do(number)

    def _act_on_end(self) -> bool:
        for number, action in enumerate(self.actions):
            if action.at_end == self.state.status and self.acted[number] is None:
                self._do(number)
                return True
        return False

    def _do(self, number: int) -> None:
        """Once, unless the engine dies over it: then it is asked again."""
        if self.acted[number] is not None:
            return
        try:
            if self.actions[number].deed == "start":
                self.begin(self._registered, self._value, f"play-{number + 2}")
                self.acted[number] = 201
            elif self.tell(news_of(self.actions[number])):
                self.acted[number] = 202
            else:
                self.first.at(self.now_ms, lambda: self._do(number))
        except (Refused, Conflict):
            self.acted[number] = 409
        except NotFound:
            self.acted[number] = 404
        except InputError:
            self.acted[number] = 422


def news_of(action: Action) -> inputs.Input:
    """An action as an input to the core."""
    arguments = action.arguments
    match action.deed:
        case "cancel":
            return inputs.Cancel()
        case "suspend":
            return inputs.Suspend()
        case "resume":
            return inputs.Resume()
        case "retry":
            return inputs.Retry()
        case "compensate":
            return inputs.Compensate()
        case "resolve":
            return inputs.Resolve(arguments["step"], arguments.get("note", ""))
        case "signal":
            return inputs.Signal(arguments["signal"], arguments.get("payload"))
        case other:
            raise InputError(f"an action cannot {other!r}")


class Member(World):
    """One execution among others of the same engine."""

    def __init__(self, course: Course, registered: Registered, value: Any, name: str, **rest: Any) -> None:
        self.course = course
        self.name = name
        self.journal = []
        course.worlds[name] = self
        super().__init__(
            registered.program,
            value,
            course.services,
            execution_id=name,
            now_ms=course.now_ms,
            on_record=lambda _: self.recorded(),
            **rest,
        )

    def recorded(self) -> None:
        """Its newest record is written."""
        self.course.records.append(self.journal[-1])

    def crash(self) -> None:
        """All die together."""
        self.course.crash()

    def go_on(self) -> None:
        """Another engine takes this one over."""
        self.crashes += 1
        self._incarnation += 1
        self.now_ms = max(self.now_ms, self.course.now_ms)
        self._take_over()

    def _next_number(self) -> int:
        return len(self.course.records) + 1

    def _append(self, record: Record) -> bool:
        written = super()._append(record)
        if written and self.state.ended:
            self.course.free_keys(self.state.root or self.name)
            self._tell_parent()
        return written

    def _tell_parent(self) -> None:
        parent = self.course.worlds.get(self.state.parent or "")
        if parent is None:
            return
        for key, _ in list(parent.state.attending):
            if parent.state.instances[key].child == self.name:
                parent.hear(end_of(key, self.state))

    def hear(self, news: inputs.Input) -> None:
        """Something that another execution has to say, a moment later."""
        self.now_ms = max(self.now_ms, self.course.now_ms)
        self._later(lambda: self.tell(news))

    # --- children: what the core asks for ---

    def _attend(self, command: Attend) -> None:
        self._later(lambda: self._care(command))

    def _care(self, command: Attend) -> None:
        key = command.key
        if self.state.status not in MOVING or (key, command.want == "undo") not in self.state.attending:
            return  # It says anew what it wants.
        match command.want:
            case "resolve":
                self.hear(self._resolved(key))
            case want:
                self._see_to(key, want)

    def _resolved(self, key: Key) -> inputs.ChildResolved:
        step = call_of(self.state, key)
        registered = self.course.workflows.get(step.workflow)
        if registered is None or step.version not in {None, registered.program.version}:
            why = f"no workflow {step.workflow!r} is registered.{nearest(step.workflow, self.course.workflows)}"
            return inputs.ChildResolved(key, None, missing(self.state, key, why))
        unfit = refusal(registered, self.state, key)
        return inputs.ChildResolved(key, None if unfit is not None else registered.program.version, unfit)

    def _see_to(self, key: Key, want: Literal["run", "halt", "undo"]) -> None:
        child = self.course.worlds.get(self.state.instances[key].child or "")
        status = None if child is None else child.state.status
        wish = care(want, detached=call_of(self.state, key).detached, status=status)
        if child is None:
            if wish == "start":
                self._start_child(key)
            else:
                self.hear(inputs.ChildEnded(key, None))
        elif wish == "tell_begun":
            self.hear(inputs.ChildBegun(key))
        elif wish == "tell_end":
            self.hear(end_of(key, child.state))
        elif wish == "ask":
            child.reached(inputs.Compensate("parent", parent=True) if want == "undo" else inputs.Halt())

    def _start_child(self, key: Key) -> None:
        instance, workflow = self.state.instances[key], call_of(self.state, key).workflow
        assert instance.child is not None
        family = family_of(self.state, key)
        try:
            child = self.course.begin(self.course.workflows[workflow], instance.input, instance.child, family)
        except Conflict as taken:
            self.hear(inputs.ChildRefused(key, Failure(taken.code, str(taken), taken.existing, "rejected")))
            return
        if child.journal:
            self._see_to(key, "run")
        # Otherwise the engine died over its first record; what is to be done is asked again.

    def reached(self, news: inputs.Input) -> None:
        """What the parent wants; an end that does not allow it will be told as it is."""

        def tell() -> None:
            with suppress(Refused):
                self.tell(news)

        self.now_ms = max(self.now_ms, self.course.now_ms)
        self._later(tell)
