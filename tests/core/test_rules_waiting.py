"""A step whose service has no endpoint that is well waits for one: rules 3, 4, 12, 16 and 26 around that."""

from __future__ import annotations

import pytest
from playing import call, failure, ok, ongoing, par, play, quiet, reject, saga, seq, timeout

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.evolve import fold
from makegood.core.judgement import Settings
from makegood.core.outstanding import Dispatch, outstanding
from makegood.simulation.world import START_MS

RETRY = {"max_attempts": 3, "initial_interval": "1s"}


def waits(played) -> list[tuple[str, int]]:
    """For each wait that was journaled, the step and for how long at most."""
    return [
        (f"undo {each.step}" if each.undo else each.step, each.until_ms - record.at_ms)
        for record in played.world.journal
        for each in record.events
        if isinstance(each, ev.ServiceAwaited)
    ]


def test_a_step_waits_for_its_service_and_no_attempt_is_used_up() -> None:
    played = play(seq("a", "b"), unwell={"b": (0, 40_000)})

    assert played.times == [("a", 0), ("b", 40_000)]
    assert played.end == "completed"
    assert waits(played) == [("b", 60_000)]
    assert [each["attempts"] for each in played.view["steps"]] == [1, 1]


def test_the_deadline_of_an_attempt_begins_when_it_is_sent() -> None:
    played = play(saga(call("a", timeout="2s")), {"a": ok(delay_ms=1_500)}, unwell={"a": (0, 30_000)})

    assert played.end == "completed"
    assert played.requests[0].deadline_ms == START_MS + 32_000


def test_a_wait_is_seen_with_its_service_since_when_and_until_when() -> None:
    played = play(seq("a"), unwell={"a": (0, 30_000)}, until_ms=10_000)

    assert played.view["steps"][0]["forward"] == "running"
    assert played.view["steps"][0]["attempts"] == 0
    assert played.view["steps"][0]["waits_for"] == {
        "service": "a", "since": "2023-11-14T22:13:20.000Z", "until": "2023-11-14T22:14:20.000Z",
    }  # fmt: skip
    played.world.play()
    assert "waits_for" not in played.view["steps"][0]


def test_a_wait_that_is_over_was_not_sent_and_counts_as_an_attempt() -> None:
    played = play(saga("a", call("b", retry=RETRY)), unwell={"b": (0, 10**9)}, wait_ms=5_000)

    assert played.calls == ["a", "undo a"]
    assert played.end == "compensated"
    assert waits(played) == [("b", 5_000)] * 3
    error = played.view["error"]
    assert (error["code"], error["outcome"], error["step"]) == ("service_unavailable", "not_sent", "b")
    assert error["message"] == "service 'b' has no endpoint that is well, and had none for 5 s"


def test_a_service_that_need_not_be_waited_for_fails_the_step_at_once() -> None:
    played = play(seq("a"), unwell={"a": (0, 10**9)}, wait_ms=0)

    assert (waits(played), played.end) == ([], "compensated")
    assert played.view["error"]["message"] == "service 'a' has no endpoint that is well"


def test_a_service_that_is_well_at_the_last_moment_is_called() -> None:
    assert play(seq("a"), unwell={"a": (0, 5_000)}, wait_ms=5_000).times == [("a", 5_000)]


def test_rule_3_a_wait_after_an_unknown_attempt_settles_unknown() -> None:
    tree = saga(call("a", retry={"max_attempts": 2, "initial_interval": "1s"}, timeout="2s"))

    played = play(tree, {"a": timeout(with_effect=True)}, unwell={"a": (2_500, 60_000)}, wait_ms=5_000)

    assert played.forward("a") == "unknown"
    assert waits(played)[0] == ("a", 5_000)
    assert played.end == "compensated"
    assert played.balance == {}


def test_rule_12_a_step_that_waits_without_an_attempt_is_skipped_by_an_abort() -> None:
    played = play(seq("a", "b"), unwell={"b": (0, 10**9)}, news=[(1_000, inputs.Cancel())])

    assert played.calls == ["a", "undo a"]
    assert (played.forward("b"), played.end) == ("skipped", "compensated")
    assert "waits_for" not in played.view["steps"][1]
    assert not played.state.awaiting


def test_rule_12_a_step_that_waits_between_attempts_settles_by_rule_3() -> None:
    tree = saga(call("a", retry=RETRY, timeout="1s"))

    played = play(
        tree, {"a": timeout(with_effect=True)}, unwell={"a": (1_500, 20_000)}, news=[(5_000, inputs.Cancel())]
    )

    assert played.forward("a") == "unknown"
    assert (played.calls, played.end) == (["a", "undo a"], "compensated")


def test_a_branch_that_waits_is_skipped_when_another_fails() -> None:
    played = play(saga(par("p", "a", "b")), {"a": reject(delay_ms=50)}, unwell={"b": (0, 10**9)})

    assert (played.forward("b"), played.end) == ("skipped", "compensated")


