"""Rules 26, 29, 30, 33, suspension, signals and waits: what happens from outside, and when."""

from __future__ import annotations

import pytest
from playing import (
    attempt,
    call,
    each,
    failure,
    inner,
    ok,
    ongoing,
    par,
    play,
    quiet,
    reject,
    saga,
    seq,
    status,
    timeout,
)

from makegood.core import events as ev
from makegood.core import inputs
from makegood.core.decide import begin, decide
from makegood.core.evolve import fold
from makegood.core.judgement import Moment, Settings
from makegood.core.outcome import Reply
from makegood.core.outstanding import Dispatch, GoOn, newly_outstanding, outstanding, ripen
from makegood.core.program import compile_program
from makegood.errors import InputError, Refused
from makegood.language import load_tree
from makegood.model import Limits
from makegood.simulation.world import START_MS

GO = {"id": "g", "signal": "go"}


def signal(payload=None, name="go"):
    return inputs.Signal(name, payload)


# --- cancel and timeout ----------------------------------------------------------------------------------


def test_rule_29_a_cancel_aborts_and_a_second_one_changes_nothing() -> None:
    played = play(
        seq("a", "b"), {"b": ok(delay_ms=500)}, news=[(100, inputs.Cancel("ada", "no more")), (200, inputs.Cancel())]
    )

    assert (played.calls, played.end, played.error) == (["a", "b", "undo b", "undo a"], "compensated", "cancelled")
    assert sum(isinstance(each, ev.AbortDecided) for each in played.events) == 1
    assert played.state.error.details == {"by": "ada"}


@pytest.mark.parametrize("tree", [seq("a"), seq("a", failure()), seq("a", failure(), error_handling="fail_fast")])
def test_rule_29_after_any_end_a_cancel_is_refused_and_changes_nothing(tree) -> None:
    played = play(tree)
    with pytest.raises(Refused):
        played.world.tell(inputs.Cancel())
    assert fold(played.world.program, played.world.journal).same_as(played.state)


def test_rule_29_a_cancel_before_anything_was_sent_calls_nothing() -> None:
    program = compile_program(load_tree(seq("a")).definition, 1)
    state, _ = begin(program, "x", {}, Moment(START_MS), Settings())
    record = decide(state, inputs.Cancel(), Moment(START_MS), Settings())

    assert state.status == "compensated"
    assert [type(each) for each in record.events] == [
        ev.AbortDecided, ev.StepSkipped, ev.CompensationStarted, ev.ExecutionCompensated,
    ]  # fmt: skip
    assert outstanding(state) == []


def test_rule_30_the_timeout_acts_as_a_cancel_with_its_own_cause() -> None:
    played = play(seq("a", "b", timeout="2s"), {"b": ok(delay_ms=5000)})

    assert played.times == [("a", 0), ("b", 0), ("undo b", 5000), ("undo a", 5000)]
    assert (played.end, played.error, played.state.cause) == ("compensated", "timeout", "timeout")


def test_rule_30_the_timeout_ends_the_wait_between_two_attempts() -> None:
    tree = seq(call("a", retry={"max_attempts": 5, "initial_interval": "60s"}), timeout="2s")
    assert play(tree, {"a": status(503)}).times == [("a", 0), ("undo a", 2000)]


def test_rule_30_completion_and_timeout_race_for_one_record() -> None:
    for delay_ms, end in ((1999, "completed"), (2001, "compensated")):
        assert play(seq("a", timeout="2s"), {"a": ok(delay_ms=delay_ms)}).end == end


def test_rule_30_a_definition_without_timeout_has_the_configurations() -> None:
    played = play(saga("a", GO), settings=Settings(execution_timeout_ms=5000))
    assert (played.end, played.state.ended_at_ms) == ("compensated", START_MS + 5000)

    assert play(saga("a", GO), settings=Settings(execution_timeout_ms=None)).end == "running"


