"""Rules 1 to 6 and 15: what an attempt comes to, what is tried again, how a step settles."""

from __future__ import annotations

import pytest
from playing import bad_json, call, failure, ok, ongoing, play, quiet, reject, reset, saga, seq, status, timeout

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.outcome import Reply
from makegood.simulation.world import START_MS

RETRY = {"max_attempts": 3, "initial_interval": "1s"}


@pytest.mark.parametrize(
    ("reply", "settled", "code"),
    [
        (reject("sold_out"), "failed", "sold_out"),
        (status(404), "failed", "http_404"),
        (status(429), "failed", "http_429"),
        (status(503), "unknown", "service_error"),
        (timeout(), "unknown", "call_timeout"),
        (reset(), "unknown", "connection_reset"),
        (bad_json(), "unknown", "invalid_reply"),
    ],
)
def test_rule_1_a_reply_has_one_class_and_settles_its_step(reply, settled, code) -> None:
    played = play(seq("a"), {"a": reply})

    assert played.forward("a") == settled
    assert played.error == code
    assert played.end == "compensated"
    assert played.calls == (["a", "undo a"] if settled == "unknown" else ["a"])


def test_rule_1_a_refused_connection_is_not_sent_and_leaves_nothing_to_undo() -> None:
    played = play(seq("a"), down=["a"])

    assert (played.calls, played.end, played.error) == ([], "compensated", "service_unavailable")
    assert played.forward("a") == "failed"


def test_rule_1_an_ongoing_call_is_polled_with_the_same_key_and_uses_up_no_retry() -> None:
    played = play(seq("a"), {"a": [ongoing(0.5), ongoing(0.5), ok({"n": 1})]})

    assert played.times == [("a", 0), ("a", 500), ("a", 1000)]
    assert {(each.key, each.attempt) for each in played.requests} == {("play:a:do", 1)}
    assert played.view["output"] == {"n": 1}


def test_rule_1_an_ongoing_call_is_given_up_after_its_ongoing_timeout() -> None:
    played = play(saga(call("a", ongoing_timeout="3s")), {"a": ongoing(1.0)})

    assert played.calls == ["a", "a", "a", "undo a"]
    assert (played.forward("a"), played.error) == ("unknown", "call_timeout")


def test_rule_1_no_poll_outlives_the_ongoing_timeout_so_that_the_undo_finds_none_open() -> None:
    played = play(saga(call("a", ongoing_timeout="3s")), {"a": [ongoing(1.0), timeout(with_effect=True)]})

    assert played.times == [("a", 0), ("a", 1000), ("undo a", 3000)]
    assert played.requests[1].deadline_ms == START_MS + 3000
    assert played.balance == {}


def test_rule_2_a_lost_call_is_sent_again_with_the_same_key_outside_the_budget() -> None:
    played = play(seq("a"), {"a": ok({"n": 1})}, crash_before=[3])

    assert played.calls == ["a", "a"]
    assert [each.attempt for each in played.requests] == [1, 2]
    assert {each.key for each in played.requests} == {"play:a:do"}
    assert played.end == "completed"


def test_rule_2_after_ten_losses_a_step_settles_unknown() -> None:
    played = play(seq("a"), {"a": ok()}, crash_after=range(2, 25))

    assert played.end == "compensated"
    assert (played.forward("a"), played.error) == ("unknown", "lost")
    assert sum(isinstance(each, ev.AttemptStarted) and not each.undo for each in played.events) == 11


def test_rule_2_a_lost_undo_is_sent_again_with_the_same_key() -> None:
    played = play(seq("a", failure()), {"undo a": ok(delay_ms=100)}, crash_before=[5, 7])

    undo_keys = {each.key for each in played.requests if each.undo}
    assert (undo_keys, played.end) == ({"play:a:undo"}, "compensated")


