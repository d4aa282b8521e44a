"""Scenarios: a definition, services that answer by script, what happens from outside, what must come of it.

Reading and playing; whether what came was right is judged in `expectation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from makegood.core import inputs
from makegood.core.events import Record
from makegood.core.judgement import Settings
from makegood.core.view import describe
from makegood.errors import InputError, MakegoodError, NotFound, Refused
from makegood.language import load_tree
from makegood.simulation.script import Scripted, ScriptedServices, read_script
from makegood.simulation.world import World

_KEYS = frozenset(
    {
        "id", "title", "rules", "definition", "workflows", "input", "services", "down", "unregistered", "actions",
        "expect", "crash_safe",
    }
)  # fmt: skip


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One saga as data."""

    id: str
    title: str
    rules: tuple[int, ...]
    definition: Mapping[str, Any]
    workflows: tuple[Mapping[str, Any], ...]
    input: Any
    scripts: Mapping[str, Sequence[Scripted]]
    down: tuple[str, ...]
    unregistered: tuple[str, ...]
    actions: tuple[Action, ...]
    expect: Mapping[str, Any]
    crash_safe: bool

    def services(self) -> ScriptedServices:
        """Its services, fresh."""
        return ScriptedServices(self.scripts, self.down)


@dataclass(slots=True)
class Played:
    """What came of a scenario, however it was played.

    Attributes:
        view: The execution as the API describes it; empty when it was refused.
        refused: `definition` or `start`, when one of them was.
        acted: How each action was answered: an HTTP status, or None when it was never due.
        records: Journal records written.
        journal: The records, of a play on the core.
    """

    services: ScriptedServices
    view: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None
    acted: list[int | None] = field(default_factory=list)
    crashed: bool = False
    records: int = 0
    journal: list[Record] = field(default_factory=list)


def read_scenarios(raw: Any) -> list[Scenario]:
    """The scenarios of one file, already parsed.

    Raises:
        InputError: It has not the format.
    """
    if not isinstance(raw, list):
        raise InputError("a scenario file is a list of scenarios")
    return [_read(each) for each in raw]


def _read(raw: Mapping[str, Any]) -> Scenario:
    unknown = set(raw) - _KEYS
    if unknown:
        raise InputError(f"scenario {raw.get('id')!r} has the unknown keys {sorted(unknown)}")
    return Scenario(
        id=raw["id"],
        title=raw.get("title", ""),
        rules=tuple(raw.get("rules", ())),
        definition=raw["definition"],
        workflows=tuple(raw.get("workflows", ())),
        input=raw.get("input", {}),
        scripts={method: read_script(script) for method, script in raw.get("services", {}).items()},
        down=tuple(raw.get("down", ())),
        unregistered=tuple(raw.get("unregistered", ())),
        actions=tuple(_read_action(each) for each in raw.get("actions", ())),
        expect=raw["expect"],
        crash_safe=raw.get("crash_safe", True),
    )


def _read_action(raw: Mapping[str, Any]) -> Action:
    rest = dict(raw)
    trigger = {name: rest.pop(name) for name in ("after_calls", "at_ms", "at_end") if name in rest}
    if len(trigger) != 1:
        raise InputError(f"an action needs one of after_calls, at_ms, at_end: {raw}")
    answer = rest.pop("answer", None)
    deed = "signal" if "signal" in rest else rest.pop("do")
    return Action(deed=deed, arguments=rest, answer=answer, **trigger)


# --- on the core alone -------------------------------------------------------------------------


def play_on_core(
    scenario: Scenario, *, seed: int = 0, crash_after: Sequence[int] = (), crash_before: Sequence[int] = (),
    settings: Settings | None = None,
) -> Played:
    """Play a scenario on the core alone, with a virtual clock."""
    services = scenario.services()
    played = Played(services, crashed=bool(crash_after or crash_before), acted=[None] * len(scenario.actions))
    known = _known_services(scenario)
    try:
        definition = load_tree(scenario.definition, services=known).definition
    except MakegoodError:
        played.refused = "definition"
        return played
    world = World(
        definition, scenario.input, services, seed=seed, settings=settings, crash_after=crash_after,
        crash_before=crash_before,
    )
    for number, action in enumerate(scenario.actions):
        if action.at_ms is not None:
            world.at(world.now_ms + action.at_ms, _doer(world, played, number, action))
    _play_actions(world, scenario, played)
    played.view = describe(world.state)
    played.records = len(world.journal)
    played.journal = world.journal
    return played


def _known_services(scenario: Scenario) -> set[str] | None:
    if not scenario.unregistered:
        return None
    return services_named(scenario.definition) - set(scenario.unregistered)


def services_named(tree: Any) -> set[str]:
    """Every service that a definition's tree names."""
    found: set[str] = set()
    open_ = [tree]
    while open_:
        each = open_.pop()
        if isinstance(each, Mapping):
            for key in ("call", "compensation"):
                named = each.get(key)
                if isinstance(named, str):
                    found.add(named.partition(".")[0])
            if isinstance(each.get("service"), str):
                found.add(each["service"])
            open_.extend(each.values())
        elif isinstance(each, list):
            open_.extend(each)
    return found


def _play_actions(world: World, scenario: Scenario, played: Played) -> None:
    """Let things happen; do each action when it is due, once."""
    while True:
        _act_on_calls(world, scenario, played)
        if not world.step() and not _act_on_end(world, scenario, played):
            return


def _act_on_calls(world: World, scenario: Scenario, played: Played) -> None:
    read = len(played.services.calls)
    for number, action in enumerate(scenario.actions):
        due = action.after_calls is not None and read >= action.after_calls
        if due and played.acted[number] is None:
            _doer(world, played, number, action)()


def _act_on_end(world: World, scenario: Scenario, played: Played) -> bool:
    for number, action in enumerate(scenario.actions):
        if action.at_end == world.state.status and played.acted[number] is None:
            _doer(world, played, number, action)()
            return True
    return False


def _doer(world: World, played: Played, number: int, action: Action) -> Any:
    def do() -> None:
        if played.acted[number] is not None:
            return
        try:
            if world.tell(news_of(action)):
                played.acted[number] = 202
            else:
                world.at(world.now_ms, do)
        except Refused:
            played.acted[number] = 409
        except NotFound:
            played.acted[number] = 404
        except InputError:
            played.acted[number] = 422

    return do


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
