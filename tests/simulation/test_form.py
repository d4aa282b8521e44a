"""Mistakes in scenario files: each is refused, with its place and a remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from makegood.errors import InputError
from makegood.simulation.scenario import read_scenario_file, read_scenarios

HEAD = """\
- id: one
  definition:
    name: order
    steps:
      - {id: charge, call: cards.charge, compensation: cards.refund}
"""
GOOD = HEAD + "  expect: {status: completed, calls: [cards.charge]}\n"

MISTAKES: list[tuple[str, str, str]] = [
    ("  servces: {}\n  expect: {status: completed}\n", ":6:3", "no key 'servces'. Did you mean 'services'?"),
    ("  expect: {status: complete}\n", ":6:20", "Did you mean 'completed'?"),
    (
        "  expect: {status: completed, refused: start}\n",
        ":6:11",
        "exactly one of status, refused; this one has status and refused",
    ),
    ("  expect: {calls: []}\n", ":6:11", "this one has none of them"),
    ("  expect: {refused: start, calls: []}\n", ":6:11", "leave out calls"),
    ("  expect: {refused: input}\n", ":6:21", "one of definition, start"),
    ("", ":1:3", "needs the key 'expect'"),
    ("  expect: {status: completed, call: []}\n", ":6:31", "Did you mean 'calls'?"),
    ("  expect: {status: completed, calls: [[1]]}\n", ":6:40", "must be a text, not 1"),
    ("  expect: {status: completed, calls: [cards.chrage]}\n", ":6:39", "Did you mean 'cards.charge'?"),
    (
        "  expect: {status: completed, effects: {charg: 0}}\n",
        ":6:41",
        "is a step called 'charg'. Did you mean 'charge'?",
    ),
    ("  expect: {status: completed, effects: {charge: -1}}\n", ":6:49", "a whole number from 0"),
    ("  expect: {status: completed, effects: {charge: true}}\n", ":6:49", "a whole number from 0, not true"),
    ("  expect: {status: completed, gaps_ms: [[cards.charge, 5]]}\n", ":6:41", "[method, method, milliseconds]"),
    (
        "  expect: {status: completed, after_deadline: [cards.charge]}\n",
        ":6:48",
        "is undone by the method 'cards.charge'",
    ),
    (
        "  expect: {status: completed, max_in_flight: {card.*: 1}}\n",
        ":6:47",
        "the service 'card'. Did you mean 'cards'?",
    ),
    ("  expect: {status: completed, error_step: pay}\n", ":6:43", "a step called 'pay'"),
    ("  expect: {status: completed, allow_overlap: 1}\n", ":6:46", "true or false"),
    ("  services: {cards.charge: []}\n  expect: {status: completed}\n", ":6:28", "a list of at least 1"),
    ("  services: {cards.charge: [{okay: 1}]}\n  expect: {status: completed}\n", ":6:29", "Did you mean 'ok'?"),
    (
        "  services: {cards.charge: [{ok: 1, reject: no}]}\n  expect: {status: completed}\n",
        ":6:29",
        "exactly one of ok, reject",
    ),
    ("  services: {cards.charge: [{hang: true}]}\n  expect: {status: completed}\n", ":6:29", "needs the key 'effect'"),
    ("  services: {cards.charge: [{reset: true}]}\n  expect: {status: completed}\n", ":6:29", "needs the key 'effect'"),
    (
        "  services: {cards.charge: [{hang: false, effect: true}]}\n  expect: {status: completed}\n",
        ":6:36",
        "hang must be true",
    ),
    ("  services: {cards.charge: [{status: 999}]}\n  expect: {status: completed}\n", ":6:38", "from 100 to 599"),
    ("  services: {cards.charge: [{ok: 1, body: 2}]}\n  expect: {status: completed}\n", ":6:37", "no key 'body'"),
    (
        "  services: {cards.charge: [{ok: 1, delay: 2}]}\n  expect: {status: completed}\n",
        ":6:37",
        "Did you mean 'delay_ms'?",
    ),
    ("  services: {cards.charg: [{ok: 1}]}\n  expect: {status: completed}\n", ":6:14", "Did you mean 'cards.charge'?"),
    ("  down: [carts]\n  expect: {status: completed}\n", ":6:10", "Did you mean 'cards'?"),
    ("  down: cards\n  expect: {status: completed}\n", ":6:9", "must be a list, not 'cards'"),
    ("  unwell: {carts: [{until_ms: 5}]}\n  expect: {status: completed}\n", ":6:12", "Did you mean 'cards'?"),
    ("  unwell: {cards: {until_ms: 5}}\n  expect: {status: completed}\n", ":6:19", "must be a list"),
    ("  unwell: {cards: [{until: 5}]}\n  expect: {status: completed}\n", ":6:21", "no key 'until'"),
    ("  wait_ms: long\n  expect: {status: completed}\n", ":6:12", "a whole number from 0"),
    (
        "  actions: [{do: cancel}]\n  expect: {status: completed}\n",
        ":6:13",
        "exactly one of after_calls, at_ms, at_end",
    ),
    ("  actions: [{at_ms: 1}]\n  expect: {status: completed}\n", ":6:13", "exactly one of do, signal"),
    ("  actions: [{at_ms: 1, do: cansel}]\n  expect: {status: completed}\n", ":6:28", "Did you mean 'cancel'?"),
    ("  actions: [{at_ms: 1, do: resolve}]\n  expect: {status: completed}\n", ":6:13", "needs the key 'step'"),
    ("  actions: [{at_ms: 1, do: cancel, payload: 1}]\n  expect: {status: completed}\n", ":6:36", "no key 'payload'"),
    ("  actions: [{at_end: done, do: cancel}]\n  expect: {status: completed}\n", ":6:22", "one of compensated"),
    ("  crash_safe: no\n  expect: {status: completed}\n", ":6:15", "true or false, not 'no'"),
    ("  rules: [first]\n  expect: {status: completed}\n", ":6:11", "a whole number from 1"),
]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_scenario_file(str(path))
    return str(caught.value)


@pytest.mark.parametrize(("rest", "place", "remedy"), MISTAKES)
def test_a_mistake_is_refused_with_its_place(rest: str, place: str, remedy: str, tmp_path: Path) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(HEAD + rest)

    found = refusal(file)

    assert found.startswith(f"{file}{place}: "), found
    assert remedy in found


def test_all_mistakes_of_a_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(HEAD + "  a: 1\n  b: 2\n  expect: {status: completed}\n")

    assert len(refusal(file).splitlines()) == 2


def test_an_id_comes_once(tmp_path: Path) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(GOOD + GOOD)

    assert f"{file}:7:7: There is another scenario 'one'" in refusal(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing"),
        ("{}", "must be a list"),
        ("- [", "it.yaml:"),
        ("- &a {}", "it.yaml:1:3"),
        ("a: \x00", "it.yaml:1"),
    ],
)
def test_what_is_no_list_of_scenarios_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(text)

    assert said.replace("nothing", "There is no") in refusal(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.yaml")


def test_json_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "it.json"
    definition = {"name": "order", "steps": [{"id": "a", "call": "a.do"}]}
    file.write_text(json.dumps([{"id": "one", "definition": definition, "expect": {"status": "completed"}}]))

    assert [each.id for each in read_scenario_file(str(file))] == ["one"]


def test_a_definition_may_be_a_path(tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text("steps: [{id: a, call: a.do}]\n")
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "it.yaml").write_text(
        "- {id: one, definition: ../order.yaml, expect: {status: completed, calls: [a.do]}}\n"
    )

    [scenario] = read_scenario_file(str(folder / "it.yaml"))

    assert scenario.definition == {"steps": [{"id": "a", "call": "a.do"}]}


@pytest.mark.parametrize("path", ["none.yaml", ".", "list.yaml", "broken.yaml"])
def test_a_path_that_leads_to_no_definition_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("[]")
    (tmp_path / "broken.yaml").write_text("{")
    (tmp_path / "it.yaml").write_text(f"- {{id: one, definition: {path}, expect: {{status: completed}}}}\n")

    assert f"{tmp_path / 'it.yaml'}:1:25: " in refusal(tmp_path / "it.yaml")


def test_a_tree_is_refused_with_pointers() -> None:
    tree: Any = [{"id": "one", "definition": {}, "expect": {"status": "completed"}, "actions": [{"do": "cancel"}]}]

    with pytest.raises(InputError, match="scenarios#/0/actions/0: "):
        read_scenarios(tree)