def test_rule_2_a_call_lost_after_the_abort_is_not_sent_again() -> None:
    tree = saga({"id": "p", "parallel": [call("a"), call("b")]})
    played = play(tree, {"a": ok(delay_ms=500), "b": reject(delay_ms=100)}, until_ms=200)
    played.world.crash()
    played.world.play()

    assert played.calls == ["a", "b", "undo a"]
    assert (played.forward("a"), played.end) == ("unknown", "compensated")


def test_rule_3_any_unknown_attempt_makes_a_later_rejection_unknown() -> None:
    played = play(saga(call("a", retry=RETRY)), {"a": [status(503, effect=True), reject()]})

    assert played.calls == ["a", "a", "undo a"]
    assert (played.forward("a"), played.error) == ("unknown", "sold_out")
    assert played.state.error.outcome == "unknown"
    assert played.balance == {}


def test_rule_3_a_lost_attempt_makes_a_later_rejection_unknown() -> None:
    played = play(seq("a"), {"a": [ok(), reject()]}, crash_before=[3])
    assert played.end == "completed"  # the key was promised `ok`

    played = play(saga(call("a")), {"a": reject()}, crash_before=[3])
    assert (played.forward("a"), played.end) == ("unknown", "compensated")
    assert played.calls == ["a", "a", "undo a"]


def test_rule_3_a_rejection_by_a_strictly_idempotent_service_clears_an_unknown() -> None:
    played = play(saga(call("a", retry=RETRY)), {"a": [status(503), ok(delay_ms=5000)]}, until_ms=1500)
    reply = Reply("rejected", code="sold_out")
    played.then(inputs.Replied((1, ()), False, 2, reply, strict=True))

    assert (played.forward("a"), played.calls) == ("failed", ["a", "a"])


def test_rule_3_an_ok_after_an_unknown_succeeds() -> None:
    played = play(saga(call("a", retry=RETRY)), {"a": [timeout(), ok()]})

    assert (played.end, played.forward("a")) == ("completed", "succeeded")


def test_rule_4_unknown_and_not_sent_are_retried_with_growing_waits() -> None:
    retry = {"max_attempts": 4, "initial_interval": "1s", "backoff": 2.0, "max_interval": "3s"}
    played = play(saga(call("a", retry=retry)), {"a": [status(503), status(429), status(500), ok()]})

    assert played.times == [("a", 0), ("a", 1000), ("a", 3000), ("a", 6000)]
    assert [each.attempt for each in played.requests] == [1, 2, 3, 4]


def test_rule_4_a_rejection_is_retried_only_when_listed() -> None:
    listed = {**RETRY, "retry_on": ["sold_out"]}

    assert play(saga(call("a", retry=RETRY)), {"a": [reject("sold_out"), ok()]}).calls == ["a"]
    assert play(saga(call("a", retry=listed)), {"a": [reject("sold_out"), ok()]}).calls == ["a", "a"]
    assert play(saga(call("a", retry=listed)), {"a": [reject("broke"), ok()]}).calls == ["a"]
    assert play(saga(call("a", retry=listed)), {"a": [status(503), ok()]}).end == "completed"


def test_rule_4_without_a_policy_there_is_one_attempt() -> None:
    assert play(seq("a"), {"a": [status(429), ok()]}).calls == ["a"]


def test_rule_4_a_longer_retry_after_is_honoured_and_a_shorter_one_too() -> None:
    played = play(saga(call("a", retry=RETRY)), {"a": [status(429, after_s=7), status(429, after_s=0.1), ok()]})

    assert played.times == [("a", 0), ("a", 7000), ("a", 9000)]


def test_rule_4_the_strategy_retry_is_the_policy_of_calls_without_their_own() -> None:
    tree = saga(quiet("a"), quiet("b", retry={"max_attempts": 1}), error_handling="retry")
    played = play(tree, {"a": [status(503), status(503), ok()], "b": status(503)})

    assert played.times == [("a", 0), ("a", 1000), ("a", 3000), ("b", 3000)]
    assert played.end == "failed"


