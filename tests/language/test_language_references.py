"""What expressions may read: the step must exist, and must be able to have run."""

# ruff: noqa: E501 -- a case is one row of its table, however long

from __future__ import annotations

import pytest

from makegood.errors import DefinitionError, Problem
from makegood.language import load


def problems(text: str, **known) -> list[Problem]:
    with pytest.raises(DefinitionError) as caught:
        load(text, **known)
    return list(caught.value.problems)


def flow(*lines: str) -> str:
    return "name: trip\nsteps:\n" + "".join(f"  - {line}\n" for line in lines)


A = "{id: a, call: x.y}"
READ = "{id: r, call: x.y, input: '${steps.%s}'}"

REFUSED = [
    # Which step.
    (flow(A, READ % "aa"), "4:34", "unknown_step", "reads steps.aa, and there is no such step. Did you mean 'a'?"),
    (flow(A, "{id: r, call: x.y, when: size(steps) > 0}"), "4:35", "dynamic_step", "Write the step's name out"),
    (flow(A, "{id: r, call: x.y, input: '${steps[input.x]}'}"), "4:34", "dynamic_step", "Write the step's name out"),
    (flow(A, "{id: r, call: x.y, when: 'has(steps.b)'}"), "4:35", "unknown_step", "no such step"),
    (flow(A, "{id: r, call: x.y, when: 'steps.?b.hasValue()'}"), "4:31", "unknown_step", "no such step"),
    # When.
    (flow(READ % "r"), "3:34", "not_yet_run", "is the step itself"),
    (flow(READ % "a", A), "3:34", "not_yet_run", "runs later and cannot have run yet"),
    (flow("{id: b, call: x.y, when: steps.a.ok}", A), "3:30", "not_yet_run", "runs later"),
    (flow("{id: p, sequential: [" + READ % "p" + "]}"), "3:55", "not_yet_run", "holds this step"),
    (flow("{id: c, if: steps.a.ok, then: [" + A + "]}"), "3:17", "not_yet_run", "is inside this step"),
    (flow("{id: c, foreach: '${steps.a}', steps: [" + A + "]}"), "3:25", "not_yet_run", "is inside this step"),
    (flow("{id: c, repeat: [" + READ % "a" + ", " + A + "], until: 'true'}"), "3:51", "not_yet_run", "runs later"),
    (flow("{id: c, repeat: [" + READ % "r" + "], until: 'true'}"), "3:51", "not_yet_run", "itself"),
    (flow("{id: t, try: [" + READ % "a" + "], catch: [{steps: [" + A + "]}]}"), "3:48", "not_yet_run", "runs later"),
    (flow("{id: t, try: [" + READ % "a" + "], finally: [" + A + "]}"), "3:48", "not_yet_run", "runs later"),
    (flow("{id: t, try: [], catch: [{steps: [" + READ % "a" + "]}], finally: [" + A + "]}"), "3:68", "not_yet_run", "runs later"),
    # Beside, and in the other branch.
    (flow("{parallel: [" + A + ", " + READ % "a" + "]}"), "3:66", "runs_beside", "Put them in a sequence"),
    (flow("{parallel: [" + READ % "a" + ", " + A + "]}"), "3:46", "runs_beside", "runs beside it"),
    (flow("{parallel: [[" + A + "], [[" + READ % "a" + "]]]}"), "3:70", "runs_beside", "runs beside it"),
    (flow("{id: i, if: 'true', then: [" + A + "], else: [" + READ % "a" + "]}"), "3:89", "other_branch", "never runs when this one does"),
    (flow("{id: i, if: 'true', then: [" + READ % "a" + "], else: [" + A + "]}"), "3:61", "other_branch", "never runs"),
    (
        flow("{id: s, switch: [{when: 'true', steps: [" + A + "]}, {when: 'true', steps: [" + READ % "a" + "]}]}"),
        "3:119", "other_branch", "never runs",
    ),
    (flow("{id: s, switch: [{when: 'true', steps: [" + A + "]}], default: [" + READ % "a" + "]}"), "3:107", "other_branch", "never runs"),
    (
        flow("{id: t, try: [], catch: [{errors: [e], steps: [" + A + "]}, {steps: [" + READ % "a" + "]}]}"),
        "3:112", "other_branch", "another handler",
    ),
    # A compensation sees what its step sees, and `step`.
    (
        flow("{id: b, call: x.y, compensation: {call: x.z, input: '${steps.b.id}'}}"),
        "3:60", "not_yet_run", "as step.output",
    ),
    (flow("{id: b, call: x.y, compensation: {call: x.z, input: '${steps.a.id}'}}", A), "3:60", "not_yet_run", "runs later"),
    (flow("{id: b, call: x.y, compensation: {call: x.z, when: step.outcom == 'unknown'}}"), "3:56", "unknown_member", "Did you mean 'outcome'"),
    (flow("{id: b, call: x.y, input: '${step.input}'}"), "3:34", "invalid_expression", "There is no 'step' here"),
    # Names.
    (flow("{id: b, call: x.y, input: '${inputt.x}'}"), "3:34", "invalid_expression", "Did you mean 'input'?"),
    (flow("{id: b, call: x.y, when: error.code == 'x'}"), "3:30", "invalid_expression", "There is no 'error' here"),
    (flow("{id: b, call: x.y, when: execution.name == 'x'}"), "3:30", "unknown_member", "Known: business_key, id"),
    (
        flow("{id: t, try: [], catch: [{steps: [{id: b, call: x.y, when: error.kode == 'x'}]}]}"),
        "3:64", "unknown_member", "Did you mean 'code'?",
    ),
    (
        flow("{id: t, try: [], catch: [{as: e, steps: [{id: b, call: x.y, when: error.code == 'x'}]}]}"),
        "3:71", "invalid_expression", "There is no 'error' here",
    ),
    (
        flow("{id: t, try: [], catch: [{steps: [{id: b, call: x.y, compensation: {call: x.z, input: '${error.code}'}}]}]}"),
        "3:94", "invalid_expression", "There is no 'error' here",
    ),
    (flow("{id: f, foreach: [1], steps: []}", "{id: b, call: x.y, when: item == 1}"), "4:30", "invalid_expression", "There is no 'item' here"),
    (flow("{id: b, call: x.y, input: '${now()}'}"), "3:34", "invalid_expression", "exists only in a `set` step"),
    (flow("{id: b, if: uuid() == '', then: []}"), "3:17", "invalid_expression", "exists only in a `set` step"),
    (flow(A) + "business_key: steps.a.id\n", "4:15", "invalid_expression", "There are: input"),
    (flow(A) + "business_key: 3\n", "4:15", "wrong_type", "must be an expression"),
    (flow(A) + "search: {who: execution.id}\n", "4:15", "invalid_expression", "There are: input"),
    (flow(A) + "output: {x: '${steps.b}'}\n", "4:16", "unknown_step", "`output` reads steps.b"),
    # What is no expression, or no condition.
    (flow("{id: b, call: x.y, when: '1 +'}"), "3:34", "invalid_expression", "found the end"),
    (flow("{id: b, call: x.y, when: '${input.x}'}"), "3:30", "wrapped_expression", "Write input.x"),
    (flow(A) + "business_key: ${input.x}\n", "4:15", "wrapped_expression", "Write input.x"),
    (flow("{id: b, call: x.y, when: '1'}"), "3:30", "condition_not_bool", "always gives 1"),
    (flow("{id: b, call: x.y, when: \"'true'\"}"), "3:30", "condition_not_bool", "Compare it"),
    (flow("{id: b, call: x.y, input: 'a ${input.x'}"), "3:34", "invalid_expression", "never closed"),
    (flow("{id: b, wait: {until: '${steps.c}'}}"), "3:30", "unknown_step", "no such step"),
    (flow("{id: b, fail: {error: x, message: '${steps.c}'}}"), "3:42", "unknown_step", "no such step"),
    (flow("{id: b, fail: {error: x, details: [{a: '${steps.c}'}]}}"), "3:47", "unknown_step", "no such step"),
    (flow("{id: b, workflow: w, input: '${steps.c}'}"), "3:36", "unknown_step", "no such step"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "code", "piece"), REFUSED)
