"""YAML, JSON, trees, Python and the editor's schema are doors to one language."""

# ruff: noqa: E501 -- a case is one row of its table, however long

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from makegood.errors import DefinitionError
from makegood.language import builders as mg
from makegood.language import load, load_canonical, load_tree, parse_duration_ms, schema
from makegood.language.keys import KIND_KEYS, TOP

ROOT = Path(__file__).parents[2]
SCENARIOS = {
    scenario["id"]: scenario
    for path in sorted((ROOT / "tests" / "scenarios").glob("*.yaml"))
    for scenario in yaml.safe_load(path.read_text())
}
DEFINITIONS = {
    f"{name} {nth}": tree
    for name, scenario in SCENARIOS.items()
    for nth, tree in enumerate([scenario["definition"], *scenario.get("workflows", [])])
    if scenario["expect"].get("refused") != "definition"
}
EXAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))

EVERYTHING = """
name: everything
version: 3
description: Every key there is.
error_handling: {strategy: retry, max_attempts: 3, initial_interval: 1s, backoff: 1.5, max_interval: PT1M, then: compensation}
on_compensation_failure: halt
compensation_order: structured
timeout: 7d
defaults: {timeout: 10, retry: {max_attempts: 2}, compensation: {timeout: 5s, retry: {max_attempts: 9}}}
input_schema: {type: object}
business_key: input.id
search: {who: input.name}
steps:
  - id: hotel
    call: hotels.reserve
    when: input.days > 0
    input: {guest: "${input.traveller}"}
    timeout: 1.5
    ongoing_timeout: 1h
    retry: {max_attempts: 3, initial_interval: 200ms, backoff: 2.0, max_interval: 5s, jitter: 0.2, retry_on: [busy]}
    compensation: {call: hotels.cancel, input: {id: "${step.output.id}"}, when: "true", retry: {max_attempts: 2}, timeout: 3s}
    compensate_on_failure: true
  - id: tickets
    parallel:
      - {id: flight, call: {service: flights, method: book}, compensation: {service: flights, method: cancel}}
      - [{id: train, call: trains.book, read_only: true}]
    max_concurrency: 2
    on_failure: wait_all
  - {sequential: [{id: w, wait: 3}, {id: u, wait: {until: "${input.at}"}}, {id: m, wait: {until: "2030-01-01T00:00:00Z"}}]}
  - {id: luxury, if: input.days > 7, then: [{id: spa, set: {a: "${now()}"}}], else: []}
  - {id: way, switch: [{when: input.x == 1, steps: []}], default: [{id: stop, fail: {error: nope, message: m, details: {a: 1}}}]}
  - {id: each, foreach: "${input.list}", as: one, index_as: n, max_concurrency: 3, steps: [{id: in_each, set: "${one}"}]}
  - {id: again, repeat: [{id: look, set: 1}], until: steps.look == 1, max_iterations: 5}
  - {id: during, repeat: [], while: "false"}
  - {id: go, signal: approved, timeout: 1h, on_timeout: continue, schema: {type: object}}
  - {id: kid, workflow: packing, version: 2, input: null, compensation: boxes.undo, detached: false}
  - id: scope
    try: [{id: risky, call: x.y}]
    catch: [{errors: [rejected, sold_out], as: problem, steps: [{id: tell, set: "${problem.code}"}]}]
    finally: [{id: clean, call: x.clean}]
    compensate: false
  - {id: pay, call: payments.charge, pivot: true}
  - {id: mail, call: letters.send, retriable: true}
output: {hotel: "${steps.hotel.id}"}
"""


