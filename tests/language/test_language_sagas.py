"""The rules of sagas that registration holds: pivots, `finally`, and the warnings."""

# ruff: noqa: E501 -- a case is one row of its table, however long

from __future__ import annotations

import pytest

from makegood.errors import DefinitionError
from makegood.language import load, pivots

PIVOT = "{id: pay, call: x.pay, pivot: true}"


def flow(*lines: str, top: str = "") -> str:
    return f"name: trip\n{top}steps:\n" + "".join(f"  - {line}\n" for line in lines)


def errors(*lines: str) -> list[tuple[str, str]]:
    """Code and message of each error."""
    with pytest.raises(DefinitionError) as caught:
        load(flow(*lines))
    return [(problem.code, problem.message) for problem in caught.value.problems]


REFUSED = [
    ((PIVOT, "{id: b, call: x.y}"), "not_retriable_after_pivot", "Step 'b' can run after the pivot 'pay'"),
    ((PIVOT, "{id: b, call: x.y, retriable: true, compensation: x.z}"), "compensation_after_pivot", "Remove its compensation"),
    ((PIVOT, "{id: b, call: x.y, read_only: true, compensation: x.z}"), "compensation_after_pivot", "Remove its compensation"),
    ((PIVOT, "{id: b, call: x.y, pivot: true}"), "not_retriable_after_pivot", "retriable: true"),
    ((PIVOT, "{id: b, workflow: w}"), "child_after_pivot", "detached: true"),
    ((PIVOT, "{id: b, fail: {error: e}}"), "fail_after_pivot", "nothing may fail"),
    ((PIVOT, "{id: b, signal: go, timeout: 1s}"), "signal_after_pivot", "on_timeout: continue"),
    ((PIVOT, "{id: i, if: 'true', then: [{id: b, call: x.y}]}"), "not_retriable_after_pivot", "after the pivot 'pay'"),
    ((PIVOT, "{id: i, foreach: [1], steps: [{id: b, call: x.y}]}"), "not_retriable_after_pivot", "after the pivot 'pay'"),
    ((PIVOT, "{id: i, try: [{id: b, call: x.y}]}"), "not_retriable_after_pivot", "after the pivot 'pay'"),
    ((PIVOT, "{id: i, try: [], catch: [{steps: [{id: b, call: x.y}]}]}"), "not_retriable_after_pivot", "'pay'"),
    (("{parallel: [" + PIVOT + ", {id: b, call: x.y}]}",), "not_retriable_after_pivot", "beside the pivot 'pay'"),
    (("{parallel: [{id: b, call: x.y}, " + PIVOT + "]}",), "not_retriable_after_pivot", "beside the pivot 'pay'"),
    (("{parallel: [{id: b, call: x.y, compensation: x.z, retriable: true}, [[" + PIVOT + "]]]}",), "compensation_after_pivot", "beside"),
    (("{id: i, if: 'true', then: [" + PIVOT + "]}", "{id: b, call: x.y}"), "not_retriable_after_pivot", "after the pivot"),
    (("{id: i, if: 'true', then: [" + PIVOT + ", {id: b, call: x.y}]}",), "not_retriable_after_pivot", "after the pivot"),
    (("{parallel: [[" + PIVOT + "], {id: c, call: x.y, read_only: true}]}", "{id: b, call: x.y}"), "not_retriable_after_pivot", "Step 'b' can run after"),
    (("{id: f, foreach: [1], steps: [" + PIVOT + "]}",), "pivot_in_scope", "inside the foreach 'f'"),
    (("{id: f, repeat: [" + PIVOT + "], until: 'true'}",), "pivot_in_scope", "inside the repeat 'f'"),
    (("{id: f, try: [[" + PIVOT + "]]}",), "pivot_in_scope", "inside the try 'f'"),
    (("{id: f, try: [], catch: [{steps: [" + PIVOT + "]}]}",), "pivot_in_scope", "inside the try 'f'"),
    (("{id: pay, call: x.pay, pivot: true, compensation: x.z}",), "compensation_of_pivot", "or `pivot`"),
    (("{id: t, try: [], finally: [{id: b, call: x.y, compensation: x.z}]}",), "compensation_in_finally", "the `finally` of 't'"),
    (("{id: t, try: [], finally: [[{id: b, workflow: w, compensation: x.z}]]}",), "compensation_in_finally", "move the step out"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "code", "piece"), REFUSED)
def test_what_cannot_be_undone_or_must_be(lines, code, piece):
    found = errors(*lines)

    assert [each for each, _ in found] == [code], found
    assert piece in found[0][1]


