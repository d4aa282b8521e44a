"""Plays of small sagas, told as short as they are: which calls arrived, and how it ended.

A step `a` calls `a.do` and is undone by `a.undo`; in what is told, `a` and `undo a` (`a[0]` in a loop).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from makegood.core import events as ev
from makegood.core.evolve import fold
from makegood.core.inputs import Input
from makegood.core.judgement import Settings
from makegood.core.state import State
from makegood.core.view import describe
from makegood.language import load_tree
from makegood.simulation.script import Call, Scripted, ScriptedServices, Spell
from makegood.simulation.world import START_MS, World

Tree = dict[str, Any]


# --- definitions -----------------------------------------------------------------------------------


def call(name: str, *, undo: Any = True, **keys: Any) -> Tree:
    """A step that calls `name.do`. `undo`: True for `name.undo`, False for none, or more keys of it."""
    step: Tree = {"id": name, "call": f"{name}.do", **keys}
    if undo is True:
        step["compensation"] = f"{name}.undo"
    elif undo:
        step["compensation"] = {"call": f"{name}.undo", **undo}
    return step


def saga(*steps: Tree | str, **keys: Any) -> Tree:
    """A definition of these steps; a name is a call with a compensation."""
    return {"name": "saga", "steps": listed(*steps), **keys}


seq = saga


def listed(*steps: Tree | str) -> list[Tree]:
    return [call(each) if isinstance(each, str) else each for each in steps]


def par(name: str, *branches: Tree | str, **keys: Any) -> Tree:
    return {"id": name, "parallel": listed(*branches), **keys}


def inner(name: str, *steps: Tree | str) -> Tree:
    return {"id": name, "sequential": listed(*steps)}


def attempt(name: str, *body: Tree | str, catch: Any = None, finally_: Sequence[Tree] = (), **keys: Any) -> Tree:
    """A `try`. `catch`: steps of a handler for everything, or a list of handlers."""
    step: Tree = {"id": name, "try": listed(*body), **keys}
    if catch is not None:
        step["catch"] = catch if catch and "steps" in catch[0] else [{"steps": listed(*catch)}]
    if finally_:
        step["finally"] = list(finally_)
    return step


def each(name: str, items: Any, *steps: Tree | str, **keys: Any) -> Tree:
    return {"id": name, "foreach": items, "steps": listed(*steps), **keys}


def quiet(name: str, **keys: Any) -> Tree:
    """A call without a compensation."""
    return call(name, undo=False, **keys)


def failure(name: str = "bang", code: str = "broken") -> Tree:
    return {"id": name, "fail": {"error": code, "message": "by design"}}


# --- replies -----------------------------------------------------------------------------------------


def ok(value: Any = None, delay_ms: int = 0) -> Scripted:
    return Scripted(kind="ok", value={} if value is None else value, delay_ms=delay_ms, effect=True)


def reject(code: str = "sold_out", delay_ms: int = 0) -> Scripted:
    return Scripted(kind="reject", value=code, delay_ms=delay_ms)


def timeout(*, with_effect: bool = False) -> Scripted:
    return Scripted(kind="hang", effect=with_effect)


def reset(*, effect_ms: int | None = None, delay_ms: int = 0) -> Scripted:
    return Scripted(kind="reset", effect=effect_ms is not None, effect_ms=effect_ms or 0, delay_ms=delay_ms)


def status(
    number: int, *, after_s: float | None = None, effect: bool = False, delay_ms: int = 0, code: str = ""
) -> Scripted:
    headers = {} if after_s is None else {"Retry-After": str(after_s)}
    body = {"error": {"code": code}} if code else {}
    return Scripted(kind="status", value=number, body=body, headers=headers, effect=effect, delay_ms=delay_ms)


def ongoing(after_s: float = 1.0, delay_ms: int = 0) -> Scripted:
    return Scripted(kind="ongoing", poll_after_s=after_s, delay_ms=delay_ms)


def bad_json() -> Scripted:
    return Scripted(kind="bad_json", effect=True)


# --- plays -------------------------------------------------------------------------------------------


@dataclass
class Play:
    """What came of a play."""

    world: World

    def __iter__(self) -> Iterator[Any]:
        return iter((self.calls, self.end))

    @property
    def state(self) -> State:
        return self.world.state

    @property
    def requests(self) -> list[Call]:
        return self.world.services.calls

    @property
    def calls(self) -> list[str]:
        return [told(each) for each in self.requests]

    @property
    def end(self) -> str:
        return self.state.status

    @property
    def view(self) -> dict[str, Any]:
        return describe(self.state)

    @property
    def times(self) -> list[tuple[str, int]]:
        """Each call with its moment, in milliseconds from the start."""
        return [(told(each), each.at_ms - START_MS) for each in self.requests]

    @property
    def balance(self) -> dict[str, int]:
        return self.world.services.ledger.balance()

    @property
    def error(self) -> str | None:
        return None if self.state.error is None else self.state.error.code

    @property
    def suppressed(self) -> list[str]:
        return [each.code for each in self.state.suppressed]

    @property
    def events(self) -> list[ev.Event]:
        return [event for record in self.world.journal for event in record.events]

    def forward(self, name: str) -> str:
        return self.world.state.instances[key_of(self.state, name)].forward

    def undo(self, name: str) -> str:
        return self.world.state.instances[key_of(self.state, name)].compensation

    def then(self, *news: Input) -> Play:
        """Tell it more, and let things happen."""
        for each in news:
            self.world.tell(each)
            self.world.play()
        return self

    def heal(self) -> Play:
        """From now on services answer `ok`."""
        self.world.services.scripts.clear()
        self.world.services.down = frozenset()
        return self


def told(request: Call) -> str:
    return f"undo {request.step}" if request.undo else request.step


def key_of(state: State, name: str) -> Any:
    return next(key for key in state.instances if state.name(key) == name)


def play(
    tree: Tree,
    replies: Mapping[str, Scripted | Sequence[Scripted]] | None = None,
    *,
    news: Sequence[tuple[int, Input]] = (),
    until_ms: int | None = None,
    value: Any = None,
    down: Sequence[str] = (),
    unwell: Mapping[str, tuple[int, int]] | None = None,
    wait_ms: int = 60_000,
    settings: Settings | None = None,
    **crashes: Any,
) -> Play:
    """Play a saga to its rest, or up to a moment; the fold of its journal is then what it is."""
    scripts: dict[str, Sequence[Scripted]] = {}
    for name, script in (replies or {}).items():
        method = f"{name[5:]}.undo" if name.startswith("undo ") else f"{name}.do"
        scripts[method] = [script] if isinstance(script, Scripted) else script
    definition = load_tree(tree).definition
    spells = {name: [Spell(*each)] for name, each in (unwell or {}).items()}
    services = ScriptedServices(scripts, down, spells, wait_ms)
    world = World(definition, {} if value is None else value, services, settings=settings, **crashes)
    for at_ms, each_news in news:
        world.at(START_MS + at_ms, lambda told=each_news: world.tell(told))  # type: ignore[misc]
    if until_ms is None:
        world.play()
    else:
        while (moment := world.next_ms()) is not None and moment <= START_MS + until_ms:
            world.step()
        world.now_ms = START_MS + until_ms
    assert fold(world.program, world.journal).same_as(world.state)
    return Play(world)
