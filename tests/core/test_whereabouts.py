"""At which steps an execution stands, at any moment of it."""

from __future__ import annotations

from playing import Tree, call, each, par, play, quiet, reject, saga, status, timeout

from makegood.core import inputs
from makegood.core.whereabouts import whereabouts

SLOW = status(200, delay_ms=1000)


def at(tree: Tree, *args: object, **keys: object) -> list[tuple[str, str]]:
    return whereabouts(play(tree, *args, **keys).state)  # type: ignore[arg-type]


def test_a_call_under_way_and_one_between_two_attempts() -> None:
    assert at(saga("a", "b"), {"a": SLOW}, until_ms=500) == [("a", "calling")]
    assert at(saga(call("a", retry={})), {"a": status(500)}, until_ms=500) == [("a", "calling")]


def test_waits_and_signals() -> None:
    tree = saga(par("p", {"id": "w", "wait": "1h"}, {"id": "s", "signal": "go"}))

    assert at(tree, until_ms=500) == [("w", "waiting"), ("s", "waiting")]


def test_iterations_of_one_step_are_one_place() -> None:
    tree = saga(each("f", [1, 2, 3], quiet("a"), max_concurrency=3))

    assert at(tree, {"a": [SLOW, SLOW, SLOW]}, until_ms=500) == [("a", "calling")]


def test_an_undo_under_way_and_one_between_two_attempts() -> None:
    assert at(saga("a", "b"), {"b": reject(), "undo a": SLOW}, until_ms=500) == [("a", "undoing")]
    assert at(saga("a", "b"), {"b": reject(), "undo a": status(500)}, until_ms=500) == [("a", "undoing")]


def test_what_is_suspended_stands_where_it_stood() -> None:
    tree = saga("a", {"id": "s", "signal": "go"})

    assert at(tree, until_ms=500, news=[(100, inputs.Suspend())]) == [("s", "waiting")]


def test_what_waits_for_a_person_behind_a_pivot() -> None:
    pivot = quiet("pay", pivot=True)
    wrong = {"id": "w", "wait": {"until": "${input.never}"}}

    assert at(saga(pivot), {"pay": timeout()}) == [("pay", "calling")]
    assert at(saga(pivot, wrong)) == [("w", "held")]


def test_an_execution_that_has_ended_stands_nowhere() -> None:
    assert at(saga("a")) == []
    assert at(saga("a", "b"), {"b": reject()}) == []
