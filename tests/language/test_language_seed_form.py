"""The older, tagged form loads as it is, and becomes the tree of today."""

# ruff: noqa: E501 -- a case is one row of its table, however long

from __future__ import annotations

import json

import pytest

from makegood.errors import DefinitionError
from makegood.language import load, load_canonical, load_tree

CALL = {"ServiceCall": {"id": "step1", "service_name": "test_service", "method": "process", "compensation": None}}


def seed(*steps, error_handling="FailFast"):
    return {"steps": list(steps), "error_handling": error_handling}


def test_the_sample_becomes_the_tree_of_today():
    tree = seed(
        {"ServiceCall": {"id": "step1", "service_name": "test_service", "method": "process",
                         "compensation": {"service_name": "test_service", "method": "undo"}}},
        {"Parallel": {"id": "p", "steps": []}},
        {"Sequential": {"id": "s", "steps": []}},
        {"Conditional": {"id": "c", "condition": "true", "true_branch": {}, "false_branch": None}},
    )  # fmt: skip

    loaded = load(json.dumps(tree), name="test_workflow").definition

    assert loaded.tree == {
        "name": "test_workflow",
        "error_handling": "fail_fast",
        "steps": [
            {"id": "step1", "call": "test_service.process", "compensation": "test_service.undo"},
            {"id": "p", "parallel": []},
            {"id": "s", "sequential": []},
            {"id": "c", "if": "true", "then": []},
        ],
    }
    assert load_canonical(loaded.tree) == loaded
    assert load_tree(loaded.tree).definition == loaded


def test_inside_a_workflow():
    tree = {"id": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "name": "test_workflow", "definition": seed(CALL)}

    loaded = load(json.dumps(tree)).definition

    assert loaded.tree == {
        "name": "test_workflow", "error_handling": "fail_fast", "steps": [{"id": "step1", "call": "test_service.process"}],
    }  # fmt: skip


def test_branches_are_single_steps_and_nest():
    branch = {"Sequential": {"id": "s", "steps": [CALL]}}
    other = {"Parallel": {"id": "p", "steps": [{"Conditional": {"id": "c", "condition": "false", "true_branch": {}}}]}}
    tree = seed({"Conditional": {"id": "i", "condition": "input.x > 1", "true_branch": branch, "false_branch": other}})

    assert load_tree(tree, name="a").definition.tree["steps"] == [
        {
            "id": "i",
            "if": "input.x > 1",
            "then": [{"id": "s", "sequential": [{"id": "step1", "call": "test_service.process"}]}],
            "else": [{"id": "p", "parallel": [{"id": "c", "if": "false", "then": []}]}],
        }
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"), [("FailFast", "fail_fast"), ("Compensation", "compensation"), ("Retry", "retry")]
)
def test_the_three_strategies(theirs, ours):
    definition = load_tree(seed(CALL, error_handling=theirs), name="a").definition

    assert (definition.tree["error_handling"], definition.error_handling.strategy) == (ours, ours)


def test_a_workflow_without_steps_completes_as_it_did_there():
    definition = load_tree(seed(), name="a").definition

    assert definition.tree["steps"] == [{"sequential": []}]


REFUSED = [
    (seed({"ServiceCal": {}}, CALL), "/steps/0/ServiceCal", "no_kind", "Did you mean 'ServiceCall'?"),
    (seed(CALL, {"id": "a", "call": "x.y"}), "/steps/1", "no_kind", "one form throughout"),
    (seed({"ServiceCall": {**CALL["ServiceCall"], "compensaton": None}}), "/steps/0/ServiceCall/compensaton", "unknown_key", "'compensation'"),
    (seed({"ServiceCall": {"id": "a", "method": "m"}}), "/steps/0/ServiceCall", "missing_key", "`service_name`"),
    (seed({"ServiceCall": {**CALL["ServiceCall"], "id": "Step-1"}}), "/steps/0/ServiceCall/id", "bad_id", "'step_1'"),
    (seed({"ServiceCall": {**CALL["ServiceCall"], "service_name": "a.b"}}), "/steps/0/ServiceCall/service_name", "bad_service", "dot"),
    (seed({"ServiceCall": {**CALL["ServiceCall"], "method": ""}}), "/steps/0/ServiceCall/method", "bad_method", "method"),
    (seed({"ServiceCall": {**CALL["ServiceCall"], "compensation": "x.y"}}), "/steps/0/ServiceCall/compensation", "wrong_type", "or null"),
    (seed(CALL, error_handling="Fail"), "/error_handling", "bad_choice", "FailFast, Compensation, Retry"),
    ({"steps": [CALL]}, "", "missing_key", "`error_handling`"),
    (seed({"Parallel": {"id": "p", "steps": {}}}), "/steps/0/Parallel/steps", "wrong_type", "a list of steps"),
    (seed({"Parallel": {"id": "p", "steps": [CALL, CALL]}}), "/steps/0/Parallel/steps/1/ServiceCall/id", "duplicate_id", "'step1'"),
    (
        seed({"Conditional": {"id": "c", "condition": "nobody", "true_branch": CALL}}),
        "/steps/0/Conditional/condition", "invalid_expression", "There is no 'nobody' here",
    ),
    ({"name": "Test", "definition": seed(CALL)}, "/name", "bad_name", "'test'"),
    ({"name": "a", "definition": seed(CALL, error_handling="no")}, "/definition/error_handling", "bad_choice", "FailFast"),
    ({"name": "a", "definition": seed({"Parallel": {"id": "P", "steps": []}})}, "/definition/steps/0/Parallel/id", "bad_id", "'p'"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "pointer", "code", "piece"), REFUSED)
def test_mistakes_are_placed_in_the_form_they_were_written_in(tree, pointer, code, piece):
    with pytest.raises(DefinitionError) as caught:
        load_tree(tree, name=None if "definition" in tree else "a")

    found = [(p.pointer, p.code) for p in caught.value.problems if piece in p.message]
    assert (pointer, code) in found, caught.value.problems


def test_the_place_in_the_text():
    text = json.dumps(seed(CALL, {"Conditional": {"id": "c", "condition": "inputt.x", "true_branch": CALL}}), indent=1)

    with pytest.raises(DefinitionError) as caught:
        load(text, name="a")

    lines = text.split("\n")
    found = {p.code: lines[p.line - 1].strip() for p in caught.value.problems if p.line}
    assert found == {"duplicate_id": '"id": "step1",', "invalid_expression": '"condition": "inputt.x",'}


def test_the_form_of_today_does_not_take_the_older_strategies():
    with pytest.raises(DefinitionError, match="Did you mean 'fail_fast'"):
        load_tree({"name": "a", "error_handling": "FailFast", "steps": [{"id": "a", "call": "x.y"}]})
