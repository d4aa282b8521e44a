"""Definitions held to what their services describe: what is certain is an error, what is odd a warning."""

from __future__ import annotations

from typing import Any

import pytest

from makegood.errors import DefinitionError, Problem
from makegood.language import load
from makegood.model.contract import Contract, Operation, Unread

ROOM = {
    "type": "object",
    "required": ["guest", "nights"],
    "properties": {
        "guest": {"type": "string"},
        "nights": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"type": "string"}},
        "more": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "additionalProperties": False,
}
BOOKING = {
    "$ref": "#/components/schemas/Booking",
    "components": {
        "schemas": {
            "Booking": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "price": {"type": ["number", "null"]}, "room": {
                    "type": "object", "properties": {"floor": {"type": "integer"}}, "additionalProperties": False,
                }},
            }
        }
    },
}  # fmt: skip
HOTELS = Contract(
    "hotels.json",
    {
        "reserve": Operation("POST /reserve", ROOM, BOOKING),
        "cancel": Operation("POST /cancel", {"type": "object", "required": ["booking"],
                                             "properties": {"booking": {"type": "string"}}}),
        "undo": Operation("POST /undo", {"type": "object", "required": ["forward_key"]}),
        "ping": Operation("GET /ping"),
    },
    {"drop": "DELETE /rooms/{input.room}"},
)  # fmt: skip
FITS = "{guest: ada, nights: 2}"


def found(steps: str, **more: Any) -> list[Problem]:
    """Everything that is said of a definition of these steps."""
    text = f"name: t\ninput_schema: {{type: object, properties: {{who: {{type: string}}}}}}\nsteps:\n{steps}"
    try:
        return list(load(text, contracts={"hotels": HOTELS}, **more).warnings)
    except DefinitionError as error:
        return list(error.problems)


def told(steps: str) -> list[tuple[str, str, str]]:
    """Code, severity and place of it, less what has nothing to do with descriptions."""
    return [
        (each.code, each.severity, each.pointer)
        for each in found(steps)
        if (each.code not in {"no_compensation", "not_undone", "lost_reply"} and "input" in each.code)
        or each.code in {"unknown_method", "unknown_output", "undeclared_output"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (FITS, []),
        ('{guest: "${input.who}", nights: "${input.days}", more: 1}', [("input_misfit", "error", "/more")]),
        ("{guest: ada}", [("missing_input", "error", "")]),
        ("{guest: ada, nights: 0}", [("input_misfit", "error", "/nights")]),
        ('{guest: ada, nights: "${input.who}"}', [("input_misfit", "error", "/nights")]),
        ('{guest: ada, nights: "for ${input.days}"}', [("input_misfit", "error", "/nights")]),
        ('{guest: "$${x}", nights: 2}', []),
        ('{gest: ada, guest: "${input.who}", nights: 2}', [("unknown_input", "error", "/gest")]),
        ('{guest: ada, nights: 2, tags: ["${input.who}", 7]}', [("input_misfit", "error", "/tags/1")]),
        ('{guest: ada, nights: 2, tags: {a: "${input.who}"}}', [("input_misfit", "error", "/tags")]),
        ('"${input.who}"', [("input_misfit", "error", "")]),
        ('"${input.order}"', []),
    ],
)
def test_an_input_is_held_to_what_the_method_takes(given: str, expected: list[tuple[str, str, str]]) -> None:
    at = "/steps/0/input"
    assert told(f"  - {{id: a, call: hotels.reserve, input: {given}}}\n") == [
        (code, severity, f"{at}{place}") for code, severity, place in expected
    ]


