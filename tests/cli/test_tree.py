"""The live tree's rows and the lines of progress, from states alone."""

from __future__ import annotations

from makegood.cli.tree import Picture, Row
from makegood.cli.words import short, span_text, told
from makegood.core import events as ev
from makegood.core.evolve import evolve
from makegood.core.program import compile_program
from makegood.core.state import State
from makegood.language import load

T0 = 1_700_000_000_000


def state_of(text: str, *events: tuple[int, ev.Event]) -> State:
    state = State(compile_program(load(text).definition, 1))
    evolve(state, ev.ExecutionStarted("x", state.program.definition.name, 1, None), T0)
    for after_ms, event in events:
        evolve(state, event, T0 + after_ms)
    return state


def shown(rows: list[Row]) -> list[tuple[str, str, str]]:
    return [(row.mark, row.name, row.detail) for row in rows]


CALLS = "name: t\nsteps: [{id: a, call: s.m, retry: {max_attempts: 3}}, {id: b, call: s.n}]"
SCHEDULED = (0, ev.StepScheduled("a", (), None))
STARTED = (0, ev.AttemptStarted("a", (), 1, T0 + 30_000))


def test_steps_stand_in_definition_order_with_what_they_call() -> None:
    state = state_of(CALLS, SCHEDULED, STARTED)

    rows = Picture(state).rows(T0 + 1500, 20)

    assert shown(rows) == [("running", "a", "s.m  1.5 s"), ("pending", "b", "s.n")]


def test_retry_counts_down() -> None:
    error = ev.Failure("service_error", "HTTP 500", outcome="unknown")
    state = state_of(CALLS, SCHEDULED, STARTED, (10, ev.AttemptEnded("a", (), 1, error, T0 + 3010)))

    rows = Picture(state).rows(T0 + 10, 20)

    assert rows[0].mark == "retrying"
    assert rows[0].detail.endswith("service_error: HTTP 500  next attempt in 3 s")


def test_line_tells_outcome_attempt_and_duration() -> None:
    state = state_of(CALLS, SCHEDULED, STARTED, (12, done := ev.StepSucceeded("a", (), 1)))

    assert told(state, done, T0 + 12) == "a succeeded (attempt 1, 12 ms)"


def test_suspension_behind_a_pivot_is_told_without_a_step() -> None:
    stopped = ev.ExecutionSuspended("after_pivot", note="no stock")
    state = state_of(CALLS, SCHEDULED, STARTED, (12, stopped))

    assert told(state, stopped, T0 + 12) == "suspended: after_pivot (no stock)"


def test_no_next_attempt_is_promised_that_nobody_waits_for() -> None:
    error = ev.Failure("goods_broken", "They fell.", outcome="rejected")
    state = state_of(CALLS, SCHEDULED, STARTED, (10, ended := ev.AttemptEnded("a", (), 1, error, T0 + 10)))

    assert told(state, ended, T0 + 10) == "a attempt 1 rejected: goods_broken: They fell."


def test_signal_that_did_not_come_is_told_as_such() -> None:
    text = "name: t\nsteps: [{id: a, signal: go, timeout: 5s, on_timeout: continue}]"
    began = (0, ev.StepStarted("a", (), T0 + 5000))
    state = state_of(text, began, (5000, gone := ev.StepSucceeded("a", (), None)))
    taken = state_of(text, began, (10, came := ev.StepSucceeded("a", (), None)))

    assert told(state, gone, T0 + 5000) == "a got no signal in time, and goes on (5 s)"
    assert told(taken, came, T0 + 10) == "a succeeded (10 ms)"


def test_child_is_told_with_its_id() -> None:
    scheduled = (0, ev.StepScheduled("a", (), None, "workflow:packing"))
    state = state_of("name: t\nsteps: [{id: a, workflow: packing}]", scheduled)
    started = ev.ChildStarted("a", (), "c-1", 2)
    evolve(state, started, T0)

    assert told(state, started, T0) == "a runs workflow packing (version 2) as c-1"


def test_branch_that_is_not_taken_is_not_shown() -> None:
    text = "name: t\nsteps: [{id: c, if: 'true', then: [{id: a, call: s.m}], else: [{id: b, call: s.n}]}]"
    started = (0, ev.StepStarted("c"))

    before = Picture(state_of(text, started)).rows(T0, 20)
    after = Picture(state_of(text, started, (0, ev.BranchTaken("c", (), 0)), SCHEDULED)).rows(T0, 20)

    assert [row.name for row in before] == ["c", "a", "b"]
    assert [row.name for row in after] == ["c", "a"]