ALLOWED = [
    ("{id: a, call: x.y, compensation: x.z}", PIVOT),
    (PIVOT, "{id: b, call: x.y, retriable: true}", "{id: c, call: x.y, read_only: true}"),
    (PIVOT, "{id: b, call: x.y, pivot: true, retriable: true}"),
    (PIVOT, "{id: b, workflow: w, detached: true}", "{id: c, wait: 1s}", "{id: d, set: 1}", "{id: e, signal: go}"),
    (PIVOT, "{id: b, signal: go, timeout: 1s, on_timeout: continue}"),
    ("{id: i, if: 'true', then: [" + PIVOT + "], else: [{id: b, call: x.y, compensation: x.z}]}",),
    ("{id: i, switch: [{when: 'true', steps: [" + PIVOT + "]}, {when: 'true', steps: [{id: b, call: x.y}]}]}",),
    ("{parallel: [" + PIVOT + ", {id: b, call: x.y, retriable: true}]}",),
    ("{parallel: [{id: a, call: x.y}, {id: b, call: x.y}]}", PIVOT),
    ("{id: f, foreach: [1], steps: [{id: a, call: x.y}]}", PIVOT),
]  # fmt: skip


@pytest.mark.parametrize("lines", ALLOWED)
def test_what_may_stand_around_a_pivot(lines):
    load(flow(*lines))


def test_the_pivots_of_a_definition():
    definition = load(flow("{id: a, call: x.y}", "{parallel: [" + PIVOT + "]}")).definition

    assert pivots(definition) == ("pay",)


CHILD = "{id: w, workflow: other}"


@pytest.mark.parametrize(
    ("line", "version", "refused"),
    [
        (CHILD, None, True),
        ("{id: w, workflow: other, version: 2}", 2, True),
        ("{id: w, workflow: other, version: 1}", 2, False),
        ("{id: w, workflow: other, detached: true}", None, False),
        ("{id: w, workflow: another}", None, False),
        ("{id: f, foreach: [1], steps: [[" + CHILD + "]]}", None, True),
    ],
)
def test_a_workflow_with_a_pivot_is_no_child(line, version, refused):
    children = {("other", None): ("pay",), ("other", version): ("pay",)}
    if not refused:
        load(flow(line), children=children)
        return
    with pytest.raises(DefinitionError) as caught:
        load(flow(line), children=children)

    assert [(p.code, p.line) for p in caught.value.problems] == [("pivot_in_child", 3)]
    assert "calls the workflow 'other' as a child, and that has the pivot 'pay'" in caught.value.problems[0].message


def test_a_workflow_with_a_pivot_does_not_call_itself():
    assert errors("{id: w, when: input.more, workflow: trip}", PIVOT)[0][0] == "pivot_in_child"


def warned(text: str) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.code) for problem in load(text).warnings]


def test_a_call_without_compensation_is_pointed_out_when_something_later_can_fail():
    assert warned(flow("{id: a, call: x.y}", "{id: b, call: x.y, compensation: x.z}")) == [(3, "uncompensated_call")]
    assert warned(flow("{id: a, call: x.y}", "{id: b, set: 1}")) == []
    assert warned(flow("{id: a, call: x.y, read_only: true}", "{id: b, call: x.y}")) == []
    assert warned(flow("{id: a, call: x.y}", "{id: b, call: x.y}", top="error_handling: fail_fast\n")) == []
    assert warned(flow("{parallel: [{id: a, call: x.y}, {id: b, call: x.y}]}")) == [(3, "uncompensated_call")] * 2
    assert warned(flow("{id: i, if: 'true', then: [{id: a, call: x.y}], else: [{id: b, call: x.y}]}")) == []
    assert (
        warned(
            flow("{id: a, call: x.y}", "{id: t, try: [{id: b, call: x.y, compensation: x.z}], catch: [{steps: []}]}")
        )
        == []
    )


READS = [
    ("{n: '${step.output.id}'}", "step.output.id"),
    ("{n: [{m: 'no. ${step.output.id}'}]}", "step.output.id"),
    ("'${has(step.output.id) ? 1 : 2}'", "step.output.id"),
    ("'${step.output.?id.orValue(1)}'", "step.output.id"),
    ("'${step.output[input.key]}'", "step.output[...]"),
    ("\"${step['output'].id}\"", "step.output.id"),
    ("'${step.output.items.map(i, i.id)}'", "step.output.items"),
    ("'${input.a ? step.output.id : null}'", "step.output.id"),
    ("'${step.output.a ? step.output.b : null}'", "step.output.a"),
    ("'${input.a && step.output.ok}'", "step.output.ok"),
    ("'${step.outcome}${step.output.id}'", "step.output.id"),
]


