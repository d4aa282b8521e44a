"""What differs between two definitions: every key of every kind, and where steps stand."""

# ruff: noqa: E501 -- a case is one row of its table, however long

from __future__ import annotations

import json
from typing import Any

import pytest

from makegood.language import load, load_tree
from makegood.language.changes import changes
from makegood.language.keys import KINDS, TOP


def flow(*lines: str, top: str = "") -> str:
    return f"name: trip\n{top}steps:\n" + "".join(f"  - {line}\n" for line in lines)


def told(old: str, new: str) -> list[dict[str, Any]]:
    found = [each.as_json() for each in changes(load(old).definition, load(new).definition)]
    json.dumps(found, allow_nan=False)
    return found


def keys(old: str, new: str) -> list[tuple[Any, ...]]:
    return [(each["change"], each["step"], each["key"]) for each in told(old, new)]


A, B, C = "{id: a, call: x.a, compensation: x.z}", "{id: b, call: x.b, compensation: x.z}", "{id: c, set: 1}"


def test_the_same_in_other_words_is_no_difference():
    old = flow(
        "{id: a, call: x.y, timeout: 60s, compensation: x.z, when: 'true'}", top="error_handling: compensation\n"
    )
    new = flow(
        "{id: a, call: {service: x, method: y}, timeout: 1m, compensation: {call: x.z}, when: true, pivot: false}"
    )

    assert told(old, new) == []


STEP_KEYS = [
    ("call", "call: x.y", "call: x.z", "call"),
    ("call", "call: x.y, input: {n: 1}", "call: x.y, input: {n: 2}", "input.n"),
    ("call", "call: x.y, input: {n: 1}", "call: x.y, input: {n: true}", "input.n"),
    ("call", "call: x.y, input: {n: ['${input.a}', 2]}", "call: x.y, input: {n: ['${input.b}', 2]}", "input.n[0]"),
    ("call", "call: x.y, input: null", "call: x.y", "input"),
    ("call", "call: x.y, input: {'a b': 1}", "call: x.y, input: {'a b': 2}", "input['a b']"),
    ("call", "call: x.y, timeout: 1s", "call: x.y, timeout: 2s", "timeout"),
    ("call", "call: x.y, ongoing_timeout: 1s", "call: x.y", "ongoing_timeout"),
    ("call", "call: x.y", "call: x.y, retry: {max_attempts: 3}", "retry"),
    ("call", "call: x.y, retry: {max_attempts: 3}", "call: x.y, retry: {max_attempts: 4}", "retry.max_attempts"),
    ("call", "call: x.y, compensation: x.z", "call: x.y, compensation: x.w", "compensation.call"),
    ("call", "call: x.y, compensation: x.z", "call: x.y, compensation: {call: x.z, when: 'true'}", "compensation.when"),
    ("call", "call: x.y, compensation: {call: x.z, input: 1}", "call: x.y, compensation: x.z", "compensation.input"),
    ("call", "call: x.y, compensation: {call: x.z, timeout: 1s}", "call: x.y, compensation: x.z", "compensation.timeout"),
    ("call", "call: x.y, compensation: {call: x.z, retry: {}}", "call: x.y, compensation: {call: x.z, retry: {jitter: 0.5}}", "compensation.retry.jitter"),
    ("call", "call: x.y", "call: x.y, compensation: x.z", "compensation"),
    ("call", "call: x.y", "call: x.y, read_only: true", "read_only"),
    ("call", "call: x.y", "call: x.y, pivot: true", "pivot"),
    ("call", "call: x.y", "call: x.y, retriable: true", "retriable"),
    ("call", "call: x.y, compensation: x.z", "call: x.y, compensation: x.z, compensate_on_failure: true", "compensate_on_failure"),
    ("call", "call: x.y", "call: x.y, when: 'input.a'", "when"),
    ("parallel", "parallel: []", "parallel: [], max_concurrency: 2", "max_concurrency"),
    ("parallel", "parallel: []", "parallel: [], on_failure: wait_all", "on_failure"),
    ("if", "if: input.a, then: []", "if: input.b, then: []", "if"),
    ("switch", "switch: [{when: input.a, steps: []}]", "switch: [{when: input.b, steps: []}]", "switch[0].when"),
    ("foreach", "foreach: [1], steps: []", "foreach: [2], steps: []", "foreach[0]"),
    ("foreach", "foreach: [1], steps: []", "foreach: [1], as: x, steps: []", "as"),
    ("foreach", "foreach: [1], steps: []", "foreach: [1], index_as: x, steps: []", "index_as"),
    ("foreach", "foreach: [1], steps: []", "foreach: [1], max_concurrency: 5, steps: []", "max_concurrency"),
    ("repeat", "repeat: [], until: input.a", "repeat: [], until: input.b", "until"),
    ("repeat", "repeat: [], while: input.a", "repeat: [], while: input.b", "while"),
    ("repeat", "repeat: [], while: input.a", "repeat: [], while: input.a, max_iterations: 5", "max_iterations"),
    ("wait", "wait: 1s", "wait: 2s", "wait"),
    ("wait", "wait: {until: '${input.a}'}", "wait: {until: '${input.b}'}", "wait.until"),
    ("signal", "signal: a", "signal: b", "signal"),
    ("signal", "signal: a, timeout: 1s", "signal: a, timeout: 2s", "timeout"),
    ("signal", "signal: a", "signal: a, on_timeout: continue", "on_timeout"),
    ("signal", "signal: a, schema: {type: object}", "signal: a, schema: {type: array}", "schema.type"),
    ("workflow", "workflow: a", "workflow: b", "workflow"),
    ("workflow", "workflow: a", "workflow: a, version: 2", "version"),
    ("workflow", "workflow: a", "workflow: a, input: 1", "input"),
    ("workflow", "workflow: a", "workflow: a, compensation: x.z", "compensation"),
    ("workflow", "workflow: a", "workflow: a, detached: true", "detached"),
    ("try", "try: [], catch: [{errors: [e], steps: []}]", "try: [], catch: [{errors: [f], steps: []}]", "catch[0].errors[0]"),
    ("try", "try: [], catch: [{steps: []}]", "try: [], catch: [{as: e, steps: []}]", "catch[0].as"),
    ("try", "try: []", "try: [], compensate: false", "compensate"),
    ("set", "set: {a: 1}", "set: {a: 2}", "set.a"),
    ("fail", "fail: {error: e}", "fail: {error: f}", "fail.error"),
]  # fmt: skip
_STEPS_INSIDE = {"parallel", "sequential", "then", "else", "default", "steps", "repeat", "try", "finally", "id"}


