"""Rules 21 to 24: branches, loops, parallels, scopes."""

from __future__ import annotations

import pytest
from playing import attempt, call, each, failure, inner, listed, ok, par, play, quiet, reject, saga, seq, status

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.judgement import Settings
from makegood.core.program import compile_program
from makegood.language import load_tree
from makegood.model import Limits
from makegood.simulation.script import ScriptedServices
from makegood.simulation.world import START_MS, World

LOOP = {"as": "item", "index_as": "index"}


def output(tree, replies=None, **rest):
    played = play(tree, replies, **rest)
    assert played.end == "completed", played.state.error
    return played.view["output"]


# --- branches ----------------------------------------------------------------------------------------


def test_rule_21_a_branch_is_taken_once_and_not_judged_again_after_a_crash() -> None:
    tree = saga({"id": "i", "if": "input.n > 1", "then": [call("a")], "else": [call("b")]})
    for number in range(1, 6):
        played = play(tree, value={"n": 2}, crash_after=[number])
        assert (set(played.calls), played.end) == ({"a"}, "completed")
        assert sum(isinstance(each, ev.BranchTaken) for each in played.events) == 1


def test_an_if_without_else_and_a_false_condition_does_nothing_and_gives_null() -> None:
    assert output(saga({"id": "i", "if": "false", "then": [call("a")]})) is None


def test_a_switch_without_a_match_and_without_default_gives_null() -> None:
    tree = saga(
        {"id": "s", "switch": [{"when": "false", "steps": [call("a")]}]}, {"id": "v", "set": {"x": "${steps.s}"}}
    )
    assert output(tree) == {"x": None}


def test_a_branch_gives_the_output_of_its_last_step_even_if_that_was_skipped() -> None:
    then = [call("a"), call("b", when="false")]
    assert output(saga({"id": "i", "if": "true", "then": then}), {"a": ok({"n": 1})}) is None


def test_the_seed_forms_empty_parallel_and_sequential_complete() -> None:
    steps = [{"Parallel": {"id": "p", "steps": []}}, {"Sequential": {"id": "s", "steps": []}}]
    definition = load_tree({"steps": steps, "error_handling": "FailFast"}, name="old").definition
    world = World(definition, {}, ScriptedServices({}))
    assert world.play().status == "completed"
    assert world.state.output == {"sequential_results": []}


def test_a_step_that_is_skipped_at_the_end_of_each_kind_of_block_lets_the_flow_go_on() -> None:
    never = quiet("n", when="false")
    blocks = [
        inner("k", "a", never),
        par("k", "a", never),
        {"id": "k", "if": "true", "then": [call("a"), never]},
        each("k", [1, 2], "a", never, **LOOP),
        {"id": "k", "repeat": [call("a"), never], "until": "true"},
        attempt("k", "a", never, finally_=[quiet("z")]),
        attempt("k", failure(), catch=[quiet("a"), never]),
        attempt("k", "a", finally_=[quiet("z"), never]),
    ]
    for block in blocks:
        played = play(saga(block, "last"))
        assert (played.end, played.calls[-1]) == ("completed", "last"), block


# --- parallel ----------------------------------------------------------------------------------------


def test_rule_22_results_are_in_branch_order() -> None:
    replies = {"a": ok(1, 300), "b": ok(2, 100), "c": ok(3, 200)}
    assert output(saga(par("p", "a", "b", "c")), replies) == {"parallel_results": [1, 2, 3]}


def test_rule_22_wait_all_lets_the_other_branches_finish_first() -> None:
    tree = saga(par("p", "a", inner("q", "b", "c"), on_failure="wait_all"), "d")
    played = play(tree, {"a": reject(delay_ms=100), "b": ok(delay_ms=500)})

    assert (played.calls, played.end) == (["a", "b", "c", "undo c", "undo b"], "compensated")


def test_rule_22_wait_all_fails_with_the_first_failure_and_suppresses_the_others() -> None:
    tree = saga(par("p", "a", inner("q", "b"), "c", attempt("t", "d", finally_=[quiet("e")]), on_failure="wait_all"))
    replies = {"a": reject("one", 300), "b": reject("two", 200), "c": reject("three", 100), "d": reject("four", 400)}
    played = play(tree, replies)

    assert (played.error, sorted(played.suppressed)) == ("three", ["four", "one", "two"])


