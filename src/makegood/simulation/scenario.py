"""Scenarios: a definition, services that answer by script, what happens from outside, what must come of it.

Reading and playing; whether what came was right is judged in `expectation`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from makegood.core.events import Record
from makegood.core.judgement import Settings
from makegood.core.view import describe
from makegood.engine.definitions import Registered, compiled
from makegood.errors import DefinitionError, InputError, MakegoodError
from makegood.language import load, load_tree
from makegood.language.files import name_from, read_bounded, read_definition
from makegood.language.places import Places
from makegood.language.problems import GiveUp, Problems, pointed
from makegood.language.text import read_text
from makegood.model import LIMITS, Definition
from makegood.simulation import form
from makegood.simulation.course import Action, Course
from makegood.simulation.references import check_references
from makegood.simulation.script import WAIT_MS, Scripted, ScriptedServices, Spell, read_reply, read_unwell

FILE_LIMITS = replace(
    LIMITS, definition_bytes=16 * LIMITS.definition_bytes, definition_nodes=50 * LIMITS.definition_nodes
)
"""A file of scenarios holds many definitions."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a scenario stands.

    Attributes:
        source: The file's name.
        pointer: Of the scenario in it.
        places: Where its values stand, when it was read from text.
        files: For each definition that was given as a path: its pointer, path and text.
    """

    source: str
    pointer: str
    places: Places | None = None
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)

    @property
    def line(self) -> int:
        """Line of the scenario, from 1."""
        return self.places.locate(self.pointer)[0] if self.places is not None else 1


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
    unwell: Mapping[str, Sequence[Spell]]
    wait_ms: int
    unregistered: tuple[str, ...]
    actions: tuple[Action, ...]
    expect: Mapping[str, Any]
    crash_safe: bool
    origin: Origin

    def services(self) -> ScriptedServices:
        """Its services, fresh."""
        return ScriptedServices(self.scripts, self.down, self.unwell, self.wait_ms)


@dataclass(slots=True)
class Played:
    """What came of a scenario, however it was played.

    Attributes:
        view: The execution as the API describes it; empty when it was refused.
        refused: `definition` or `start`, when one of them was.
        why: Why it was refused.
        acted: How each action was answered: an HTTP status, or None when it was never due.
        records: Journal records written.
        journal: The records, of a play on the core.
    """

    services: ScriptedServices
    view: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None
    why: str = ""
    acted: list[int | None] = field(default_factory=list)
    crashed: bool = False
    records: int = 0
    journal: list[Record] = field(default_factory=list)


# --- reading -----------------------------------------------------------------------------------


def read_scenarios(raw: Any, *, folder: str = ".", source: str = "scenarios") -> list[Scenario]:
    """The scenarios of one file, already parsed.

    Args:
        folder: Where paths of definitions begin.

    Raises:
        InputError: It has not the format; one line for each mistake.
    """
    return _read_all(raw, Problems(source), folder)


def read_scenario_file(path: str) -> list[Scenario]:
    """The scenarios of a file, YAML or JSON.

    Raises:
        InputError: It cannot be read or has not the format; `file:line:column: ...` for each mistake.
    """
    problems = Problems(path)
    try:
        raw = read_text(read_bounded(path, "the scenarios", FILE_LIMITS.definition_bytes), None, problems, FILE_LIMITS)
    except GiveUp:
        raise input_error(problems) from None
    return _read_all(raw, problems, os.path.dirname(path))


def read_actions(raw: Any) -> list[Action]:
    """Actions as scenario files write them.

    Raises:
        InputError: They have not the format.
    """
    problems = Problems("actions")
    form.list_of(form.action)(problems, list(raw) if isinstance(raw, tuple) else raw, "")
    if problems.failed:
        raise input_error(problems)
    return [_read_action(each) for each in raw]


def input_error(problems: Problems) -> InputError:
    """What was noted, as one error."""
    try:
        problems.refuse()
    except DefinitionError as error:
        return InputError(str(error))
    raise AssertionError("there was no problem")


def _read_all(raw: Any, problems: Problems, folder: str) -> list[Scenario]:
    form.list_of(form.scenario)(problems, raw, "")
    if problems.failed:
        raise input_error(problems)
    found: dict[str, Scenario] = {}
    for number, each in enumerate(raw):
        scenario = _read(each, problems, pointed("", number), folder)
        if scenario.id in found:
            problems.error(
                "repeated_id", f"There is another scenario {scenario.id!r} above.", pointed("", number, "id")
            )
        found[scenario.id] = scenario
    if problems.failed:
        raise input_error(problems)
    return list(found.values())


def _read(raw: Mapping[str, Any], problems: Problems, pointer: str, folder: str) -> Scenario:
    files: dict[str, tuple[str, bytes]] = {}
    definition = _tree(raw["definition"], problems, pointed(pointer, "definition"), folder, files)
    workflows = tuple(
        _tree(each, problems, pointed(pointer, "workflows", number), folder, files)
        for number, each in enumerate(raw.get("workflows", ()))
    )
    scenario = Scenario(
        id=raw["id"],
        title=raw.get("title", ""),
        rules=tuple(raw.get("rules", ())),
        definition=definition,
        workflows=workflows,
        input=raw.get("input", {}),
        scripts={method: [read_reply(each) for each in script] for method, script in raw.get("services", {}).items()},
        down=tuple(raw.get("down", ())),
        unwell=read_unwell(raw.get("unwell", {})),
        wait_ms=raw.get("wait_ms", WAIT_MS),
        unregistered=tuple(raw.get("unregistered", ())),
        actions=tuple(_read_action(each) for each in raw.get("actions", ())),
        expect=raw["expect"],
        crash_safe=raw.get("crash_safe", True),
        origin=Origin(problems.source, pointer, problems.places, files),
    )
    try:
        definitions = [_definition(scenario, number) for number in range(-1, len(workflows))]
    except MakegoodError:
        return scenario  # Whether that was expected is judged when it is played.
    check_references(problems, raw, pointer, definitions)
    return scenario


def _read_action(raw: Mapping[str, Any]) -> Action:
    rest = dict(raw)
    trigger = {name: rest.pop(name) for name in form.TRIGGERS if name in rest}
    answer = rest.pop("answer", None)
    deed = "signal" if "signal" in rest else rest.pop("do")
    return Action(deed=deed, arguments=rest, answer=answer, **trigger)


def _tree(
    raw: Any, problems: Problems, pointer: str, folder: str, files: dict[str, tuple[str, bytes]]
) -> Mapping[str, Any]:
    """A definition that is here, or in a file that is named here."""
    if not isinstance(raw, str):
        return dict(raw)
    path = os.path.normpath(os.path.join(folder, raw))
    inner = Problems(path)
    try:
        text = read_definition(path)
        files[pointer] = (path, text)
        tree = read_text(text, None, inner, LIMITS)
    except InputError as error:
        problems.error("unreadable", str(error), pointer)
    except GiveUp:
        problems.error("unreadable", f"The definition cannot be read: {input_error(inner)}", pointer)
    else:
        if isinstance(tree, dict):
            return tree
        problems.error("unreadable", f"{path} holds no definition, which is a mapping.", pointer)
    return {}


# --- on the core alone -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """A scenario's definitions, checked and compiled: to play it several times."""

    registered: Registered
    workflows: Mapping[str, Registered]