def test_rule_30_the_timeout_survives_a_crash() -> None:
    for number in range(1, 6):
        played = play(seq("a", GO, timeout="2s"), crash_after=[number])
        aborted = next(each for each in played.world.journal if isinstance(each.events[0], ev.AbortDecided))
        assert (played.end, aborted.at_ms) == ("compensated", START_MS + 2000)


# --- suspension ------------------------------------------------------------------------------------------


def test_suspended_open_calls_settle_nothing_starts_and_a_resume_goes_on() -> None:
    played = play(seq("a", "b"), {"a": ok(delay_ms=300)}, news=[(100, inputs.Suspend("ada", "look"))])
    assert (played.calls, played.end, played.forward("a")) == (["a"], "suspended", "succeeded")
    assert (played.state.suspended_reason, played.state.records) == ("operator", len(played.world.journal))

    assert played.then(inputs.Resume()).end == "completed"
    assert played.calls == ["a", "b"]


def test_suspended_timers_fire_at_the_resume() -> None:
    tree = seq(call("a", retry={"max_attempts": 2, "initial_interval": "1s"}), {"id": "w", "wait": "1s"})
    played = play(
        tree,
        {"a": [status(503), ok()]},
        news=[(100, inputs.Suspend()), (5000, inputs.Resume()), (5100, inputs.Suspend())],
    )
    assert played.times == [("a", 0), ("a", 5000)]
    assert played.end == "suspended"

    played.world.now_ms = START_MS + 60_000
    assert played.then(inputs.Resume()).state.ended_at_ms == START_MS + 60_000


def test_suspended_the_execution_timeout_stands_still() -> None:
    played = play(seq("a", GO, timeout="2s"), news=[(500, inputs.Suspend()), (10_500, inputs.Resume())])
    assert (played.end, played.state.ended_at_ms) == ("compensated", START_MS + 12_000)


def test_suspended_signals_queue_and_are_taken_at_the_resume() -> None:
    played = play(saga(GO, "a"), news=[(100, inputs.Suspend()), (200, signal({"n": 1}))])
    assert (played.end, played.calls) == ("suspended", [])

    assert played.then(inputs.Resume()).calls == ["a"]


def test_suspended_in_the_middle_of_a_wide_start_it_goes_on_at_the_resume() -> None:
    program = compile_program(load_tree(saga(par("p", *(quiet(f"c{number}") for number in range(250))))).definition, 1)
    state, first = begin(program, "x", {}, Moment(START_MS), Settings())
    journal = [first]

    def tell(news):
        record = decide(state, news, Moment(START_MS), Settings())
        journal.extend([record] if record else [])
        assert fold(program, journal).same_as(state)

    tell(inputs.Suspend())
    assert GoOn() not in outstanding(state)
    state = fold(program, journal)
    tell(inputs.Continue())
    tell(inputs.Resume())
    while GoOn() in outstanding(state):
        tell(inputs.Continue())
    assert len(state.ready) == 250


def test_a_failure_while_suspended_aborts_at_the_resume() -> None:
    played = play(seq("a", "b"), {"b": reject(delay_ms=300)}, news=[(100, inputs.Suspend())])
    assert (played.end, played.calls) == ("suspended", ["a", "b"])

    assert played.then(inputs.Resume()).end == "compensated"


def test_a_cancel_of_a_suspended_execution_halts_it() -> None:
    played = play(seq("a", "b"), {"a": ok(delay_ms=300)}, news=[(100, inputs.Suspend())])

    assert played.then(inputs.Cancel()).end == "compensated"
    assert played.calls == ["a", "undo a"]


