"""What every event did to a state when it was released, it does for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.golden import write_missing_states as golden

from makegood.core.program import compile_program
from makegood.language import load_tree
from makegood.storage import codec


@pytest.mark.parametrize("cls", codec.EVENTS, ids=codec.kind_of)
def test_every_event_has_a_golden_file_of_what_it_does(cls: type) -> None:
    path = golden.golden_path(cls)

    assert path.exists(), (
        f"{path} is missing: run `python tests/golden/write_missing_states.py`, read the new file, and commit it"
    )


@pytest.mark.parametrize("path", sorted(golden.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_what_an_event_did_it_still_does(path: Path) -> None:
    for case in json.loads(path.read_text("utf-8")):
        program = compile_program(load_tree(case["definition"]).definition, 1)
        journal = [codec.decode_record(json.dumps(record)) for record in case["journal"]]
        event = codec.decode_event(case["event"])

        assert golden.changes(program, journal, event, case["at_ms"]) == case["changes"]
