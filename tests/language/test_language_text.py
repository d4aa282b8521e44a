"""YAML and JSON as text: what is refused, and where."""

from __future__ import annotations

import json
import time

import pytest

from makegood.errors import DefinitionError, Problem
from makegood.language import load
from makegood.model import Limits

GOOD = "name: trip\nsteps: [{id: a, call: x.y}]\n"


def problems(text: str | bytes, **known) -> list[Problem]:
    with pytest.raises(DefinitionError) as caught:
        load(text, **known)
    return list(caught.value.problems)


YAML = [
    (GOOD + "output: *x\n", "3:9", "yaml_alias", "write out what *x stands for"),
    (GOOD + "output: &x {a: 1}\n", "3:9", "yaml_anchor", "remove &x"),
    (GOOD + "output: !!str 3\n", "3:9", "yaml_tag", "remove '!!str'"),
    (GOOD + "output: !new {a: b}\n", "3:9", "yaml_tag", "remove '!new'"),
    (GOOD + "output: {<<: {a: 1}}\n", "3:10", "merge_key", "write the keys out"),
    (GOOD + "name: other\n", "3:1", "duplicate_key", "already there in line 1"),
    (GOOD + "---\nname: b\n", "3:1", "yaml_documents", "a file of its own"),
    (GOOD + "output: {1: a}\n", "3:10", "bad_key", 'quote it: "1"'),
    (GOOD + "output: {true: a}\n", "3:10", "bad_key", 'quote it: "true"'),
    (GOOD + "output: {~: a}\n", "3:10", "bad_key", 'quote it: "~"'),
    (GOOD + "output:\n  ? [a]\n  : b\n", "4:5", "bad_key", "A key must be a string"),
    (GOOD + "output: {{a: 1}: b}\n", "3:10", "bad_key", "A key must be a string"),
    (GOOD + "output: .inf\n", "3:9", "bad_number", "is no JSON number"),
    (GOOD + "output: .nan\n", "3:9", "bad_number", "quote it"),
    (GOOD + "output: 1e999\n", "3:9", "bad_number", "too large for a double"),
    (GOOD + f"output: {'9' * 5000}\n", "3:9", "bad_number", "digits"),
    ("name: trip\nsteps:\n\t- {id: a}\n", "3:1", "yaml_syntax", "use spaces"),
    ("name: trip\nsteps:\n  - id: a\n   call: x.y\n", "4:4", "yaml_syntax", "indentation"),
    ("name: trip\nsteps:\n  - id: a\n call: x.y\n", "4:2", "yaml_syntax", "does not fit the mapping"),
    ("name: a: b\n", "1:8", "yaml_syntax", "quote the value"),
    ("name: @a\n", "1:7", "yaml_syntax", "cannot begin with @: quote it"),
    ("name: 'trip\n", "2:1", "yaml_syntax", "begins in line 1, column 7 is never closed"),
    ("steps: [{id: a, input: ${x}}]\n", "1:25", "yaml_syntax", "must be quoted"),
    ("steps: [a, b\nname: x", "2:5", "yaml_syntax", "]"),
    ("name: trip\x07\n", "1:11", "bad_character", "U+0007"),
    ("", "1:1", "empty", "no definition"),
    ("# nothing\n", "1:1", "empty", "no definition"),
    (b"name: tr\xffip\n", "1:9", "bad_encoding", "0xFF"),
    ("a: b\nname: é".encode() + b"\xc3", "2:8", "bad_encoding", "not UTF-8"),
    ("name: a".encode("utf-16"), "1:1", "bad_encoding", "Save it as UTF-8"),
    ("name: \ud800", "1:7", "bad_character", "surrogate"),
    ("[" * 300, "1:201", "too_deep", "200"),
]


@pytest.mark.parametrize(("text", "place", "code", "piece"), YAML)
def test_what_yaml_cannot_be(text, place, code, piece):
    found = problems(text, format="yaml")

    assert [f"{p.line}:{p.column}" for p in found if p.code == code and piece in p.message] == [place], found


