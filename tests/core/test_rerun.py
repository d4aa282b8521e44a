"""Rerun from a step: what is taken over, what is refused, and what becomes of both executions."""

from __future__ import annotations

from typing import Any

import pytest
from playing import Play, Tree, attempt, call, each, failure, inner, ok, par, play, quiet, reject, reset, saga, timeout
from rerunning import go_on, rerun_play, version

from makegood.core import inputs
from makegood.core.effects import effects
from makegood.core.rerunning import Rerun, place_of_rerun, rerun_id
from makegood.errors import NotFound, Refused
from makegood.simulation.world import START_MS

READ = {"id": "r", "call": "r.do", "read_only": True}


def failed(*steps: Tree | str, **replies: Any) -> Play:
    keys = {name: replies.pop(name) for name in list(replies) if name in {"output", "timeout", "news", "until_ms"}}
    plays = {name: keys.pop(name) for name in list(keys) if name in {"news", "until_ms"}}
    played = play(saga(*steps, error_handling="fail_fast", **keys), replies, **plays)
    assert played.end == "failed"
    return played


def refused(played: Play, step: str, tree: Tree | None = None) -> Refused:
    before = [*played.world.journal]
    with pytest.raises(Refused) as told:
        place_of_rerun(played.state, played.world.program if tree is None else version(tree, 2), Rerun(step))
    assert played.world.journal == before
    return told.value


def ledger(played: Play) -> dict[str, tuple[str, str]]:
    return {row["step"]: (row["effect"], row["key"]) for row in effects(played.state)}


# --- taking over -----------------------------------------------------------------------------------


def test_the_steps_before_are_not_called_again_and_their_outputs_are_seen() -> None:
    played = failed(call("a"), {"id": "s", "set": {"n": "${steps.a.n}"}}, call("b", input="${steps.s.n}"),
                    a=ok({"n": 7}), b=reject())  # fmt: skip

    again = rerun_play(played, "b")

    assert list(again) == [["b"], "completed"]
    assert again.requests[0].body == 7
    assert again.requests[0].key == "again:b:do"


def test_a_sequence_that_had_not_begun_begins_with_its_first_step() -> None:
    played = failed("a", inner("q", inner("r", "b", "c"), "d"), a=reject())
    played.heal()
    again = rerun_play(played, "a")
    assert list(again) == [["a", "b", "c", "d"], "completed"]
    played = failed(quiet("a"), inner("q", inner("r", "b", "c"), "d"), news=[(5, inputs.Cancel())], a=ok(delay_ms=10))

    again = rerun_play(played, "b")

    assert list(again) == [["b", "c", "d"], "completed"]


def test_what_was_taken_over_is_undone_with_the_keys_of_the_execution_that_did_it() -> None:
    undo = {"input": {"id": "${execution.id}", "n": "${step.output.n}", "of": "${steps.a.n}"}}
    tree = [each("ship", "${[1, 2]}", "p"), call("a"), call("b", undo=undo), call("c")]
    played = failed(*tree, a=ok({"n": 7}), b=ok({"n": 8}), c=reject())
    played.world.services.scripts["c.do"] = [reject(), reject()]

    world = go_on(played.world, "c", program=version(saga(*tree), 2))
    played.world.services.calls.clear()
    world.play()
    again = Play(world)

    assert list(again) == [["c", "undo b", "undo a", "undo p[1]", "undo p[0]"], "compensated"]
    assert [each.key for each in again.requests[1:]] == [
        "play:b:undo", "play:a:undo", "play:p[1]:undo", "play:p[0]:undo",
    ]  # fmt: skip
    assert again.requests[1].body == {"id": "play", "n": 8, "of": 7}
    snapshot = again.requests[3].body
    assert (snapshot["execution_id"], snapshot["forward_key"]) == ("play", "play:p[1]:do")
    assert again.balance == {}


