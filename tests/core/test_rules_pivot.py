"""Rule 26: behind a point of no return a person decides what no program can."""

from __future__ import annotations

import pytest
from playing import attempt, ok, play, reject, saga, status

from makegood.core import inputs
from makegood.errors import NotFound, Refused

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