JSON = [
    ('{"name": "a", "name": "b"}', "1:15", "duplicate_key", "already there in line 1"),
    ('{"name": NaN}', "1:10", "bad_number", "quote it"),
    ('{"name": -Infinity}', "1:10", "bad_number", "quote it"),
    ('{"name": 1e999}', "1:10", "bad_number", "too large"),
    ('{"name": 01}', "1:10", "json_syntax", "no JSON value"),
    ('{"name": +1}', "1:10", "json_syntax", "no JSON value"),
    ('{"name": trip}', "1:10", "json_syntax", "strings stand in double quotes"),
    ("{\"name\": 'trip'}", "1:10", "json_syntax", "cannot stand here"),
    ('{"name": "a" "b"}', "1:14", "json_syntax", "A , or } is missing"),
    ('{"name": [1 2]}', "1:13", "json_syntax", "A , or ] is missing"),
    ('{"name": "a",\n}', "2:1", "json_syntax", "a comma too many"),
    ('{"name": [1,]}', "1:13", "json_syntax", "a comma too many"),
    ("{name: 1}", "1:2", "json_syntax", "A key in double quotes"),
    ('{"name" 1}', "1:9", "json_syntax", "A colon is missing"),
    ('{"name": "a"} x', "1:15", "json_syntax", "Something follows"),
    ('{"name": "a', "1:10", "json_syntax", "never closed"),
    ('{"name": "a\nb"}', "1:12", "json_syntax", "raw line break"),
    ('{"name": "\\q"}', "1:11", "json_syntax", "no JSON escape"),
    ('{"name": "\\ud800"}', "1:10", "bad_character", "surrogate"),
    ('{"name": ', "1:10", "json_syntax", "ends too early"),
    ('{"a": ' * 300, "1:1201", "too_deep", "200"),
    ("", "1:1", "empty", "no definition"),
    ('{"name": "trip", "steps": [{"id": "a",\n  "call": "x"}]}', "2:11", "bad_call", "service.method"),
    ('{"name": "trip", "steps": [{"id": "a",\n  "cal": "x.y"}]}', "2:3", "no_kind", "Did you mean 'call'"),
]


@pytest.mark.parametrize(("text", "place", "code", "piece"), JSON)
def test_what_json_cannot_be(text, place, code, piece):
    found = problems(text, format="json")

    assert [f"{p.line}:{p.column}" for p in found if p.code == code and piece in p.message] == [place], found


SCALARS = [
    ("no", "no"), ("on", "on"), ("yes", "yes"), ("Off", "Off"), ("true", True), ("False", False), ("~", None),
    ("", None), ("null", None), ("0o17", 15), ("0x1F", 31), ("017", 17), ("-12", -12), ("+3", 3), ("1e3", 1000.0),
    ("1.5", 1.5), (".5", 0.5), ("1_000", "1_000"), ("2024-01-01", "2024-01-01"), ("12:30:00", "12:30:00"),
    ("'12'", "12"), ('"true"', "true"), ("0b11", "0b11"), ("1.2.3", "1.2.3"), ("-", "-"), ("=", "="),
    (str(2**80), 2**80), ("9007199254740993", 9007199254740993), ('"\\0"', "\0"), ("1e-400", 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), SCALARS)
def test_scalars_follow_the_core_schema(written, meant):
    if written == "-":
        written = "'-'"
    tree = load(f"{GOOD}output: [{written}, end]\n" if written else f"{GOOD}output:\n").definition.tree["output"]

    found = tree[0] if written else tree
    assert (found, type(found)) == (meant, type(meant))


def test_yaml_and_json_give_the_same_tree():
    tree = {"name": "trip", "steps": [{"id": "a", "call": "x.y", "input": {"n": [1, 1.5, None, True, "é😀", {}, []]}}]}
    text = 'name: trip\nsteps:\n- id: a\n  call: x.y\n  input: {n: [1, 1.5, ~, true, "é😀", {}, []]}\n'

    assert load(text).definition == load(json.dumps(tree)).definition
    assert load(text).definition.tree == load(json.dumps(tree), format="json").definition.tree == tree


@pytest.mark.parametrize(
    "text", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.encode(), ("\ufeff" + GOOD).encode()]
)
def test_marks_and_line_breaks_of_other_systems_are_read(text):
    assert load(text).definition == load(GOOD).definition


