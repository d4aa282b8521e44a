"""Every mistake in the shape of a definition: where it is, which it is, what to do."""

# ruff: noqa: E501 -- a case is one row of its table, however long

from __future__ import annotations

import pytest

from makegood.errors import DefinitionError, Problem
from makegood.language import load
from makegood.model import LIMITS, Call, If, Parallel, RetryPolicy, Sequential

TOP = "name: trip\nsteps:\n"


def problems(text: str | bytes, **known) -> list[Problem]:
    with pytest.raises(DefinitionError) as caught:
        load(text, **known)
    return list(caught.value.problems)


def step(line: str) -> str:
    """A definition whose third line holds one step."""
    return f"{TOP}  - {line}\n"


MISTAKES = [
    # The top level.
    ("name: Trip\nsteps: [{id: a, call: x.y}]", "1:7", "bad_name", "Write 'trip'."),
    ("name: 7\nsteps: [{id: a, call: x.y}]", "1:7", "wrong_type", "must be a string, not 7. Quote it"),
    ("steps: [{id: a, call: x.y}]", "1:1", "missing_key", "needs the key `name`"),
    ("name: trip", "1:1", "missing_key", "needs the key `steps`"),
    ("name: trip\nsteps: []", "2:8", "no_steps", "at least one step"),
    ("name: trip\nsteps: {id: a, call: x.y}", "2:8", "wrong_type", "must be a list of steps, not a mapping"),
    ("name: trip\nstepz: []\nsteps: [{id: a, call: x.y}]", "2:1", "unknown_key", "Did you mean 'steps'?"),
    ("name: trip\ntimeout:\nsteps: [{id: a, call: x.y}]", "2:9", "no_value", "leave the key out"),
    ("name: trip\ntimeout: soon\nsteps: [{id: a, call: x.y}]", "2:10", "bad_duration", "write 250ms, 30s, 5m"),
    ("name: trip\ntimeout: 0\nsteps: [{id: a, call: x.y}]", "2:10", "bad_duration", "longer than zero"),
    ("name: trip\nversion: 0\nsteps: [{id: a, call: x.y}]", "2:10", "out_of_range", "from 1 to"),
    ("name: trip\nversion: 1.5\nsteps: [{id: a, call: x.y}]", "2:10", "wrong_type", "must be a whole number"),
    ("name: trip\nversion: true\nsteps: [{id: a, call: x.y}]", "2:10", "wrong_type", "must be a whole number"),
    ("name: trip\nerror_handling: FailFast\nsteps: [{id: a, call: x.y}]", "2:17", "bad_choice", "Did you mean 'fail_fast'"),
    ("name: trip\nerror_handling: {then: fail_fast}\nsteps: [{id: a, call: x.y}]", "2:17", "missing_key", "`strategy`"),
    (
        "name: trip\nerror_handling: {strategy: fail_fast, max_attempts: 3}\nsteps: [{id: a, call: x.y}]",
        "2:39", "only_with_retry", "write strategy: retry",
    ),
    ("name: trip\ncompensation_order: any\nsteps: [{id: a, call: x.y}]", "2:21", "bad_choice", "reverse, structured"),
    ("name: trip\ndefaults: 3\nsteps: [{id: a, call: x.y}]", "2:11", "wrong_type", "must be a mapping with the keys timeout"),
    ("name: trip\ninput_schema: [a]\nsteps: [{id: a, call: x.y}]", "2:15", "wrong_type", "must be a JSON Schema"),
    ("name: trip\nsearch: {a b: input.x}\nsteps: [{id: a, call: x.y}]", "2:15", "bad_name", "must look like"),
    ("name: trip\nsearch: {a: 3}\nsteps: [{id: a, call: x.y}]", "2:13", "wrong_type", "must be an expression"),
    ("- a", "1:1", "wrong_type", "must be a mapping with the keys name"),
    ("just text", "1:1", "wrong_type", "not 'just text'"),
    # Steps.
    (step("hotels.reserve"), "3:5", "wrong_type", "A step must be a mapping"),
    (step("{id: a}"), "3:5", "no_kind", "Give it one of call, parallel"),
    (step("{id: a, calll: x.y}"), "3:13", "no_kind", "Did you mean 'call'?"),
    (step("{id: a, call: x.y, wait: 3}"), "3:24", "two_kinds", "`call` and `wait`, and a step has one kind"),
    (step("{call: x.y}"), "3:5", "missing_key", "needs the key `id`"),
    (step("{id: Big-One, call: x.y}"), "3:10", "bad_id", "Write 'big_one'."),
    (step("{id: 3, call: x.y}"), "3:10", "wrong_type", "Quote it"),
    (step("{id: a, call: x.y}\n  - {id: a, call: x.y}"), "4:10", "duplicate_id", "taken by the step at line 3"),
    (step("{id: a, parallel: [], steps: []}"), "3:27", "unknown_key", "It belongs to `foreach` steps"),
    (step("{id: a, call: x.y, inputt: 3}"), "3:24", "unknown_key", "Did you mean 'input'?"),
    (step("{id: a, call: hotels}"), "3:19", "bad_call", "must be service.method, such as hotels.reserve"),
    (step("{id: a, call: hotels.}"), "3:19", "bad_call", "names no method after 'hotels'"),
    (step("{id: a, call: x.y z}"), "3:19", "bad_call", "names no method"),
    (step("{id: a, call: 3}"), "3:19", "wrong_type", "must be service.method, or {service, method}"),
    (step("{id: a, call: {service: a.b, method: c}}"), "3:29", "bad_service", "without a dot"),
    (step("{id: a, call: {service: a, method: '../b'}}"), "3:40", "bad_method", "must be a method's name"),
    (step("{id: a, call: {service: a}}"), "3:19", "missing_key", "needs the key `method`"),
    (step("{id: a, call: x.y, timeout: -3s}"), "3:33", "bad_duration", "must not be negative"),
    (step("{id: a, call: x.y, timeout: '30'}"), "3:33", "bad_duration", "has no unit: write 30s"),
    (step("{id: a, call: x.y, timeout: 1h30m}"), "3:33", "bad_duration", "ISO-8601 such as PT1H30M"),
    (step("{id: a, call: x.y, timeout: P1M}"), "3:33", "bad_duration", "is not a duration"),
    (step("{id: a, call: x.y, timeout: 40000d}"), "3:33", "bad_duration", "36500d"),
    (step("{id: a, call: x.y, retry: 3}"), "3:31", "wrong_type", "must be a mapping with the keys max_attempts"),
    (step("{id: a, call: x.y, retry: {max_attempt: 3}}"), "3:32", "unknown_key", "Did you mean 'max_attempts'?"),
    (step("{id: a, call: x.y, retry: {max_attempts: 0}}"), "3:46", "out_of_range", "from 1 to 1000000, not 0"),
    (step("{id: a, call: x.y, retry: {jitter: 1.5}}"), "3:40", "out_of_range", "from 0 to 1"),
    (step("{id: a, call: x.y, retry: {backoff: 0.5}}"), "3:41", "out_of_range", "from 1 to 1000"),
    (step("{id: a, call: x.y, retry: {retry_on: sold_out}}"), "3:42", "wrong_type", "must be a list of error codes"),
    (step("{id: a, call: x.y, pivot: yes}"), "3:31", "wrong_type", "must be true or false, not 'yes'"),
    (step("{id: a, call: x.y, compensation: cancel}"), "3:38", "bad_call", "must be service.method"),
    (step("{id: a, call: x.y, compensation: 3}"), "3:38", "wrong_type", "{call, input, when, retry, timeout}"),
    (step("{id: a, call: x.y, compensation: {input: 3}}"), "3:38", "missing_key", "says not what to call"),
    (step("{id: a, call: x.y, compensation: {service: x}}"), "3:38", "missing_key", "`service` and `method`"),
    (step("{id: a, call: x.y, compensation: {call: a.b, method: b}}"), "3:38", "two_calls", "Keep `call` alone"),
    (step("{id: a, if: true}"), "3:5", "missing_key", "needs the key `then`"),
    (step("{id: a, if: 3, then: []}"), "3:17", "wrong_type", "must be an expression"),
    (step("{id: a, if: '', then: []}"), "3:17", "invalid_expression", "is empty"),
    (step("{id: a, switch: []}"), "3:21", "wrong_type", "list of cases"),
    (step("{id: a, switch: [{when: 'true'}]}"), "3:22", "missing_key", "needs the key `steps`"),
    (step("{id: a, foreach: input.x, steps: []}"), "3:22", "not_a_list", 'Write "${input.x}"'),
    (step("{id: a, foreach: 'a ${input.x}', steps: []}"), "3:22", "not_a_list", 'must be one "${...}"'),
    (step("{id: a, foreach: '${input.a}${input.b}', steps: []}"), "3:22", "not_a_list", "several give a text"),
    (step("{id: a, foreach: [1], as: input, steps: []}"), "3:31", "reserved_name", "Choose another name"),
    (step("{id: a, foreach: [1], as: in, steps: []}"), "3:31", "reserved_name", "Choose another name"),
    (step("{id: a, foreach: [1], as: x, index_as: x, steps: []}"), "3:44", "shadowed_name", "Rename one of them"),
    (step("{id: a, foreach: [1], steps: [{id: b, foreach: [1], steps: []}]}"), "3:35", "shadowed_name", "Choose another with `as`"),
    (step("{id: a, repeat: []}"), "3:5", "missing_key", "needs the key `until`"),
    (step("{id: a, repeat: [], until: 'true', while: 'true'}"), "3:40", "two_conditions", "Keep one"),
    (step("{id: a, wait: soon}"), "3:19", "bad_duration", "is not a duration"),
    (step("{id: a, wait: '${input.x}'}"), "3:19", "bad_duration", 'a moment is written {until: "${...}"}'),
    (step("{id: a, wait: {until: 2030-01-01}}"), "3:27", "bad_timestamp", "with a time zone"),
    (step("{id: a, wait: {until: '2030-01-31 12:00:00+00:00'}}"), "3:27", "bad_timestamp", "such as 2030-01-31T12:00:00Z"),
    (step("{id: a, wait: {until: 2030-01-31T12Z}}"), "3:27", "bad_timestamp", "such as 2030-01-31T12:00:00Z"),
    (step("{id: a, wait: {until: '0001-01-01T00:00:00+14:00'}}"), "3:27", "bad_timestamp", "with a time zone"),
    (step("""{id: a, wait: {until: "${'20300131T120000Z'}"}}"""), "3:27", "bad_timestamp", "this always gives"),
    (step("{id: a, signal: a b}"), "3:21", "bad_signal", "must look like"),
    (step("{id: a, signal: go, on_timeout: stop}"), "3:37", "bad_choice", "fail, continue"),
    (step("{id: a, workflow: Other}"), "3:23", "bad_workflow", "Write 'other'."),
    (step("{id: a, try: [], catch: {steps: []}}"), "3:29", "wrong_type", "list of handlers"),
    (step("{id: a, try: [], catch: [{as: steps, steps: []}]}"), "3:35", "reserved_name", "Choose another name"),
    (step("{id: a, fail: {message: no}}"), "3:19", "missing_key", "needs the key `error`"),
    # Each key of loops, scopes, signals, children and points of no return: wrong type, missing, out of range, at odds.
    (step("{id: a, call: x.y, retriable: 1}"), "3:35", "wrong_type", "must be true or false, not 1"),
    (step("{id: a, call: x.y, read_only: sure}"), "3:35", "wrong_type", "must be true or false, not 'sure'"),
    (step("{id: a, call: x.y, pivot: }"), "3:31", "no_value", "leave the key out"),
    (step("{id: a, call: x.y, compensation: x.z, compensate_on_failure: 1}"), "3:66", "wrong_type", "must be true or false"),
    (step("{id: a, call: x.y, compensate_on_failure: true}"), "3:24", "nothing_to_compensate", "Give the step one"),
    (step("{id: a, call: x.y, strict_idempotent: true}"), "3:24", "unknown_key", "under [services.NAME] of the configuration"),
    (step("{id: a, call: x.y, ongoing_timeout: 0}"), "3:41", "bad_duration", "longer than zero"),
    (step("{id: a, workflow: w, pivot: true}"), "3:26", "unknown_key", "It belongs to `call` steps"),
    (step("{id: a, workflow: w, timeout: 3s}"), "3:26", "unknown_key", "It belongs to `call` and `signal` steps"),
    (step("{id: a, workflow: 3}"), "3:23", "wrong_type", "must be a string, not 3"),
    (step("{id: a, workflow: w, version: 0}"), "3:35", "out_of_range", "from 1 to"),
    (step("{id: a, workflow: w, version: new}"), "3:35", "wrong_type", "must be a whole number"),
    (step("{id: a, workflow: w, detached: 'yes'}"), "3:36", "wrong_type", "must be true or false"),
    (step("{id: a, workflow: w, compensation: 3}"), "3:40", "wrong_type", "must be service.method"),
    (step("{id: a, foreach: 3, steps: []}"), "3:22", "not_a_list", "3 is neither"),
    (step("{id: a, foreach: '${3}', steps: []}"), "3:22", "not_a_list", "this always gives 3"),
    (step("{id: a, foreach: [1]}"), "3:5", "missing_key", "needs the key `steps`"),
    (step("{id: a, foreach: [1], steps: {}}"), "3:34", "wrong_type", "must be a list of steps"),
    (step("{id: a, foreach: [1], steps: [], max_concurrency: 0}"), "3:55", "out_of_range", "from 1 to"),
    (step("{id: a, foreach: [1], steps: [], max_concurrency: all}"), "3:55", "wrong_type", "must be a whole number"),
    (step("{id: a, foreach: [1], steps: [], as: my-item}"), "3:42", "bad_as", "Write 'my_item'."),
    (step("{id: a, foreach: [1], steps: [], index_as: steps}"), "3:48", "reserved_name", "Choose another name"),
    (step("{id: a, repeat: 3, until: 'true'}"), "3:21", "wrong_type", "must be a list of steps"),
    (step("{id: a, repeat: [], until: 3}"), "3:32", "wrong_type", "must be an expression"),
    (step("{id: a, repeat: [], while: '1'}"), "3:32", "condition_not_bool", "Compare it with something"),
    (step("{id: a, repeat: [], until: 'true', max_iterations: 0}"), "3:56", "out_of_range", "from 1 to"),
    (step("{id: a, repeat: [], until: 'true', max_iterations: ten}"), "3:56", "wrong_type", "must be a whole number"),
    (step("{repeat: [], until: 'true'}"), "3:5", "missing_key", "needs the key `id`"),
    (step("{id: a, try: 3}"), "3:18", "wrong_type", "must be a list of steps"),
    (step("{id: a, try: [], catch: [{errors: [x]}]}"), "3:30", "missing_key", "needs the key `steps`"),
    (step("{id: a, try: [], catch: [{errors: sold_out, steps: []}]}"), "3:39", "wrong_type", "must be a list of error codes"),
    (step("{id: a, try: [], catch: [{errors: [3], steps: []}]}"), "3:39", "wrong_type", "and 3 in it is none"),
    (step("{id: a, try: [], catch: [{errors: [], steps: []}]}"), "3:39", "missing_key", "leave it out for everything"),
    (step("{id: a, try: [], finally: 3}"), "3:31", "wrong_type", "must be a list of steps"),
    (step("{id: a, try: [], compensate: 'no'}"), "3:34", "wrong_type", "must be true or false"),
    (step("{id: a, signal: 3}"), "3:21", "wrong_type", "must be a string"),
    (step("{id: a, signal: go, timeout: 0}"), "3:34", "bad_duration", "longer than zero"),
    (step("{id: a, signal: go, schema: [a]}"), "3:33", "wrong_type", "must be a JSON Schema"),
    (step("{id: a, signal: go, schema: {type: objekt}}"), "3:40", "invalid_schema", "Did you mean 'object'?"),
    (step("{id: a, wait: {until: 3}}"), "3:27", "bad_timestamp", "with a time zone"),
    (step("{id: a, wait: {until: '${3}'}}"), "3:27", "bad_timestamp", "this always gives 3"),
    (step("{id: a, wait: {}}"), "3:19", "missing_key", "needs the key `until`"),
    (step("{id: a, wait: {until: '2030-01-01T00:00:00Z', for: 3s}}"), "3:51", "unknown_key", "Known: until."),
    (step("{id: a, wait: -3s}"), "3:19", "bad_duration", "must not be negative"),
    (step("{id: a, call: x.y, input: '${now()}'}"), "3:34", "invalid_expression", "exists only in a `set` step"),
    (step("{id: a, parallel: [], max_concurrency: 0}"), "3:44", "out_of_range", "from 1 to"),
    (step("{id: a, parallel: [], on_failure: stop}"), "3:39", "bad_choice", "drain, wait_all"),
    ("name: trip\nbusiness_key: 3\nsteps: [{id: a, call: x.y}]", "2:15", "wrong_type", "must be an expression"),
    ("name: trip\nbusiness_key: ${input.x}\nsteps: [{id: a, call: x.y}]", "2:15", "wrapped_expression", "Write input.x"),
    ("name: trip\nbusiness_key: steps.a\nsteps: [{id: a, call: x.y}]", "2:15", "invalid_expression", "There are: input."),
    ("name: trip\nbusiness_key: '[1]'\nsteps: [{id: a, call: x.y}]", "2:15", "bad_business_key", "this always gives a list"),
    ("name: trip\nbusiness_key: 'true'\nsteps: [{id: a, call: x.y}]", "2:15", "bad_business_key", "this always gives"),
    ("name: trip\nsearch: [a]\nsteps: [{id: a, call: x.y}]", "2:9", "wrong_type", "must be a mapping of names and expressions"),
    ("name: trip\nsearch: {a: }\nsteps: [{id: a, call: x.y}]", "2:13", "no_value", "leave the key out"),
    ("name: trip\nsearch: {a: steps.a}\nsteps: [{id: a, call: x.y}]", "2:13", "invalid_expression", "There are: input."),
    ("name: trip\non_compensation_failure: stop\nsteps: [{id: a, call: x.y}]", "2:26", "bad_choice", "continue, halt, retry_forever"),
    (step("{id: a, fail: oops}"), "3:19", "wrong_type", "must be a mapping with the keys error"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "code", "piece"), MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(text, place, code, piece):
    found = problems(text)

    assert [f"{p.line}:{p.column}" for p in found if p.code == code and piece in p.message] == [place], found


@pytest.mark.parametrize(
    "line",
    ["{id: a, repeat: [], until: 3}", "{id: a, foreach: 3, steps: []}", "{id: a, workflow: w, version: 0}"],
)
def test_a_value_that_is_wrong_is_not_missing_as_well(line):
    assert len(problems(step(line))) == 1


def test_a_constant_moment_list_or_key_that_fits_is_taken():
    load(step("{id: a, wait: {until: \"${timestamp('2030-01-01T00:00:00Z')}\"}}"))
    load(step("{id: a, wait: {until: \"${'2030-01-01T00:00:00Z'}\"}}"))
    load(step("{id: a, wait: {until: 2030-01-01t00:00:00.123456789z}}"))
    load(step("{id: a, foreach: '${[1, 2]}', steps: []}"))
    load("name: trip\nbusiness_key: \"'one'\"\nsteps: [{id: a, set: 1}]")
    load("name: trip\nbusiness_key: '1'\nsteps: [{id: a, set: 1}]")


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_text():
    found = problems("name: Trip\nfoo: 1\nsteps:\n  - {id: a, call: b}\n  - {id: a, call: x.y, timeout: no}\n")

    assert [(p.line, p.code) for p in found] == [
        (1, "bad_name"), (2, "unknown_key"), (4, "bad_call"), (5, "duplicate_id"), (5, "bad_duration"),
    ]  # fmt: skip


def test_a_step_that_cannot_be_read_does_not_make_references_to_it_wrong():
    found = problems(
        TOP + "  - {id: a, paralel: [{id: b, call: x.y}]}\n  - {id: c, call: x.y, input: '${steps.b}${steps.a}'}\n"
    )

    assert [p.code for p in found] == ["no_kind"]


def test_steps_nest_64_deep_and_no_deeper():
    def nested(depth: int) -> str:
        return "name: a\nsteps: [" + "{sequential: [" * (depth - 1) + "{id: a, call: x.y}" + "]}" * (depth - 1) + "]"

    load(nested(LIMITS.nesting))

    assert [p.code for p in problems(nested(LIMITS.nesting + 1))] == ["nesting_too_deep"]


def test_no_more_than_a_hundred_problems_are_listed():
    found = problems(TOP + "".join(f"  - {{id: s{n}, call: bad}}\n" for n in range(300)))

    assert (len(found), found[-1].code) == (101, "more_problems")
    assert "200 more" in found[-1].message


def test_short_forms():
    steps = load(
        "name: trip\nsteps:\n"
        "  - [{id: a, call: x.y}]\n"
        "  - parallel:\n      - {id: b, call: {service: s, method: m.n}}\n      - [{id: c, call: x.v1.go}]\n"
        "  - {if: true, then: [], else: []}\n"
    ).definition.steps

    assert isinstance(steps[0], Sequential)
    assert (steps[0].id, steps[0].anonymous, steps[0].pointer) == ("steps/0", True, "/steps/0")
    assert isinstance(steps[1], Parallel)
    assert isinstance(steps[1].branches[0], Call)
    assert (steps[1].branches[0].service, steps[1].branches[0].method) == ("s", "m.n")
    assert (steps[1].branches[1].id, steps[1].branches[1].pointer) == ("steps/1/parallel/1", "/steps/1/parallel/1")
    assert isinstance(steps[1].branches[1], Sequential)
    inner = steps[1].branches[1].steps[0]
    assert isinstance(inner, Call)
    assert (inner.service, inner.method) == ("x", "v1.go")
    assert isinstance(steps[2], If)
    assert (steps[2].id, steps[2].condition) == ("steps/2", "true")


def test_defaults_of_policies():
    definition = load(
        "name: trip\nerror_handling: retry\ndefaults: {timeout: 5, compensation: {retry: {}}}\nsteps:\n"
        "  - {id: a, call: x.y, retry: {initial_interval: 2m}}\n"
    ).definition

    assert definition.error_handling.retry == RetryPolicy(attempts_max=3)
    assert (definition.error_handling.then, definition.error_handling.undoes) == ("fail_fast", False)
    assert definition.defaults.timeout_ms == 5_000
    assert definition.defaults.undo_retry == RetryPolicy(attempts_max=5)
    call = definition.steps[0]
    assert isinstance(call, Call)
    assert call.retry is not None
    assert (call.retry.attempts_max, call.retry.backoff.initial_ms, call.retry.backoff.max_ms) == (3, 120_000, 120_000)


def test_an_input_of_null_is_sent_and_a_missing_one_is_the_workflows():
    steps = load(
        step("{id: a, call: x.y, input: null, compensation: {call: x.z, input: null}}\n  - {id: b, call: x.y}")
    ).definition.steps

    assert isinstance(steps[0], Call)
    assert isinstance(steps[1], Call)
    assert steps[0].input is not None
    assert steps[0].input.tree is None
    assert steps[0].compensation is not None
    assert steps[0].compensation.has_input
    assert steps[1].input is None


def test_the_name_of_the_caller_is_taken_when_there_is_none():
    assert load("steps: [{id: a, call: x.y}]", name="other").definition.tree["name"] == "other"
    assert load("name: own\nsteps: [{id: a, call: x.y}]", name="other").definition.name == "own"


def test_an_expected_name_must_be_the_one_inside():
    found = problems("name: own\nsteps: [{id: a, call: x.y}]", expect_name="other")

    assert [(p.code, p.line, p.column) for p in found] == [("name_mismatch", 1, 7)]
    assert load("steps: [{id: a, call: x.y}]", expect_name="other").definition.name == "other"