@pytest.mark.parametrize(("kind", "old", "new", "key"), STEP_KEYS)
def test_a_key_of_a_step_that_changed_is_named(kind, old, new, key):
    found = told(flow(f"{{id: a, {old}}}"), flow(f"{{id: a, {new}}}"))

    assert [(each["change"], each["step"], each["kind"], each["key"]) for each in found] == [
        ("changed", "a", kind, key)
    ]


def test_no_key_of_a_step_is_forgotten():
    known = {(kind.name, key.name) for kind in KINDS.values() for key in (kind.key, *kind.others)}
    asked = {(kind, key.partition(".")[0].partition("[")[0]) for kind, _, _, key in STEP_KEYS}

    assert {(kind, key) for kind, key in known - asked if key not in _STEPS_INSIDE} == set()


TOP_KEYS = [
    ("description: a", "description: b", "description"),
    ("error_handling: retry", "error_handling: {strategy: retry, max_attempts: 9}", "error_handling.max_attempts"),
    ("error_handling: fail_fast", "error_handling: compensation", "error_handling.strategy"),
    ("on_compensation_failure: halt", "on_compensation_failure: continue", "on_compensation_failure"),
    ("compensation_order: reverse", "compensation_order: structured", "compensation_order"),
    ("timeout: 1h", "timeout: 2h", "timeout"),
    ("defaults: {timeout: 1s}", "defaults: {timeout: 2s}", "defaults.timeout"),
    ("defaults: {retry: {}}", "defaults: {}", "defaults.retry"),
    ("defaults: {compensation: {retry: {}, timeout: 1s}}", "defaults: {compensation: {retry: {}, timeout: 2s}}", "defaults.compensation.timeout"),
    ("input_schema: {type: object}", "input_schema: {type: array}", "input_schema.type"),
    ("business_key: input.a", "business_key: input.b", "business_key"),
    ("search: {a: input.a}", "search: {a: input.b}", "search.a"),
    ("output: {a: 1}", "output: {a: 2}", "output.a"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key"), TOP_KEYS)
def test_a_key_of_the_definition_that_changed_is_named(old, new, key):
    assert keys(flow(A, top=f"{old}\n"), flow(A, top=f"{new}\n")) == [("changed", None, key)]


def test_no_key_of_the_definition_is_forgotten():
    # A version is what is compared, and no part of what it says.
    assert set(TOP) - {"name", "version", "steps"} == {key.partition(".")[0] for _, _, key in TOP_KEYS}


def test_a_value_is_told_as_it_was_and_as_it_is():
    found = told(flow("{id: a, call: x.y, timeout: 90s}"), flow("{id: a, call: x.y, timeout: 250ms, input: null}"))

    assert found == [
        {"change": "changed", "step": "a", "kind": "call", "key": "timeout", "before": "90s", "after": "250ms"},
        {"change": "changed", "step": "a", "kind": "call", "key": "input", "after": None},
    ]


def test_steps_come_and_go_and_a_new_name_is_both():
    assert keys(flow(A, B), flow(A, C, B)) == [("added", "c", None)]
    assert keys(flow(A, C, B), flow(A, B)) == [("removed", "c", None)]
    assert told(flow(A, "{id: old, set: 1}"), flow(A, "{id: new, set: 1}")) == [
        {"change": "removed", "step": "old", "kind": "set", "key": None, "before": {"set": 1}},
        {"change": "added", "step": "new", "kind": "set", "key": None, "after": {"set": 1}},
    ]


def test_a_step_that_came_or_went_is_told_with_what_it_says_and_no_defaults():
    lines = {
        "{id: s, set: false}": {"set": False},
        "{id: s, set: null}": {"set": None},
        "{id: s, call: x.y, input: false, read_only: true}": {"call": "x.y", "input": False, "read_only": True},
        "{id: s, workflow: w, input: false, detached: false}": {"workflow": "w", "input": False},
        "{id: s, try: [], compensate: false}": {"catch": [], "compensate": False},
        "{id: s, try: [], compensate: true}": {"catch": []},
    }
    for line, keys_told in lines.items():
        [came], [went] = told(flow(A), flow(A, line)), told(flow(A, line), flow(A))
        assert (came["change"], came["after"]) == ("added", keys_told)
        assert (went["change"], went["before"]) == ("removed", keys_told)


def test_another_kind_under_the_same_name_is_a_change():
    assert ("changed", "a", "kind") in keys(flow("{id: a, set: 1}"), flow("{id: a, wait: 1s}"))


def test_as_few_steps_as_can_be_have_moved():
    steps = [f"{{id: s{number}, set: 1}}" for number in range(6)]
    first_last = [*steps[1:], steps[0]]

    assert keys(flow(*steps), flow(*first_last)) == [("moved", "s0", None)]
    assert told(flow(*steps), flow(*first_last))[0]["after"] == {"in": None, "part": "steps", "after": "s5"}


def test_a_step_that_went_into_another_list_has_moved():
    old = flow("{id: i, if: 'true', then: [{id: a, set: 1}], else: []}", C)
    other_branch = flow("{id: i, if: 'true', then: [], else: [{id: a, set: 1}]}", C)
    outside = flow("{id: i, if: 'true', then: [], else: []}", "{id: a, set: 1}", C)

    assert keys(old, other_branch) == [("moved", "a", None)]
    assert keys(old, outside) == [("moved", "a", None)]
    assert told(old, outside)[0]["before"] == {"in": "i", "part": "then", "after": None}


def test_a_wrapper_without_a_name_is_known_by_what_it_holds():
    old = flow(f"{{parallel: [{A}, {B}]}}", C)
    new = flow(C.replace("id: c", "id: d"), f"{{parallel: [{A}, {B}], max_concurrency: 2}}", C)

    assert keys(old, new) == [("added", "d", None), ("changed", "steps/1", "max_concurrency")]


def test_a_case_and_a_handler_that_come_first_move_no_others():
    old = flow("{id: s, switch: [{when: input.a, steps: [{id: a, set: 1}]}]}")
    new = flow("{id: s, switch: [{when: input.b, steps: []}, {when: input.a, steps: [{id: a, set: 1}]}]}")
    caught = flow("{id: s, try: [], catch: [{errors: [e], steps: [{id: a, set: 1}]}]}")
    more = flow("{id: s, try: [], catch: [{errors: [f], steps: []}, {errors: [e], steps: [{id: a, set: 1}]}]}")

    assert keys(old, new) == [("changed", "s", "switch")]
    assert keys(caught, more) == [("changed", "s", "catch")]


def test_two_more_wrappers_around_a_deep_tree_are_one_move():
    def deep(levels: int) -> dict[str, Any]:
        inner: dict[str, Any] = {"id": "x", "set": 1}
        for level in range(levels):
            inner = {"sequential": [inner, *({"id": f"y{level}_{nth}", "set": level} for nth in range(30))]}
        return {"name": "trip", "steps": [inner]}

    old, new = load_tree(deep(60)).definition, load_tree(deep(62)).definition

    assert [each.step for each in changes(old, new) if each.change == "moved"] == ["steps/0/sequential/0/sequential/0"]