@pytest.mark.parametrize(
    ("text", "source", "code"),
    [
        ('{"name": }', "definition", "json_syntax"),
        ("{name: @}", "definition", "yaml_syntax"),
        ('{"name": @}', "trip.yaml", "yaml_syntax"),
        ("name: @", "trip.json", "json_syntax"),
        ("  [1 2]", "definition", "json_syntax"),
    ],
)
def test_the_format_is_seen_from_the_suffix_or_the_beginning(text, source, code):
    assert problems(text, source=source)[0].code == code


def test_a_problem_reads_like_a_compilers():
    with pytest.raises(DefinitionError, match=r"^trip\.yaml:2:24: Step 'a': `call` must be service\.method"):
        load("name: trip\nsteps: [{id: a, call:  x}]\n", source="trip.yaml")


def test_limits_have_codes_of_their_own():
    small = Limits(definition_bytes=100, definition_nodes=5, json_depth=3)

    assert problems("x" * 101, limits=small)[0].code == "too_large"
    assert problems("é" * 51, limits=small)[0].code == "too_large"
    assert problems(b"x" * 101, limits=small)[0].code == "too_large"
    assert problems("[1, 2, 3, 4, 5, 6]", limits=small, format="yaml")[0].code == "too_many_nodes"
    assert problems("[1, 2, 3, 4, 5, 6]", limits=small, format="json")[0].code == "too_many_nodes"
    assert problems("[[[[1]]]]", limits=small, format="yaml")[0].code == "too_deep"
    assert problems("[[[[1]]]]", limits=small, format="json")[0].code == "too_deep"


MEBI = 1_000_000
HOSTILE = {
    "deep flow": "[" * MEBI,
    "deep mappings": "{a: " * (MEBI // 4),
    "deep blocks": "- " * (MEBI // 2),
    "questions": "? " * (MEBI // 2),
    "many": "[" + "a," * (MEBI // 2 - 2) + "]",
    "long scalar": "a" * MEBI,
    "long key": "'" + "k" * MEBI + "': 1",
    "long key with much inside": "output: {"
    + "k" * 500_000
    + ": {"
    + ", ".join(f"a{n}: '${{x}}'" for n in range(9_000))
    + "}}",
    "laughs": "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a]\n" for n in range(2_000)),
    "duplicates": "output: {" + "a: 1, " * 9_000 + "}",
    "unknown keys": "\n".join(f"key{n}: 1" for n in range(9_000)),
    "unknown steps": "name: a\nsteps:\n" + "".join(f"- {{id: s{n}, set: '${{steps.t{n}}}'}}\n" for n in range(2_400)),
    "pivots": "name: a\nsteps:\n" + "".join(f"- {{id: s{n}, call: x.y, pivot: true}}\n" for n in range(2_400)),
    "expressions": "name: a\nsteps:\n- {id: a, set: [" + ", ".join(["'${" + "1+" * 50 + "x}'"] * 9_000) + "]}",
    "open quote": '"' + "x\n" * (MEBI // 2),
    "digits": "output: " + "9" * MEBI,
    "json deep": '{"a":' * (MEBI // 5),
    "json numbers": "[" + "1," * (MEBI // 2 - 2) + "1]",
    "json digits": '{"a": ' + "9" * MEBI + "}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused_quickly(name):
    begun = time.perf_counter()
    problems(HOSTILE[name])

    # Generous: what must not be is minutes.
    assert time.perf_counter() - begun < 10


def test_offsets_in_scalars_are_exact_where_that_is_certain():
    text = (
        "name: trip\n"
        "steps:\n"
        '  - {id: a, set: "x ${steps.b1}"}\n'
        "  - {id: c, set: '${steps.b2}'}\n"
        "  - {id: d, call: x.y, when: 1 == steps.b3}\n"
        "  - id: e\n"
        "    set: |\n"
        "      text\n"
        "        ${steps.b4}\n"
        '  - {id: f, set: "\\u0041 ${steps.b5}"}\n'
        "  - id: g\n"
        "    set: >\n"
        "      folded\n"
        "      ${steps.b6}\n"
        "  - {id: h, set: {deep: [1, '${steps.b7}']}}\n"
    )  # fmt: skip

    assert [(p.line, p.column) for p in problems(text)] == [
        (3, 23), (4, 21), (5, 35), (9, 11), (10, 18), (12, 10), (15, 32),
    ]  # fmt: skip