def test_a_cancel_of_an_execution_suspended_in_its_abort_or_compensation_changes_nothing() -> None:
    quarantine = inputs.Suspend(reason="quarantine")
    slow = {"b": reject(delay_ms=500), "undo a": ok(delay_ms=500)}
    for at_ms, news in ((700, quarantine), (300, inputs.Suspend())):
        tree = saga(par("p", "a", inner("q", "b"), "c"))
        played = play(tree, {**slow, "c": reject(delay_ms=200)}, news=[(at_ms, news)])
        records = len(played.world.journal)
        played.then(inputs.Cancel())
        assert (played.end, len(played.world.journal)) == ("suspended", records)
        assert played.then(inputs.Resume()).end == "compensated"
        assert played.error == "sold_out"


def test_a_quarantined_compensation_resumes_as_one() -> None:
    played = play(
        seq("a", "b", failure()), {"undo b": ok(delay_ms=500)}, news=[(100, inputs.Suspend(reason="quarantine"))]
    )
    assert (played.end, played.undo("b"), played.undo("a")) == ("suspended", "done", "pending")

    assert played.then(inputs.Resume()).end == "compensated"


def test_suspending_and_resuming_are_idempotent_and_refused_after_the_end() -> None:
    played = play(seq("a"), {"a": ok(delay_ms=300)}, news=[(100, inputs.Suspend()), (150, inputs.Suspend())])
    assert sum(isinstance(each, ev.ExecutionSuspended) for each in played.events) == 1

    played.then(inputs.Resume())
    for news in (inputs.Suspend(), inputs.Resume()):
        with pytest.raises(Refused):
            played.world.tell(news)


def test_each_thing_is_asked_for_once_after_a_cancel_of_a_suspended_execution() -> None:
    played = play(saga("a"), {"a": ongoing(0.1)}, news=[(50, inputs.Suspend())], until_ms=500)
    ripen(played.state, START_MS + 500)
    newly_outstanding(played.state)
    decide(played.state, inputs.Cancel(), Moment(START_MS + 500), Settings())

    assert newly_outstanding(played.state) == [Dispatch((1, ()), False)]


# --- signals and waits -------------------------------------------------------------------------------------


def test_a_signal_that_comes_early_is_kept_for_the_step_that_waits_later() -> None:
    played = play(saga("a", GO), {"a": ok(delay_ms=500)}, news=[(100, signal({"n": 1}))])
    assert (played.end, played.view["output"]) == ("completed", {"n": 1})


def test_a_signal_that_comes_late_ends_the_wait() -> None:
    played = play(saga(GO), news=[(700, signal({"n": 1}))])
    assert (played.end, played.state.ended_at_ms) == ("completed", START_MS + 700)


def test_the_oldest_waiter_takes_the_oldest_signal() -> None:
    tree = saga(par("p", GO, inner("q", "a", {"id": "h", "signal": "go"})))
    played = play(tree, {"a": ok(delay_ms=100)}, news=[(500, signal(1)), (600, signal(2)), (50, signal(0, "go"))][0:2])

    assert played.view["output"] == {"parallel_results": [1, {"sequential_results": [{}, 2]}]}


def test_kept_signals_are_taken_in_the_order_of_their_arrival() -> None:
    tree = saga("a", GO, {"id": "h", "signal": "go"}, {"id": "v", "set": ["${steps.g}", "${steps.h}"]})
    played = play(tree, {"a": ok(delay_ms=500)}, news=[(100, signal(1)), (200, signal(2))])
    assert played.view["output"] == [1, 2]


def test_names_are_queues_of_their_own() -> None:
    tree = saga(par("p", GO, {"id": "s", "signal": "stop"}))
    played = play(tree, news=[(100, signal(1, "stop")), (200, signal(2, "go"))])
    assert played.view["output"] == {"parallel_results": [2, 1]}


def test_a_signal_that_does_not_come_in_time_fails_or_goes_on() -> None:
    played = play(saga("a", {**GO, "timeout": "2s"}))
    assert (played.end, played.error, played.state.ended_at_ms) == ("compensated", "signal_timeout", START_MS + 2000)

    played = play(saga({**GO, "timeout": "2s", "on_timeout": "continue"}, "a"))
    assert (played.end, played.times) == ("completed", [("a", 2000)])