def test_rule_22_a_failing_branch_of_wait_all_stops_its_own_steps() -> None:
    tree = saga(par("p", inner("q", par("r", "a", inner("s", "b", "c")), "d"), "e", on_failure="wait_all"))
    played = play(tree, {"a": reject(delay_ms=100), "b": ok(delay_ms=500), "e": ok(delay_ms=900)})

    assert sorted(played.times[:3]) == [("a", 0), ("b", 0), ("e", 0)]
    assert played.times[3:] == [("undo e", 900), ("undo b", 900)]


def test_rule_22_wait_all_inside_wait_all() -> None:
    tree = saga(par("p", par("r", "a", "b", on_failure="wait_all"), "c", on_failure="wait_all"))
    played = play(tree, {"a": reject("one"), "b": ok(delay_ms=200), "c": reject("two", 100)})

    assert played.end == "compensated"
    assert sorted(played.calls) == ["a", "b", "c", "undo b"]
    assert (played.error, played.suppressed) == ("two", ["one"])


def test_wait_all_of_one_at_a_time_starts_the_rest_after_a_failure_and_drain_does_not() -> None:
    for mode, calls in (("wait_all", ["a", "b", "undo b"]), ("drain", ["a"])):
        assert play(saga(par("p", "a", "b", max_concurrency=1, on_failure=mode)), {"a": reject()}).calls == calls


def test_max_concurrency_starts_the_next_branch_when_one_is_done() -> None:
    played = play(saga(par("p", "a", "b", "c", "d", max_concurrency=2)), {"a": ok(delay_ms=300), "b": ok(delay_ms=100)})

    assert dict(played.times) == {"a": 0, "b": 0, "c": 100, "d": 100}


# --- loops -------------------------------------------------------------------------------------------


def test_rule_21_the_items_of_a_foreach_are_evaluated_once() -> None:
    tree = saga(each("f", "${[input.a, input.b]}", call("a", input={"x": "${item}"})))
    for number in range(1, 9):
        played = play(tree, value={"a": "u", "b": "v"}, crash_after=[number])
        bodies = {request.key: request.body["x"] for request in played.requests}
        assert list(bodies.values()) == ["u", "v"]
        assert sum(isinstance(each, ev.ItemsTaken) for each in played.events) == 1


def test_rule_23_iterations_are_instances_of_their_own() -> None:
    tree = saga(each("f", [1, 2], each("g", ["x", "y"], "a", **{"as": "letter", "index_as": "m"}), **LOOP))
    assert play(tree).calls == ["a[0][0]", "a[0][1]", "a[1][0]", "a[1][1]"]


def test_a_foreach_gives_each_iterations_last_output_in_item_order() -> None:
    tree = saga(each("f", [3, 4], "a", {"id": "v", "set": "${item * 10}"}, max_concurrency=2))
    assert output(tree, {"a": [ok(delay_ms=300), ok(delay_ms=100)]}) == [30, 40]


def test_a_foreach_over_nothing_gives_an_empty_list() -> None:
    assert output(saga(each("f", [], "a"), {"id": "v", "set": {"f": "${steps.f}", "a": "${steps.a}"}})) == {
        "f": [],
        "a": [],
    }


def test_an_inner_step_is_seen_from_its_own_iteration_and_as_a_list_from_outside() -> None:
    tree = saga(
        each("f", [1, 2], quiet("a", when="item > 1"), {"id": "v", "set": {"mine": "${steps.a}"}}),
        {"id": "all", "set": {"a": "${steps.a}", "v": "${steps.v}"}},
    )
    assert output(tree, {"a": ok({"n": 7})}) == {"a": [None, {"n": 7}], "v": [{"mine": None}, {"mine": {"n": 7}}]}


def test_a_failure_in_a_concurrent_foreach_starts_no_more_items_and_undoes_the_others() -> None:
    tree = saga(each("f", [1, 2, 3, 4, 5], "a", max_concurrency=2))
    played = play(tree, {"a": [ok(delay_ms=300), reject(delay_ms=100), ok()]})

    assert played.calls == ["a[0]", "a[1]", "undo a[0]"]


