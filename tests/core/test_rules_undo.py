"""Rules 7 to 14 and 16 to 19: the compensation list, the abort, and making good."""

from __future__ import annotations

import pytest
from playing import (
    attempt,
    bad_json,
    call,
    each,
    failure,
    inner,
    key_of,
    ok,
    ongoing,
    par,
    play,
    quiet,
    reject,
    reset,
    saga,
    seq,
    status,
    timeout,
)

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.judgement import Settings
from makegood.core.outcome import Reply
from makegood.errors import NotFound, Refused
from makegood.simulation.world import START_MS

# --- the list ----------------------------------------------------------------------------------------


def test_rule_6_unknown_outcome_is_compensated_first() -> None:
    calls, end = play(seq("a", "b", "d"), {"d": timeout(with_effect=True)})

    assert calls == ["a", "b", "d", "undo d", "undo b", "undo a"]
    assert end == "compensated"


def test_rule_7_a_step_without_compensation_is_listed_unless_it_only_reads() -> None:
    played = play(saga(quiet("a"), quiet("b", read_only=True), quiet("c"), failure()), {"c": ok()})

    assert (played.end, played.view["uncompensated_steps"]) == ("compensated", ["a", "c"])


def test_rule_7_a_completed_execution_lists_none() -> None:
    assert play(saga(quiet("a"))).view["uncompensated_steps"] == []


def test_rule_7_each_iteration_has_an_entry_of_its_own() -> None:
    played = play(saga(each("f", [1, 2], call("a")), failure()))

    assert played.calls == ["a[0]", "a[1]", "undo a[1]", "undo a[0]"]
    assert [(each["step"], each["iteration"]) for each in played.view["compensations"]] == [("a", [1]), ("a", [0])]


def test_rule_7_an_undo_of_a_service_that_is_not_there_is_a_failed_entry() -> None:
    tree = saga("a", failure(), on_compensation_failure="retry_forever")
    played = play(tree, {"undo a": status(503)}, until_ms=999)
    played.world.now_ms += 1
    missing = Reply("not_sent", code="service_not_found")
    played.then(inputs.Unreachable(key_of(played.state, "a"), True, missing))

    assert (played.end, played.undo("a")) == ("compensation_failed", "failed")


def test_rule_8_the_order_is_that_of_settling_not_of_beginning() -> None:
    tree = saga(par("p", "a", "b", "c"), failure())
    played = play(tree, {"a": ok(delay_ms=300), "b": ok(delay_ms=100), "c": ok(delay_ms=200)})

    assert played.calls[3:] == ["undo a", "undo c", "undo b"]


def test_rule_8_one_undo_at_a_time() -> None:
    played = play(saga(par("p", "a", "b"), failure()), {"undo b": ok(delay_ms=1000), "undo a": ok(delay_ms=1000)})

    times = dict(played.times)
    assert abs(times["undo a"] - times["undo b"]) >= 1000


def test_rule_8_structured_undoes_branches_side_by_side_and_everything_else_in_order() -> None:
    tree = saga(
        "x", par("p", inner("l", "a", "b"), inner("r", "c", "d")), "y", failure(), compensation_order="structured"
    )
    slow = {f"undo {name}": ok(delay_ms=1000) for name in "abcdxy"}
    times = dict(play(tree, slow).times)

    assert times["undo y"] == 0
    assert times["undo b"] == times["undo d"] == 1000
    assert times["undo a"] == times["undo c"] == 2000
    assert times["undo x"] == 3000


def test_rule_8_structured_branches_do_not_wait_for_a_slow_sibling() -> None:
    tree = saga(par("p", inner("l", "a", "b"), inner("r", "c", "d")), failure(), compensation_order="structured")
    times = dict(play(tree, {"undo b": ok(delay_ms=5000)}).times)

    assert (times["undo d"], times["undo c"], times["undo b"], times["undo a"]) == (0, 0, 0, 5000)


def test_rule_8_structured_iterations_of_a_foreach_are_no_branches() -> None:
    tree = saga(each("f", [1, 2], par("p", "a", "b"), max_concurrency=2), failure(), compensation_order="structured")
    slow = {"undo a": ok(delay_ms=1000), "undo b": ok(delay_ms=1000)}
    times = play(tree, slow).times[4:]

    assert [(name, at) for name, at in times] == [
        ("undo b[1]", 0), ("undo a[1]", 0), ("undo b[0]", 1000), ("undo a[0]", 1000),
    ]  # fmt: skip