def test_both_ledgers_and_both_views_tell_where_an_effect_is() -> None:
    played = failed("a", quiet("b"), "c", c=reject())
    assert [each["status"] for each in played.view["compensations"]] == ["armed"]

    again = rerun_play(played, "c")

    assert (played.end, again.end) == ("superseded", "completed")
    assert ledger(played) == {"a": ("moved", "play:a:do"), "b": ("moved", "play:b:do")}
    assert ledger(again) == {"a": ("done", "play:a:do"), "b": ("done", "play:b:do"), "c": ("done", "again:c:do")}
    assert [row.get("origin") for row in effects(again.state)] == ["play", "play", None]
    assert [row["moved_to"] for row in effects(played.state)] == ["again", "again"]
    assert played.view["superseded_by"] == "again"
    assert (again.view["rerun_of"], again.view["rerun_from"]) == ("play", "c")
    assert [(each["step"], each["status"]) for each in played.view["compensations"]] == [("a", "moved")]
    assert [(each["step"], each.get("origin")) for each in again.view["compensations"]] == [("c", None), ("a", "play")]
    assert played.view["uncompensated_steps"] == []


def test_what_cannot_be_undone_is_listed_by_the_execution_that_has_it_now() -> None:
    played = failed(quiet("b"), "c", c=reject())
    assert played.view["uncompensated_steps"] == ["b"]
    played.world.services.scripts["c.do"] = [reject(), reject()]

    world = go_on(played.world, "c")
    world.play()

    assert Play(world).view["uncompensated_steps"] == ["b"]
    assert played.view["uncompensated_steps"] == []


def test_a_rerun_of_a_rerun_keeps_the_first_keys() -> None:
    tree = ["a", "b", "c"]
    played = failed(*tree, b=[reject(), ok()], c=reject())
    second = go_on(played.world, "b")
    second.play()
    assert second.state.status == "failed"

    third = go_on(second, "c", name="third", program=version(saga(*tree), 2))
    third.services.calls.clear()
    third.play()

    assert [(call.step, call.key) for call in third.services.calls] == [
        ("c", "third:c:do"), ("b", "again:b:undo"), ("a", "play:a:undo"),
    ]  # fmt: skip
    assert third.state.status == "compensated"


def test_an_undo_still_waits_for_a_request_that_may_be_on_its_way() -> None:
    """Rule 13."""
    retry = {"max_attempts": 2, "initial_interval": "1ms"}
    tree = [call("a", retry=retry, timeout="60s"), "b"]
    played = failed(*tree, a=[reset(), ok()], b=reject())
    assert played.world.now_ms < START_MS + 1_000
    played.world.services.scripts["b.do"] = [reject(), reject()]

    world = go_on(played.world, "b", program=version(saga(*tree), 2))
    world.play()

    assert [(each.key, each.at_ms - START_MS) for each in world.services.calls][-1] == ("play:a:undo", 60_000)


def test_a_branch_that_was_taken_stays_taken_whatever_a_new_version_would_decide() -> None:
    """Rule 21."""
    branch = {"id": "i", "if": "true", "then": [call("b"), call("c")], "else": [call("d")]}
    played = failed("a", branch, c=reject())

    again = rerun_play(played, "c", saga("a", {**branch, "if": "false"}))

    assert list(again) == [["c"], "completed"]


def test_a_step_inside_sequences_and_branches_can_be_rerun_from() -> None:
    branch = {"id": "i", "if": "true", "then": [inner("q", "b", "c"), call("d")]}
    played = failed("a", branch, "z", c=reject())

    again = rerun_play(played, "c")

    assert list(again) == [["c", "d", "z"], "completed"]
    assert again.state.instances[(2, ())].branch == 0


def test_the_first_step_and_a_composite_can_be_rerun_from() -> None:
    played = failed(par("p", "a", "b"), a=reject(), b=reject())

    assert list(rerun_play(played, "p")) == [["a", "b"], "completed"]


def test_a_try_that_caught_is_taken_over_with_what_it_undid() -> None:
    caught = attempt("t", "u", failure("x"), catch=[call("h", input="${error.code}")])
    played = failed(caught, "c", c=reject())

    again = rerun_play(played, "c")

    assert list(again) == [["c"], "completed"]
    assert ledger(again)["u"] == ("undone", "play:u:do")
    assert again.forward("x") == "failed"


def test_a_try_that_undid_everything_can_be_rerun_from_itself() -> None:
    played = failed("a", attempt("t", "u", "v"), v=reject())
    assert played.calls == ["a", "u", "v", "undo u"]

    again = rerun_play(played, "t")

    assert list(again) == [["u", "v"], "completed"]
    assert again.balance == {"a": 1, "u": 1, "v": 1}