def test_a_foreach_of_more_items_than_allowed_is_a_failure() -> None:
    settings = Settings(limits=Limits(foreach_items=3))
    played = play(saga("z", each("f", [1, 2, 3, 4], "a")), settings=settings)

    assert (played.end, played.error, played.calls) == ("compensated", "limit_exceeded", ["z", "undo z"])


def test_a_repeat_whose_while_is_false_at_first_runs_no_round_and_gives_null() -> None:
    assert output(saga({"id": "r", "repeat": [call("a")], "while": "false"})) is None


def test_a_repeat_stops_when_until_holds_and_gives_the_last_rounds_output() -> None:
    tree = saga(
        {"id": "r", "repeat": [quiet("a")], "until": "steps.a.n >= 2"},
        {"id": "v", "set": {"r": "${steps.r}", "a": "${steps.a}"}},
    )
    replies = {"a": [ok({"n": 1}), ok({"n": 2}), ok({"n": 3})]}
    assert output(tree, replies) == {"r": {"n": 2}, "a": {"n": 2}}


def test_reaching_max_iterations_is_a_failure_unless_the_condition_holds_then() -> None:
    played = play(saga({"id": "r", "repeat": [call("a")], "until": "false", "max_iterations": 2}))
    assert (played.calls, played.error) == (["a[0]", "a[1]", "undo a[1]", "undo a[0]"], "max_iterations")

    assert play(saga({"id": "r", "repeat": [call("a")], "until": "true", "max_iterations": 1})).end == "completed"
    assert (
        play(saga({"id": "r", "repeat": [call("a")], "while": "true", "max_iterations": 2})).error == "max_iterations"
    )


# --- try ---------------------------------------------------------------------------------------------


def test_rule_24_a_failure_undoes_the_scope_alone_runs_the_handler_and_goes_on() -> None:
    played = play(saga("x", attempt("t", "a", "b", catch=["h"]), "y"), {"b": reject()})

    assert (played.calls, played.end) == (["x", "a", "b", "undo a", "h", "y"], "completed")
    assert played.balance == {"x": 1, "h": 1, "y": 1}


@pytest.mark.parametrize("strategy", ["fail_fast", "compensation", "retry"])
def test_rule_24_a_scope_is_undone_under_every_strategy(strategy) -> None:
    played = play(saga(attempt("t", "a", failure(), catch=["h"]), error_handling=strategy))

    assert (played.calls, played.end) == (["a", "undo a", "h"], "completed")


def test_rule_24_what_the_handler_does_belongs_to_the_outer_level() -> None:
    played = play(saga("x", attempt("t", "a", failure(), catch=["h"]), failure("late")))

    assert played.calls == ["x", "a", "undo a", "h", "undo h", "undo x"]


def test_rule_24_the_output_is_the_bodys_or_the_handlers() -> None:
    tree = saga(attempt("t", "a", catch=["h"], finally_=[quiet("z")]))

    assert output(tree, {"a": ok(1), "h": ok(2), "z": ok(3)}) == 1
    assert output(tree, {"a": reject(), "h": ok(2), "z": ok(3)}) == 2


def test_rule_24_the_first_handler_that_takes_the_code_or_class_runs() -> None:
    handlers = [
        {"errors": ["sold_out"], "steps": listed("h1")}, {"errors": ["unknown"], "steps": listed("h2")},
        {"errors": ["rejected", "not_sent"], "steps": listed("h3")},
    ]  # fmt: skip
    tree = saga(attempt("t", "a", catch=handlers))

    assert play(tree, {"a": reject("sold_out")}).calls == ["a", "h1"]
    assert play(tree, {"a": status(503)}).calls == ["a", "undo a", "h2"]
    assert play(tree, {"a": reject("other")}).calls == ["a", "h3"]
    assert play(tree, down=["a"]).calls == ["h3"]
    assert play(saga(attempt("t", {"id": "v", "set": "${1/0}"}, catch=handlers))).end == "compensated"


def test_rule_24_the_handler_sees_the_error() -> None:
    handler = {"as": "why", "steps": [{"id": "v", "set": {"code": "${why.code}", "step": "${why.step}"}}]}
    assert output(saga(attempt("t", "a", catch=[handler])), {"a": reject("full")}) == {"code": "full", "step": "a"}