def test_rule_14_the_strategy_retry_does_its_then_when_used_up() -> None:
    handling = {"strategy": "retry", "max_attempts": 2, "initial_interval": "100ms", "then": "compensation"}
    played = play(saga("a", "b", error_handling=handling), {"b": status(503)})

    assert (played.calls, played.end) == (["a", "b", "b", "undo b", "undo a"], "compensated")


def test_rule_5_an_expression_error_settles_the_step_failed_without_an_attempt() -> None:
    played = play(saga("a", call("b", input={"x": "${input.nothing.there}"})))

    assert (played.calls, played.end, played.error) == (["a", "undo a"], "compensated", "expression_error")
    assert (played.forward("b"), played.undo("b")) == ("failed", "none")


@pytest.mark.parametrize(
    "step",
    [
        {"id": "x", "if": "input.nothing", "then": [call("b")]},
        {"id": "x", "switch": [{"when": "input.nothing == 1", "steps": [call("b")]}]},
        {"id": "x", "foreach": "${input.nothing}", "steps": [call("b")]},
        {"id": "x", "foreach": "${input}", "steps": [call("b")]},
        {"id": "x", "repeat": [quiet("b")], "until": "input.nothing"},
        {"id": "x", "repeat": [quiet("b")], "while": "input.nothing"},
        {"id": "x", "wait": {"until": "${input.nothing}"}},
        {"id": "x", "wait": {"until": "${execution.id}"}},
        {"id": "x", "set": {"v": "${1 / 0}"}},
        {"id": "x", "set": {"v": 1}, "when": "input.nothing"},
        {"id": "x", "fail": {"error": "e", "message": "${input.nothing}"}},
    ],
)
def test_rule_5_an_error_in_any_expression_fails_its_step(step) -> None:
    played = play(saga("a", step))

    assert (played.end, played.error, played.state.error.step) == ("compensated", "expression_error", "x")
    assert played.calls[-1] == "undo a"


def test_rule_5_a_failing_output_is_a_failure_without_a_step() -> None:
    played = play(saga("a", output={"x": "${steps.a.nothing}"}), {"a": ok({"n": 1})})

    assert (played.calls, played.end, played.error) == (["a", "undo a"], "compensated", "expression_error")
    assert played.state.error.step is None


def test_rule_6_the_entry_is_journaled_with_the_schedule_and_disarmed_by_a_failure() -> None:
    played = play(seq("a"), {"a": reject(delay_ms=50)}, until_ms=10)
    assert played.undo("a") == "armed"

    played.world.play()
    assert (played.undo("a"), played.end) == ("none", "compensated")


def test_rule_6_compensate_on_failure_keeps_the_entry_of_a_failed_step() -> None:
    played = play(saga(call("a", compensate_on_failure=True)), {"a": reject()})

    assert played.calls == ["a", "undo a"]
    assert played.requests[1].body["outcome"] == "failed"


def test_rule_6_compensate_on_failure_does_not_undo_what_was_never_begun() -> None:
    tree = saga({"id": "p", "parallel": [call("a"), call("b", compensate_on_failure=True)], "max_concurrency": 1})

    assert play(tree, {"a": reject()}).calls == ["a"]


def test_rule_15_keys_name_the_execution_the_instance_and_the_direction() -> None:
    steps = {"id": "f", "foreach": [7, 8], "steps": [call("a")]}
    played = play(saga(steps, failure()))

    assert [each.key for each in played.requests] == [
        "play:a[0]:do", "play:a[1]:do", "play:a[1]:undo", "play:a[0]:undo",
    ]  # fmt: skip


def test_rule_3_a_call_that_was_accepted_and_cannot_be_asked_about_is_unknown() -> None:
    played = play(seq("a"), {"a": [ongoing(1.0), status(429)]})

    assert played.forward("a") == "unknown"
    assert played.calls == ["a", "a", "undo a"]