def test_rule_9_the_snapshot_tells_everything() -> None:
    played = play(saga(each("f", ["u"], call("a", input={"x": "${item}"})), failure()), {"a": ok({"n": 1})})

    assert played.requests[1].body == {
        "execution_id": "play", "workflow": "saga", "step": "a", "iteration": [0], "outcome": "succeeded",
        "input": {"x": "u"}, "output": {"n": 1}, "forward_key": "play:a[0]:do", "error": None,
    }  # fmt: skip


def test_rule_9_the_snapshot_of_an_unknown_step_has_its_error_and_no_output() -> None:
    played = play(seq("a"), {"a": status(503)})

    body = played.requests[1].body
    assert (body["outcome"], body["output"], body["error"]["code"]) == ("unknown", None, "service_error")


def test_rule_9_its_own_mapping_sees_the_step_its_item_the_input_and_earlier_outputs() -> None:
    mapping = {
        "mine": "${step.output.n}", "sent": "${step.input.x}", "how": "${step.outcome}", "item": "${item}",
        "index": "${index}", "all": "${input.k}", "before": "${steps.z.n}",
    }  # fmt: skip
    tree = saga(
        quiet("z"), each("f", ["u", "v"], call("a", input={"x": "${item}"}, undo={"input": mapping})), failure()
    )
    played = play(tree, {"z": ok({"n": 9}), "a": [ok({"n": 1}), ok({"n": 2})]}, value={"k": "in"})

    assert [each.body for each in played.requests if each.undo] == [
        {"mine": 2, "sent": "v", "how": "succeeded", "item": "v", "index": 1, "all": "in", "before": 9},
        {"mine": 1, "sent": "u", "how": "succeeded", "item": "u", "index": 0, "all": "in", "before": 9},
    ]


def test_rule_9_the_body_is_resolved_once_and_kept_over_attempts_and_crashes() -> None:
    tree = saga(call("a", undo={"input": {"n": "${step.output.n}"}}), failure())
    played = play(tree, {"a": ok({"n": 4}), "undo a": [status(503), status(503), ok()]}, crash_before=[6])

    assert {str(each.body) for each in played.requests if each.undo} == {"{'n': 4}"}
    assert sum(isinstance(each, ev.UndoScheduled) for each in played.events) == 1


def test_rule_9_a_mapping_without_a_value_is_a_failed_entry_and_the_others_go_on() -> None:
    tree = saga("a", call("b", undo={"input": {"n": "${step.output.n.m}"}}), failure())
    played = play(tree)

    assert (played.calls, played.end) == (["a", "b", "undo a"], "compensation_failed")
    assert played.view["compensations"][0]["error"]["code"] == "expression_error"


def test_rule_10_a_false_condition_skips_the_entry() -> None:
    played = play(saga(call("a", undo={"when": "step.output.n > 5"}), "b", failure()), {"a": ok({"n": 1})})

    assert (played.calls, played.end, played.undo("a")) == (["a", "b", "undo b"], "compensated", "skipped")


def test_rule_10_an_error_in_the_condition_counts_as_true() -> None:
    played = play(saga(call("a", undo={"when": "step.output.absent.x > 5"}), failure()))

    assert (played.calls, played.end) == (["a", "undo a"], "compensated")


# --- the abort ---------------------------------------------------------------------------------------


def test_rule_11_the_first_cause_stays_and_later_failures_are_suppressed() -> None:
    played = play(
        saga(par("p", "a", "b", "c")), {"a": reject("one", 100), "b": reject("two", 200), "c": ok(delay_ms=300)}
    )

    assert (played.error, played.suppressed, played.end) == ("one", ["two"], "compensated")


def test_rule_11_the_abort_is_in_the_record_of_its_cause() -> None:
    played = play(seq("a", "b"), {"b": reject()})
    kinds = next(
        [type(each) for each in record.events]
        for record in played.world.journal
        if any(isinstance(each, ev.StepFailed) for each in record.events)
    )

    assert kinds[:2] == [ev.StepFailed, ev.AbortDecided]


def test_rule_12_open_attempts_are_awaited_and_no_new_step_starts() -> None:
    tree = saga(par("p", "a", inner("q", "b", "c")))
    played = play(tree, {"a": reject(delay_ms=100), "b": ok(delay_ms=900)})

    assert played.times == [("a", 0), ("b", 0), ("undo b", 900)]
    assert played.forward("q") == "skipped"