def test_rule_24_nothing_caught_it_finally_runs_after_the_undo_and_before_it_travels() -> None:
    played = play(saga("x", attempt("t", "a", failure(), finally_=[quiet("z")])))

    assert (played.calls, played.end) == (["x", "a", "undo a", "z", "undo x"], "compensated")


def test_rule_24_a_failing_handler_travels_on_the_first_is_suppressed_and_finally_runs() -> None:
    tree = saga("x", attempt("t", "a", catch=["h", failure("bad", "second")], finally_=[quiet("z")]))
    played = play(tree, {"a": reject("first")})

    assert (played.calls, played.error, played.suppressed) == (
        ["x", "a", "h", "z", "undo h", "undo x"],
        "second",
        ["first"],
    )


def test_rule_24_a_failing_finally_is_suppressed_if_another_error_travels_else_it_travels() -> None:
    played = play(saga(attempt("t", "a", finally_=[failure("bad", "late")])), {"a": reject("first")})
    assert (played.error, played.suppressed) == ("first", ["late"])

    played = play(saga(attempt("t", "a", finally_=[failure("bad", "late")])))
    assert (played.error, played.calls, played.end) == ("late", ["a", "undo a"], "compensated")


def test_rule_24_compensate_false_leaves_the_entries_to_the_outer_level() -> None:
    tree = saga(attempt("t", "a", failure(), catch=["h"], compensate=False))
    assert play(tree).calls == ["a", "h"]

    tree["steps"].append(failure("late"))
    assert play(tree).calls == ["a", "h", "undo h", "undo a"]


def test_rule_24_after_a_failed_undo_nothing_catches_the_error() -> None:
    bad = {"undo a": reject("locked")}
    assert play(saga(attempt("t", "a", failure(), catch=["h"])), bad).end == "compensation_failed"
    for outer in ({}, {"compensate": False}):
        tree = saga(attempt("o", attempt("t", "a", failure(), catch=["h"]), catch=["g"], **outer))
        played = play(tree, bad)
        assert (set(played.calls), played.error, played.end) == ({"a", "undo a"}, "broken", "compensation_failed")


def test_rule_24_a_nested_scope_is_undone_before_the_outer_one() -> None:
    tree = saga("x", attempt("o", "a", attempt("t", "b", failure()), catch=["h"]))
    tree["steps"][1]["try"][1]["finally"] = [quiet("z")]
    played = play(tree)

    assert (played.calls, played.end) == (["x", "a", "b", "undo b", "z", "undo a", "h"], "completed")


def test_rule_24_an_inner_handler_spares_the_outer_scope() -> None:
    tree = saga(attempt("o", "a", attempt("t", "b", failure(), catch=["h"]), "c", catch=["g"]))
    assert play(tree).calls == ["a", "b", "undo b", "h", "c"]


def test_rule_24_a_sibling_branch_goes_on_while_a_scope_is_undone() -> None:
    tree = saga(par("p", attempt("t", "a", failure(), catch=["h"]), inner("q", "b", "c", "d")))
    played = play(tree, {"undo a": ok(delay_ms=1000), "b": ok(delay_ms=300), "c": ok(delay_ms=300)})

    assert (played.end, dict(played.times)) == (
        "completed",
        {"a": 0, "b": 0, "undo a": 0, "c": 300, "d": 600, "h": 1000},
    )


def test_rule_24_a_scope_waits_for_its_own_open_calls_alone() -> None:
    tree = saga(par("p", attempt("t", par("r", "a", "b"), catch=["h"]), "c"))
    played = play(tree, {"a": reject(delay_ms=100), "b": ok(delay_ms=500), "c": ok(delay_ms=9000)})

    assert dict(played.times)["undo b"] == 500
    assert played.end == "completed"


def test_rule_24_each_iteration_has_its_own_scope() -> None:
    tree = saga(each("f", [1, 2, 3], attempt("t", "a", quiet("b"), catch=["h"]), max_concurrency=3))
    played = play(tree, {"a": ok(), "b": [ok(delay_ms=200), reject(delay_ms=100), ok(delay_ms=300)]})

    assert played.end == "completed"
    assert played.calls[6:] == ["undo a[1]", "h[1]"]