def test_lists_of_a_loop_and_rounds_are_seen_as_before() -> None:
    tree = [
        each("f", "${input.list}", quiet("x", input="${item}")),
        {"id": "w", "repeat": [quiet("y")], "until": "steps.y.n > 1"},
        call("c", input={"all": "${steps.x}", "last": "${steps.y.n}"}),
    ]
    keys: dict[str, Any] = {"x.do": [ok(1), ok(2)], "y.do": [ok({"n": 1}), ok({"n": 2})]}
    played = play(saga(*tree, error_handling="fail_fast"),
                  {"x": keys["x.do"], "y": keys["y.do"], "c": reject()}, value={"list": [5, 6]})  # fmt: skip

    again = rerun_play(played, "c")

    assert again.requests[0].body == {"all": [1, 2], "last": 2}


def test_a_cancel_between_two_steps_leaves_the_second_to_be_rerun_from() -> None:
    played = play(saga("a", "b", error_handling="fail_fast"), {"a": ok(delay_ms=50)}, news=[(10, inputs.Cancel())])
    assert (played.end, played.calls) == ("failed", ["a"])

    assert list(rerun_play(played, "b")) == [["b"], "completed"]


def test_signals_that_nobody_took_wait_for_the_new_execution() -> None:
    go = {"id": "g", "signal": "go"}
    played = failed(call("a"), go, a=reject(delay_ms=50), news=[(10, inputs.Signal("go", {"n": 1}))])

    again = rerun_play(played, "a")

    assert again.end == "completed"
    assert again.state.output == {"n": 1}


def test_past_its_pivot_it_stays_past_it() -> None:
    tree = saga({"id": "p", "call": "p.do", "pivot": True}, quiet("c", retriable=True), error_handling="fail_fast")
    played = play(tree, {"c": reject()})
    played.then(inputs.Resolve("c", "lost for good", outcome="failed"))
    assert played.end == "failed"

    world = go_on(played.world, "c")
    with pytest.raises(Refused) as told:
        world.tell(inputs.Cancel())

    assert told.value.code == "pivoted"


def test_the_timeout_of_the_new_one_counts_from_the_rerun() -> None:
    played = failed("a", "c", c=reject(), timeout="9s")
    played.world.now_ms += 60_000

    world = go_on(played.world, "c")

    assert world.state.timeout_at_ms == world.journal[0].at_ms + 9_000


# --- refusing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("news", "end"), [((), "compensated"), ((inputs.Compensate(),), "compensated")], ids=["compensated", "by hand"]
)
def test_only_a_failed_execution_can_be_rerun(news: tuple[Any, ...], end: str) -> None:
    played = play(saga("a", "b", error_handling="fail_fast" if news else "compensation"), {"b": reject()})
    played.then(*news)

    assert played.end == end
    assert refused(played, "b").status == end


def test_an_execution_that_was_rerun_takes_no_request_any_more() -> None:
    played = failed("a", "c", c=reject())
    go_on(played.world, "c")

    for news in (inputs.Compensate(), inputs.Retry(), inputs.Cancel(), inputs.Suspend(), inputs.Resume()):
        with pytest.raises(Refused, match="again") as told:
            played.world.tell(news)
        assert told.value.code == "superseded"
    assert refused(played, "c").code == "superseded"


@pytest.mark.parametrize(
    ("reply", "word"), [(ok(), "has succeeded"), (timeout(with_effect=True), "unknown")], ids=["succeeded", "unknown"]
)
def test_an_effect_at_or_behind_the_step_is_in_the_way(reply: Any, word: str) -> None:
    steps = ["a", call("b", timeout="1s")] if word == "unknown" else ["a", "b", "c"]
    played = failed(*steps, b=reply, **({} if word == "unknown" else {"c": reject()}))

    told = refused(played, "b")

    assert told.code == "rerun_effects"
    assert "'b'" in str(told)
    assert word in str(told)
    assert "'a'" in str(refused(played, "a"))


def test_what_may_have_happened_is_in_the_way_without_a_compensation_too() -> None:
    assert "unknown" in str(refused(failed("a", quiet("b", timeout="1s"), b=timeout()), "b"))


def test_what_a_try_passed_over_when_it_undid_is_in_the_way() -> None:
    kept = call("u", undo={"when": "false"})

    assert "'u'" in str(refused(failed(attempt("t", kept, "v"), v=reject()), "t"))