def test_rule_12_a_step_between_attempts_settles_at_once_by_rule_3() -> None:
    retry = {"max_attempts": 5, "initial_interval": "60s"}
    tree = saga(par("p", call("a", retry=retry), call("b", retry=retry), call("c")))
    played = play(tree, {"a": status(503), "b": status(429), "c": reject(delay_ms=500)})

    assert (played.forward("a"), played.forward("b")) == ("unknown", "failed")
    assert played.times == [("a", 0), ("b", 0), ("c", 0), ("undo a", 500)]
    assert sorted(played.suppressed) == ["http_429", "service_error"]


def test_rule_12_waits_signals_and_steps_without_an_attempt_are_skipped() -> None:
    tree = saga(par("p", {"id": "w", "wait": "1h"}, {"id": "g", "signal": "go"}, call("a")))
    played = play(tree, {"a": reject(delay_ms=100)})

    assert (played.forward("w"), played.forward("g"), played.end) == ("skipped", "skipped", "compensated")
    assert played.state.ended_at_ms == START_MS + 100


def test_rule_12_an_ongoing_call_is_polled_for_at_most_one_more_timeout_and_then_unknown() -> None:
    tree = saga(par("p", call("a", timeout="4s"), call("b")))
    played = play(tree, {"a": ongoing(1.5), "b": reject(delay_ms=2000)})

    assert played.times == [("a", 0), ("b", 0), ("a", 1500), ("a", 3000), ("a", 4500), ("undo a", 6000)]
    assert played.forward("a") == "unknown"


def test_rule_12_an_ongoing_call_that_comes_to_its_end_while_draining_is_taken() -> None:
    tree = saga(par("p", call("a", timeout="4s"), call("b")))
    played = play(tree, {"a": [ongoing(1.5), ongoing(1.5), ok({"n": 1})], "b": reject(delay_ms=2000)})

    assert played.times[-1] == ("undo a", 3000)
    assert played.requests[-1].body["output"] == {"n": 1}


def test_rule_13_the_undo_of_a_call_without_an_answer_waits_for_its_deadline() -> None:
    played = play(saga(call("a", timeout="3s")), {"a": reset(effect_ms=2500, delay_ms=100)})

    assert played.times == [("a", 0), ("undo a", 3000)]
    assert (played.balance, played.end) == ({}, "compensated")


def test_rule_13_an_answer_that_was_received_needs_no_wait() -> None:
    assert play(seq("a"), {"a": status(503, delay_ms=100)}).times == [("a", 0), ("undo a", 100)]
    assert play(seq("a"), {"a": bad_json()}).times == [("a", 0), ("undo a", 0)]


def test_rule_13_an_earlier_attempt_without_an_answer_counts_even_if_a_later_one_succeeded() -> None:
    retry = {"max_attempts": 2, "initial_interval": "100ms"}
    played = play(saga(call("a", timeout="5s", retry=retry), failure()), {"a": [reset(), ok()]})

    assert played.times == [("a", 0), ("a", 100), ("undo a", 5000)]


def test_rule_13_after_a_takeover_the_clock_skew_is_added() -> None:
    played = play(saga(call("a", timeout="3s"), failure()), {"a": ok(delay_ms=1000)}, until_ms=500)
    played.world.crash()
    played.world.play()

    assert played.times == [("a", 0), ("a", 500), ("undo a", 3500)]


def test_rule_13_other_entries_wait_in_their_order() -> None:
    played = play(saga("a", call("b", timeout="3s")), {"b": reset()})

    assert played.times == [("a", 0), ("b", 0), ("undo b", 3000), ("undo a", 3000)]


def test_rule_14_fail_fast_keeps_the_entries_for_an_operator() -> None:
    played = play(seq("a", "b", failure(), error_handling="fail_fast"))
    assert (played.calls, played.end, played.undo("a")) == (["a", "b"], "failed", "armed")

    played.then(inputs.Compensate("ada", "sorry"))
    assert (played.calls[2:], played.end) == (["undo b", "undo a"], "compensated")


def test_rule_14_compensate_is_refused_but_for_failed_and_idempotent_afterwards() -> None:
    played = play(seq("a"))
    with pytest.raises(Refused):
        played.then(inputs.Compensate())

    played = play(seq("a", failure()))
    records = len(played.world.journal)
    played.then(inputs.Compensate())
    assert len(played.world.journal) == records


def test_rule_14_nothing_to_undo_is_compensated() -> None:
    assert play(saga(failure())).end == "compensated"


# --- undo --------------------------------------------------------------------------------------------


