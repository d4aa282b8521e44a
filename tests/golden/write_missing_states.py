"""Write golden files of what events do, for events that have none: `python tests/golden/write_missing_states.py`.

Each case is a definition, the journal before an event, the event, and the facts of the state that it
changed, told without the names of `State`, so that those may change. An existing file is never
touched: what an event of one version did once it does for ever. A change that breaks one needs a new
version of the event.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from makegood.core import inputs
from makegood.core.decide import begin, decide, rerun
from makegood.core.events import Event, Failure, Record
from makegood.core.evolve import evolve, fold
from makegood.core.judgement import Moment, Settings
from makegood.core.outstanding import outstanding
from makegood.core.program import Program, compile_program
from makegood.core.rerunning import Rerun
from makegood.core.state import Instance, Key, State, Track
from makegood.language import load_tree
from makegood.storage import codec

FOLDER = Path(__file__).parent / "evolve"
CASES_MAX = 3


def golden_path(cls: type) -> Path:
    """The file of the version of an event that is written now."""
    return FOLDER / f"{codec.kind_of(cls)}.v{codec.VERSIONS[cls]}.json"


# --- telling a state -------------------------------------------------------------------------------


def facts(state: State) -> dict[str, Any]:
    """What a state knows, flat: a path of names to each value that says something."""
    found: dict[str, Any] = {
        "status": state.status, "phase": state.phase, "cause": state.cause, "error": _failure(state.error),
        "suppressed": [_failure(each) for each in state.suppressed], "input": state.input, "output": state.output,
        "started": state.started_at_ms, "ended": state.ended_at_ms, "timeout": state.timeout_at_ms,
        "suspended": state.suspended_reason, "overdue": state.overdue, "timeout held": state.timeout_held,
        "past its pivot": state.pivoted, "business key": state.business_key,
        "reruns": state.rerun_of, "begins at": state.rerun_from, "goes on as": state.superseded_by,
        "signals kept": {name: list(queue) for name, queue in state.mailbox.items() if queue},
        "waiting": {name: [state.name(key) for key in keys] for name, keys in state.waiting.items() if keys},
        "stopped": {_region(state, key): failure.code for key, failure in state.halted.items()},
        "moments": {_wish(state, wish): at_ms for wish, at_ms in state.timers.items().items()},
        "entries": [state.name(key) for key in state.entries],
        "outstanding": sorted(_command(state, each) for each in outstanding(state)),
    }  # fmt: skip
    for key, instance in state.instances.items():
        found.update(_step(f"step {state.name(key)}", instance))
    return {path: value for path, value in found.items() if value not in (None, False, 0, [], {}, "")}


def _step(name: str, each: Instance) -> dict[str, Any]:
    told = {
        "forward": each.forward, "compensation": None if each.compensation == "none" else each.compensation,
        "settled as": each.settled_at, "started": each.started_at_ms, "ended": each.ended_at_ms, "input": each.input,
        "output": each.output, "error": _failure(each.error), "begun": each.started, "done": each.done,
        "branch": None if each.branch is None else f"branch {each.branch}", "items": each.items,
        "part": None if each.phase == "forward" else each.phase, "caught": _failure(each.caught),
        "travelling": _failure(each.travelling), "until": each.until_ms, "undo input": each.undo_input,
        "undo snapshot": each.undo_snapshot, "undo error": _failure(each.undo_error), "note": each.note,
        "child": each.child, "taken over from": each.origin,
    }  # fmt: skip
    found = {f"{name}: {what}": value for what, value in told.items()}
    for direction, track in (("call", each.call), ("undo", each.undo)):
        if track is not None:
            found.update({f"{name}: {direction}: {what}": value for what, value in _track(track).items()})
    return found


def _track(track: Track) -> dict[str, Any]:
    return {
        "since": track.since_ms, "attempts": track.attempts, "counted": track.counted, "lost": track.lost,
        "open until": track.open_until, "due": track.due_ms, "ongoing": track.ongoing, "given up": track.until_ms,
        "awaits": track.awaits, "awaits since": track.awaits_since_ms,
        "unknown": track.unknown, "silent until": track.silent_until_ms, "error": _failure(track.error),
    }  # fmt: skip


def _failure(failure: Failure | None) -> Any:
    if failure is None:
        return None
    return [failure.code, failure.outcome, failure.step, list(failure.iteration)]


def _region(state: State, key: Key) -> str:
    return state.name(key) or "all"


def _wish(state: State, wish: Any) -> str:
    what, *rest = wish
    return " ".join([what, *(state.name(each) if isinstance(each, tuple) else str(each) for each in rest)])


def _command(state: State, command: Any) -> str:
    name = type(command).__name__
    return (
        f"{name} {'undo ' if getattr(command, 'undo', False) else ''}{state.name(command.key)}"
        if hasattr(command, "key")
        else name
    )


def changes(program: Program, journal: list[Record], event: Event, at_ms: int) -> dict[str, list[Any]]:
    """The facts that an event changes after a journal, each with its value before and after."""
    state = fold(program, journal)
    before = msgspec.json.decode(msgspec.json.encode(facts(state)))
    evolve(state, event, at_ms)
    after = msgspec.json.decode(msgspec.json.encode(facts(state)))
    return {
        path: [before.get(path), after.get(path)]
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }


# --- plays in which everything happens ---------------------------------------------------------------


def plays() -> Iterator[tuple[dict[str, Any], list[Record]]]:
    """Definitions with the journals of their plays."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
    import playing as p

    retry = {"max_attempts": 2, "initial_interval": "1s"}
    trees: list[tuple[Any, Any, list[Any]]] = [
        (p.saga(p.call("a", retry=retry), p.failure(), timeout="9s"), {"a": [p.timeout(), p.ok({"n": 1})]}, []),
        (p.saga("a", p.quiet("b"), output={"n": "${steps.a.n}"}), {"a": [p.ongoing(), p.ok({"n": 1})]}, []),
        (p.saga("a", p.failure(), error_handling="fail_fast"), {}, [inputs.Compensate("ada", "undo it")]),
        (p.saga("a", "b"), {"b": p.reset(effect_ms=10)}, []),
        (p.saga(p.call("a", undo={"when": "false"}), p.call("b", undo={"input": {"x": 1}}), p.failure()), {}, []),
        (
            p.saga("a", "b", p.failure(), on_compensation_failure="halt"),
            {"undo b": [p.status(429), *[p.reject()] * 5, p.ok()]},
            [inputs.Resolve("a", "by hand", "ada"), inputs.Retry("ada", "again")],
        ),
        (
            p.saga(p.par("p", "a", p.call("b", retry=retry), "c")),
            {"a": p.reject(delay_ms=50), "b": p.status(503), "c": p.reject(delay_ms=90)},
            [],
        ),
        (p.saga(p.par("p", p.inner("q", "a"), "b", on_failure="wait_all")), {"a": p.reject()}, []),
        (p.saga({"id": "i", "if": "input.yes", "then": [{"id": "v", "set": 1}], "else": [p.quiet("a")]}), {}, []),
        (
            p.saga({"id": "s", "switch": [{"when": "false", "steps": [p.quiet("x")]}]}, p.quiet("a", when="false")),
            {},
            [],
        ),
        (p.saga(p.each("f", "${[1, 2]}", p.quiet("a", input="${item}"))), {}, []),
        (p.saga({"id": "r", "repeat": [p.quiet("a")], "while": "true", "max_iterations": 2}), {}, []),
        (p.saga(p.attempt("t", "a", p.failure(), catch=[p.quiet("h")], finally_=[p.quiet("z")])), {}, []),
        (
            p.saga(p.attempt("t", p.par("p", "a", "b"), finally_=[p.quiet("z")])),
            {"a": p.reject(delay_ms=9), "b": p.ok(delay_ms=20)},
            [],
        ),
        (
            p.saga({"id": "w", "wait": "1s"}, {"id": "g", "signal": "go", "timeout": "2s"}),
            {},
            [inputs.Signal("go", {"n": 1})],
        ),
        (
            p.saga({"id": "g", "signal": "go"}, timeout="9s"),
            {},
            [inputs.Suspend("ada"), inputs.Signal("go", 1), inputs.Resume()],
        ),
        (p.saga({"id": "p", "call": "p.do", "pivot": True}, timeout="2s"), {"p": p.ok(delay_ms=3000)}, []),
        (p.saga({"id": "p", "call": "p.do", "pivot": True}, {"id": "z", "wait": "9s"}, timeout="2s"), {}, []),
    ]  # fmt: skip
    for tree, replies, news in trees:
        played = p.play(tree, replies, value={"yes": False}, until_ms=100 if news and "signal" in str(tree) else None)
        played.then(*news)
        yield tree, played.world.journal
    yield _with_child()
    yield from _rerun()
    yield from _while_a_service_is_unwell()