def test_rule_24_a_handler_runs_in_each_round_anew() -> None:
    tree = saga({"id": "r", "repeat": [attempt("t", "a", catch=["h"])], "while": "true", "max_iterations": 2})
    assert play(tree, {"a": reject()}).calls[:4] == ["a[0]", "h[0]", "a[1]", "h[1]"]


def test_rule_24_a_cancel_skips_finally_and_handlers() -> None:
    tree = saga(attempt("t", "a", "b", catch=["h"], finally_=[quiet("z")]))
    played = play(tree, {"b": ok(delay_ms=500)}, news=[(100, inputs.Cancel())])

    assert (played.calls, played.end, played.error) == (["a", "b", "undo b", "undo a"], "compensated", "cancelled")


def test_rule_24_a_failure_beside_a_try_skips_its_finally() -> None:
    tree = saga(par("p", "x", attempt("t", "a", finally_=[quiet("z")])))
    assert play(tree, {"x": reject(delay_ms=100), "a": ok(delay_ms=300)}).calls == ["x", "a", "undo a"]


def test_rule_18_a_cancel_while_a_scope_is_undone_goes_on_with_the_undo_and_catches_nothing() -> None:
    tree = saga("x", attempt("t", "a", "b", failure(), catch=["h"], finally_=[quiet("z")]), "y")
    played = play(tree, {"undo b": ok(delay_ms=500)}, news=[(100, inputs.Cancel())])

    assert (played.calls, played.end) == (["x", "a", "b", "undo b", "undo a", "undo x"], "compensated")
    assert played.times[-1] == ("undo x", 500)


def test_a_cancel_under_fail_fast_keeps_what_a_scope_had_left_to_undo() -> None:
    tree = saga("x", attempt("t", "a", "b", failure(), catch=["h"]), error_handling="fail_fast")
    played = play(tree, {"undo b": ok(delay_ms=500)}, news=[(100, inputs.Cancel())])
    assert (played.calls[3:], played.end) == (["undo b"], "failed")
    assert played.state.ended_at_ms == START_MS + 500

    assert played.then(inputs.Compensate()).calls[4:] == ["undo a", "undo x"]
    assert played.end == "compensated"


def test_a_scope_undone_in_part_by_a_failure_beside_it_is_undone_once() -> None:
    tree = saga(attempt("o", par("p", attempt("t", "a", "b", failure(), catch=["h"]), quiet("c")), catch=["g"]))
    played = play(tree, {"undo b": ok(delay_ms=500), "c": reject("late", 100)})

    assert (played.calls[3:], played.end) == (["undo b", "undo a", "g"], "completed")


# --- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [(), (2,), (3, 5, 7), tuple(range(1, 60))])
def test_a_wide_parallel_is_started_in_records_of_a_hundred(crash) -> None:
    tree = saga(par("p", *({"id": f"v{number}", "set": number} for number in range(1000))))
    played = play(tree, crash_after=crash)

    starts = [
        sum(isinstance(each, ev.StepSucceeded) and not each.folded for each in record.events)
        for record in played.world.journal
    ]
    assert (max(starts), sum(starts)) == (100, 1000)
    assert played.view["output"] == {"parallel_results": list(range(1000))}


@pytest.mark.parametrize("crash", [(), (1, 2, 17, 40)])
def test_a_long_foreach_goes_on_over_records(crash) -> None:
    tree = saga(each("f", "${input.items}", {"id": "v", "set": "${item + 1}"}))
    played = play(tree, value={"items": list(range(5000))}, crash_after=crash)

    assert played.end == "completed"
    assert played.view["output"] == list(range(1, 5001))
    assert len(played.world.journal) == pytest.approx(50, abs=3)


def test_many_calls_of_one_parallel_are_all_sent_when_a_crash_comes_between_their_records() -> None:
    tree = saga(par("p", *(quiet(f"c{number}") for number in range(250))))
    played = play(tree, crash_before=[2, 3, 5])

    assert {each.key for each in played.requests} == {f"play:c{number}:do" for number in range(250)}
    assert played.end == "completed"


