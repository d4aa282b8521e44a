"""Every check of the judge: a play that satisfies it, and one that does not. A check that cannot fail is none."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from scenario_texts import DECLINED, SIDE_BY_SIDE, TWO_STEPS, UNDONE, judged, keys_that_differ, scenario_of

from makegood.simulation.scenario import Played, play_on_core
from makegood.simulation.script import Call

DONE = {"status": "completed", "calls": ["stock.reserve", "cards.charge"]}
LOST = {"cards.charge": [{"hang": True, "effect": True}]}
LOST_UNDONE = {"status": "compensated", "calls": ["stock.reserve", "cards.charge", "cards.refund", "stock.release"]}
NO_UNDO = {"name": "mails", "steps": [{"id": "mail", "call": "mail.send"}, {"id": "charge", "call": "cards.charge"}]}
MAILS = {"definition": NO_UNDO, "services": DECLINED}
BOTH = {"status": "completed", "calls": [["flights.book", "hotels.book"]]}
RETRIED: dict[str, Any] = {
    "definition": {
        "name": "order",
        "steps": [
            {
                "id": "charge",
                "call": "cards.charge",
                "retry": {"max_attempts": 2, "initial_interval": "1s", "jitter": 0},
            }
        ],
    },
    "services": {"cards.charge": [{"status": 503}, {"ok": {}}]},
}
TRIED_TWICE = {"status": "completed", "calls": ["cards.charge", "cards.charge"]}
LATE = {"flights.book": [{"reject": "full", "delay_ms": 10}], "hotels.book": [{"reject": "none", "delay_ms": 500}]}
LATE_UNDONE = {"status": "compensated", "calls": [["flights.book", "hotels.book"]]}
LOOP = {
    "name": "fleet",
    "steps": [
        {
            "id": "all",
            "foreach": "${input.of}",
            "as": "it",
            "steps": [{"id": "flash", "call": "fleet.flash", "input": {"n": "${it}"}}],
        }
    ],
}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("status", DONE, {**DONE, "status": "compensated"}, {}),
    ("calls", DONE, {**DONE, "calls": ["cards.charge", "stock.reserve"]}, {}),
    ("calls", DONE, {"status": "completed"}, {}),
    ("error_code", {**UNDONE, "error_code": "declined"}, {**UNDONE, "error_code": "other"}, {"services": DECLINED}),
    ("error_step", {**UNDONE, "error_step": "charge"}, {**UNDONE, "error_step": "reserve"}, {"services": DECLINED}),
    (
        "output",
        {**DONE, "output": {"n": 1}},
        {**DONE, "output": {}},
        {"services": {"cards.charge": [{"ok": {"n": 1}}]}},
    ),
    (
        "output",
        {**DONE, "output": {"n": 1}},
        {**DONE, "output": {"n": True}},
        {"services": {"cards.charge": [{"ok": {"n": 1}}]}},
    ),
    (
        "uncompensated_steps",
        {"status": "compensated", "calls": ["mail.send", "cards.charge"], "uncompensated_steps": ["mail"]},
        {"status": "compensated", "calls": ["mail.send", "cards.charge"], "uncompensated_steps": []},
        MAILS,
    ),
    (
        "suppressed_codes",
        {**LATE_UNDONE, "suppressed_codes": ["none"]},
        {**LATE_UNDONE, "suppressed_codes": []},
        {"definition": SIDE_BY_SIDE, "services": LATE},
    ),
    (
        "bodies",
        {**DONE, "bodies": {"cards.charge": {"a": {"b": 1}}}},
        {**DONE, "bodies": {"cards.charge": {"a": {"b": 2}}}},
        {"input": {"a": {"b": 1, "c": 2}, "d": 3}},
    ),
    ("bodies", {**DONE, "bodies": {"cards.charge": {}}}, {**DONE, "bodies": {"cards.refund": {}}}, {}),
    (
        "bodies",
        {**DONE, "bodies": {"cards.charge": {"l": [1, 2]}}},
        {**DONE, "bodies": {"cards.charge": {"l": [1]}}},
        {"input": {"l": [1, 2]}},
    ),
    (
        "bodies_in_order",
        {"status": "completed", "calls": ["fleet.flash"] * 2, "bodies_in_order": {"fleet.flash": [{"n": 1}, {"n": 2}]}},
        {"status": "completed", "calls": ["fleet.flash"] * 2, "bodies_in_order": {"fleet.flash": [{"n": 2}, {"n": 1}]}},
        {"definition": LOOP, "input": {"of": [1, 2]}},
    ),
    (
        "bodies_in_order",
        {"status": "completed", "calls": ["fleet.flash"] * 2, "bodies_in_order": {"fleet.flash": [{"n": 1}, {"n": 2}]}},
        {"status": "completed", "calls": ["fleet.flash"] * 2, "bodies_in_order": {"fleet.flash": [{"n": 1}]}},
        {"definition": LOOP, "input": {"of": [1, 2]}},
    ),
    ("effects", {**DONE, "effects": {"charge": 1}}, {**DONE, "effects": {"charge": 0}}, {}),
    (
        "effects",
        {**LOST_UNDONE, "effects": {"charge": 0}},
        {**LOST_UNDONE, "effects": {"charge": 1}},
        {"services": LOST},
    ),
    (
        "max_in_flight",
        {**BOTH, "max_in_flight": {"flights.*": 1}},
        {**BOTH, "max_in_flight": {"flights.*": 2}},
        {"definition": SIDE_BY_SIDE},
    ),
    (
        "max_in_flight",
        {**DONE, "max_in_flight": {"cards.charge": 1}},
        {**DONE, "max_in_flight": {"cards.charge": 0}},
        {},
    ),
    (
        "gaps_ms",
        {**TRIED_TWICE, "gaps_ms": [["cards.charge", "cards.charge", 1000]]},
        {**TRIED_TWICE, "gaps_ms": [["cards.charge", "cards.charge", 1001]]},
        RETRIED,
    ),
    (
        "gaps_ms",
        {**DONE, "gaps_ms": [["stock.reserve", "cards.charge", 0]]},
        {**DONE, "gaps_ms": [["stock.reserve", "cards.refund", 0]]},
        {},
    ),
]


@pytest.mark.parametrize(("key", "holds", "fails", "rest"), CASES)
def test_each_expectation_holds_for_one_play_and_fails_for_another(
    key: str, holds: dict[str, Any], fails: dict[str, Any], rest: dict[str, Any]
) -> None:
    assert keys_that_differ(holds, **rest) == []
    assert key in keys_that_differ(fails, **rest)


ACTIONS: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = [
    ([{"at_end": "completed", "do": "cancel", "answer": 409}], [{"at_end": "completed", "do": "cancel"}]),
    ([{"after_calls": 2, "do": "suspend"}, {"at_ms": 5, "do": "resume"}], [{"after_calls": 3, "do": "cancel"}]),
    ([], [{"at_end": "failed", "do": "compensate"}]),
    ([{"at_end": "completed", "do": "retry", "answer": 409}], [{"at_end": "completed", "do": "retry", "answer": 404}]),
    ([{"at_ms": 0, "signal": "go", "answer": 422}], [{"at_ms": 0, "signal": "go"}]),
]


@pytest.mark.parametrize(("holds", "fails"), ACTIONS)
def test_actions_must_be_due_and_answered_as_is_said(holds: list[Any], fails: list[Any]) -> None:
    assert keys_that_differ(DONE, actions=holds) == []
    assert keys_that_differ(DONE, actions=fails) == ["actions"]


# --- refusals --------------------------------------------------------------------------------------

BROKEN = {"name": "order", "steps": [{"id": "reserve", "kall": "stock.reserve"}]}
PICKY = {**TWO_STEPS, "input_schema": {"type": "object", "required": ["amount"]}}
KEYED = {**TWO_STEPS, "business_key": "input.order"}


@pytest.mark.parametrize(
    ("what", "keys"),
    [
        ("definition", {"definition": BROKEN}),
        ("definition", {"unregistered": ["cards"]}),
        ("start", {"definition": PICKY}),
        ("start", {"definition": KEYED}),
    ],
)
def test_a_refusal_is_expected_by_its_kind(what: str, keys: dict[str, Any]) -> None:
    other = "start" if what == "definition" else "definition"

    assert keys_that_differ({"refused": what}, **keys) == []
    assert keys_that_differ({"refused": other}, **keys) == ["refused"]
    assert keys_that_differ(DONE, **keys) == ["refused"]


def test_what_is_not_refused_differs_from_a_refusal() -> None:
    assert "refused" in keys_that_differ({"refused": "definition"})
    assert "refused" in keys_that_differ({"refused": "start"}, definition=PICKY, input={"amount": 1})


def test_a_second_start_is_refused_while_the_first_holds_the_business_key() -> None:
    slow = {"cards.charge": [{"ok": {}, "delay_ms": 500}]}
    second = {"after_calls": 2, "do": "start"}
    keyed: dict[str, Any] = {"definition": KEYED, "input": {"order": "A-1"}, "services": slow}

    assert keys_that_differ(DONE, **keyed, actions=[{**second, "answer": 409}]) == []
    assert keys_that_differ(DONE, **keyed, actions=[second]) == ["actions"]


def test_a_key_is_free_from_the_first_end_on_though_it_goes_back_to_compensate() -> None:
    keyed: dict[str, Any] = {
        "definition": {**KEYED, "error_handling": {"strategy": "fail_fast"}},
        "input": {"order": "A-1"},
        "services": {
            "cards.charge": [{"reject": "no"}, {"ok": {}}],
            "stock.release": [{"ok": {}, "delay_ms": 5000, "effect": True}],
        },
    }
    back, second = {"at_end": "failed", "do": "compensate"}, {"after_calls": 3, "do": "start"}
    calls = ["stock.reserve", "cards.charge", "stock.release"]
    expect = {"status": "compensated", "calls": [*calls, *calls[:2]], "effects": {"reserve": 1}, "error_code": "no"}
    early = {"after_calls": 1, "do": "start", "answer": 409}

    assert keys_that_differ(expect, **keyed, actions=[early, back, second]) == []


def test_a_second_start_without_a_key_runs_beside_the_first() -> None:
    calls = ["stock.reserve", "cards.charge", "stock.reserve", "cards.charge"]

    expect = {"status": "completed", "calls": calls, "effects": {"reserve": 2}}
    assert keys_that_differ(expect, actions=[{"at_end": "completed", "do": "start"}]) == []


# --- plays made by hand: what the core never does ---------------------------------------------------


def play_of(services: dict[str, Any], **keys: Any) -> tuple[Any, Played]:
    scenario = scenario_of(LOST_UNDONE, services=services, **keys)
    return scenario, deepcopy(play_on_core(scenario))


def expecting(scenario: Any, **expect: Any) -> Any:
    return scenario_of({**LOST_UNDONE, **expect}, services={"cards.charge": [{"hang": True, "effect": True}]})


def test_an_undo_before_the_deadline_of_its_call_is_seen() -> None:
    scenario, played = play_of(LOST)
    expected = expecting(scenario, after_deadline=["cards.refund"], allow_overlap=True)
    assert judged(expected, played) == []

    undo = next(call for call in played.services.calls if call.method == "cards.refund")
    undo.at_ms -= 1

    assert judged(expected, played) == ["after_deadline"]


def test_an_undo_that_never_came_was_not_after_its_deadline() -> None:
    expect = {**UNDONE, "after_deadline": ["cards.refund"]}

    assert keys_that_differ(expect, services=DECLINED) == ["after_deadline"]


def test_no_error_is_not_the_expected_one() -> None:
    assert keys_that_differ({**DONE, "error_code": "declined", "error_step": "charge"}) == ["error_code", "error_step"]


def test_an_undo_while_a_call_is_open_is_seen_unless_that_is_allowed() -> None:
    scenario, played = play_of(LOST)
    charge, undo = played.services.calls[1], played.services.calls[2]
    charge.closed, charge.answered_at_ms = None, None
    undo.at_ms = charge.deadline_ms - 1

    assert judged(scenario, played) == ["overlap"]
    assert judged(expecting(scenario, allow_overlap=True), played) == []


def test_an_undo_is_no_overlap_once_the_deadline_of_the_open_call_has_passed() -> None:
    scenario, played = play_of(LOST)
    played.services.calls[1].closed = None

    assert judged(scenario, played) == []


def rekey(call: Call, key: str) -> None:
    call.invocation = replace(call.invocation, key=key)


@pytest.mark.parametrize(
    "key", ["play:charge", "charge:do", "play:reserve:do", ":charge:do", "play:charge:redo", "play:charge:undo"]
)
def test_a_key_of_another_form_is_seen(key: str) -> None:
    scenario = scenario_of(DONE)
    played = play_on_core(scenario)
    rekey(played.services.calls[1], key)

    assert judged(scenario, played) == ["key"]


def test_an_undo_of_nothing_is_seen() -> None:
    scenario, played = play_of(LOST)
    rekey(played.services.calls[2], "other:charge:undo")

    assert judged(scenario, played) == ["key"]


def test_requests_of_one_call_with_two_keys_are_seen() -> None:
    scenario = scenario_of({**TRIED_TWICE, "same_key": ["cards.charge"]}, **RETRIED)
    played = play_on_core(scenario)
    assert judged(scenario, played) == []

    rekey(played.services.calls[1], "second:charge:do")

    assert judged(scenario, played) == ["same_key"]


HEADERS = {
    "Idempotency-Key": "play:charge:do", "Makegood-Execution": "play", "Makegood-Step": "charge",
    "Makegood-Attempt": "1", "Makegood-Deadline": "2026-01-01T00:00:00Z", "Content-Type": "application/json",
}  # fmt: skip


@pytest.mark.parametrize("lost", HEADERS)
def test_each_header_is_asked_for_where_there_are_headers(lost: str) -> None:
    scenario, played = play_of(LOST)
    played.services.calls[1].headers = HEADERS
    assert judged(scenario, played) == []

    played.services.calls[1].headers = {name: value for name, value in HEADERS.items() if name != lost}

    assert judged(scenario, played) == ["headers"]


def test_a_key_of_another_execution_than_its_header_says_is_seen() -> None:
    scenario, played = play_of(LOST)
    played.services.calls[1].headers = {**HEADERS, "Makegood-Execution": "other"}

    assert judged(scenario, played) == ["headers"]


def test_calls_of_what_was_refused_are_seen() -> None:
    scenario = scenario_of({"refused": "start"}, definition=PICKY)
    played = play_on_core(scenario)
    played.services.calls += play_on_core(scenario_of(DONE)).services.calls

    assert judged(scenario, played) == ["refused"]


def test_a_gap_of_one_method_is_that_of_its_first_two_requests() -> None:
    steps = RETRIED["definition"]["steps"]
    definition = {
        "name": "order",
        "steps": [{**steps[0], "retry": {**steps[0]["retry"], "max_attempts": 3, "backoff": 3}}],
    }
    keys = {"definition": definition, "services": {"cards.charge": [{"status": 503}, {"status": 503}, {"ok": {}}]}}
    three = {"status": "completed", "calls": ["cards.charge"] * 3}

    assert keys_that_differ({**three, "gaps_ms": [["cards.charge", "cards.charge", 1000]]}, **keys) == []
    assert keys_that_differ({**three, "gaps_ms": [["cards.charge", "cards.charge", 1001]]}, **keys) == ["gaps_ms"]


def test_the_deadline_that_counts_is_that_of_the_last_attempt() -> None:
    scenario, played = play_of(LOST)
    expected = expecting(
        scenario,
        after_deadline=["cards.refund"],
        same_key=["cards.charge"],
        calls=[*LOST_UNDONE["calls"][:2], *LOST_UNDONE["calls"][1:]],
    )
    again = deepcopy(played.services.calls[1])
    played.services.calls.insert(2, again)
    assert judged(expected, played) == []

    again.invocation = replace(again.invocation, deadline_ms=again.deadline_ms + 1)

    assert judged(expected, played) == ["after_deadline"]


def test_a_request_that_was_lost_does_not_count_for_a_gap() -> None:
    scenario = scenario_of({**DONE, "gaps_ms": [["stock.reserve", "cards.charge", 1]]})
    played = play_on_core(scenario)
    assert judged(scenario, played) == ["gaps_ms"]

    played.crashed = True
    played.services.calls[0].lost_at_ms = played.services.calls[0].at_ms

    assert judged(scenario, played) == []


def test_an_undo_that_a_crash_excuses_has_no_body_to_expect() -> None:
    scenario = scenario_of({**UNDONE, "bodies_in_order": {"cards.refund": []}}, services=DECLINED)

    for number in range(1, 10):
        assert judged(scenario, play_on_core(scenario, crash_after=(number,))) == []


def test_more_in_flight_than_allowed_is_seen_with_a_crash_and_fewer_are_not() -> None:
    both: dict[str, Any] = {"definition": SIDE_BY_SIDE}
    fewer = {**BOTH, "max_in_flight": {"flights.*": 3}}
    more = {**BOTH, "max_in_flight": {"flights.*": 0}}

    assert keys_that_differ(fewer, (3,), **both) == []
    assert keys_that_differ(more, (3,), **both) == ["max_in_flight"]


def test_two_that_are_open_together_are_two_also_when_no_time_passes() -> None:
    definition = deepcopy(SIDE_BY_SIDE)
    definition["steps"][0]["parallel"][1]["call"] = "flights.reserve"  # type: ignore[index]
    expect = {"status": "completed", "calls": [["flights.book", "flights.reserve"]], "max_in_flight": {"flights.*": 2}}

    assert keys_that_differ(expect, definition=definition) == []


def test_a_repeat_after_a_crash_counts_once_and_a_second_call_does_not() -> None:
    assert keys_that_differ(DONE, (2,)) == []
    assert keys_that_differ({**DONE, "calls": ["stock.reserve", "cards.charge", "cards.charge"]}, (2,)) == ["calls"]


def test_a_lost_and_then_refused_call_may_be_undone_and_others_may_not() -> None:
    expected = {**UNDONE, "error_step": "charge"}
    allowed = scenario_of(expected, services=DECLINED)
    plays = [play_on_core(allowed, crash_after=(number,)) for number in range(1, 10)]

    assert [judged(allowed, played) for played in plays] == [[]] * len(plays)
    assert any("cards.refund" in [call.method for call in played.services.calls] for played in plays)
    plays[-1].services.calls.append(next(c for p in plays for c in p.services.calls if c.method == "cards.refund"))
    assert "calls" in judged(allowed, plays[-1])
