"""Random sagas: definitions that the language accepts, services with a will of their own, news from outside.

Every step has a service of its own, `cN.do`, undone by `cN.undo`; what it answers is drawn apart
from the tree. An ok call answers `{"n": the innermost loop number}`. The workflows of a family share
one count of steps, so that a name means one step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from makegood.simulation.script import Scripted, Spell

DEPTH_MAX = 5
CALLS_MAX = 14
NESTING_MAX = 3
"""Workflows around a workflow."""
CODES = ("sold_out", "wrong")
SIGNALS = ("go", "stop")


Pick = Callable[[int], int]
"""Chooses a number below another; 0 is the plainest choice."""


@dataclass
class _Draft:
    """A tree that is being drawn: how many steps it has, and where the next one stands."""

    pick: Pick
    steps: int = 0
    calls: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=dict)
    inside_finally: bool = False
    children: bool = False
    nesting: int = 0
    workflows: list[dict[str, Any]] = field(default_factory=list)

    def name(self, letter: str) -> str:
        self.steps += 1
        return f"{letter}{self.steps}"

    def one_of(self, *values: Any) -> Any:
        return values[self.pick(len(values))]

    def chance(self, out_of: int) -> bool:
        return self.pick(out_of) == out_of - 1


def _steps(draft: _Draft, depth: int, most: int = 3) -> list[dict[str, Any]]:
    return [_step(draft, depth) for _ in range(1 + draft.pick(most))]


def _step(draft: _Draft, depth: int) -> dict[str, Any]:
    leaf = depth >= DEPTH_MAX or len(draft.calls) >= CALLS_MAX
    kinds = _LEAVES if leaf else (_KINDS if depth < 2 else (*_KINDS, *_LEAVES))
    step: dict[str, Any] = draft.one_of(*kinds)(draft, depth)
    if draft.chance(20) and "when" not in step:
        step["when"] = draft.one_of(
            "false", "input.no", "input.yes", "input.yes", "input.yes", "input.no", "input.no", "input.absent"
        )
    return step


def _call(draft: _Draft, _depth: int) -> dict[str, Any]:
    name = draft.name("c")
    draft.calls.append(name)
    step: dict[str, Any] = {"id": name, "call": f"{name}.do"}
    if draft.chance(3):
        step["retry"] = draft.one_of(
            {"max_attempts": 2},
            {"max_attempts": 4, "initial_interval": "100ms", "retry_on": ["sold_out"]},
            {"max_attempts": 3, "initial_interval": "1s", "jitter": 0.5},
        )
    if draft.chance(3):
        step["timeout"] = draft.one_of("1s", "3s")
    if draft.chance(6):
        step["ongoing_timeout"] = "2s"
    if draft.chance(4):
        step["input"] = draft.one_of({"a": "${input.yes}"}, "${input}", "${input.list}", "${execution.id}")
    if not draft.inside_finally and not draft.chance(4):
        draft.undone.append(name)
        step["compensation"] = _compensation(draft, name)
        if draft.chance(6):
            step["compensate_on_failure"] = True
    return step


def _compensation(draft: _Draft, name: str) -> Any:
    if not draft.chance(2):
        return f"{name}.undo"
    found: dict[str, Any] = {"call": f"{name}.undo"}
    if draft.chance(2):
        found["input"] = draft.one_of({"b": "${step.outcome}", "c": "${step.input}"}, {"d": "${step.output}"})
    if draft.chance(4):
        found["when"] = draft.one_of("true", "step.output.n > 100 || true", "step.output.n < 0", "false")
    if draft.chance(2):
        found["retry"] = draft.one_of({"max_attempts": 1}, {"max_attempts": 3, "initial_interval": "200ms"})
    if draft.chance(3):
        found["timeout"] = "2s"
    return found


def _child(draft: _Draft, depth: int) -> dict[str, Any]:
    """A call of another workflow: a new one, or one that is called elsewhere too."""
    if not draft.children or draft.nesting >= NESTING_MAX:
        return _call(draft, depth)
    detached = draft.chance(6)
    if draft.workflows and draft.chance(4):
        name = draft.one_of(*draft.workflows)["name"]
    else:
        name = _workflow(draft, pivot=draft.chance(3) if detached else draft.chance(20))
    step: dict[str, Any] = {"id": draft.name("k"), "workflow": name}
    if draft.chance(10):
        step["input"] = draft.one_of({"yes": "${input.yes}"}, "${input}")
    if detached:
        step["detached"] = True
    elif not draft.inside_finally and draft.chance(5):
        draft.undone.append(step["id"])
        step["compensation"] = _compensation(draft, step["id"])
    return step


def _workflow(draft: _Draft, *, pivot: bool) -> str:
    """A workflow for others to call; its name."""
    around, draft.inside_finally = draft.inside_finally, False
    draft.nesting += 1
    tree = {"name": draft.name("flow"), "steps": _steps(draft, 2, 3)}
    if pivot:
        tree["steps"] += _past_return(draft)
    _top_level(draft, tree)
    if draft.chance(8):
        tree["business_key"] = draft.one_of("'one'", "input.yes ? 'y' : 'n'", "input.absent")
    draft.nesting -= 1
    draft.inside_finally = around
    draft.workflows.append(tree)
    return tree["name"]


# --- a point of no return, and what may stand behind it --------------------------------------------


def _past_return(draft: _Draft) -> list[dict[str, Any]]:
    """A pivot, alone or inside something or beside something, and steps behind it."""
    pivot = _plain_call(draft)
    pivot["pivot"] = True
    if draft.chance(3):
        pivot["retriable"] = True
    match draft.one_of("alone", "alone", "beside", "inside"):
        case "beside":
            branches = [pivot, *_safe_steps(draft, 1)]
            first: dict[str, Any] = {"id": draft.name("p"), "parallel": branches}
            pivot["retriable"] = True
        case "inside":
            first = {"id": draft.name("q"), "sequential": [pivot, *_safe_steps(draft, 1)]}
        case _:
            first = pivot
    return [first, *(_safe_steps(draft, 0) if draft.chance(2) else [])]


def _plain_call(draft: _Draft) -> dict[str, Any]:
    step = _call(draft, 0)
    if "compensation" in step:
        draft.undone.remove(step["id"])
    return {key: value for key, value in step.items() if not key.startswith("compensat")}


def _safe_steps(draft: _Draft, depth: int) -> list[dict[str, Any]]:
    return [_safe_step(draft, depth) for _ in range(1 + draft.pick(3))]


def _safe_step(draft: _Draft, depth: int) -> dict[str, Any]:
    """A step that may run when there is no way back."""
    kinds = ["call", "call", "call", "wait", "signal", "set", "child"]
    if depth < DEPTH_MAX - 1:
        kinds += ["sequential", "parallel", "if", "foreach", "try"]
    match draft.one_of(*kinds):
        case "wait":
            return _wait(draft, depth)
        case "set":
            return {"id": draft.name("v"), "set": draft.one_of({"x": 1}, {"x": 1}, {"x": "${input.absent}"})}
        case "signal":
            step = _signal(draft, depth)
            if "on_timeout" in step:
                step["on_timeout"] = "continue"
            return step
        case "child" if draft.children and draft.nesting < NESTING_MAX:
            name = _workflow(draft, pivot=draft.chance(2))
            return {"id": draft.name("k"), "workflow": name, "detached": True}
        case "sequential":
            return {"id": draft.name("q"), "sequential": _safe_steps(draft, depth + 1)}
        case "parallel":
            return {"id": draft.name("p"), "parallel": _safe_steps(draft, depth + 1)}
        case "if":
            return {"id": draft.name("i"), "if": "input.yes", "then": _safe_steps(draft, depth + 1)}
        case "foreach":
            name = draft.name("f")
            steps = _safe_steps(draft, depth + 1)
            return {"id": name, "foreach": [1, 2], "as": f"{name}_item", "index_as": f"{name}_index", "steps": steps}
        case "try":
            return {
                "id": draft.name("t"),
                "try": _safe_steps(draft, depth + 1),
                "catch": [{"steps": _safe_steps(draft, depth + 1)}],
            }
        case _:
            return {**_plain_call(draft), draft.one_of("retriable", "read_only"): True}


def _sequential(draft: _Draft, depth: int) -> dict[str, Any]:
    return {"id": draft.name("q"), "sequential": _steps(draft, depth + 1)}


def _parallel(draft: _Draft, depth: int) -> dict[str, Any]:
    step: dict[str, Any] = {"id": draft.name("p"), "parallel": _steps(draft, depth + 1, 4)}
    if draft.chance(3):
        step["max_concurrency"] = draft.one_of(1, 2)
    if draft.chance(3):
        step["on_failure"] = "wait_all"
    return step


def _if(draft: _Draft, depth: int) -> dict[str, Any]:
    step: dict[str, Any] = {"id": draft.name("i"), "if": draft.one_of("input.yes", "input.no", "true")}
    step["then"] = _steps(draft, depth + 1, 2)
    if draft.chance(2):
        step["else"] = _steps(draft, depth + 1, 2)
    return step


def _switch(draft: _Draft, depth: int) -> dict[str, Any]:
    cases = [
        {"when": draft.one_of("input.yes", "input.no"), "steps": _steps(draft, depth + 1, 2)}
        for _ in range(draft.one_of(1, 2))
    ]
    step: dict[str, Any] = {"id": draft.name("s"), "switch": cases}
    if draft.chance(2):
        step["default"] = _steps(draft, depth + 1, 2)
    return step


def _foreach(draft: _Draft, depth: int) -> dict[str, Any]:
    step: dict[str, Any] = {
        "id": draft.name("f"),
        "foreach": draft.one_of("${input.list}", "${input.none}", [1, 2], "${[1]}"),
        "steps": _steps(draft, depth + 1, 2),
    }
    name = step["id"]
    step["as"], step["index_as"] = f"{name}_item", f"{name}_index"
    if draft.chance(2):
        step["max_concurrency"] = draft.one_of(2, 3)
    return step


def _repeat(draft: _Draft, depth: int) -> dict[str, Any]:
    first = _call(draft, depth)
    step: dict[str, Any] = {"id": draft.name("r"), "repeat": [first, *_steps(draft, depth + 1, 1)]}
    if draft.chance(3):
        step["while"] = draft.one_of("false", "true")
        step["max_iterations"] = 2
    else:
        step["until"] = draft.one_of(f"steps.{first['id']}.n >= 1", "true")
        step["max_iterations"] = draft.one_of(3, 3, 1)
    return step


def _try(draft: _Draft, depth: int) -> dict[str, Any]:
    step: dict[str, Any] = {"id": draft.name("t"), "try": _steps(draft, depth + 1)}
    if draft.chance(3):
        step["try"].append(_failure(draft))
    handlers = draft.one_of(0, 1, 1, 2)
    if handlers:
        step["catch"] = [_handler(draft, depth, number < handlers - 1) for number in range(handlers)]
    if not handlers or draft.chance(3):
        before, draft.inside_finally = draft.inside_finally, True
        step["finally"] = _steps(draft, depth + 1, 2)
        draft.inside_finally = before
    if draft.chance(5):
        step["compensate"] = False
    return step


def _handler(draft: _Draft, depth: int, narrow: bool) -> dict[str, Any]:
    handler: dict[str, Any] = {"steps": _steps(draft, depth + 1, 2)}
    if narrow or draft.chance(3):
        handler["errors"] = draft.one_of(["sold_out"], ["unknown"], ["rejected", "not_sent"])
    return handler


def _wait(draft: _Draft, _depth: int) -> dict[str, Any]:
    return {"id": draft.name("w"), "wait": draft.one_of("100ms", "2s")}


def _signal(draft: _Draft, _depth: int) -> dict[str, Any]:
    step: dict[str, Any] = {"id": draft.name("g"), "signal": draft.one_of(*SIGNALS)}
    if draft.chance(2):
        step["timeout"] = "3s"
        step["on_timeout"] = draft.one_of("fail", "continue")
    return step


def _set(draft: _Draft, _depth: int) -> dict[str, Any]:
    return {"id": draft.name("v"), "set": draft.one_of({"x": 1}, {"x": "${input.list}"}, {"x": "${uuid()}"})}


def _fail(draft: _Draft, _depth: int) -> dict[str, Any]:
    if not draft.chance(8):
        return _call(draft, _depth)
    return _failure(draft)


def _failure(draft: _Draft) -> dict[str, Any]:
    return {"id": draft.name("x"), "fail": {"error": draft.one_of(*CODES), "message": "no"}}


_LEAVES = (_call, _call, _call, _wait, _signal, _set, _fail, _child)
_KINDS = (
    _call,
    _call,
    _call,
    _sequential,
    _parallel,
    _parallel,
    _if,
    _switch,
    _foreach,
    _repeat,
    _try,
    _try,
    _fail,
    _wait,
    _signal,
    _set,
    _child,
    _child,
)


def definition(pick: Pick, *, children: bool = False) -> _Draft:
    """A definition: its tree, those that it calls, the names of its calls, and of those with a compensation."""
    draft = _Draft(pick, children=children)
    tree: dict[str, Any] = {"name": "saga", "steps": [_step(draft, 0), *_steps(draft, 0, 4)]}
    if draft.chance(4):
        tree["steps"] += _past_return(draft)
    elif draft.chance(2):
        tree["steps"].append(_failure(draft))
    _top_level(draft, tree)
    draft.tree = tree
    return draft


def _top_level(draft: _Draft, tree: dict[str, Any]) -> None:
    tree["error_handling"] = draft.one_of(
        "compensation",
        "compensation",
        "compensation",
        "fail_fast",
        "retry",
        {"strategy": "retry", "max_attempts": 2, "initial_interval": "300ms", "then": "compensation"},
    )
    if draft.chance(2):
        tree["on_compensation_failure"] = draft.one_of("halt", "halt", "continue", "retry_forever")
    if draft.chance(2):
        tree["compensation_order"] = "structured"
    if draft.chance(6):
        tree["timeout"] = draft.one_of("2s", "20s", "20s")


# --- what services answer ------------------------------------------------------------------------

_DELAYS = (0, 20, 0, 150, 400, 900)
_KINDS_OF_REPLY = (
    "ok",
    "reject",
    "sold_out",
    "503",
    "503 done",
    "hang",
    "reset",
    "429",
    "ongoing",
    "ongoing",
    "bad_json",
    "400",
)


def _reply(draft: _Draft) -> Scripted:
    """What comes of one request that does not simply succeed."""
    kind, delay, late, effect = (
        draft.one_of(*_KINDS_OF_REPLY),
        draft.one_of(*_DELAYS),
        draft.one_of(*_DELAYS),
        draft.chance(2),
    )
    match kind:
        case "reject" | "sold_out":
            return Scripted(kind="reject", value="sold_out" if kind == "sold_out" else "wrong", delay_ms=delay)
        case "503" | "503 done":
            return Scripted(kind="status", value=503, body={}, delay_ms=delay, effect=kind == "503 done")
        case "hang" | "reset":
            return Scripted(kind=kind, delay_ms=delay, effect=effect, effect_ms=late)
        case "429":
            return Scripted(kind="status", value=429, body={}, delay_ms=delay, headers={"Retry-After": "2"})
        case "ongoing":
            return Scripted(kind="ongoing", delay_ms=delay, poll_after_s=draft.one_of(0.0, 0.3, 1.5))
        case "bad_json":
            return Scripted(kind="bad_json", delay_ms=delay, effect=True)
        case "400":
            return Scripted(kind="status", value=400, body={}, delay_ms=delay)
        case _:
            return Scripted(kind="ok", delay_ms=delay, effect=True)


def _undo_reply(draft: _Draft) -> Scripted:
    """Like any other; 404 is said in honesty alone (see `Fates`)."""
    return Scripted(kind="status", value=404, body={}) if draft.chance(4) else _reply(draft)


def _fates(draft: _Draft) -> dict[str, list[Scripted]]:
    """For each method, what its keys are answered before they succeed, in order; each key anew."""
    found: dict[str, list[Scripted]] = {}
    for name in draft.calls:
        if draft.chance(7):
            found[f"{name}.do"] = [_reply(draft) for _ in range(1 + draft.pick(3))]
        else:
            found[f"{name}.do"] = [Scripted(kind="ok", delay_ms=draft.one_of(*_DELAYS), effect=True)]
    for name in draft.undone:
        if draft.chance(3):
            found[f"{name}.undo"] = [_undo_reply(draft) for _ in range(1 + draft.pick(6))]
    return found


# --- what happens from outside ---------------------------------------------------------------------

DEEDS = (
    "resume",
    "go",
    "stop",
    "suspend",
    "suspend",
    "cancel",
    "quarantine",
    "crash",
    "crash",
    "compensate",
    "retry",
    "resolve",
    "resolve",
    "settle",
    "give up",
)
MOMENTS = (0, 1, 50, 170, 420, 1000, 1500, 2500, 4000, 6000, 9000, 15_000, 30_000, 60_000)


@dataclass(frozen=True)
class News:
    """Something from outside, so long after the start.

    Attributes:
        who: Which execution of a family it is for, as a number that goes round.
    """

    at_ms: int
    deed: str
    who: int = 0


@dataclass(frozen=True)
class Saga:
    """Everything that is drawn for one play."""

    tree: dict[str, Any]
    scripts: dict[str, list[Scripted]]
    down: tuple[str, ...]
    unwell: dict[str, list[Spell]]
    wait_ms: int
    up_at_ms: int
    news: tuple[News, ...]
    crash_after: tuple[int, ...]
    crash_before: tuple[int, ...]
    seed: int
    workflows: tuple[dict[str, Any], ...] = ()


def _spells(draft: Any) -> dict[str, list[Spell]]:
    """When which service is unwell: one or two of them now and then, from the start or later, briefly or for long."""
    found: dict[str, list[Spell]] = {}
    for _ in range(2):
        if draft.calls and draft.chance(4):
            begin = draft.one_of(0, 0, 30, 400, 3_000)
            long = draft.one_of(20, 900, 4_000, 70_000, 1_500_000)
            found.setdefault(draft.one_of(*draft.calls), []).append(Spell(begin, begin + long))
    return found


def saga(pick: Pick, *, crashes: bool = True, children: bool = False) -> Saga:
    """A definition, its services, what happens from outside, and after or over which records it crashes."""
    draft = definition(pick, children=children)
    down = [draft.one_of(*draft.calls)] if draft.calls and draft.chance(5) else []
    who = 6 if children else 1
    news = [News(draft.one_of(*MOMENTS), draft.one_of(*DEEDS), pick(who)) for _ in range(pick(5))]
    numbers = [[2 + pick(60) for _ in range(pick(5))] if crashes else [] for _ in "ab"]
    return Saga(
        tree=draft.tree,
        scripts=_fates(draft),
        down=tuple(down),
        unwell=_spells(draft),
        wait_ms=draft.one_of(0, 700, 5_000, 60_000),
        up_at_ms=draft.one_of(0, 500, 3000, 40_000, 2_000_000),
        news=tuple(news),
        crash_after=tuple(numbers[0]),
        crash_before=tuple(numbers[1]),
        seed=pick(4),
        workflows=tuple(draft.workflows),
    )


@st.composite
def sagas(draw: Any, *, crashes: bool = True, children: bool = False) -> Saga:
    """Sagas, chosen by Hypothesis; with children, families of them."""
    return saga(lambda below: draw(st.integers(0, below - 1)) if below > 1 else 0, crashes=crashes, children=children)