def built():
    return mg.workflow(
        "everything",
        mg.call(
            "hotel", "hotels.reserve", when="input.days > 0", input={"guest": "${input.traveller}"}, timeout=1.5,
            ongoing_timeout="1h",
            retry={"max_attempts": 3, "initial_interval": timedelta(milliseconds=200), "backoff": 2.0,
                   "max_interval": timedelta(seconds=5), "jitter": 0.2, "retry_on": ["busy"]},
            compensation={"call": "hotels.cancel", "input": {"id": "${step.output.id}"}, "when": "true",
                          "retry": {"max_attempts": 2}, "timeout": timedelta(seconds=3)},
            compensate_on_failure=True,
        ),
        mg.parallel(
            "tickets",
            mg.call("flight", {"service": "flights", "method": "book"},
                    compensation={"service": "flights", "method": "cancel"}),
            [mg.call("train", "trains.book", read_only=True)],
            max_concurrency=2, on_failure="wait_all",
        ),
        mg.sequential(mg.wait("w", 3), mg.wait("u", until="${input.at}"), mg.wait("m", until="2030-01-01T00:00:00Z")),
        mg.when("luxury", "input.days > 7", then=mg.set_("spa", {"a": "${now()}"}), otherwise=[]),
        mg.switch("way", ("input.x == 1", []), default=[mg.fail("stop", "nope", "m", details={"a": 1})]),
        mg.foreach("each", "${input.list}", mg.set_("in_each", "${one}"), item="one", index="n", max_concurrency=3),
        mg.repeat("again", mg.set_("look", 1), until="steps.look == 1", max_iterations=5),
        mg.repeat("during", while_="false"),
        mg.signal("go", "approved", timeout="1h", on_timeout="continue", schema={"type": "object"}),
        mg.child("kid", "packing", version=2, input=None, compensation="boxes.undo", detached=False),
        mg.try_(
            "scope", mg.call("risky", "x.y"),
            catch=[mg.on_error(mg.set_("tell", "${problem.code}"), errors=("rejected", "sold_out"), name="problem")],
            finally_=mg.call("clean", "x.clean"), compensate=False,
        ),
        mg.call("pay", "payments.charge", pivot=True),
        mg.call("mail", "letters.send", retriable=True),
        version=3, description="Every key there is.", on_compensation_failure="halt", compensation_order="structured",
        error_handling={"strategy": "retry", "max_attempts": 3, "initial_interval": "1s", "backoff": 1.5,
                        "max_interval": "PT1M", "then": "compensation"},
        timeout="7d",
        defaults={"timeout": 10, "retry": {"max_attempts": 2},
                  "compensation": {"timeout": timedelta(seconds=5), "retry": {"max_attempts": 9}}},
        input_schema={"type": "object"}, business_key="input.id", search={"who": "input.name"},
        output={"hotel": "${steps.hotel.id}"},
    )  # fmt: skip


def test_yaml_json_and_python_give_one_tree_and_one_definition():
    from_yaml = load(EVERYTHING).definition
    from_json = load(json.dumps(from_yaml.tree)).definition
    from_python = built()

    assert from_yaml == from_json == from_python
    assert from_yaml.tree == from_json.tree == from_python.tree


def test_the_canonical_tree_is_what_was_written():
    assert load(EVERYTHING).definition.tree == yaml.safe_load(EVERYTHING)


def test_loading_what_is_stored_gives_the_same_definition():
    definition = load(EVERYTHING).definition

    assert load_canonical(json.loads(json.dumps(definition.tree))) == definition