def test_the_instance_that_is_in_the_way_is_named() -> None:
    played = failed(each("f", "${[1, 2]}", "x"), x=[ok(), reject()])

    assert "'x[0]'" in str(refused(played, "f"))


def test_what_only_reads_is_not_in_the_way() -> None:
    played = failed("a", READ, "c", c=reject())

    assert list(rerun_play(played, "r")) == [["r", "c"], "completed"]


def test_a_failed_call_that_keeps_its_compensation_is_in_the_way() -> None:
    played = failed("a", call("b", compensate_on_failure=True), b=reject())

    assert "keeps its compensation" in str(refused(played, "b"))


@pytest.mark.parametrize("step", ["c", "d"])
def test_a_step_before_that_is_not_done_is_in_the_way(step: str) -> None:
    played = failed("a", "b", "c", "d", b=reject())

    told = refused(played, step)

    assert told.code == "rerun_gap"
    assert "rerun from 'b'" in str(told)


def test_a_wait_that_was_given_up_is_not_done() -> None:
    played = play(saga({"id": "w", "wait": "9s"}, "b", error_handling="fail_fast"), news=[(10, inputs.Cancel())])

    assert "'w'" in str(refused(played, "b"))


def test_a_step_that_was_left_out_by_its_condition_is_done() -> None:
    played = failed("a", quiet("n", when="false"), "b", b=reject())

    assert list(rerun_play(played, "b")) == [["b"], "completed"]


def test_a_branch_that_was_not_taken_or_not_reached_cannot_be_rerun_from() -> None:
    branch = {"id": "i", "if": "true", "then": [call("b")], "else": [call("d")]}

    assert refused(failed("a", branch, b=reject()), "d").code == "rerun_gap"
    stopped = failed(quiet("a"), branch, news=[(5, inputs.Cancel())], a=ok(delay_ms=10))
    assert "'i', which 'b' is inside, has not begun" in str(refused(stopped, "b"))
    assert "rerun from 'a'" in str(refused(failed("a", branch, a=reject()), "b"))


def gated(when: str, *steps: Tree | str) -> Tree:
    return {**inner("q", *steps), "when": when}


@pytest.mark.parametrize("step", ["b", "c"])
def test_inside_what_was_left_out_by_its_condition_there_is_no_place_to_begin(step: str) -> None:
    played = failed("a", gated("false", inner("r", "b", "c")), "z", z=reject())

    told = refused(played, step)

    assert told.code == "rerun_gap"
    assert "'q', which" in str(told)
    assert "was left out by its `when`; rerun from 'q'" in str(told)
    assert list(rerun_play(played, "q")) == [["z"], "completed"]


def test_a_branching_that_was_left_out_by_its_condition_is_no_place_to_begin() -> None:
    played = failed({"id": "i", "when": "false", "if": "true", "then": [call("b")]}, "z", z=reject())

    assert "was left out by its `when`; rerun from 'i'" in str(refused(played, "b"))


def test_a_condition_around_the_step_that_was_never_asked_is_asked_first() -> None:
    told = refused(failed(quiet("a"), gated("false", "b"), news=[(5, inputs.Cancel())], a=ok(delay_ms=10)), "b")

    assert told.code == "rerun_gap"
    assert "'q', which 'b' is inside, has not begun; rerun from 'q'" in str(told)


def test_a_condition_around_the_step_that_had_no_answer_is_asked_again() -> None:
    played = failed(quiet("a"), gated("steps.a.n > 1", "b"), a=ok({"n": "x"}))

    assert "rerun from 'q'" in str(refused(played, "b"))


def test_inside_a_sequence_that_was_given_up_there_is_a_place_to_begin() -> None:
    played = failed(gated("true", quiet("a"), "b"), news=[(5, inputs.Cancel())], a=ok(delay_ms=10))

    assert list(rerun_play(played, "b")) == [["b"], "completed"]


def test_a_version_with_fewer_cases_than_the_one_that_was_taken_is_refused() -> None:
    cases = [{"when": f"input == {number}", "steps": [call(f"c{number}")]} for number in range(4)]
    many = [{"id": "s", "switch": cases}]
    played = play(saga(*many, error_handling="fail_fast"), {"c3": reject()}, value=3)
    assert played.end == "failed"

    told = refused(played, "c0", saga({"id": "s", "switch": cases[:1]}))

    assert told.code == "rerun_gap"
    assert "took another branch" in str(told)


