"""Rule 26: behind a point of no return a person decides what no program can."""

from __future__ import annotations

import pytest
from playing import attempt, ok, play, reject, saga, status

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.judgement import Settings
from makegood.errors import NotFound, Refused
from makegood.model import Limits

PIVOT = {"id": "p", "call": "p.do", "pivot": True}
LAST = {"id": "z", "call": "z.do", "retriable": True}
SETTING = {"id": "s", "set": {"n": "${steps.a.n}"}}


def test_rule_26_a_step_that_is_resolved_as_succeeded_has_the_output_it_was_given() -> None:
    played = play(saga("a", PIVOT, LAST, output={"z": "${steps.z.n}"}), {"z": reject()})

    played.then(inputs.Resolve("z", "done by hand", "ada", "succeeded", {"n": 7}))

    assert (played.end, played.view["output"], played.calls) == ("completed", {"z": 7}, ["a", "p", "z"])


def test_rule_26_a_step_behind_the_pivot_that_is_resolved_as_failed_ends_failed_and_nothing_is_undone() -> None:
    played = play(saga("a", PIVOT, LAST), {"z": reject()})

    played.then(inputs.Resolve("z", "cannot be done", "ada", "failed"))

    assert (played.end, played.error, played.calls) == ("failed", "resolved", ["a", "p", "z"])


def test_rule_26_a_pivot_that_is_resolved_as_failed_is_made_good_like_any_failure() -> None:
    played = play(saga("a", PIVOT, LAST), {"p": status(503)})
    assert played.state.suspended_reason == "pivot_unknown"

    played.then(inputs.Resolve("p", "the bank says no", "ada", "failed"))

    assert (played.end, played.calls) == ("compensated", ["a", "p", "undo a"])


def test_rule_26_a_pivot_that_is_resolved_as_succeeded_has_been_passed() -> None:
    played = play(saga("a", PIVOT, LAST), {"p": status(503)})

    played.then(inputs.Resolve("p", "the bank says yes", "ada", "succeeded"))

    assert (played.end, played.state.pivoted, played.calls) == ("completed", True, ["a", "p", "z"])


def test_rule_26_a_failure_without_a_call_behind_the_pivot_suspends_and_is_tried_again_at_resume() -> None:
    played = play(saga("a", PIVOT, SETTING, LAST), {"a": ok({})})
    assert (played.end, played.state.suspended_reason, played.state.stuck != []) == ("suspended", "after_pivot", True)

    played.then(inputs.Resume())
    assert (played.end, played.calls) == ("suspended", ["a", "p"])

    played.then(inputs.Resolve("s", "seven, says the book", "ada", "succeeded", {"n": 7}))
    assert (played.end, played.calls) == ("completed", ["a", "p", "z"])


def test_rule_26_behind_the_pivot_no_try_catches() -> None:
    scope = attempt("t", {"id": "x", "call": "x.do", "retriable": True}, catch=[{"id": "h", "set": {"caught": True}}])
    played = play(saga(PIVOT, scope), {"x": reject()})

    assert (played.end, played.state.suspended_reason) == ("suspended", "after_pivot")


def test_rule_26_two_branches_that_fail_behind_the_pivot_are_both_tried_again() -> None:
    both = {"id": "b", "parallel": [{"id": name, "call": f"{name}.do", "retriable": True} for name in ("x", "y")]}
    played = play(saga(PIVOT, both), {"x": [reject(), ok()], "y": [reject(), ok()]})
    assert played.end == "suspended"

    assert played.then(inputs.Resume()).end == "completed"
    assert sorted(played.calls) == ["p", "x", "x", "y", "y"]


def test_rule_26_only_what_waits_for_a_person_can_be_resolved() -> None:
    played = play(saga("a", PIVOT, LAST), {"z": reject()})
    with pytest.raises(NotFound, match="Known: z"):
        played.then(inputs.Resolve("a", "?", "ada", "succeeded"))
    with pytest.raises(Refused):
        play(saga("a")).then(inputs.Resolve("a", "?", "ada", "succeeded"))


def test_rule_26_an_execution_that_an_operator_suspended_has_no_step_to_resolve() -> None:
    played = play(saga("a", LAST), {"a": ok(delay_ms=500)}, news=[(100, inputs.Suspend())])
    assert played.end == "suspended"

    with pytest.raises(NotFound):
        played.then(inputs.Resolve("a", "?", "ada", "succeeded"))


FEW_LOSSES = Settings(limits=Limits(lost_attempts=1))


def test_rule_26_a_pivot_that_is_lost_too_often_waits_for_a_person_like_any_of_unknown_outcome() -> None:
    played = play(saga("a", PIVOT, LAST), {"p": ok(delay_ms=500)}, crash_after=[4, 6], settings=FEW_LOSSES)

    assert (played.state.status, played.state.suspended_reason) == ("suspended", "pivot_unknown")
    assert played.calls == ["a"]  # Each time it died between the record and the request.
    played.then(inputs.Resume())
    assert (played.end, played.calls) == ("completed", ["a", "p", "z"])


def test_rule_26_what_is_lost_behind_a_pivot_is_repeated_without_limit() -> None:
    played = play(saga(PIVOT, LAST), {"z": ok(delay_ms=500)}, crash_after=range(4, 40), settings=FEW_LOSSES)

    assert played.end == "completed"
    assert sum(isinstance(each, ev.AttemptStarted) and each.step == "z" for each in played.events) > 5


def test_rule_26_what_drains_in_a_scope_of_a_loop_beside_the_pivot_does_not_wait_for_a_person() -> None:
    both = {"id": "p2", "parallel": [{"id": name, "call": f"{name}.do", "retriable": True} for name in ("x", "y")]}
    scope = attempt("t", both, catch=[{"id": "h", "call": "h.do", "retriable": True}])
    loop = {"id": "f", "foreach": [1], "steps": [scope]}
    tree = saga({"id": "beside", "parallel": [PIVOT, loop]})
    played = play(tree, {"x": reject(delay_ms=1_000), "y": reject(delay_ms=3_000), "p": ok(delay_ms=2_000)})

    assert (played.end, played.calls[-1]) == ("completed", "h[0]")


def test_a_signal_that_came_while_a_step_waited_for_a_person_is_taken_once_that_is_settled() -> None:
    both = {"id": "both", "parallel": [LAST, {"id": "ask", "signal": "answered"}]}
    played = play(saga(PIVOT, both), {"z": reject()})
    played.then(inputs.Signal("answered", 42))
    assert played.end == "suspended"

    played.then(inputs.Resolve("z", "done by hand", "ada", "succeeded"))

    assert (played.end, played.view["steps"][-1]["output"]) == ("completed", 42)
