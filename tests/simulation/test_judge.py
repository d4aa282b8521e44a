"""Every check of the judge: a play that satisfies it, and one that does not. A check that cannot fail is none."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from scenario_texts import DECLINED, SIDE_BY_SIDE, TWO_STEPS, UNDONE, judged, keys_that_differ, scenario_of

from makegood.simulation.scenario import Played, play_on_core

DONE = {"status": "completed", "calls": ["stock.reserve", "cards.charge"]}
LOST = {"cards.charge": [{"hang": True, "effect": True}]}
LOST_UNDONE = {"status": "compensated", "calls": ["stock.reserve", "cards.charge", "cards.refund", "stock.release"]}
NO_UNDO = {"name": "mails", "steps": [{"id": "mail", "call": "mail.send"}, {"id": "charge", "call": "cards.charge"}]}
MAILS = {"definition": NO_UNDO, "services": DECLINED}
BOTH = {"status": "completed", "calls": [["flights.book", "hotels.book"]]}
RETRIED: dict[str, Any] = {
    "definition": {
        "name": "order",
        "steps": [{"id": "charge", "call": "cards.charge", "retry": {"max_attempts": 2, "initial_interval": "1s", "jitter": False}}],
    },
    "services": {"cards.charge": [{"status": 503}, {"ok": {}}]},
}
TRIED_TWICE = {"status": "completed", "calls": ["cards.charge", "cards.charge"]}
LATE = {"flights.book": [{"reject": "full", "delay_ms": 10}], "hotels.book": [{"reject": "none", "delay_ms": 500}]}
LATE_UNDONE = {"status": "compensated", "calls": [["flights.book", "hotels.book"]]}
LOOP = {
    "name": "fleet",
    "steps": [{"id": "all", "foreach": "${input.of}", "as": "it", "steps": [{"id": "flash", "call": "fleet.flash", "input": {"n": "${it}"}}]}],
}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("status", DONE, {**DONE, "status": "compensated"}, {}),
    ("calls", DONE, {**DONE, "calls": ["cards.charge", "stock.reserve"]}, {}),
    ("calls", DONE, {"status": "completed"}, {}),
    ("error_code", {**UNDONE, "error_code": "declined"}, {**UNDONE, "error_code": "other"}, {"services": DECLINED}),
    ("error_code", {**UNDONE, "error_code": "declined"}, {**DONE, "error_code": "declined"}, {"services": DECLINED}),
    ("error_step", {**UNDONE, "error_step": "charge"}, {**UNDONE, "error_step": "reserve"}, {"services": DECLINED}),
    ("output", {**DONE, "output": {"n": 1}}, {**DONE, "output": {}}, {"services": {"cards.charge": [{"ok": {"n": 1}}]}}),
    ("output", {**DONE, "output": {"n": 1}}, {**DONE, "output": {"n": True}}, {"services": {"cards.charge": [{"ok": {"n": 1}}]}}),
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
    ("bodies", {**DONE, "bodies": {"cards.charge": {"a": {"b": 1}}}}, {**DONE, "bodies": {"cards.charge": {"a": {"b": 2}}}}, {"input": {"a": {"b": 1, "c": 2}, "d": 3}}),
    ("bodies", {**DONE, "bodies": {"cards.charge": {}}}, {**DONE, "bodies": {"cards.refund": {}}}, {}),
    ("bodies", {**DONE, "bodies": {"cards.charge": {"l": [1, 2]}}}, {**DONE, "bodies": {"cards.charge": {"l": [1]}}}, {"input": {"l": [1, 2]}}),
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
    ("same_key", {**TRIED_TWICE, "same_key": ["cards.charge"]}, {**TRIED_TWICE, "same_key": []}, {**RETRIED, "_same": True}),
    ("effects", {**DONE, "effects": {"charge": 1}}, {**DONE, "effects": {"charge": 0}}, {}),
    ("effects", {**LOST_UNDONE, "effects": {"charge": 0}}, {**LOST_UNDONE, "effects": {"charge": 1}}, {"services": LOST}),
    ("max_in_flight", {**BOTH, "max_in_flight": {"flights.*": 1}}, {**BOTH, "max_in_flight": {"flights.*": 2}}, {"definition": SIDE_BY_SIDE}),
    ("max_in_flight", {**DONE, "max_in_flight": {"cards.charge": 1}}, {**DONE, "max_in_flight": {"cards.charge": 0}}, {}),
    ("gaps_ms", {**TRIED_TWICE, "gaps_ms": [["cards.charge", "cards.charge", 1000]]}, {**TRIED_TWICE, "gaps_ms": [["cards.charge", "cards.charge", 1001]]}, RETRIED),
    ("gaps_ms", {**DONE, "gaps_ms": [["stock.reserve", "cards.charge", 0]]}, {**DONE, "gaps_ms": [["stock.reserve", "cards.refund", 0]]}, {}),
    ("after_deadline", {**LOST_UNDONE, "after_deadline": ["cards.refund"]}, {**LOST_UNDONE, "after_deadline": ["stock.release"]}, {"services": LOST, "_later": "stock.reserve"}),
    ("after_deadline", {**LOST_UNDONE, "after_deadline": ["cards.refund"]}, {**UNDONE, "after_deadline": ["cards.refund"]}, {"services": LOST}),
    ("actions", DONE, DONE, {"_actions": ([{"at_end": "completed", "do": "cancel", "answer": 409}], [{"at_end": "completed", "do": "cancel"}])}),
    ("actions", DONE, DONE, {"_actions": ([{"after_calls": 2, "do": "suspend"}, {"at_ms": 5, "do": "resume"}], [{"after_calls": 3, "do": "cancel"}])}),
    ("actions", DONE, DONE, {"_actions": ([], [{"at_end": "failed", "do": "compensate"}])}),
]


@pytest.mark.parametrize(("key", "holds", "fails", "rest"), CASES, ids=lambda each: each if isinstance(each, str) else "")
def test_each_expectation_holds_for_one_play_and_fails_for_another(
    key: str, holds: dict[str, Any], fails: dict[str, Any], rest: dict[str, Any]
) -> None:
    if rest.pop("_same", False) or rest.pop("_later", None):
        pytest.skip("judged below, on plays made by hand")
    actions = rest.pop("_actions", None)
    first, second = ({}, {}) if actions is None else ({"actions": actions[0]}, {"actions": actions[1]})

    assert keys_that_differ(holds, **rest, **first) == []
    assert key in keys_that_differ(fails, **rest, **second)