def test_the_payload_of_a_signal_that_came_too_late_stays_for_the_next_one() -> None:
    first = {**GO, "timeout": "1s", "on_timeout": "continue"}
    tree = saga(first, {"id": "h", "signal": "go"})
    assert play(tree, news=[(1500, signal(7))]).view["output"] == 7


def test_a_signal_nobody_waits_for_is_refused_and_so_is_one_after_the_end() -> None:
    played = play(saga(GO), until_ms=10)
    with pytest.raises(InputError):
        played.world.tell(signal(name="gone"))
    played.then(signal())
    with pytest.raises(Refused):
        played.world.tell(signal())


def test_no_more_than_the_limit_of_signals_is_kept_and_taking_one_makes_room() -> None:
    settings = Settings(limits=Limits(signals_waiting=2))
    played = play(
        saga("a", GO, "b", {"id": "h", "signal": "go"}),
        {"a": ok(delay_ms=500), "b": ok(delay_ms=500)},
        settings=settings,
        until_ms=10,
    )
    played.world.tell(signal(1))
    played.world.tell(signal(2))
    with pytest.raises(Refused) as refused:
        played.world.tell(signal(3))
    assert refused.value.code == "too_many_signals"

    while played.forward("a") != "succeeded":
        played.world.step()
    played.world.tell(signal(3))


def test_a_signal_while_halting_is_kept_and_changes_nothing() -> None:
    tree = saga(par("p", "a", "b", GO))
    assert play(tree, {"a": reject(delay_ms=100), "b": ok(delay_ms=500)}, news=[(200, signal(1))]).end == "compensated"


@pytest.mark.parametrize("crash", range(1, 5))
def test_a_wait_ends_when_it_is_due_whatever_crashes(crash) -> None:
    played = play(saga({"id": "w", "wait": "90s"}, "a"), crash_after=[crash])
    assert played.times[0] == ("a", 90_000)


def test_a_wait_until_a_moment_ends_then_and_one_in_the_past_at_once() -> None:
    later = {"id": "w", "wait": {"until": "${input.at}"}}
    assert play(saga(later, "a"), value={"at": "2023-11-14T22:13:30Z"}).times == [("a", 10_000)]
    assert play(saga(later, "a"), value={"at": "2001-01-01T00:00:00Z"}).times == [("a", 0)]


# --- the pivot -------------------------------------------------------------------------------------------

PIVOT = {"id": "p", "call": "p.do", "pivot": True}
LAST = {"id": "z", "call": "z.do", "retriable": True}


def test_rule_26_after_the_pivot_cancel_is_refused_and_the_timeout_only_raises_an_alarm() -> None:
    played = play(saga("a", PIVOT, LAST, timeout="2s"), {"z": ok(delay_ms=5000)}, until_ms=1000)
    with pytest.raises(Refused) as refused:
        played.world.tell(inputs.Cancel())
    assert refused.value.code == "pivoted"

    played.world.play()
    assert (played.end, played.state.overdue) == ("completed", True)


def test_rule_26_while_the_pivot_is_open_cancel_is_refused_and_the_timeout_held_back() -> None:
    played = play(saga("a", PIVOT, LAST, timeout="2s"), {"p": reject(delay_ms=5000)}, until_ms=3000)
    with pytest.raises(Refused) as refused:
        played.world.tell(inputs.Cancel())
    assert refused.value.code == "pivot_open"
    assert (played.end, played.state.timeout_held) == ("running", True)

    played.world.play()
    assert (played.end, played.calls) == ("compensated", ["a", "p", "undo a"])


def test_rule_26_retriable_steps_after_the_pivot_are_retried_without_limit() -> None:
    played = play(saga(PIVOT, LAST), {"z": [status(503)] * 20 + [ok()]}, settings=Settings(execution_timeout_ms=None))

    assert (played.end, played.calls.count("z")) == ("completed", 21)
    gaps = [there[1] - here[1] for here, there in zip(played.times[1:], played.times[2:], strict=False)]
    assert max(gaps) <= 300_000


