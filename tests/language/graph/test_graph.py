"""The picture of a definition in its three forms: complete, well-formed, escaped, readable, and cheap."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from makegood.language.graph import boxes, to_json, to_mermaid, to_svg, words
from makegood.language.graph.drawing import Drawing, Shape
from makegood.language.graph.layout import layout
from makegood.language.graph.text import CODE, fit, wrap
from makegood.language.load import load, load_canonical
from makegood.model import Definition, Step

HERE = File(__file__).parent
SVG = "{http://www.w3.org/2000/svg}"

TRIP = """\
name: trip
description: Book a trip, or book nothing at all.
timeout: 1h
steps:
  - id: hotel
    call: hotels.reserve
    retry: {max_attempts: 3, initial_interval: 200ms}
    timeout: 10s
    compensation: hotels.cancel
  - id: tickets
    parallel:
      - {id: flight, call: flights.book, compensation: flights.cancel}
      - {id: train, call: trains.book, compensation: trains.cancel}
  - id: luxury
    if: input.days > 7 && steps.hotel.stars >= 4
    then: [{id: spa, call: hotels.add_spa}]
    else: [{id: map, call: hotels.send_map}]
  - {id: pay, call: payments.charge, pivot: true}
"""

NASTY = "</text><script>alert('\x22')</script> & ]]> #quot; %% `x` {y} [z] \\ \n end \x00\x07 \ud800 \u202e"


def trip() -> Definition:
    return load(TRIP, source="trip.yaml").definition


def made(*steps: dict[str, Any], **top: Any) -> Definition:
    return load_canonical({"name": "made", "steps": list(steps), **top})


def call(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "call": "svc.do", **more}


ONE_OF_EACH: dict[str, dict[str, Any]] = {
    "call": call("x", compensation="svc.undo"),
    "sequential": {"id": "x", "sequential": [call("y")]},
    "parallel": {
        "id": "x", "parallel": [call("y"), [call("z"), call("u")]], "max_concurrency": 2, "on_failure": "wait_all",
    },
    "if": {"id": "x", "if": "true", "then": [call("y")]},
    "switch": {"id": "x", "switch": [{"when": "true", "steps": [call("y")]}, {"when": "false", "steps": []}]},
    "foreach": {"id": "x", "foreach": "${input.items}", "steps": [call("y")]},
    "repeat": {"id": "x", "repeat": [call("y")], "until": "true"},
    "wait": {"id": "x", "wait": {"until": "${input.at}"}},
    "signal": {"id": "x", "signal": "go", "timeout": "1h"},
    "workflow": {"id": "x", "workflow": "other", "version": 2, "compensation": "svc.undo"},
    "try": {"id": "x", "try": [call("y")], "catch": [{"errors": ["a"], "steps": [call("z")]}], "finally": [call("u")]},
    "set": {"id": "x", "set": {"a": 1}},
    "fail": {"id": "x", "fail": {"error": "broken"}},
}  # fmt: skip

LEAVES = ["call", "wait", "signal", "workflow", "set", "fail"]
GROUPS = ["sequential", "parallel", "if", "switch", "foreach", "repeat", "try"]


class Grower:
    """Grows trees of steps of every kind, the same from the same seed."""

    def __init__(self, seed: int, size: int) -> None:
        self.random = random.Random(seed)
        self.left = size
        self.count = 0

    def steps(self, depth: int) -> list[dict[str, Any]]:
        return [self.step(depth) for _ in range(self.random.randint(0 if depth else 1, 4)) if self.left > 0]

    def step(self, depth: int) -> dict[str, Any]:
        self.left -= 1
        self.count += 1
        kinds = LEAVES if depth > 5 else [*LEAVES, *GROUPS]
        kind = self.random.choice(kinds)
        step = {**ONE_OF_EACH[kind], "id": "s" + "x" * self.random.randint(0, 40) + str(self.count)}
        if self.random.random() < 0.3:
            step["when"] = "input." + "a" * self.random.randint(1, 60) + " > 1"
        return step | self.inside(kind, depth + 1)

    def inside(self, kind: str, depth: int) -> dict[str, Any]:
        match kind:
            case "sequential" | "repeat":
                return {kind: self.steps(depth)}
            case "parallel":
                return {"parallel": [self.steps(depth) for _ in range(self.random.randint(0, 4))]}
            case "if":
                return {"then": self.steps(depth), "else": self.steps(depth)}
            case "switch":
                cases = [{"when": "true", "steps": self.steps(depth)} for _ in range(self.random.randint(1, 5))]
                return {"switch": cases, "default": self.steps(depth)}
            case "foreach":
                return {"steps": self.steps(depth)}
            case "try":
                catch = [{"errors": [f"e{n}"], "steps": self.steps(depth)} for n in range(self.random.randint(0, 3))]
                return {"try": self.steps(depth), "catch": catch, "finally": self.steps(depth)}
            case _:
                return {}


def grown(seed: int, size: int = 60) -> Definition:
    return made(*Grower(seed, size).steps(0))


def every_step(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        for part in words.parts(step):
            yield from every_step(part.steps)


def texts(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter(f"{SVG}text")]


# --- geometry ---


def meets(one: Shape, other: Shape) -> bool:
    slack = 0.01
    return (
        one.x + slack < other.x + other.width
        and other.x + slack < one.x + one.width
        and one.y + slack < other.y + other.height
        and other.y + slack < one.y + one.height
    )


def holds(outer: Shape, inner: Shape) -> bool:
    slack = 0.01
    return (
        outer.x <= inner.x + slack
        and outer.y <= inner.y + slack
        and inner.x + inner.width <= outer.x + outer.width + slack
        and inner.y + inner.height <= outer.y + outer.height + slack
    )


def overlaps(drawing: Drawing) -> list[tuple[str, str]]:
    solid = [shape for shape in drawing.shapes if not shape.inside and shape.role != "dot"]
    found = []
    for number, one in enumerate(solid):
        beside = (other for other in solid[number + 1 :] if not (one.holds and holds(one, other)))
        found += [(f"{one.role} {one.step}", f"{other.role} {other.step}") for other in beside if meets(one, other)]
    return found


def shrunk(shape: Shape) -> Shape:
    return Shape(role="", x=shape.x + 1, y=shape.y + 1, width=shape.width - 2, height=shape.height - 2)


def crossings(drawing: Drawing) -> list[tuple[str, str]]:
    """Lines through the inside of a box."""
    solid = [shape for shape in drawing.shapes if not shape.inside and not shape.holds and shape.role != "dot"]
    found = []
    for path in drawing.paths:
        for (x0, y0), (x1, y1) in zip(path.points, path.points[1:], strict=False):
            assert x0 == x1 or y0 == y1, "Lines are horizontal or vertical."
            line = Shape(role="line", x=min(x0, x1), y=min(y0, y1), width=abs(x1 - x0), height=abs(y1 - y0))
            line.x, line.y = line.x - 0.02, line.y - 0.02
            line.width, line.height = line.width + 0.04, line.height + 0.04
            found += [(path.css, f"{shape.role} {shape.step}") for shape in solid if meets(line, shrunk(shape))]
    return found


@pytest.mark.parametrize("seed", range(40))
def test_nothing_overlaps_and_no_line_runs_through_a_box(seed: int) -> None:
    drawing = layout(grown(seed))

    assert overlaps(drawing) == []
    assert crossings(drawing) == []


@pytest.mark.parametrize("seed", range(40))
def test_everything_lies_on_the_page_and_marks_lie_on_their_boxes(seed: int) -> None:
    drawing = layout(grown(seed))
    page = Shape(role="page", x=0, y=0, width=drawing.width, height=drawing.height)

    assert all(holds(page, shape) for shape in drawing.shapes)
    box = page
    for shape in drawing.shapes:
        if shape.inside:
            assert holds(box, shape), shape
        elif shape.role in boxes.ROLES.values():
            box = shape


@pytest.mark.parametrize("seed", range(10))
def test_text_ends_before_its_shape_does(seed: int) -> None:
    for shape in layout(grown(seed)).shapes:
        for text in shape.texts:
            start = text.x - text.line.width / 2 if text.centred else text.x
            assert shape.x <= start + 0.01
            assert start + text.line.width <= shape.x + shape.width + 0.01, shape


# --- content ---


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_each_kind_of_step_has_its_picture_in_every_form(kind: str) -> None:
    definition = made(ONE_OF_EACH[kind])

    assert 'data-step="x"' in to_svg(definition)
    assert next(node for node in to_json(definition)["nodes"] if node["id"] == "x")["kind"] == kind
    assert to_mermaid(definition).startswith("flowchart TD\n")


@pytest.mark.parametrize("seed", range(10))
def test_every_step_appears_once(seed: int) -> None:
    definition = grown(seed)
    ids = [step.id for step in every_step(definition.steps)]
    named = [step.id for step in every_step(definition.steps) if not step.anonymous]

    drawn = re.findall(r'data-step="([^"]+)"', to_svg(definition))
    listed = [node["id"] for node in to_json(definition)["nodes"] if "#" not in node["id"]]

    assert sorted(drawn) == sorted(named)
    assert listed == ids


def test_a_call_shows_method_undo_and_marks() -> None:
    shown = texts(to_svg(trip()))

    for text in ("hotel", "hotels.reserve", "undo: hotels.cancel", "3 tries", "10s", "pivot", "then", "else"):
        assert text in shown
    assert "parallel tickets" in shown


def test_long_labels_are_cut_and_whole_in_the_tooltip() -> None:
    long = " && ".join(f"input.field_{number} > {number}" for number in range(14))
    svg = to_svg(made(call("x", when=long)))

    assert any(text.endswith("…") for text in texts(svg))
    titles = [each.text or "" for each in ET.fromstring(svg).iter(f"{SVG}title")]
    assert any(long in title for title in titles)


def test_nothing_follows_a_fail() -> None:
    drawing = layout(made({"id": "x", "fail": {"error": "broken"}}))

    assert not any(shape.role == "end" for shape in drawing.shapes)
    assert {"source": "#start", "target": "x", "kind": "flow", "label": ""} in to_json(
        made({"id": "x", "fail": {"error": "broken"}})
    )["edges"]


def test_json_names_parent_branch_compensation_and_edges() -> None:
    picture = to_json(trip())
    nodes = {node["id"]: node for node in picture["nodes"]}
    edges = {(edge["source"], edge["target"], edge["kind"], edge["label"]) for edge in picture["edges"]}

    assert nodes["hotel"]["compensation"] == "hotels.cancel"
    assert nodes["hotel"]["call"] == "hotels.reserve"
    assert nodes["spa"]["parent"] == "luxury"
    assert nodes["spa"]["branch"] == {"index": 0, "kind": "then", "label": "then"}
    assert [mark["kind"] for mark in nodes["pay"]["marks"]] == ["pivot"]
    assert ("luxury", "spa", "branch", "then") in edges
    assert ("tickets#join", "luxury", "flow", "") in edges
    assert ("pay", "#end", "flow", "") in edges


def test_json_edges_only_name_nodes_that_exist() -> None:
    for seed in range(20):
        picture = to_json(grown(seed))
        ids = {node["id"] for node in picture["nodes"]}
        assert len(ids) == len(picture["nodes"])
        assert all(edge["source"] in ids and edge["target"] in ids for edge in picture["edges"])
        assert all(node["parent"] is None or node["parent"] in ids for node in picture["nodes"])


# --- text that is not ours ---


def nasty() -> Definition:
    return Definition(
        name=NASTY,
        description=NASTY,
        steps=tuple(
            load_canonical({"name": "n", "steps": [
                {"id": "a", "set": {"k": NASTY}},
                {"parallel": [[{"id": "b", "fail": {"error": "e", "message": NASTY}}]]},
            ]}).steps
        ),
    )  # fmt: skip


def test_hostile_text_stays_text_in_svg() -> None:
    svg = to_svg(nasty())

    root = ET.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    svg.encode("utf-8")
    assert "\x00" not in svg
    assert "\u202e" not in svg


def test_hostile_text_stays_text_in_mermaid() -> None:
    chart = to_mermaid(nasty())

    chart.encode("utf-8")
    assert "<script" not in chart
    for line in chart.splitlines():
        assert line.count('"') in (0, 2), line
        label = line.split('"')[1] if '"' in line else ""
        assert not re.search(r"[\[\]{}`\\|%<>]", label.replace("<br/>", "")), line
        assert not re.search(r"#(?!(\d+|quot|amp|lt|gt);)", label), line


def test_node_names_in_mermaid_are_ours() -> None:
    chart = to_mermaid(made({"id": "end", "parallel": [[call("subgraph")], [call("graph")]]}))

    assert all(re.match(r"  (end|subgraph n\d+ .*|  )?(n\d+.*)?$", line) for line in chart.splitlines()[1:])


# --- form ---


def test_svg_is_accessible_and_self_contained() -> None:
    root = ET.fromstring(to_svg(trip()))

    assert root.get("role") == "img"
    named = {root.find(f"{SVG}title").get("id"), root.find(f"{SVG}desc").get("id")}  # type: ignore[union-attr]
    assert set(str(root.get("aria-labelledby")).split()) == named
    style = root.find(f"{SVG}style").text or ""  # type: ignore[union-attr]
    assert "prefers-color-scheme:dark" in style
    assert "url(" not in style
    assert "@import" not in style
    assert not any(key.endswith("href") for each in root.iter() for key in each.attrib)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_definition_gives_the_same_text(seed: int) -> None:
    one, other = grown(seed), grown(seed)

    assert to_svg(one) == to_svg(other)
    assert to_mermaid(one) == to_mermaid(other)
    assert to_json(one) == to_json(other)
    ET.fromstring(to_svg(one))


def test_mermaid_of_the_trip_is_as_recorded() -> None:
    assert to_mermaid(trip()) == (HERE / "trip.mmd").read_text(encoding="utf-8")


# --- size ---


def wrapped(depth: int) -> dict[str, Any]:
    step: dict[str, Any] = call("leaf")
    for number in range(depth):
        shapes: list[dict[str, Any]] = [
            {"if": "true", "then": [step]},
            {"foreach": "${input.items}", "steps": [step]},
            {"parallel": [step]},
            {"try": [step], "catch": [{"steps": [call(f"c{number}")]}]},
            {"repeat": [step], "until": "true"},
            {"sequential": [step]},
        ]
        step = {"id": f"w{number}", **shapes[number % len(shapes)]}
    return step


def test_nesting_as_deep_as_the_language_allows() -> None:
    definition = made(wrapped(63))

    ET.fromstring(to_svg(definition))
    assert overlaps(layout(definition)) == []
    assert to_mermaid(definition).count("subgraph") > 40
    assert len(to_json(definition)["nodes"]) > 64


@pytest.mark.parametrize("shape", ["sequence", "branches", "cases"])
def test_work_grows_with_the_number_of_steps_and_not_faster(shape: str) -> None:
    def size(count: int) -> tuple[int, int]:
        calls = [call(f"s{number}", compensation="svc.undo") for number in range(count)]
        steps = {
            "sequence": calls,
            "branches": [{"id": "p", "parallel": calls}, call("last")],
            "cases": [{"id": "c", "switch": [{"when": "true", "steps": [each]} for each in calls]}, call("last")],
        }[shape]
        definition = made(*steps)
        drawing = layout(definition)
        return len(drawing.shapes) + len(drawing.paths), len(to_json(definition)["edges"])

    (small, few), (large, many) = size(100), size(1000)

    assert large < 10.5 * small
    assert many < 10.5 * few


def test_a_thousand_steps_have_a_picture() -> None:
    definition = made(*(call(f"s{number}") for number in range(1000)))

    assert to_svg(definition).count("data-step=") == 1000
    assert to_mermaid(definition).count("-->") == 1001


# --- words ---


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0ms"), (250, "250ms"), (1500, "1.5s"), (60_000, "1m"), (5_400_000, "1h 30m"), (604_800_000, "7d")],
)
def test_durations_read_as_people_write_them(ms: int, text: str) -> None:
    assert words.duration(ms) == text


def test_text_is_cut_to_its_width() -> None:
    line = fit("x" * 100, CODE, 100)

    assert line.text.endswith("…")
    assert line.width <= 100


def test_text_is_wrapped_between_words() -> None:
    lines = wrap("one two three four five six seven", CODE, 80, 3)

    assert [line.text for line in lines][:2] == ["one two", "three four"]
    assert len(lines) == 3
    assert all(line.width <= 80 for line in lines)


def test_a_large_value_costs_no_more_than_what_is_shown() -> None:
    assert len(words.one_line({"k": ["x"] * 100_000})) == words.TEXT_CHARS_MAX