@pytest.mark.parametrize(
    ("around", "name"),
    [
        (par("p", "x", "y"), "parallel 'p'"),
        (each("f", "${[1]}", "x"), "foreach 'f'"),
        ({"id": "w", "repeat": [call("x")], "while": "true"}, "repeat 'w'"),
        (attempt("t", "x"), "try 't'"),
        (par("o", inner("q", "x")), "parallel 'o'"),
    ],
    ids=["parallel", "foreach", "repeat", "try", "deeper"],
)
def test_inside_what_runs_as_one_there_is_no_place_to_begin(around: Tree, name: str) -> None:
    told = refused(failed("a", around, x=reject()), "x")

    assert told.code == "rerun_place"
    assert name in str(told)


@pytest.mark.parametrize("name", ["", "nowhere", "i/then", "c[0]"])
def test_a_step_that_there_is_not_is_said_so(name: str) -> None:
    played = failed({"id": "i", "if": "true", "then": [call("c")]}, c=reject())

    with pytest.raises(NotFound, match="has no step"):
        place_of_rerun(played.state, played.world.program, Rerun(name))


def test_an_iteration_is_told_to_begin_with_its_loop() -> None:
    played = failed(each("f", "${[1, 2]}", "x"), x=reject())

    assert "Rerun from 'f'" in str(refused(played, "x[0]"))


# --- another version -------------------------------------------------------------------------------


def test_another_version_that_is_the_same_up_to_the_step_is_taken() -> None:
    played = failed("a", "b", b=reject())
    tree = saga("a", call("b2"), "c", output={"a": "${steps.a}"})

    again = rerun_play(played, "b2", tree)

    assert list(again) == [["b2", "c"], "completed"]
    assert again.view["version"] == 2


def test_another_version_may_undo_differently_what_it_takes_over() -> None:
    played = failed("a", "b", a=ok({"n": 7}), b=reject())
    mended = saga(call("a", undo={"input": {"was": "${step.output.n}"}}), "b", failure())

    again = rerun_play(played, "b", mended)

    assert again.calls == ["b", "undo b", "undo a"]
    assert again.requests[2].body == {"was": 7}


@pytest.mark.parametrize(
    ("steps", "differs"),
    [
        (["n", "a", "b"], "'n'"),
        ([call("a2"), "b"], "'a2'"),
        ([quiet("a"), "b"], "without a compensation"),
        ([{"id": "a", "set": 1}, "b"], "the set step 'a'"),
        ([{"id": "a", "call": "other.do", "compensation": "a.undo"}, "b"], "other.do"),
        ([{"id": "a", "call": "a.do", "compensation": "other.undo"}, "b"], "other.undo"),
        ([{"id": "a", "call": "a.do", "pivot": True}, quiet("b", retriable=True)], "a pivot"),
        ([inner("q", "a"), "b"], "'q'"),
        (["a", "n", "b"], "'n'"),
    ],
    ids=["new before", "another name", "no undo", "another kind", "another call", "another undo", "pivot", "place",
         "inserted"],
)  # fmt: skip
def test_a_version_that_differs_before_the_step_is_refused_with_what_differs(steps: list[Any], differs: str) -> None:
    played = failed("a", "b", b=reject())

    told = refused(played, "b", saga(*steps))

    assert told.code == "rerun_version"
    assert differs in str(told)


def test_what_is_taken_over_must_be_the_same_to_its_end() -> None:
    played = failed(par("p", READ, "a"), "b", b=reject())

    told = refused(played, "b", saga(par("p", READ), "b"))

    assert told.code == "rerun_version"
    assert "'a'" in str(told)
    assert "in 'p'" in str(told)
    assert refused(played, "b", saga(par("p", READ, "a", "n"), "b")).code == "rerun_version"


def test_a_done_step_that_another_version_has_no_more_is_in_the_way() -> None:
    played = failed("a", "b", "c", c=reject())

    assert "'b' has succeeded" in str(refused(played, "c", saga("a", "c")))


# --- ids -------------------------------------------------------------------------------------------


def test_the_id_follows_from_what_is_asked_for() -> None:
    one = rerun_id("x", 1, "a")

    assert one == rerun_id("x", 1, "a")
    assert len({one, rerun_id("y", 1, "a"), rerun_id("x", 2, "a"), rerun_id("x", 1, "b")}) == 4
    assert one[14] == "8"