def ready(scenario: Scenario) -> Ready:
    """Register what a scenario defines.

    Raises:
        DefinitionError: One of the definitions is refused.
    """
    workflows = [_definition(scenario, number) for number in range(len(scenario.workflows))]
    definition = _definition(scenario, -1)
    return Ready(
        compiled(definition, definition.version or 1),
        {each.name: compiled(each, each.version or 1) for each in [*workflows, definition]},
    )


def play_on_core(
    scenario: Scenario,
    *,
    prepared: Ready | None = None,
    seed: int = 0,
    crash_after: Collection[int] = (),
    crash_before: Collection[int] = (),
    settings: Settings | None = None,
) -> Played:
    """Play a scenario on the core alone, with a virtual clock."""
    services = scenario.services()
    played = Played(services, crashed=bool(crash_after or crash_before), acted=[None] * len(scenario.actions))
    refused = "definition"
    try:
        prepared = prepared or ready(scenario)
        refused = "start"
        course = Course(
            prepared.registered, scenario.input, services, workflows=prepared.workflows, actions=scenario.actions,
            seed=seed, settings=settings, crash_after=crash_after, crash_before=crash_before,
        )  # fmt: skip
    except MakegoodError as error:
        played.refused, played.why = refused, str(error)
        return played
    course.play()
    played.acted = course.acted
    played.view = describe(course.state, rows_max=None)
    played.journal = course.records
    played.records = len(played.journal)
    return played


def _definition(scenario: Scenario, number: int) -> Definition:
    """One of the definitions: -1 is the scenario's own, others are children.

    Raises:
        DefinitionError: It has mistakes; with their places in whatever file they are in.
    """
    origin = scenario.origin
    tree = scenario.definition if number < 0 else scenario.workflows[number]
    pointer = pointed(origin.pointer, "definition") if number < 0 else pointed(origin.pointer, "workflows", number)
    known = services_named(tree) - set(scenario.unregistered) if scenario.unregistered else None
    if pointer in origin.files:
        path, text = origin.files[pointer]
        return load(text, source=path, name=name_from(path), services=known).definition
    try:
        return load_tree(tree, source=f"scenario {scenario.id!r}", services=known).definition
    except DefinitionError as error:
        if origin.places is None:
            raise
        located = []
        for problem in error.problems:
            line, column = origin.places.locate(pointer + problem.pointer)
            located.append(replace(problem, line=line, column=column))
        raise DefinitionError(located, origin.source) from None


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


def steps_calling_workflows(scenario: Scenario) -> set[str]:
    """The ids of steps that call a workflow, and no service, in all its definitions."""
    found: set[str] = set()
    open_: list[Any] = [scenario.definition, *scenario.workflows]
    while open_:
        each = open_.pop()
        if isinstance(each, Mapping):
            if isinstance(each.get("workflow"), str) and isinstance(each.get("id"), str):
                found.add(each["id"])
            open_.extend(each.values())
        elif isinstance(each, list):
            open_.extend(each)
    return found
