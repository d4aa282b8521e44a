"""`play`: an execution from its start to its rest, in virtual time, and what can be asked of it and done to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, cast

from makegood.core import inputs
from makegood.core.events import Record
from makegood.core.judgement import Settings
from makegood.core.state import STATUSES
from makegood.core.view import describe
from makegood.engine.definitions import Registered
from makegood.engine.requests import request_of
from makegood.engine.starts import plain_json
from makegood.errors import InputError, nearest
from makegood.model.fact import fact
from makegood.simulation.course import Course
from makegood.simulation.expectation import answers
from makegood.simulation.scenario import read_actions
from makegood.simulation.script import Call, Spell
from makegood.simulation.world import START_MS
from makegood.testing.answers import Duration, duration_ms
from makegood.testing.definitions import Source, registered_of
from makegood.testing.services import PlayedServices, Services

Unwell = Mapping[str, Duration | Sequence[tuple[Duration, Duration]]]


def play(  # noqa: PLR0913 - each of them by its name
    definition: Source,
    input: Any = None,  # noqa: A002 - the word of the language
    services: Services | None = None,
    *,
    until: str | float | Callable[[Play], bool] | None = None,
    actions: Sequence[Mapping[str, Any]] = (),
    workflows: Sequence[Source] = (),
    down: Collection[str] = (),
    unwell: Unwell | None = None,
    wait: Duration = "60s",
    crash_after: int | Collection[int] = (),
    seed: int = 0,
    settings: Settings | None = None,
) -> Play:
    """Run one execution against scripted services, on a virtual clock. The module shows how.

    Args:
        definition: A definition, YAML or JSON text, a path, or a tree of plain values.
        input: Of the execution, `{}` if left out.
        services: By `service.method`: a reply, a list of replies or a function; by `service`: an object with methods.
        until: Where to stop: a status, a virtual duration (`"10m"`), or a predicate of the play; else where it rests.
        actions: What happens from outside, as scenario files write it: `{"at_ms": 1000, "signal": "approved"}`.
        workflows: Definitions of the workflows that it calls.
        down: Services that refuse connections.
        unwell: Services none of whose endpoints is well: for how long, `"30s"`, or when, `[("10s", "40s")]`.
        wait: How long a step waits for such a service (`wait_seconds`).
        crash_after: Numbers of journal records, from 1, after which the engine is killed; another one goes on.
        seed: Of all chance: jitter and ids.
        settings: What the configuration would say.

    Raises:
        DefinitionError: The definition has mistakes.
        InputError: The input does not fit its schema, or something here names what is not there.
        AssertionError: An action was never due, or was refused without saying so with `answer`.
    """
    registered = registered_of(definition)
    every = [registered, *map(registered_of, workflows)]
    played_services = _services(services, every, down, unwell, wait)
    course = Course(
        registered,
        plain_json({} if input is None else input, (settings or Settings()).limits),
        played_services,
        workflows={each.program.definition.name: each for each in every},
        actions=read_actions(actions),
        seed=seed,
        settings=settings,
        crash_after={crash_after} if isinstance(crash_after, int) else crash_after,
    )
    return Play(registered, course, played_services)._go(until)  # noqa: SLF001 - of this module


def _services(
    services: Services | None, every: Sequence[Registered], down: Collection[str], unwell: Unwell | None, wait: Duration
) -> PlayedServices:
    spells = {service: _spells(times) for service, times in (unwell or {}).items()}
    return PlayedServices(services or {}, [each.program for each in every], list(down), spells, duration_ms(wait))


def _spells(times: Duration | Sequence[tuple[Duration, Duration]]) -> list[Spell]:
    if isinstance(times, list | tuple):
        return [Spell(duration_ms(begin), duration_ms(end)) for begin, end in times]
    return [Spell(until_ms=duration_ms(cast("Duration", times)))]


@fact
class Request:
    """One request that the services have read. Times are virtual, in milliseconds from the start.

    Attributes:
        method: `service.method`.
        body: What was sent.
        key: Idempotency key.
        step: Name of the step instance, `ship` or `ship[3]`.
        attempt: From 1.
        undo: Whether it undoes.
        at_ms: When it was read.
        answered_at_ms: When it was answered, broken or given up; None while it is open or when the engine died.
        deadline_ms: Until when an answer counts.
        reply: What the service did, for example `ok` or `status 503`.
    """

    method: str
    body: Any
    key: str
    step: str
    attempt: int
    undo: bool
    at_ms: int
    answered_at_ms: int | None
    deadline_ms: int
    reply: str


class Play:
    """An execution that was played, and can be played on. Unpacks into `calls` and `end`.

    Everything that lets it go on (`signal`, `cancel`, ..., `crash`) plays until nothing moves any more and
    returns the play itself; `advance` lets a virtual time pass. What the state does not allow raises
    `makegood.Refused`.

    Example:
        >>> from makegood.testing import play
        >>> ask = {"name": "ask", "steps": [{"id": "answer", "signal": "answered", "timeout": "1d"}]}
        >>> waiting = play(ask, until="10m")
        >>> waiting.end, waiting.waiting
        ('running', ['answered'])
        >>> waiting.signal("answered", {"yes": True}).output
        {'yes': True}
    """

    def __init__(self, registered: Registered, course: Course, services: PlayedServices) -> None:
        self._registered = registered
        self._course = course
        self._services = services

    # --- what came of it ---

    def __iter__(self) -> Iterator[Any]:
        return iter((self.calls, self.end))

    @property
    def calls(self) -> list[str]:
        """The requests that the services have read, as `service.method`, in order."""
        return [call.method for call in self._services.calls]

    @property
    def requests(self) -> list[Request]:
        """The same with everything that is known of each."""
        return [_request(call) for call in self._services.calls]

    @property
    def end(self) -> str:
        """The status: one of the four ends, or what it is at the moment."""
        return self._course.state.status

    @property
    def view(self) -> dict[str, Any]:
        """The whole execution, as `Engine.describe` and the HTTP API give it."""
        return describe(self._course.state)

    @property
    def output(self) -> Any:
        """The result of one that completed."""
        return self._course.state.output

    @property
    def error(self) -> dict[str, Any] | None:
        """The first cause of an abort: `{code, message, details, outcome, step, iteration}`, or None."""
        error: dict[str, Any] | None = self.view["error"]
        return error

    @property
    def journal(self) -> list[Record]:
        """The execution's records."""
        return list(self._course.first.journal)

    @property
    def effects(self) -> dict[str, int]:
        """By step id: how many effects of its calls remain, applied and not undone. Steps without are not listed."""
        return self._services.ledger.balance()

    @property
    def waiting(self) -> list[str]:
        """Names of the signals that steps wait for."""
        return [name for name, keys in self._course.state.waiting.items() if keys]

    @property
    def now(self) -> timedelta:
        """Virtual time since the start."""
        return timedelta(milliseconds=self._course.now_ms - START_MS)

    @property
    def raised(self) -> list[Exception]:
        """What functions of `services` raised beside replies and `makegood.Rejected`: each an unknown outcome."""
        return list(self._services.raised)

    @property
    def answers(self) -> list[int | None]:
        """How each of `actions` was answered: an HTTP status, or None while it was not due."""
        return list(self._course.acted)

    def __repr__(self) -> str:
        error = self.error
        why = "" if error is None else f", {error['code']}" + (f" at {error['step']}" if error["step"] else "")
        lines = [f"<Play of {self._registered.program.definition.name}: {self.end}{why}, after {self.now}"]
        for each in self.requests:
            tries = f" #{each.attempt}" if each.attempt > 1 else ""
            lines.append(f"  {each.at_ms:>8} ms  {each.method}  ({each.step}{tries}): {each.reply}")
        return "\n".join(lines) + ">"

    # --- going on ---

    def signal(self, name: str, payload: Any = None) -> Play:
        """Send a signal."""
        return self._tell(inputs.Signal(name, payload))

    def cancel(self) -> Play:
        """Cancel it."""
        return self._tell(inputs.Cancel())

    def suspend(self) -> Play:
        """Suspend it: nothing new is sent until `resume`."""
        return self._tell(inputs.Suspend())

    def resume(self) -> Play:
        """Let a suspended one go on."""
        return self._tell(inputs.Resume())

    def retry(self) -> Play:
        """Have the undos that failed tried again."""
        return self._tell(inputs.Retry())

    def compensate(self) -> Play:
        """Have one that ended `failed` undone after all."""
        return self._tell(inputs.Compensate())

    def resolve(
        self, step: str, *, note: str = "", outcome: Literal["succeeded", "failed"] | None = None, output: Any = None
    ) -> Play:
        """Declare an undo that failed done by other means; or, with an outcome, a step settled that waits for a person.

        `step` is the instance's name, `ship` or `ship[3]`.
        """
        return self._tell(inputs.Resolve(step, note, outcome=outcome, output=output))

    def call_back(
        self, step: str, output: Any = None, *, error: Mapping[str, Any] | None = None, undo: bool = False
    ) -> Play:
        """What a service says came of a call that it had accepted.

        Args:
            step: The instance's name.
            output: What the call gave.
            error: Or why it was not done: `{"code", "message", "details"}`.
            undo: Whether it is the step's undo.
        """
        said = {"output": output} if error is None else {"error": dict(error)}
        return self._tell(request_of("callback", {"step": step, "undo": undo, **said}))

    def crash(self) -> Play:
        """Kill the engine; another one takes over from the journal."""
        self._course.crash()
        return self._go(None)

    def advance(self, duration: Duration) -> Play:
        """Let virtual time pass, and no more than that."""
        self._course.play(until_ms=self._course.now_ms + duration_ms(duration))
        return self

    def _tell(self, news: inputs.Input) -> Play:
        self._course.tell(news)
        return self._go(None)

    def _go(self, until: str | float | Callable[[Play], bool] | None) -> Play:
        course = self._course
        if until is None:
            course.play()
            for difference in answers(course.actions, course.acted):
                raise AssertionError(f"{difference}\n{self!r}")
        elif callable(until):
            course.play(lambda: until(self))
        elif until in STATUSES:
            course.play(lambda: self.end == until)
        elif isinstance(until, str) and until.replace("_", "").isalpha():
            raise InputError(f"until: there is no status {until!r}.{nearest(until, STATUSES)}")
        else:
            course.play(until_ms=course.now_ms + duration_ms(until))
        return self


def _request(call: Call) -> Request:
    answered = None if call.answered_at_ms is None or call.lost else call.answered_at_ms - START_MS
    return Request(
        call.method, call.body, call.key, call.step, call.attempt, call.undo, call.at_ms - START_MS, answered,
        call.deadline_ms - START_MS, call.reply,
    )  # fmt: skip