def test_many_skipped_undos_are_recorded_in_records_of_a_hundred() -> None:
    tree = saga(each("f", "${input.items}", call("a", undo={"when": "false"}), max_concurrency=350), failure())
    played = play(tree, value={"items": list(range(350))}, crash_after=[700, 1055, 1056])

    skips = [sum(isinstance(each, ev.UndoSkipped) for each in record.events) for record in played.world.journal]
    assert (max(skips), sum(skips), played.end) == (100, 350, "compensated")


def test_large_values_end_a_record_early() -> None:
    settings = Settings(limits=Limits(record_bytes=10_000))
    tree = saga(par("p", *(quiet(f"c{number}", input={"x": "${input.x + input.x}"}) for number in range(20))))
    played = play(tree, value={"x": "y" * 1500}, settings=settings, crash_after=[2])

    starts = [sum(isinstance(each, ev.StepScheduled) for each in record.events) for record in played.world.journal]
    assert (max(starts), sum(starts), played.end) == (5, 20, "completed")


def test_a_full_journal_fails_the_next_step_and_the_undo_goes_on() -> None:
    settings = Settings(limits=Limits(journal_events=40))
    tree = saga({"id": "r", "repeat": [call("a")], "while": "true"})
    played = play(tree, settings=settings)

    assert (played.error, played.end, played.balance) == ("limit_exceeded", "compensated", {})


def test_an_output_over_the_payload_limit_is_a_failure() -> None:
    settings = Settings(limits=Limits(payload_bytes=10_000))
    big = {name: ok("x" * 4000) for name in "abc"}
    played = play(saga(par("p", "a", "b", "c")), big, settings=settings)

    assert (played.end, played.error) == ("compensated", "payload_too_large")
    assert play(saga(par("p", "a", "b", "c"), {"id": "v", "set": 1}), big, settings=settings).end == "completed"


def test_an_input_over_the_payload_limit_is_a_failure_of_its_step() -> None:
    settings = Settings(limits=Limits(payload_bytes=10_000))
    big = {name: ok("x" * 4000) for name in "abc"}
    for mapping in ("${steps.p}", {"all": "${steps.p}"}):
        tree = saga(par("p", "a", "b", "c"), quiet("d", input=mapping))
        played = play(tree, big, settings=settings)
        assert (played.end, played.error, played.state.error.step) == ("compensated", "payload_too_large", "d")


def test_an_undo_is_never_refused_for_its_size() -> None:
    settings = Settings(limits=Limits(payload_bytes=10_000))
    tree = saga(call("a", input={"x": "${input.x}"}), failure())
    played = play(tree, {"a": ok("y" * 9000)}, value={"x": "z" * 9000}, settings=settings)

    assert (played.calls, played.end) == (["a", "undo a"], "compensated")


def test_a_whole_reference_is_journaled_as_a_reference_and_sent_as_its_value() -> None:
    tree = saga(
        quiet("a", input="${input.who}"),
        quiet("b", input="${steps.a.n}"),
        quiet("c"),
        quiet("d", input="${execution.id}"),
        quiet("e", input="${execution.started_at}"),
        each("f", "${input.list}", quiet("g", input="${item.k}"), quiet("h", input="${index}")),
    )
    value = {"who": {"x": 1}, "list": [{"k": "u"}]}
    played = play(tree, {"a": ok({"n": [1]})}, value=value, crash_after=range(2, 40, 3))

    bodies = {each.step: each.body for each in played.requests}
    assert bodies == {
        "a": {"x": 1}, "b": [1], "c": value, "d": "play", "e": "2023-11-14T22:13:20Z", "g[0]": "u", "h[0]": 0,
    }  # fmt: skip
    scheduled = {each.step: each.input for each in played.events if isinstance(each, ev.StepScheduled)}
    assert isinstance(scheduled["a"], ev.Reference)
    assert isinstance(scheduled["c"], ev.Reference)


def test_a_program_knows_its_signals() -> None:
    tree = saga({"id": "g", "signal": "go"}, {"id": "h", "signal": "stop", "timeout": "1s"})
    assert compile_program(load_tree(tree).definition, 1).signals == {"go", "stop"}
    assert compile_program(load_tree(seq("a")).definition, 1).signals == frozenset()