def test_rule_26_a_rejection_after_the_pivot_suspends_and_a_resume_tries_the_same_key_again() -> None:
    played = play(saga("a", PIVOT, LAST), {"z": [reject(), ok()]})
    assert (played.end, played.state.suspended_reason) == ("suspended", "after_pivot")

    assert played.then(inputs.Resume()).end == "completed"
    assert len({each.key for each in played.requests if each.step == "z"}) == 1


def test_rule_26_a_pivot_of_unknown_outcome_suspends() -> None:
    played = play(saga("a", PIVOT), {"p": [status(503), ok()]})
    assert (played.end, played.state.suspended_reason, played.calls) == ("suspended", "pivot_unknown", ["a", "p"])

    assert played.then(inputs.Resume()).end == "completed"


# --- judgement -------------------------------------------------------------------------------------------


def test_rule_33_the_same_news_at_the_same_moment_give_the_same_record() -> None:
    program = compile_program(
        load_tree(saga({"id": "v", "set": {"u": "${uuid()}", "t": "${now()}"}}, quiet("a"))).definition, 1
    )
    records = [begin(program, "x", {}, Moment(START_MS, 7), Settings())[1] for _ in range(2)]

    assert records[0] == records[1]
    assert begin(program, "x", {}, Moment(START_MS, 8), Settings())[1] != records[0]


def test_a_late_answer_to_an_earlier_attempt_says_nothing() -> None:
    retry = {"max_attempts": 3, "initial_interval": "1s"}
    played = play(saga(call("a", retry=retry)), {"a": [status(503), ok(delay_ms=500)]}, until_ms=1100)

    assert (
        decide(played.state, inputs.Replied((1, ()), False, 1, Reply.ok(1)), Moment(START_MS + 1100), Settings())
        is None
    )


def test_news_of_places_and_replies_nobody_asked_for_change_nothing() -> None:
    played = play(seq("a"), {"a": ok(delay_ms=500)}, until_ms=10)
    missing = Reply("not_sent", code="service_not_found")
    for news in (
        inputs.Granted((1, ()), False), inputs.Granted((9, (4,)), True), inputs.Replied((9, ()), True, 1, missing),
        inputs.Unreachable((1, ()), False, missing), inputs.Continue(), inputs.TimeReached(),
    ):  # fmt: skip
        assert decide(played.state, news, Moment(START_MS + 10), Settings()) is None
    assert newly_outstanding(played.state) == []


def test_finishing_a_step_and_starting_the_next_is_one_record() -> None:
    played = play(seq("a", "b"))
    record = next(each for each in played.world.journal if isinstance(each.events[0], ev.StepSucceeded))

    assert [type(each) for each in record.events] == [ev.StepSucceeded, ev.StepScheduled]


def test_steps_settled_by_an_abort_settle_in_definition_order() -> None:
    retry = {"max_attempts": 9, "initial_interval": "60s"}
    names = "abcd"
    tree = saga(par("p", *(call(name, retry=retry) for name in names), "x"))
    delays = {name: status(503, delay_ms=100 * (5 - index)) for index, name in enumerate(names)}
    played = play(tree, {**delays, "x": reject(delay_ms=900)})

    assert played.calls[-4:] == ["undo d", "undo c", "undo b", "undo a"]


def test_a_step_that_times_out_in_a_scope_of_an_iteration_is_undone_after_its_deadline() -> None:
    body = attempt("t", call("a", timeout="2s"), catch=[quiet("h")])
    played = play(saga(each("f", [1, 2], body)), {"a": [timeout(with_effect=True), ok()]})

    assert played.times == [("a[0]", 0), ("undo a[0]", 2000), ("h[0]", 2000), ("a[1]", 2000)]
    assert (played.end, played.balance) == ("completed", {"a": 1, "h": 1})