@pytest.mark.parametrize(("undo", "read"), READS)
def test_an_undo_that_reads_an_output_without_asking_is_pointed_out(undo, read):
    for step in ("call: x.y", "workflow: w"):
        found = load(flow(f"{{id: a, {step}, compensation: {{call: x.z, input: {undo}}}}}")).warnings

        assert [(each.code, each.line) for each in found] == [("output_not_asked", 3)]
        assert f"Step 'a': its undo reads {read}, and" in found[0].message
        assert f"${{step.outcome == 'succeeded' ? {read} : null}}" in found[0].message


ASKED = [
    "{input: \"${step.outcome == 'succeeded' ? step.output.id : null}\"}",
    "{input: \"${step.outcome != 'succeeded' ? null : step.output.id}\"}",
    "{input: '${step.output == null ? 0 : step.output.id}'}",
    "{input: '${step.error != null ? step.error.code : step.output.id}'}",
    "{input: '${step.error.code == input.code ? 0 : step.output.id}'}",
    "{input: \"${input.a ? 1 : step.outcome == 'succeeded' ? step.output.a : step.output.b}\"}",
    "{input: '${step.output != null && step.output.ok}'}",
    "{input: '${step.output.ok || step.output == null}'}",
    "{input: '${step.input.id}'}",
    "{input: '${step.output}'}",
    "{input: {all: '${step}', id: '${input.output.id}'}}",
    "{when: step.output != null, input: '${step.output.id}'}",
    "{when: step.outcome == 'succeeded' && step.output.ok, input: '${step.output.id}'}",
    "{}",
]


@pytest.mark.parametrize("undo", ASKED)
def test_an_undo_that_asks_first_is_sound(undo):
    assert warned(flow(f"{{id: a, call: x.y, compensation: {{call: x.z, {undo[1:-1]}}}}}")) == []


def test_a_when_that_reads_inside_alone_asks_nothing():
    undo = "{call: x.z, when: step.output.ok, input: '${step.output.id}'}"

    assert warned(flow(f"{{id: a, call: x.y, compensation: {undo}}}")) == [(3, "output_not_asked")]


def test_other_warnings():
    assert warned(flow("{id: a, call: x.y, compensation: x.y}")) == [(3, "compensation_same_call")]
    assert warned(flow("{id: a, wait: 2m}", top="timeout: 1m\n")) == [(4, "wait_beyond_timeout")]
    assert warned(flow("{id: a, call: x.y, read_only: true, compensation: x.z}")) == [(3, "compensation_of_read_only")]
    assert warned(flow("{id: a, call: x.y, read_only: true, pivot: true}")) == [(3, "read_only_pivot")]
    assert warned(flow("{id: a, signal: go, on_timeout: continue}")) == [(3, "timeout_missing")]
    assert warned(flow("{id: a, signal: go, on_timeout: continue, timeout: 1s}")) == []
    assert warned(flow("{id: a, try: [], catch: [{steps: []}, {errors: [e], steps: []}]}")) == [
        (3, "handler_never_runs")
    ]
    assert warned(flow("{id: a, try: [], catch: [{errors: [e], steps: []}, {steps: []}]}")) == []
    assert warned(flow("{id: a, repeat: [{id: b, set: 1}], while: steps.b < 3}")) == [(3, "before_first_round")]
    assert warned(flow("{id: a, repeat: [{id: b, set: 1}], while: '!has(steps.b) || steps.b < 3'}")) == []
    assert warned(flow("{id: a, repeat: [{id: b, set: 1}], until: steps.b > 3}")) == []
    assert warned(flow("{id: a, call: x.y, retry: {max_attempts: 1, retry_on: [e]}}")) == [
        (3, "retry_on_single_attempt")
    ]
    scope = "{{id: t, try: [{{id: a, call: x.y, read_only: true}}], catch: [{{errors: [{}], steps: []}}]}}"
    assert warned(flow(scope.format("sold_out, rejected"))) == []
    assert warned(flow(scope.format("sold_out, rejcted"))) == [(3, "nearly_a_class")]


def test_a_warning_refuses_nothing_and_says_that_it_is_one():
    found = load(flow("{id: a, wait: 2m}", top="timeout: 1m\n")).warnings[0]

    assert found.severity == "warning"
    assert found.located("trip.yaml").startswith("trip.yaml:4:19: warning: Step 'a' waits at least as long")