def test_what_cannot_be_read(text, place, code, piece):
    found = problems(text)

    assert [(f"{p.line}:{p.column}", p.code) for p in found] == [(place, code)], found
    assert piece in found[0].message


ALLOWED = [
    flow(A, READ % "a"),
    flow(A, "{id: r, call: x.y, when: \"steps.a['x'].y[0] == 1\"}"),
    flow(A, READ % "?a.orValue(1)"),
    flow(A, "{id: r, call: x.y, when: has(steps.a.x) && execution.business_key == 'k'}"),
    # Out of a branch, a scope, a loop.
    flow("{id: i, if: 'true', then: [" + A + "]}", READ % "a"),
    flow("{id: i, if: 'true', then: [" + A + ", " + READ % "a" + "]}"),
    flow("{parallel: [" + A + ", {id: b, call: x.y}]}", READ % "a"),
    flow("{parallel: [[" + A + ", " + READ % "a" + "], {id: b, call: x.y}]}"),
    flow("{id: f, foreach: [1], steps: [" + A + ", " + READ % "a" + "]}", "{id: b, set: '${steps.a[0]}'}"),
    flow("{id: t, try: [" + A + "], catch: [{steps: [" + READ % "a" + "]}], finally: [{id: b, set: '${steps.a}${steps.r}'}]}"),
    flow("{id: t, try: [" + A + "]}", READ % "a"),
    # The conditions of a repeat see its round.
    flow("{id: c, repeat: [" + A + "], until: steps.a.done}"),
    flow("{id: c, repeat: [" + A + "], while: '!has(steps.a.done)'}"),
    # Names.
    flow("{id: f, foreach: '${input.x}', as: d, index_as: n, steps: [{id: g, foreach: '${d.y}', steps: [{id: a, set: '${d}${n}${item}${index}'}]}]}"),
    flow("{id: f, foreach: [1], as: map, index_as: type, steps: [{id: a, set: '${map}${type}'}]}"),
    flow("{id: f, foreach: [1], steps: [{id: a, call: x.y, compensation: {call: x.z, input: '${item}${index}${step.output.id}${input.a}'}}]}"),
    flow("{id: t, try: [], catch: [{steps: [{id: b, try: [], catch: [{steps: [{id: c, set: '${error.code}'}]}]}]}]}"),
    flow("{id: t, try: [], catch: [{as: e, steps: [{id: b, set: '${e.step}${e.details.any}'}]}]}"),
    flow("{id: s, set: {at: '${now()}', key: '${uuid()}'}}"),
    flow(A, "{id: b, call: x.y, compensation: {call: x.z, input: '${steps.a.id}', when: step.outcome == 'unknown'}}"),
    flow("{id: a, call: x.y, input: 'costs $${x}'}"),
    flow("{id: a, call: x.y, when: 'input.list.exists(steps, steps > 1)'}"),
    flow(A) + "business_key: input.id\nsearch: {who: input.name}\noutput: '${steps.a}'\n",
    # The output sees every step, whether or not it has run.
    flow("{id: i, if: 'true', then: [" + A + "], else: [{id: b, call: x.y}]}") + "output: ['${steps.a}', '${steps.b}']\n",
]  # fmt: skip


