"""Texts with `${...}` in them, trees of such texts, and their results as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from makegood.expression import (
    NONE,
    BudgetExceeded,
    Duration,
    ExpressionError,
    ExpressionSyntaxError,
    PayloadTooLarge,
    Timestamp,
    compile_mapping,
    compile_template,
    to_json,
)

TRIP: dict[str, Any] = {
    "input": {"days": 9, "name": "Ada", "tags": ["sea"], "price": 1.5, "none": None},
    "steps": {"hotel": {"id": "h-1"}},
    "execution": {"id": "e-1", "started_at": Timestamp(0)},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${input.days}", 9),
        ("${ input.tags }", ["sea"]),
        ("plain", "plain"),
        ("", ""),
        ("$${input.days}", "${input.days}"),
        ("$$${input.days}", "$${input.days}"),
        ("cost: $5 {x}", "cost: $5 {x}"),
        ("${input.days} days", "9 days"),
        ("${input.name}${input.days}", "Ada9"),
        ("${input.price}|${true}|${input.none}|${2.0}", "1.5|true|null|2"),
        ("${input.tags} ${{'k': [1, null, 1.5, 'ä\"']}}", '["sea"] {"k":[1,null,1.5,"ä\\""]}'),
        ("${'}' + \"}\" + r'\\}' + '''}'''}", "}}\\}}"),
        ("${{'a': {'b': '}'}}.a.b} and ${'{'}", "} and {"),
        ("${1 // } a comment\n} x", "1 x"),
        ("${timestamp(0)} ${duration('90s')}", "1970-01-01T00:00:00Z 90s"),
        ("${b'abc'}!", "abc!"),
    ],
)
def test_template_value(text: str, value: object) -> None:
    template = compile_template(text)

    got = template.evaluate(TRIP)

    assert (type(got), got) == (type(value), value)


def test_offsets_are_those_of_the_whole_text() -> None:
    text = "to ${input.name} for ${steps.hotel.id}"
    template = compile_template(text)

    assert [(each.root, each.offset) for each in template.references] == [
        ("input", text.index("input")),
        ("steps", text.index("steps")),
    ]
    assert template.path is None
    assert compile_template("${input.name}").path == ("input", "name")


@pytest.mark.parametrize(
    ("text", "offset"),
    [("a ${", 2), ("a ${input.", 2), ("a ${'x}", 4), ("a ${input.}", 10), ("${1} ${nope}", 7), ("${}", 2)],
)
def test_mistake_in_a_template_has_its_place(text: str, offset: int) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        compile_template(text, names=["input"])

    assert caught.value.offset == offset


def test_mapping_evaluates_texts_and_leaves_the_rest() -> None:
    tree = {"guest": "${input.name}", "fixed": [1, None, True, {"a": "b"}], "text": "n=${input.days}", "esc": "$${x}"}
    mapping = compile_mapping(tree)

    value = mapping.evaluate(TRIP)

    assert value == {"guest": "Ada", "fixed": [1, None, True, {"a": "b"}], "text": "n=9", "esc": "${x}"}
    assert value["fixed"] is tree["fixed"]
    assert not mapping.constant
    assert mapping.path is None


def test_mapping_of_one_path_is_a_reference() -> None:
    mapping = compile_mapping("${input}")

    assert mapping.path == ("input",)
    assert mapping.evaluate(TRIP) is TRIP["input"]


def test_mapping_shares_what_it_refers_to() -> None:
    value = compile_mapping({"a": "${input}", "b": ["${[input, input.tags]}"]}).evaluate(TRIP)

    assert value["a"] is TRIP["input"]
    assert value["b"][0][0] is TRIP["input"]
    assert value["b"][0][1] is TRIP["input"]["tags"]


def test_constant_mapping_is_the_tree_itself() -> None:
    tree = {"a": [1, "x"], "b": None}
    mapping = compile_mapping(tree)

    assert mapping.constant
    assert mapping.evaluate({}) is tree
    assert compile_mapping({"a": "$${x}"}).evaluate({}) == {"a": "${x}"}


def test_mapping_gives_json_only() -> None:
    tree = {
        "t": "${timestamp(0)}",
        "at": "${execution.started_at}",
        "all": "${execution}",
        "d": "${[duration('3.5s'), {1: b'x', 'o': optional.none()}]}",
    }

    assert compile_mapping(tree).evaluate(TRIP) == {
        "t": "1970-01-01T00:00:00Z",
        "at": "1970-01-01T00:00:00Z",
        "all": {"id": "e-1", "started_at": "1970-01-01T00:00:00Z"},
        "d": ["3.5s", {"1": "eA==", "o": None}],
    }


@pytest.mark.parametrize("source", ["1.0 / 0.0", "[0.0 / 0.0]", "int", "[type(1)]", "{1: 'a', '1': 'b'}"])
def test_value_without_json_form_is_an_error(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_mapping({"a": f"${{{source}}}"}).evaluate({})

    assert caught.value.code == "expression_error"


def test_mapping_mistake_has_pointer_and_offset() -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        compile_mapping({"a/b": ["ok", {"c~": "x ${inputt.x}"}]}, names=["input"])

    assert caught.value.pointer == "/a~1b/1/c~0"
    assert caught.value.offset == 4


def test_mapping_references_have_pointers() -> None:
    mapping = compile_mapping({"a": ["${input.x}", "${steps.hotel.id}"]})

    assert [(each.pointer, each.root) for each in mapping.references] == [("/a/0", "input"), ("/a/1", "steps")]


def test_mapping_has_one_budget_for_the_whole_tree() -> None:
    mapping = compile_mapping(["${l.map(x, x + 1).size()}"] * 10)
    bindings = {"l": list(range(1000))}

    assert mapping.evaluate(bindings) == [1000] * 10
    with pytest.raises(BudgetExceeded):
        mapping.evaluate(bindings, budget=20_000)


def test_to_json_converts_and_keeps_what_is_plain() -> None:
    plain = {"a": [1, "x", None, 1.5]}

    assert to_json(plain, size_max=1000) is plain
    converted = to_json([plain, Timestamp(0), Duration(1), b"a", NONE], size_max=1000)
    assert converted == [plain, "1970-01-01T00:00:00Z", "0.000000001s", "YQ==", None]
    assert converted[0] is plain  # type: ignore[index]


@pytest.mark.parametrize("value", ["x" * 99, ["x" * 50] * 2, list(range(50)), {"k" * 99: 1}, 10**101, [["äö"] * 30]])
def test_to_json_refuses_what_is_too_large(value: object) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        to_json(value, size_max=100)

    assert caught.value.code == "payload_too_large"


def test_to_json_counts_shared_parts_as_often_as_they_occur() -> None:
    value: object = "x"
    for _ in range(100):
        value = [value, value]

    with pytest.raises(PayloadTooLarge):
        to_json(value, size_max=2_000_000)


@pytest.mark.parametrize("odd", [None, Timestamp(0)])
def test_to_json_size_is_that_of_compact_json(odd: object) -> None:
    value = [{"ä": [1, 2.5, "x\n", True, None, -7, 10**20], "b": {}, "c": []}, [[[]]], "", odd, [9] * 50]
    size = len(json.dumps(to_json(value, size_max=10_000), ensure_ascii=False, separators=(",", ":")).encode())

    to_json(value, size_max=size)
    with pytest.raises(PayloadTooLarge):
        to_json(value, size_max=size - 1)


def test_to_json_refuses_nesting_beyond_200() -> None:
    value: object = 1
    for _ in range(5000):
        value = [value]

    with pytest.raises(ExpressionError, match="deeper than 200"):
        to_json(value, size_max=2_000_000)


def test_to_json_refuses_half_a_character() -> None:
    with pytest.raises(ExpressionError, match="surrogate"):
        to_json(["\ud800"], size_max=100)
