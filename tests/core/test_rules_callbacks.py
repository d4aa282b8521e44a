"""What a service tells by itself of a call that it had accepted."""

from __future__ import annotations

from typing import Any

import pytest
from playing import Play, call, each, failure, ok, ongoing, play, reject, saga, timeout

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.decide import decide
from makegood.core.evolve import fold
from makegood.core.judgement import Moment, Settings
from makegood.core.outcome import Reply
from makegood.core.outstanding import outstanding
from makegood.errors import NotFound, Refused
from makegood.simulation.script import Scripted
from makegood.simulation.world import START_MS

SOON = Scripted(kind="ongoing", poll_after_s=None)
"""Accepted; it will be told."""


def says(step: str = "a", value: Any = None, *, undo: bool = False) -> inputs.CalledBack:
    return inputs.CalledBack(step, undo, Reply.ok(value))


def refuses(
    step: str = "a", code: str = "sold_out", *, undo: bool = False, attempt: int | None = None
) -> inputs.CalledBack:
    return inputs.CalledBack(step, undo, Reply("rejected", code=code), attempt)


def test_an_accepted_call_is_settled_by_what_its_service_says() -> None:
    played = play(saga("a", "b"), {"a": SOON}, news=[(5_000, says(value={"n": 1}))])

    assert played.times == [("a", 0), ("b", 5_000)]
    assert (played.end, played.view["steps"][0]["output"]) == ("completed", {"n": 1})


def test_it_may_say_no() -> None:
    played = play(saga("a", "b"), {"b": SOON}, news=[(5_000, refuses("b"))])

    assert played.calls == ["a", "b", "undo a"]
    assert (played.forward("b"), played.error) == ("failed", "sold_out")


def test_it_may_say_so_before_it_has_answered_and_its_answer_then_says_nothing() -> None:
    for answer in (ok({"n": 2}, delay_ms=500), reject(delay_ms=500), timeout()):
        played = play(saga("a"), {"a": answer}, news=[(100, says(value={"n": 1}))])

        assert (played.end, played.view["output"]) == ("completed", {"n": 1})
        assert played.calls == ["a"]


def test_it_may_say_so_between_two_attempts() -> None:
    tree = saga(call("a", timeout="1s", retry={"max_attempts": 2, "initial_interval": "10s"}))
    played = play(tree, {"a": timeout()}, news=[(2_000, says(value=7))])

    assert (played.calls, played.end, played.view["output"]) == (["a"], "completed", 7)


def test_a_no_between_two_attempts_is_of_one_that_is_over() -> None:
    tree = saga(call("a", timeout="1s", retry={"max_attempts": 2, "initial_interval": "10s"}))
    played = play(tree, {"a": [timeout(), ok(1)]}, news=[(2_000, refuses())])

    assert (played.calls, played.end) == (["a", "a"], "completed")


def test_a_no_that_is_said_again_and_again_ends_one_attempt() -> None:
    again = [(5_000 + nth, refuses(undo=True, attempt=1)) for nth in range(9)]
    late = [(7_000, refuses(undo=True, attempt=1))]
    played = play(saga("a", failure()), {"undo a": [SOON, SOON]}, news=[*again, *late, (9_000, says(undo=True))])

    assert (played.end, played.calls) == ("compensated", ["a", "undo a", "undo a"])


@pytest.mark.parametrize("crash", range(1, 5))
def test_it_may_say_so_after_the_process_that_called_has_died(crash: int) -> None:
    played = play(saga("a", "b"), {"a": SOON}, news=[(5_000, says(value=1))], crash_after=[crash])

    assert (played.end, played.forward("a")) == ("completed", "succeeded")
    assert {each.key for each in played.requests} == {"play:a:do", "play:b:do"}


def test_an_undo_is_settled_by_it_too() -> None:
    played = play(saga("a", failure()), {"undo a": SOON}, news=[(5_000, says(undo=True))])

    assert (played.end, played.undo("a"), played.calls) == ("compensated", "done", ["a", "undo a"])


def test_an_undo_that_says_no_is_tried_again() -> None:
    played = play(saga("a", failure()), {"undo a": [SOON, ok()]}, news=[(5_000, refuses(undo=True))])

    assert (played.end, played.calls) == ("compensated", ["a", "undo a", "undo a"])


def test_each_iteration_is_told_of_by_its_own_name() -> None:
    tree = saga(each("all", ["x", "y"], call("a"), max_concurrency=2))
    played = play(tree, {"a": SOON}, news=[(100, says("a[1]", 1)), (200, says("a[0]", 0))])

    assert (played.end, played.view["output"]) == ("completed", [0, 1])


def settled() -> Play:
    return play(saga("a", "b"), {"a": SOON, "b": SOON}, news=[(100, says(value=1))], until_ms=200)


def test_the_same_said_again_changes_nothing() -> None:
    played = settled()
    records = len(played.world.journal)
    played.world.tell(says(value=1))

    assert len(played.world.journal) == records


@pytest.mark.parametrize("news", [says(value=2), refuses(), says(undo=True)])
def test_what_is_settled_stays_so(news: inputs.CalledBack) -> None:
    with pytest.raises((Refused, NotFound)) as refused:
        settled().world.tell(news)

    assert refused.value.code in {"not_awaited", "not_found"}


@pytest.mark.parametrize("step", ["c", "b[0]", "a[", "", "bang", "a" * 1000])
def test_of_a_step_that_has_called_nobody_there_is_nothing_to_say(step: str) -> None:
    with pytest.raises(NotFound):
        play(saga("a", failure()), {"a": SOON}, until_ms=100).world.tell(says(step))


def test_one_that_stops_waits_for_what_it_may_still_be_told() -> None:
    tree = saga(call("a", timeout="10s"))
    news = [(1_000, inputs.Cancel()), (5_000, says(value=1))]
    played = play(tree, {"a": SOON}, news=news)

    assert (played.times, played.end) == ([("a", 0), ("undo a", 5_000)], "compensated")
    assert played.forward("a") == "succeeded"


def test_one_that_is_suspended_hears_it_and_goes_on_when_it_is_resumed() -> None:
    news = [(100, inputs.Suspend()), (200, says(value=1)), (300, inputs.Resume())]
    played = play(saga("a", "b"), {"a": SOON}, news=news)

    assert (played.times, played.end) == ([("a", 0), ("b", 300)], "completed")


def test_a_call_that_will_be_told_of_is_never_asked_about() -> None:
    for keys, until_ms in (({"ongoing_timeout": "5s"}, START_MS + 5_000), ({}, None)):
        played = play(saga(call("a", **keys)), {"a": timeout()}, until_ms=0)
        state = fold(played.world.program, played.world.journal)
        decide(state, inputs.Replied((1, ()), False, 1, Reply("ongoing")), Moment(START_MS), Settings())

        assert not outstanding(state)
        (track,) = [each.call for each in state.instances.values() if each.call is not None]
        assert track.until_ms == until_ms
        assert track.due_ms is not None
        assert track.due_ms >= (until_ms or START_MS + 10**12)


def test_a_call_that_nobody_tells_of_is_given_up_and_undone() -> None:
    tree = saga(call("a", ongoing_timeout="5s"))
    played = play(tree, {"a": ongoing(5.0)})

    assert played.times == [("a", 0), ("undo a", 5_000)]
    assert [type(each) for each in played.events if isinstance(each, ev.AttemptOngoing)] == [ev.AttemptOngoing]