@pytest.mark.parametrize("text", ALLOWED)
def test_what_can_be_read(text):
    load(text)


def test_every_wrong_text_of_one_mapping_is_reported():
    found = problems(flow("{id: b, call: x.y, input: {a: '${1 +}', b: ['${steps.zz}'], c: '${inputt}'}}"))

    assert [p.pointer for p in found] == ["/steps/0/input/a", "/steps/0/input/b/0", "/steps/0/input/c"]


def test_the_services_there_are():
    text = flow(
        "{id: a, call: hotel.book, compensation: hotels.cancel}", "{id: b, workflow: w, compensation: cars.undo}"
    )

    found = problems(text, services=["hotels", "trains"])

    assert [(p.line, p.column, p.code) for p in found] == [(3, 19, "unknown_service"), (4, 40, "unknown_service")]
    assert "Did you mean 'hotels'?" in found[0].message
    load(text)
    load(text, services=["hotel", "hotels", "cars"])
    warnings = load(text, services=["hotels"], services_discoverable=True).warnings
    assert [p.code for p in warnings if p.code == "unknown_service"] == ["unknown_service"] * 2


def test_one_signal_has_one_schema():
    one, other = "schema: {type: object}", "schema: {type: string}"
    lines = ["{id: a, signal: go, %s}", "{id: b, signal: go, %s}", "{id: c, signal: stop, %s}"]

    found = problems(flow(*(line % each for line, each in zip(lines, (one, other, other), strict=True))))

    assert [(p.line, p.column, p.code) for p in found] == [(4, 25, "signal_schemas_differ")]
    assert "step 'a' (line 3)" in found[0].message
    load(flow(*(line % one for line in lines)))
    load(flow("{id: a, signal: go}", "{id: b, signal: go, schema: {type: object}}"))