def test_rule_16_every_reply_but_ok_is_retried_within_five_attempts() -> None:
    bad = [reject(), status(503), timeout(), status(404), ok()]
    tree = saga(call("a", undo={"timeout": "1s"}), failure())
    played = play(tree, {"undo a": bad[:2] + bad[2:3] + [reject(), ok()]})

    assert played.times[1:] == [("undo a", 0), ("undo a", 1000), ("undo a", 3000), ("undo a", 8000), ("undo a", 16000)]
    assert played.end == "compensated"


def test_rule_16_five_failures_are_final() -> None:
    played = play(seq("a", failure()), {"undo a": reject("locked")})

    assert (played.calls.count("undo a"), played.end) == (5, "compensation_failed")
    entry = played.view["compensations"][0]
    assert (entry["status"], entry["attempts"], entry["error"]["code"]) == ("failed", 5, "locked")


def test_rule_16_nothing_to_undo_is_done_after_an_unknown_call() -> None:
    for reply in (status(404), status(410), status(409, code="nothing_to_undo")):
        played = play(seq("a"), {"a": status(503), "undo a": reply})
        assert (played.calls, played.end) == (["a", "undo a"], "compensated")


def test_rule_16_nothing_to_undo_is_done_after_an_unknown_undo_and_a_failure_otherwise() -> None:
    played = play(seq("a", failure()), {"undo a": [status(503, effect=True), status(404)]})
    assert (played.calls.count("undo a"), played.end) == (2, "compensated")

    played = play(seq("a", failure()), {"undo a": status(404)})
    assert (played.calls.count("undo a"), played.end) == (5, "compensation_failed")


def test_rule_16_not_sent_does_not_count_and_is_repeated_up_to_undo_wait() -> None:
    settings = Settings(undo_wait_ms=60_000)
    played = play(seq("a", failure()), {"undo a": [status(429)] * 20 + [ok()]}, settings=settings)
    assert (played.end, played.calls.count("undo a")) == ("compensated", 21)

    played = play(seq("a", failure()), {"undo a": status(429)}, settings=settings)
    assert played.end == "compensation_failed"
    assert played.times[-1][1] == 60_000


def test_rule_16_an_explicit_retry_counts_every_attempt() -> None:
    for keys in ({"undo": {"retry": {"max_attempts": 3}}}, {}):
        defaults = {} if keys else {"defaults": {"compensation": {"retry": {"max_attempts": 3}}}}
        played = play(saga(call("a", **keys), failure(), **defaults), {"undo a": status(429)})
        assert (played.end, played.calls.count("undo a")) == ("compensation_failed", 3)


def test_rule_16_undo_wait_begins_when_the_undo_could_first_be_sent() -> None:
    settings = Settings(undo_wait_ms=5_000)
    played = play(
        saga(call("a", timeout="20s")), {"a": reset(), "undo a": [status(429)] * 3 + [ok()]}, settings=settings
    )

    assert played.end == "compensated"


def test_rule_16_undo_wait_begins_anew_with_an_operators_retry() -> None:
    settings = Settings(undo_wait_ms=5_000)
    played = play(seq("a", failure()), {"undo a": [status(429)] * 8 + [ok()]}, settings=settings)
    assert played.end == "compensation_failed"

    played.world.now_ms += 1_000_000
    assert played.then(inputs.Retry()).end == "compensated"


def test_rule_16_an_ongoing_undo_is_polled_and_uses_up_no_attempt() -> None:
    played = play(seq("a", failure()), {"undo a": [ongoing(1.0)] * 9 + [ok()]})

    assert (played.calls.count("undo a"), played.end) == (10, "compensated")


def test_rule_17_continue_undoes_the_rest() -> None:
    played = play(seq("a", "b", "c", failure()), {"undo b": reject("locked")})

    assert (played.end, played.undo("a"), played.undo("b"), played.undo("c")) == (
        "compensation_failed",
        "done",
        "failed",
        "done",
    )


def test_rule_17_halt_leaves_the_rest_armed_and_a_retry_goes_on() -> None:
    played = play(seq("a", "b", "c", failure(), on_compensation_failure="halt"), {"undo b": reject("locked")})
    assert (played.end, played.undo("a"), played.undo("b"), played.undo("c")) == (
        "compensation_failed",
        "armed",
        "failed",
        "done",
    )

    played.heal().then(inputs.Retry("ada"))
    assert (played.end, played.calls[-2:]) == ("compensated", ["undo b", "undo a"])