def test_the_workflows_input_sent_as_it_is_may_lack_something() -> None:
    assert told("  - {id: a, call: hotels.reserve}\n") == [
        ("missing_input", "warning", "/steps/0/call"), ("missing_input", "warning", "/steps/0/call"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("undo", "expected"),
    [
        ("hotels.undo", []),
        ("hotels.cancel", [("missing_input", "error", "/steps/0/compensation")]),
        ('{call: hotels.cancel, input: {booking: "${step.output.id}"}}', []),
        (
            '{call: hotels.cancel, input: {booking: "${step.output.price}"}}',
            [("input_misfit", "error", "/steps/0/compensation/input/booking")],
        ),
        (
            '{call: hotels.cancel, input: {booking: "${step.output.number}"}}',
            [("undeclared_output", "warning", "/steps/0/compensation/input/booking")],
        ),
        ("hotels.revoke", [("unknown_method", "error", "/steps/0/compensation")]),
    ],
)
def test_a_compensation_is_held_to_it_too(undo: str, expected: list[tuple[str, str, str]]) -> None:
    assert told(f"  - {{id: a, call: hotels.reserve, input: {FITS}, compensation: {undo}}}\n") == expected


def test_a_method_that_is_not_described_is_an_error_with_the_nearest_name() -> None:
    (problem,) = [each for each in found("  - {id: a, call: hotels.reserv}\n") if each.code == "unknown_method"]

    assert (problem.line, problem.column) == (4, 19)
    assert problem.message == (
        "Step 'a' calls hotels.reserv, and hotels.json describes no such method. Did you mean 'reserve'?"
    )


def test_a_template_that_asks_for_no_operation_is_told_as_it_is_sent() -> None:
    (problem,) = [each for each in found("  - {id: a, call: hotels.drop}\n") if each.code == "unknown_method"]

    assert "DELETE /rooms/{input.room}" in problem.message


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("steps.a.id", []),
        ("steps.a.room.floor", []),
        ("steps.a.prize", [("undeclared_output", "warning")]),
        ("steps.a.?prize.orValue(1)", []),
        ("has(steps.a.prize)", []),
        ("steps.a.room.flor", [("unknown_output", "error")]),
        ("steps.a.id.x", [("unknown_output", "error")]),
    ],
)
def test_an_output_is_read_as_it_is_described(expression: str, expected: list[tuple[str, str]]) -> None:
    steps = f'  - {{id: a, call: hotels.reserve, input: {FITS}}}\n  - {{id: b, set: {{x: "${{{expression}}}"}}}}\n'

    assert [(code, severity) for code, severity, _ in told(steps)] == expected


def test_an_output_of_a_loop_is_a_list_from_outside() -> None:
    steps = (
        '  - id: all\n    foreach: "${input.rooms}"\n    steps:\n'
        f'      - {{id: a, call: hotels.reserve, input: {FITS}}}\n'
        '      - {id: b, set: {x: "${steps.a.prize}"}}\n'
        '  - {id: c, set: {x: "${steps.a[0].prize}"}}\n'
    )  # fmt: skip

    assert told(steps) == [("undeclared_output", "warning", "/steps/0/steps/1/set/x")]


def test_what_goes_into_the_next_step_is_held_to_what_the_last_one_gives() -> None:
    steps = (
        f"  - {{id: a, call: hotels.reserve, input: {FITS}}}\n"
        '  - {id: b, call: hotels.reserve, input: {guest: "${steps.a.room.floor}", nights: "${steps.a.price}"}}\n'
    )

    # A price may be a whole number; a floor is never a name.
    assert told(steps) == [("input_misfit", "error", "/steps/1/input/guest")]


def test_a_description_that_cannot_be_had_is_one_warning() -> None:
    steps = "  - {id: a, call: hotels.reserve}\n  - {id: b, call: hotels.reserve}\n"
    loaded = load(f"name: t\nsteps:\n{steps}", contracts={"hotels": Unread("hotels.json cannot be read.")})

    (warning,) = [each for each in loaded.warnings if each.code == "description_unread"]
    assert warning.message.endswith("hotels.json cannot be read.")
    assert warning.pointer == "/steps/0/call"