SCHEMAS = [
    ("{type: objec}", "3:22", "invalid_schema", "at '/type': there is no type 'objec'. Types are array, boolean, integer, null, number, object, string. Did you mean 'object'?"),
    ("{type: [object, nul]}", "3:22", "invalid_schema", "there is no type 'nul'"),
    ("{type: 3}", "3:22", "invalid_schema", "'type' takes the name of a type, or a list of such, each once, not 3"),
    ("{type: [null]}", "3:22", "invalid_schema", "'type' takes the name of a type, or a list of such, each once, not null"),
    ("{properties: {a: 3}}", "3:32", "invalid_schema", "at '/properties/a': a schema is a mapping, or true or false, and this is 3."),
    ("{properties: {a/b: {type: integre}}}", "3:41", "invalid_schema", "at '/properties/a~1b/type': there is no type 'integre'"),
    ("{properties: [a]}", "3:28", "invalid_schema", "at '/properties': 'properties' takes a mapping, not a list."),
    ("{required: a}", "3:26", "invalid_schema", "'required' takes a list, not 'a'."),
    ("{required: [a, a]}", "3:26", "invalid_schema", "'required' names something twice."),
    ("{anyOf: []}", "3:23", "invalid_schema", "'anyOf' must not be empty."),
    ("{minLength: -1}", "3:27", "invalid_schema", "'minLength' must be at least 0, not -1."),
    ("{multipleOf: 0}", "3:28", "invalid_schema", "'multipleOf' must be more than 0, not 0."),
    ("{$anchor: 1 2}", "3:25", "invalid_schema", "does not match"),
    ("{items: {$ref: '#/$defs/itme'}, $defs: {item: {}}}", "3:30", "invalid_schema", "at '/items/$ref': the reference '#/$defs/itme' leads nowhere. Did you mean '#/$defs/item'?"),
    ("{$ref: '#nowhere'}", "3:22", "invalid_schema", "the reference '#nowhere' leads nowhere. Put it under $defs."),
    ("{patternProperties: {'(': true}}", "3:41", "invalid_schema", "'(' is no regular expression."),
    ("{$ref: 'https://example.com/s.json'}", "3:22", "remote_reference", "#/$defs/name"),
    ("{properties: {a: {$ref: other.json}}}", "3:39", "remote_reference", "#/$defs/name"),
    ("{$ref: '#/$defs/none'}", "3:22", "invalid_schema", "leads nowhere"),
    ("{pattern: '('}", "3:25", "invalid_schema", "at '/pattern': '(' is no regular expression."),
    ("{$schema: 'http://json-schema.org/draft-07/schema#'}", "3:25", "schema_dialect", "2020-12"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "place", "code", "piece"), SCHEMAS)
def test_a_schema_must_be_one(schema, place, code, piece):
    found = problems(f"name: a\nsteps: [{A}]\ninput_schema: {schema}\n")

    assert [(f"{p.line}:{p.column}", p.code) for p in found] == [(place, code)], found
    assert piece in found[0].message


def test_a_schema_may_refer_to_itself():
    load(
        f"name: a\nsteps: [{A}]\ninput_schema:\n  $defs: {{n: {{type: number}}}}\n"
        "  properties: {x: {$ref: '#/$defs/n'}, $ref: {type: string}}\n  const: {$ref: 'x'}\n"
    )