def _while_a_service_is_unwell() -> Iterator[tuple[dict[str, Any], list[Record]]]:
    import playing as p

    for tree, replies, spell in (
        (p.saga("a"), {}, (0, 9_000)),
        (p.saga("a"), {"a": [p.ongoing(), p.ok({"n": 1})]}, (500, 9_000)),
        (p.saga("a", {"id": "w", "wait": "1s"}, p.failure()), {}, (500, 9_000)),
    ):
        yield tree, p.play(tree, replies, unwell={"a": spell}).world.journal


def _rerun() -> Iterator[tuple[dict[str, Any], list[Record]]]:
    """An execution that is rerun from a step in a branch, and the one that goes on in its place."""
    import playing as p

    retry = {"max_attempts": 2, "initial_interval": "1s"}
    caught = p.attempt("t", "u", p.failure("x"), catch=[p.quiet("h")])
    branch = {"id": "i", "if": "true", "then": p.listed("b", "c")}
    loop = p.each("f", "${[1, 2]}", p.call("d", input="${item}"))
    tree = p.saga(
        p.call("a", retry=retry), p.quiet("w", when="false"), caught, loop, branch, error_handling="fail_fast"
    )
    played = p.play(tree, {"a": [p.timeout(), p.ok({"n": 1})], "c": p.reject()})
    world = played.world
    moment, settings = Moment(world.now_ms + 5), Settings()
    _, first, last = rerun(world.state, world.program, "again", Rerun("c", "ada", "mended"), moment, settings)
    yield tree, [*world.journal, last]
    yield tree, [first]