def test_the_sample_of_all_keys_has_all_keys():
    tree = yaml.safe_load(EVERYTHING)
    used = set()

    def collect(value):
        if isinstance(value, dict):
            used.update(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(inner)

    collect(tree)
    assert set(TOP) | {key for keys in KIND_KEYS.values() for key in keys} <= used


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_scenario_loads_through_every_door(name):
    tree = DEFINITIONS[name]

    definition = load_tree(tree).definition

    assert load(yaml.safe_dump(tree)).definition == definition
    assert load(json.dumps(tree)).definition == definition
    assert load_canonical(definition.tree) == definition
    assert not list(EDITOR.iter_errors(tree))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_every_example_loads_without_a_warning(path):
    loaded = load(path.read_bytes(), source=path.name)

    assert loaded.warnings == ()
    assert not list(EDITOR.iter_errors(loaded.definition.tree))


def test_a_tree_is_copied():
    tree = {"name": "a", "steps": [{"id": "a", "call": "x.y", "input": {"b": 1}}]}
    definition = load_tree(tree).definition

    tree["steps"][0]["input"]["b"] = 2

    assert definition.tree["steps"][0]["input"] == {"b": 1}
    assert definition.steps[0].input.tree == {"b": 1}


SELF: list = []
SELF.append(SELF)
NO_JSON = [
    ({1: 2}, "bad_key", "/output"),
    (object(), "not_json", "/output"),
    ({"a": [b"x"]}, "not_json", "/output/a/0"),
    ({"a": {3, 4}}, "not_json", "/output/a"),
    (float("nan"), "bad_number", "/output"),
    (float("inf"), "bad_number", "/output"),
    pytest.param(10**5000, "bad_number", "/output", id="digits"),
    ("\ud800", "bad_character", "/output"),
    ({"\ud800": 1}, "bad_character", "/output"),
    (SELF, "too_deep", ""),
    ([1] * 10_001, "too_many_nodes", ""),
    (["x" * 600_000] * 2, "too_large", ""),
]


@pytest.mark.parametrize(("value", "code", "pointer"), NO_JSON)
def test_a_tree_must_be_json_within_the_limits(value, code, pointer):
    with pytest.raises(DefinitionError) as caught:
        load_tree({"name": "a", "steps": [{"id": "a", "call": "x.y"}], "output": value})

    assert [(p.code, p.pointer, p.line) for p in caught.value.problems] == [(code, pointer, None)]


@pytest.mark.parametrize(
    "tree", [None, 3, [], "a", {}, {"steps": None}, {"definition": {}}, {"name": "a", "definition": 3}]
)
def test_anything_else_is_a_problem_and_nothing_worse(tree):
    with pytest.raises(DefinitionError):
        load_tree(tree)
    with pytest.raises(DefinitionError):
        load_canonical(tree)


def test_mistakes_in_python_have_pointers():
    with pytest.raises(DefinitionError) as caught:
        mg.workflow("trip", mg.parallel("p", mg.call("a", "x")), mg.call("b", "x.y", when="steps.c.ok"), tiemout=3)

    assert [(p.pointer, p.code) for p in caught.value.problems] == [
        ("/tiemout", "unknown_key"), ("/steps/0/parallel/0/call", "bad_call"), ("/steps/1/when", "unknown_step"),
    ]  # fmt: skip
    assert "workflow 'trip'#/tiemout: " in str(caught.value)


EDITOR = jsonschema_rs.Draft202012Validator(schema())

BY_SCHEMA = [
    "name: Trip\nsteps: [{id: a, call: x.y}]",
    "name: trip",
    "name: trip\nsteps: []",
    "name: trip\nfoo: 1\nsteps: [{id: a, call: x.y}]",
    "name: trip\ntimeout: soon\nsteps: [{id: a, call: x.y}]",
    "name: trip\nerror_handling: FailFast\nsteps: [{id: a, call: x.y}]",
    "name: trip\nsteps: [{call: x.y}]",
    "name: trip\nsteps: [{id: a}]",
    "name: trip\nsteps: [{id: A, call: x.y}]",
    "name: trip\nsteps: [{id: a, call: x}]",
    "name: trip\nsteps: [{id: a, call: x.y, wait: 3}]",
    "name: trip\nsteps: [{id: a, call: x.y, inputt: 3}]",
    "name: trip\nsteps: [{id: a, call: x.y, retry: {max_attempts: 0}}]",
    "name: trip\nsteps: [{id: a, call: x.y, pivot: 'yes'}]",
    "name: trip\nsteps: [{id: a, call: x.y, compensation: {input: 3}}]",
    "name: trip\nsteps: [{id: a, call: x.y, timeout: 1h30m}]",
    "name: trip\nsteps: [{id: a, if: 'true'}]",
    "name: trip\nsteps: [{id: a, repeat: []}]",
    "name: trip\nsteps: [{id: a, repeat: [], until: 'true', while: 'true'}]",
    "name: trip\nsteps: [{id: a, foreach: input.x, steps: []}]",
    "name: trip\nsteps: [{id: a, parallel: [{id: b, call: x}]}]",
    "name: trip\nsteps: [{id: a, fail: {message: x}}]",
    "name: trip\nsteps: [hotel.book]",
]


@pytest.mark.parametrize("text", BY_SCHEMA)
def test_the_editor_and_the_loader_refuse_the_same_shapes(text):
    assert list(EDITOR.iter_errors(yaml.safe_load(text)))
    with pytest.raises(DefinitionError):
        load(text)


def test_the_editors_schema_is_closed_and_explains_every_key():
    assert not list(EDITOR.iter_errors(yaml.safe_load(EVERYTHING)))
    jsonschema_rs.meta.validate(schema())
    for name, definition in [("top", schema()), *schema()["$defs"].items()]:
        for each in [definition, *definition.get("anyOf", [])]:
            if "properties" in each:
                assert each["additionalProperties"] is False, name
                assert all(value.get("description") for value in each["properties"].values()), name


DURATIONS = [
    ("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000), ("1.5s", 1_500),
    ("0s", 0), (0, 0), (30, 30_000), (0.25, 250), (1e-9, 1), ("0.1ms", 1), ("PT5M", 300_000), ("P1D", 86_400_000),
    ("P1W", 604_800_000), ("P1DT2H3M4.5S", 93_784_500), ("PT0.1S", 100), ("36500d", 3_153_600_000_000), (0.1 + 0.2, 300),
]  # fmt: skip


@pytest.mark.parametrize(("written", "milliseconds"), DURATIONS)
def test_durations(written, milliseconds):
    assert parse_duration_ms(written) == milliseconds


@pytest.mark.parametrize(
    "written",
    ["", "s", "5", "5 s", "-5s", "1h30m", "5S", "5sec", "PT", "P", "P1M", "P1Y", "PT5", "pt5m", "P1DT", -1, -0.5, True, None, [],
     float("nan"), float("inf"), 10**400, "9" * 400 + "s", "36501d", "1e3s", "٣s", "5s\n"],
)  # fmt: skip
def test_what_is_no_duration(written):
    with pytest.raises(ValueError, match=r"write|longer|unit"):
        parse_duration_ms(written)