def test_rule_17_halt_stops_side_by_side_undos_when_those_under_way_are_done() -> None:
    tree = saga(
        "x",
        par("p", "a", inner("q", "b", "c")),
        failure(),
        compensation_order="structured",
        on_compensation_failure="halt",
    )
    undo = {"undo a": reject("locked"), "undo c": ok(delay_ms=20_000)}
    played = play(tree, undo)

    assert played.end == "compensation_failed"
    assert [played.undo(name) for name in "xabc"] == ["armed", "failed", "armed", "done"]


def test_rule_17_retry_forever_does_not_give_up() -> None:
    tree = seq("a", failure(), on_compensation_failure="retry_forever")
    played = play(tree, {"undo a": [reject()] * 30 + [ok()]})

    assert (played.calls.count("undo a"), played.end) == (31, "compensated")


def test_rule_18_cancel_timeout_and_suspend_do_not_touch_a_compensation() -> None:
    tree = seq("a", "b", failure(), timeout="2s")
    played = play(tree, {"undo b": ok(delay_ms=5000)}, until_ms=1000)
    records = len(played.world.journal)

    played.world.tell(inputs.Cancel())
    with pytest.raises(Refused):
        played.world.tell(inputs.Suspend())
    assert len(played.world.journal) == records

    played.world.play()
    assert (played.end, played.error) == ("compensated", "broken")


def test_rule_19_retry_tries_the_failed_entries_in_undo_order() -> None:
    played = play(seq("a", "b", "c", failure()), {"undo a": reject(), "undo c": reject()})
    played.heal().then(inputs.Retry("ada", "again"))

    assert (played.calls[-2:], played.end) == (["undo c", "undo a"], "compensated")


def test_rule_19_resolve_declares_an_entry_undone_with_a_note() -> None:
    played = play(seq("a", "b", failure()), {"undo a": reject(), "undo b": reject()})
    assert played.then(inputs.Resolve("a", "by phone", "ada")).end == "compensation_failed"

    assert played.then(inputs.Resolve("b", "by post", "ada")).end == "compensated"
    assert [entry["note"] for entry in played.view["compensations"]] == ["by post", "by phone"]


def test_rule_19_resolving_the_failed_entry_of_a_halted_undo_lets_the_rest_go_on() -> None:
    played = play(seq("a", "b", failure(), on_compensation_failure="halt"), {"undo b": reject()})

    assert played.then(inputs.Resolve("b", "by phone")).end == "compensated"
    assert played.calls[-1] == "undo a"


def test_rule_19_resolving_a_left_entry_leaves_the_failed_one() -> None:
    played = play(seq("a", "b", failure(), on_compensation_failure="halt"), {"undo b": reject()})

    assert played.then(inputs.Resolve("a", "by phone")).end == "compensation_failed"
    assert (played.undo("a"), played.undo("b")) == ("done", "failed")


def test_rule_19_what_is_not_failed_cannot_be_retried_or_resolved() -> None:
    played = play(seq("a", "b", failure()), {"undo a": reject()})

    with pytest.raises(NotFound):
        played.then(inputs.Resolve("b", "no"))
    with pytest.raises(Refused):
        play(seq("a")).then(inputs.Retry())
    with pytest.raises(Refused):
        play(seq("a")).then(inputs.Resolve("a", "no"))


def test_rule_19_an_iteration_is_resolved_by_its_name() -> None:
    played = play(saga(each("f", [1, 2], call("a")), failure()), {"undo a": reject()})
    played.then(inputs.Resolve("a[1]", "one"))
    played.then(inputs.Resolve("a[0]", "two"))

    assert played.end == "compensated"


def test_an_undo_of_a_scope_that_failed_can_be_retried_at_the_end() -> None:
    tree = saga(attempt("t", "a", failure(), catch=[quiet("h")]))
    played = play(tree, {"undo a": reject()})
    assert (played.calls[-1], played.end) == ("undo a", "compensation_failed")

    assert played.heal().then(inputs.Retry()).end == "compensated"


def test_rule_16_an_undo_that_is_ongoing_for_ever_ends_as_one_that_failed() -> None:
    played = play(saga(call("a", ongoing_timeout="1h"), failure()), {"undo a": ongoing(600.0)})

    assert (played.end, played.view["compensations"][0]["error"]["code"]) == ("compensation_failed", "call_timeout")


def test_rule_16_an_undo_without_a_bound_of_its_own_is_ongoing_no_longer_than_an_execution_may_last() -> None:
    played = play(saga(call("a"), failure(), timeout="2h"), {"undo a": [ongoing(3_000.0)] * 3 + [ok()]})

    assert played.end == "compensated"
    assert [each.attempt for each in played.requests if each.undo] == [1, 1, 1, 2]
