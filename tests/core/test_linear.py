"""What twice as many steps cost: about twice as much, counted in lines of the core that ran, not in time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playing import Play, attempt, call, each, failure, inner, ok, par, play, quiet, reject, saga, status

import makegood.core
from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.continuing import extend
from makegood.core.decide import begin, decide
from makegood.core.events import Record
from makegood.core.evolve import fold
from makegood.core.judgement import Moment, Settings
from makegood.core.outstanding import Attend, newly_outstanding
from makegood.core.program import compile_program
from makegood.core.timers import STALE_MAX, Timers
from makegood.language import load_tree
from makegood.model import Limits

CORE = str(Path(makegood.core.__file__).parent)
RATIO_MAX = 2.2
N = 250
UNBOUND = Settings(execution_timeout_ms=None)


def lines_of(act: Callable[[], object]) -> int:
    """How many lines of the core ran."""
    count = 0

    def on_line(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    def on_call(frame: Any, event: str, argument: Any) -> Any:
        return on_line if frame.f_code.co_filename.startswith(CORE) else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def items(n: int) -> dict[str, Any]:
    return {"items": list(range(n))}


def of_foreach(*steps: Any, **keys: Any) -> Any:
    return each("f", "${input.items}", *steps, **keys)


def foreach_of_values(n: int) -> Play:
    return play(saga(of_foreach({"id": "v", "set": "${item}"})), value=items(n))


def foreach_of_calls(n: int) -> Play:
    return play(saga(of_foreach("a")), value=items(n))


def foreach_of_calls_at_once(n: int) -> Play:
    return play(saga(of_foreach("a", max_concurrency=n)), value=items(n))


def undo_one_by_one(n: int) -> Play:
    return play(saga(of_foreach("a"), failure()), value=items(n))


def undo_of_a_scope(n: int) -> Play:
    return play(saga(attempt("t", of_foreach("a"), failure(), catch=[quiet("h")])), value=items(n))


def undo_with_halt(n: int) -> Play:
    return play(saga(of_foreach("a"), failure(), on_compensation_failure="halt"), value=items(n))


def undo_side_by_side(n: int) -> Play:
    branches = [call(f"a{number}") for number in range(n)]
    return play(saga(par("p", *branches), failure(), compensation_order="structured"))


def undo_of_two_long_branches(n: int) -> Play:
    branches = [
        each(f"f{name}", "${input.items}", call(name), **{"as": f"i{name}", "index_as": f"x{name}"}) for name in "ab"
    ]
    return play(saga(par("p", *branches), failure(), compensation_order="structured"), value=items(n // 2))


def undo_of_interleaved_parallels(n: int) -> Play:
    body = par("p", "a", inner("q", "b", "c"))
    tree = saga(of_foreach(body, max_concurrency=n), failure(), compensation_order="structured")
    return play(tree, {"a": ok(delay_ms=50), "b": ok(delay_ms=20)}, value=items(n // 3))


def failed_undos_retried(n: int) -> Play:
    tree = saga(of_foreach(call("a", undo={"retry": {"max_attempts": 1}})), failure())
    return play(tree, {"undo a": reject()}, value=items(n)).heal().then(inputs.Retry())


def skipped_undos(n: int) -> Play:
    return play(saga(of_foreach(call("a", undo={"when": "false"})), failure()), value=items(n))


def rounds(n: int) -> Play:
    return play(
        saga(
            {"id": "r", "repeat": [quiet("a"), {"id": "v", "set": "${steps.a}"}], "while": "true", "max_iterations": n}
        )
    )


def wide_parallel(n: int) -> Play:
    return play(saga(par("p", *(quiet(f"a{number}") for number in range(n)))))


def wide_parallel_one_at_a_time(n: int) -> Play:
    return play(saga(par("p", *(quiet(f"a{number}") for number in range(n)), max_concurrency=1)))


def abort_of_a_wide_parallel(n: int) -> Play:
    retry = {"max_attempts": 5, "initial_interval": "60s"}
    branches = [call(f"a{number}", retry=retry) for number in range(n)]
    return play(
        saga(par("p", *branches, "x")), {"x": reject(delay_ms=50), **{f"a{number}": status(503) for number in range(n)}}
    )


def many_scopes_fail(n: int) -> Play:
    body = attempt("t", "a", "b", catch=[quiet("h")])
    return play(saga(of_foreach(body, max_concurrency=n)), {"b": reject()}, value=items(n))


def many_scopes_fail_in_turn(n: int) -> Play:
    return play(saga(of_foreach(attempt("t", "a", "b", catch=[quiet("h")]))), {"b": reject()}, value=items(n))


def wait_all_of_failures(n: int) -> Play:
    branches = [inner(f"q{number}", call(f"a{number}")) for number in range(n)]
    return play(saga(par("p", *branches, on_failure="wait_all")), {f"a{number}": reject() for number in range(n)})


def list_of_another_loop(n: int) -> Play:
    reading = each("g", "${input.items}", {"id": "w", "set": "${steps.v[n]}"}, **{"as": "other", "index_as": "n"})
    return play(saga(of_foreach({"id": "v", "set": "${item}"}), reading), value=items(n))


def kept_signals(n: int) -> Play:
    tree = saga(
        {"id": "w", "wait": "1h"},
        {"id": "r", "repeat": [{"id": "g", "signal": "go"}], "while": "true", "max_iterations": n},
    )
    return play(tree, news=[(1, inputs.Signal("go", 1))] * n, settings=Settings(limits=Limits(signals_waiting=n)))


def waiting_steps(n: int) -> Play:
    tree = saga(of_foreach({"id": "g", "signal": "go"}, max_concurrency=n))
    return play(tree, news=[(1, inputs.Signal("go", 1))] * n, value=items(n))


def suspended_and_resumed(n: int) -> Play:
    branches = [quiet(f"a{number}") for number in range(n)]
    return play(saga(par("p", *branches)), {f"a{number}": ok(delay_ms=number) for number in range(n)}, news=[
        (n // 2, inputs.Suspend()), (n, inputs.Resume()),
    ])  # fmt: skip


PLAYS = [
    foreach_of_values, foreach_of_calls, foreach_of_calls_at_once, undo_one_by_one, undo_of_a_scope, undo_with_halt,
    undo_side_by_side, undo_of_two_long_branches, undo_of_interleaved_parallels, failed_undos_retried, skipped_undos,
    rounds, wide_parallel, wide_parallel_one_at_a_time, abort_of_a_wide_parallel, many_scopes_fail,
    many_scopes_fail_in_turn, wait_all_of_failures, list_of_another_loop, kept_signals, waiting_steps,
    suspended_and_resumed,
]  # fmt: skip


@pytest.mark.parametrize("of", PLAYS, ids=lambda of: of.__name__)
def test_twice_the_steps_cost_twice_as_much(of: Callable[[int], Play]) -> None:
    few, many = lines_of(lambda: of(N)), lines_of(lambda: of(2 * N))

    assert many / few <= RATIO_MAX, f"{few} lines for {N}, {many} for {2 * N}"


@pytest.mark.parametrize("of", [foreach_of_calls, undo_one_by_one, many_scopes_fail], ids=lambda of: of.__name__)
def test_folding_twice_the_journal_costs_twice_as_much(of: Callable[[int], Play]) -> None:
    few, many = of(N).world, of(2 * N).world
    costs = [lines_of(lambda world=world: fold(world.program, world.journal)) for world in (few, many)]

    assert costs[1] / costs[0] <= RATIO_MAX


def test_a_scope_that_stops_asks_for_the_children_inside_it_alone() -> None:
    child = {"id": "k", "workflow": "other"}
    body = attempt("t", child, quiet("b"), catch=[quiet("h")])
    tree = saga(of_foreach(par("p", body), max_concurrency=3))
    program = compile_program(load_tree(tree).definition, 1)
    state, _ = begin(program, "x", items(3), Moment(0), UNBOUND)
    children = list(state.attending)
    state.touched.clear()
    step = program.index["t"]

    for key, _undo in children[:1]:
        decide(state, inputs.ChildResolved(key, None), Moment(1), UNBOUND)
    assert len(children) == 3
    assert state.instances[(step, (0,))].phase != "forward"
    assert not [each for each in newly_outstanding(state) if isinstance(each, Attend) and each.key[1] != (0,)]


def test_a_record_that_is_full_stays_full_when_more_news_join_it() -> None:
    program = compile_program(load_tree(saga(of_foreach("a", max_concurrency=250))).definition, 1)
    state, first = begin(program, "x", items(250), Moment(0), UNBOUND)
    record: Record | None = first
    for key, undo in list(state.ready):
        record = extend(record, state, inputs.Granted(key, undo, None), Moment(0), UNBOUND)

    assert record is not None
    assert record.more
    assert len(state.ready) == 0
    assert sum(isinstance(event, ev.IterationStarted) for event in record.events) <= UNBOUND.limits.starts_per_record


def test_moments_that_nobody_wants_any_more_take_no_room() -> None:
    timers = Timers()
    for number in range(1_000):
        timers.set(("wait", (1, (number,))), 10_000 - number)
        if number >= 3:
            timers.clear(("wait", (1, (number,))))

    assert len(timers._heap) <= 2 * 3 + STALE_MAX
    assert timers.due(10_000) == [("wait", (1, (number,))) for number in (2, 1, 0)]