@pytest.mark.parametrize("crash", range(1, 6))
def test_a_wait_goes_on_after_a_crash_with_its_first_deadline(crash: int) -> None:
    played = play(seq("a", "b"), unwell={"b": (0, 10**9)}, wait_ms=9_000, crash_after=[crash])

    assert waits(played) == [("b", 9_000)]
    assert played.end == "compensated"
    failed = next(each for each in played.events if isinstance(each, ev.StepFailed))
    assert (failed.step, failed.error.code) == ("b", "service_unavailable")


def test_what_waits_is_asked_for_again_by_whoever_takes_over() -> None:
    played = play(seq("a"), unwell={"a": (0, 30_000)}, until_ms=10_000)

    again = fold(played.world.program, played.world.journal)

    assert outstanding(again) == [Dispatch((1, ()), False)]


def test_rule_16_an_undo_waits_too_and_uses_up_none_of_its_budget() -> None:
    played = play(saga("a", failure()), unwell={"a": (1, 200_000)}, until_ms=None)
    assert played.times == [("a", 0), ("undo a", 0)]

    played = play(saga(call("a"), {"id": "w", "wait": "2s"}, failure()), unwell={"a": (1_000, 200_000)})

    assert played.times == [("a", 0), ("undo a", 200_000)]
    assert played.end == "compensated"
    assert [name for name, _ in waits(played)] == ["undo a"] * 4
    assert played.view["compensations"][0]["attempts"] == 1


def test_rule_16_an_undo_waits_for_undo_wait_in_all_and_no_longer() -> None:
    tree = saga("a", {"id": "w", "wait": "2s"}, failure())

    played = play(tree, unwell={"a": (1_000, 10**9)}, settings=Settings(undo_wait_ms=100_000))

    assert played.end == "compensation_failed"
    assert played.state.ended_at_ms == START_MS + 102_000
    assert played.view["compensations"][0]["error"]["code"] == "service_unavailable"


def test_an_undo_that_waits_is_seen_in_the_compensations() -> None:
    tree = saga("a", {"id": "w", "wait": "2s"}, failure())

    played = play(tree, unwell={"a": (1_000, 200_000)}, until_ms=3_000)

    assert played.view["compensations"][0]["waits_for"]["service"] == "a"
    assert "waits_for" not in played.view["steps"][0]


def test_rule_26_behind_a_pivot_it_is_waited_for_without_limit() -> None:
    tree = saga(quiet("p", pivot=True), quiet("z", retriable=True))

    played = play(tree, unwell={"z": (0, 5_000_000)})

    assert (played.calls, played.end) == (["p", "z"], "completed")
    assert played.times[1][1] >= 5_000_000


def test_rule_26_a_pivot_that_waits_can_still_be_cancelled() -> None:
    played = play(saga("a", quiet("p", pivot=True)), unwell={"p": (0, 10**9)}, news=[(1_000, inputs.Cancel())])

    assert (played.calls, played.end) == (["a", "undo a"], "compensated")
    assert played.forward("p") == "skipped"


def test_while_suspended_nothing_waits_out_its_time_and_resume_asks_again() -> None:
    news = [(1_000, inputs.Suspend()), (20_000, inputs.Resume())]

    assert play(seq("a"), unwell={"a": (0, 10_000)}, wait_ms=5_000, news=news).times == [("a", 20_000)]
    played = play(seq("a"), unwell={"a": (0, 30_000)}, wait_ms=5_000, news=news)
    assert (played.error, played.state.ended_at_ms) == ("service_unavailable", START_MS + 20_000)


def test_an_ongoing_call_that_cannot_be_asked_is_unknown_in_the_end() -> None:
    played = play(saga(call("a")), {"a": ongoing(1.0)}, unwell={"a": (500, 20_000)}, wait_ms=3_000)

    assert played.forward("a") == "unknown"
    assert waits(played)[0] == ("a", 3_000)


def test_an_ongoing_call_is_not_waited_for_beyond_its_ongoing_timeout() -> None:
    tree = saga(call("a", ongoing_timeout="4s"))

    played = play(tree, {"a": ongoing(1.0)}, unwell={"a": (500, 20_000)})

    assert waits(played)[0] == ("a", 3_000)
    assert played.forward("a") == "unknown"


def test_an_ongoing_call_that_waits_is_bounded_anew_by_an_abort() -> None:
    tree = saga(call("a", timeout="2s"))

    played = play(
        tree, {"a": [ongoing(1.0), ok()]}, unwell={"a": (500, 30_000)}, news=[(4_000, inputs.Cancel())], until_ms=7_000
    )

    assert played.forward("a") == "unknown"
    assert waits(played)[:2] == [("a", 60_000), ("a", 2_000)]


def test_an_undo_that_was_accepted_and_cannot_be_asked_about_is_waited_for_like_any_other() -> None:
    replies = {"undo a": [ongoing(1.0), ok()]}

    played = play(saga("a", failure()), replies, unwell={"a": (500, 20_000)}, wait_ms=3_000)

    assert (played.end, played.balance) == ("compensated", {})