def test_rows_that_do_not_fit_are_counted_around_what_moves() -> None:
    steps = ", ".join(f"{{id: s{number}, call: s.m}}" for number in range(50))
    events = [(0, ev.StepScheduled("s0", (), None))]
    for number in range(30):
        events += [(0, ev.AttemptStarted(f"s{number}", (), 1, T0)), (0, ev.StepSucceeded(f"s{number}", ()))]
        events += [(0, ev.StepScheduled(f"s{number + 1}", (), None))]

    rows = Picture(state_of(f"name: t\nsteps: [{steps}]", *events)).rows(T0, 11)

    assert len(rows) == 11
    assert rows[0].detail == "... 27 above"
    assert rows[-1].detail == "... 14 below"
    assert "s30" in [row.name for row in rows]


def test_picture_of_a_thousand_steps_shows_what_moves_and_what_settled_last() -> None:
    steps = ", ".join(f"{{id: s{number}, call: s.m}}" for number in range(1000))
    state = state_of(f"name: t\nsteps: [{steps}]")
    picture = Picture(state)
    for number in range(800):
        name = f"s{number}"
        for event in (
            ev.StepScheduled(name, (), None), ev.AttemptStarted(name, (), 1, T0), ev.StepSucceeded(name, ()),
        ):  # fmt: skip
            evolve(state, event, T0)
            picture.event(event)
    evolve(state, ev.StepScheduled("s800", (), None), T0)
    evolve(state, ev.AttemptStarted("s800", (), 1, T0), T0)

    rows = picture.rows(T0, 20)

    assert rows[0].detail == "800 succeeded, 1 under way"
    assert [row.name for row in rows[1:]] == [f"s{number}" for number in range(788, 801)]
    assert rows[-1].moving


def test_undo_is_shown_at_its_step() -> None:
    text = "name: t\nsteps: [{id: a, call: s.m, compensation: s.u}]"
    failure = ev.Failure("cancelled")
    state = state_of(
        text, (0, ev.StepScheduled("a", (), None, "s.u")), STARTED, (1, ev.StepSucceeded("a", ())),
        (2, ev.AbortDecided("cancelled", failure)), (2, ev.CompensationStarted()),
        (2, ev.UndoScheduled("a", (), snapshot=True)), (2, ev.AttemptStarted("a", (), 1, T0 + 30_000, undo=True)),
    )  # fmt: skip

    assert shown(Picture(state).rows(T0 + 52, 5)) == [("undoing", "a", "s.u  undoing  50 ms")]
    evolve(state, ev.UndoDone("a", ()), T0 + 60)
    assert shown(Picture(state).rows(T0 + 60, 5)) == [("undone", "a", "s.u  undone")]


def test_what_a_terminal_would_obey_is_not_passed_on() -> None:
    assert short("a\x1b[2Jb\nc\x9b") == "a [2Jb c "


def test_spans() -> None:
    spans = {
        0: "0 ms",
        12: "12 ms",
        999: "999 ms",
        1000: "1 s",
        3100: "3.1 s",
        125_000: "2 min 5 s",
        12_000_000: "3 h 20 min",
    }

    assert {span: span_text(span) for span in spans} == spans


def test_a_suspension_is_told_with_who_why_and_where() -> None:
    by_hand = ev.ExecutionSuspended("operator", "ada", "lunch")
    stuck = ev.ExecutionSuspended("after_pivot", step="b")

    assert told(state_of(CALLS, (0, by_hand)), by_hand, T0) == "suspended: operator (ada: lunch)"
    assert told(state_of(CALLS, (0, stuck)), stuck, T0) == "suspended: after_pivot at b"


def test_a_step_whose_service_is_not_well_says_how_long_it_waits() -> None:
    state = state_of(CALLS, SCHEDULED, (0, ev.ServiceAwaited("a", (), "s", T0 + 60_000)))

    assert shown(Picture(state).rows(T0 + 20_000, 20))[0] == (
        "waiting", "a", "s.m  service s is not well, waits for 40 s at most",
    )  # fmt: skip
