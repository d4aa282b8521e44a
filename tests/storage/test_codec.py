"""Journal records as text: exact, unambiguous, and readable for ever."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.golden import write_missing as golden

from makegood.core import events
from makegood.core.events import (
    AttemptStarted,
    ExecutionStarted,
    Failure,
    Record,
    Reference,
    StepFailed,
    StepScheduled,
    StepSucceeded,
)
from makegood.errors import StorageError
from makegood.storage import UnknownEvent, codec
from makegood.storage import fields as shapes

GOLDEN = Path(golden.__file__).parent

# --- golden files ------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", codec.EVENTS, ids=codec.kind_of)
def test_every_event_has_a_golden_file(cls: type) -> None:
    path = golden.golden_path(cls)

    assert path.exists(), (
        f"{path} is missing: run `python tests/golden/write_missing.py`, read the new file, and commit it"
    )


@pytest.mark.parametrize("path", sorted((GOLDEN / "events").glob("*.json")), ids=lambda path: path.stem)
def test_what_was_ever_written_is_still_read(path: Path) -> None:
    for sample in json.loads(path.read_text("utf-8")):
        event = codec.decode_event(dict(sample["encoded"]))

        told = golden.told_of(event)
        assert {name: told[name] for name in sample["fields"]} == sample["fields"]
        current = codec.VERSIONS[type(event)] == sample["encoded"]["v"]
        assert not current or codec.encode_event(event) == _tupled(sample["encoded"])


def _tupled(encoded: dict[str, Any]) -> dict[str, Any]:
    """Iterations and paths are tuples until they are text; equal for our purpose once they are."""
    event = codec.decode_event(dict(encoded))
    assert json.loads(codec.encode_record(Record(0, (event,))))["events"] == [encoded]
    return codec.encode_event(event)


def test_the_writer_of_golden_files_leaves_existing_ones_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in (GOLDEN / "events").iterdir()}

    golden.main()

    assert {path: path.read_bytes() for path in (GOLDEN / "events").iterdir()} == before
    assert capsys.readouterr().out == ""


def test_every_event_class_of_the_module_is_in_the_union() -> None:
    classes = {each for each in vars(events).values() if isinstance(each, type) and each.__module__ == events.__name__}

    assert classes - set(codec.EVENTS) == {Failure, Reference, Record}


# --- values ------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ITERATION = st.lists(st.integers(0, 10**6), max_size=3).map(tuple)
REFERENCE = st.builds(Reference, st.lists(TEXT | st.integers(0, 9), max_size=4).map(tuple))
FAILURE = st.builds(Failure, TEXT, TEXT, JSON, TEXT, st.none() | TEXT, ITERATION)

_BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "Any": JSON | REFERENCE,
    "Iteration": ITERATION,
    "Failure": FAILURE,
    "Failure | None": st.none() | FAILURE,
    "Settled": st.sampled_from(["failed", "unknown"]),
    "str": TEXT,
    "str | None": st.none() | TEXT,
    "bool": st.booleans(),
    "int": st.integers(),
    "int | None": st.none() | st.integers(),
}
EVENT = st.sampled_from(codec.EVENTS).flatmap(
    lambda cls: st.builds(cls, **{each.name: _BY_TYPE[str(each.type)] for each in fields(cls)})
)


@settings(max_examples=300, deadline=None)
@given(st.builds(Record, st.integers(0, 2**53), st.lists(EVENT, max_size=4).map(tuple), st.booleans()))
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    text = codec.encode_record(record)
    back = codec.decode_record(text)

    assert back == record
    assert repr(back) == repr(record)  # 1 and True and 1.0 are equal, and must not become each other.
    assert "\n" not in text
    assert "\x00" not in text


@pytest.mark.parametrize(
    "value",
    [
        {"input_ref": ["input"]},
        {"path": ["input"]},
        {"Reference": ["input"]},
        ["input"],
        {"e": "step_scheduled", "v": 1},
        None,
    ],
)
def test_a_value_is_never_taken_for_a_reference(value: Any) -> None:
    record = Record(1, (StepScheduled("a", (), value), StepSucceeded("b", (), value)))

    assert codec.decode_record(codec.encode_record(record)) == record


def test_a_record_is_small_and_readable() -> None:
    record = Record(
        7,
        (StepScheduled("a", (), Reference(("steps", "b", 0))), StepFailed("a", (1,), "failed", Failure("gone"))),
        True,
    )

    assert codec.encode_record(record) == (
        '{"at":7,"more":true,"events":[{"e":"step_scheduled","v":1,"step":"a","iteration":[],"input_ref":["steps","b",0]},'
        '{"e":"step_failed","v":1,"step":"a","iteration":[1],"settled":"failed","error":{"code":"gone"}}]}'
    )


@pytest.mark.parametrize("value", ["\ud800", object(), {("a",): 1}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(StorageError, match="nothing was written"):
        codec.encode_record(Record(1, (StepSucceeded("a", (), value),)))


# --- what is not understood --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ('{"e":"step_teleported","v":1,"step":"a"}', "'step_teleported' version 1 is not known"),
        ('{"e":"step_skipped","v":2,"step":"a"}', "'step_skipped' version 2 is not known"),
        ('{"e":"step_skipped","v":1,"step":"a","mood":"good"}', "fields .* mood"),
        (
            '{"e":"step_failed","v":1,"step":"a","iteration":[],"settled":"failed","error":{"code":"x","mood":1}}',
            "another shape",
        ),
        ('{"e":"step_skipped","v":1}', "another shape"),
        ('{"v":1}', "another shape"),
        ('{"e":["x"],"v":1}', "another shape"),
        ("7", "another shape"),
        ("{", "not the JSON"),
    ],
)
def test_what_is_not_understood_says_so(event: str, words: str) -> None:
    with pytest.raises(UnknownEvent, match=words):
        codec.decode_record(f'{{"at":1,"events":[{event}]}}')


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"at":1}', '{"at":1,"events":[],"mood":1}', '{"at":1,"events":7}', "\x00"]
)
def test_a_record_of_another_shape_says_so(text: str) -> None:
    with pytest.raises(UnknownEvent):
        codec.decode_record(text)


def test_an_older_version_is_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codec.UPCASTERS, ("attempt_started", -1), lambda data: {**data, "attempt": data["number"]})
    monkeypatch.setitem(
        codec.UPCASTERS, ("attempt_started", 0), lambda data: {k: v for k, v in data.items() if k != "number"}
    )
    old = '{"at":1,"events":[{"e":"attempt_started","v":-1,"step":"a","iteration":[],"number":3,"deadline_ms":9}]}'

    assert codec.decode_record(old).events == (AttemptStarted("a", (), 3, 9),)


def test_a_class_that_the_codec_cannot_write_is_refused_at_import() -> None:
    @dataclass(frozen=True)
    class ThingHappened:
        when: "datetime"  # type: ignore[name-defined]  # noqa: F821, UP037

    with pytest.raises(TypeError, match=r"ThingHappened\.when"):
        shapes.check(ThingHappened)


def test_the_first_event_keeps_its_input_whatever_it_is() -> None:
    empty: list[Any] = [None, False, 0, "", [], {}]
    for value in empty:
        record = Record(1, (ExecutionStarted("a", "trip", 1, value),))
        assert '"input":' in codec.encode_record(record)
        assert repr(codec.decode_record(codec.encode_record(record))) == repr(record)