def _with_child() -> tuple[dict[str, Any], list[Record]]:
    tree = {"name": "saga", "steps": [{"id": "k", "workflow": "other", "input": {"x": 1}}]}
    moment, settings = Moment(1_700_000_000_000), Settings()
    state, first = begin(compile_program(load_tree(tree).definition, 1), "play", {}, moment, settings)
    second = decide(state, inputs.ChildResolved((1, ()), 3), moment, settings)
    assert second is not None
    return tree, [first, second]


# --- writing -----------------------------------------------------------------------------------------


def main() -> None:
    """Write what is missing."""
    found: dict[type, list[tuple[int, Any]]] = {cls: [] for cls in codec.EVENTS}
    for tree, journal in plays():
        for cls, size, case in _cases(tree, journal):
            found[cls].append((size, case))
    FOLDER.mkdir(exist_ok=True)
    for cls, cases in found.items():
        path = golden_path(cls)
        if path.exists():
            continue
        assert cases, f"{cls.__name__} happens in no play: add one"
        chosen: dict[Any, Any] = {}
        for _, case in sorted(cases, key=lambda each: each[0]):
            chosen.setdefault(tuple(sorted(path.rpartition(": ")[2] for path in case["changes"])), case)
        lines = b",\n".join(msgspec.json.encode(case) for case in list(chosen.values())[:CASES_MAX])
        with path.open("xb") as file:
            file.write(b"[\n" + lines + b"\n]\n")
        print(f"wrote {path}")


def _cases(tree: dict[str, Any], journal: list[Record]) -> Iterator[tuple[type, int, dict[str, Any]]]:
    program = compile_program(load_tree(tree).definition, 1)
    before: list[Record] = []
    for record in journal:
        for number, event in enumerate(record.events):
            prefix = [*before, Record(record.at_ms, record.events[:number])] if number else before
            encoded = [msgspec.json.decode(codec.encode_record(each)) for each in prefix]
            case = {
                "definition": tree, "journal": encoded, "at_ms": record.at_ms, "event": codec.encode_event(event),
                "changes": changes(program, prefix, event, record.at_ms),
            }  # fmt: skip
            yield type(event), len(msgspec.json.encode(case)), case
        before = [*before, record]


if __name__ == "__main__":
    main()
