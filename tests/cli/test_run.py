"""`makegood run`: what it prints, what it answers, and what a second run of the same id does."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import Cli

from makegood.errors import StorageUnavailable
from makegood.storage.sqlite.lock import EngineLock
from recording_service import Answer, RecordingService

REFUSED = Answer(409, {"error": {"code": "no_money", "message": "the card is empty"}})


def test_result_goes_to_stdout_and_progress_to_stderr(cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    ran = cli("run", trip, *hotels)

    assert ran.code == 0
    assert ran.json == {"done": "charge"}
    assert "hotel succeeded (attempt 1," in ran.err
    assert "completed" in ran.err


def test_json_is_the_whole_execution_and_nothing_else(cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    ran = cli("run", trip, *hotels, "--id", "a", "--json")

    assert ran.code == 0
    assert ran.err == ""
    assert (ran.json["id"], ran.json["status"]) == ("a", "completed")
    assert [each["step"] for each in ran.json["steps"]] == ["hotel", "pay"]


@pytest.mark.parametrize("given", ["literal", "file", "workflow input"])
def test_input_reaches_the_service(
    given: str, cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService, tmp_path: Path
) -> None:
    (tmp_path / "input.json").write_text('{"guest": "Ada"}')

    cli("run", trip, *hotels, "--input", "@input.json" if given == "file" else '{"guest": "Ada"}')

    assert service.calls[0][4] == {"guest": "Ada"}


def test_aborted_and_undone_is_exit_3(cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService) -> None:
    service.answers["charge"] = REFUSED

    ran = cli("run", trip, *hotels)

    assert ran.code == 3
    assert ran.out == ""
    assert "no_money: the card is empty" in ran.err
    assert service.methods == ["reserve", "charge", "cancel"]


def test_aborted_without_rollback_is_exit_1(
    cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService, tmp_path: Path
) -> None:
    (tmp_path / trip).write_text((tmp_path / trip).read_text() + "error_handling: fail_fast\n")
    service.answers["charge"] = REFUSED

    ran = cli("run", trip, *hotels)

    assert ran.code == 1
    assert service.methods == ["reserve", "charge"]


def test_undo_that_fails_is_exit_4_and_says_what_to_do(
    cli: Cli, one_undo: str, hotels: tuple[str, str], service: RecordingService
) -> None:
    service.answers |= {"charge": REFUSED, "cancel": REFUSED}

    ran = cli("run", one_undo, *hotels, "--id", "a")

    assert ran.code == 4
    assert "undo of hotel failed: no_money" in ran.err
    assert "makegood retry a --database ./makegood.db" in ran.err


def test_still_running_at_the_timeout_is_exit_5_and_says_how_to_go_on(
    cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService
) -> None:
    held = service.hold("reserve")

    ran = cli("run", trip, *hotels, "--id", "a", "--timeout", "50ms")
    held.set()
    again = cli("run", trip, *hotels, "--id", "a")

    assert ran.code == 5
    assert f"makegood run trip.yaml --id a --service hotels={service.url}" in ran.err
    assert again.code == 0
    keys = {key for method, _, _, key, _ in service.calls if method == "reserve"}
    assert len(keys) == 1


def test_database_held_by_another_engine_is_exit_6(
    cli: Cli, trip: str, hotels: tuple[str, str], tmp_path: Path
) -> None:
    lock = EngineLock(str(tmp_path / "makegood.db"))
    lock.take()
    try:
        ran = cli("run", trip, *hotels)
    finally:
        lock.release()

    assert ran.code == 6
    assert "is held by process" in ran.err
    assert "use another file" in ran.err


def test_ended_execution_is_printed_again_without_a_call(
    cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService
) -> None:
    first = cli("run", trip, *hotels, "--id", "a", "--input", "1")
    calls = len(service.calls)

    for words in (("--input", "1"), ()):
        again = cli("run", trip, *hotels, "--id", "a", *words)
        assert (again.code, again.out) == (first.code, first.out)
    assert len(service.calls) == calls


def test_same_id_with_other_input_is_refused(cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    cli("run", trip, *hotels, "--id", "a", "--input", "1")

    ran = cli("run", trip, *hotels, "--id", "a", "--input", "2")

    assert ran.code == 2
    assert "execution 'a' exists with another input" in ran.err
    assert "Use another --id" in ran.err


@pytest.mark.parametrize(
    ("edited", "told"),
    [
        ("name: approval\nsteps: [{id: other, call: hotels.other, read_only: true}]", "has changed since"),
        ("name: approval\nsteps: [{id: x, cal: hotels.other}]", "has mistakes and is ignored"),
    ],
)
def test_edited_file_is_ignored_with_a_warning(
    edited: str, told: str, cli: Cli, waiting: str, hotels: tuple[str, str], service: RecordingService, tmp_path: Path
) -> None:
    (tmp_path / waiting).write_text(edited)
    cli("signal", "w", "approved", "--payload", '{"by": "Ada"}')

    ran = cli("run", waiting, *hotels, "--id", "w")

    assert ran.code == 0
    assert ran.json == {"by": "Ada"}
    assert "warning: approval.yaml" in ran.err
    assert told in ran.err
    assert service.methods == ["reserve"]


def test_id_of_another_workflow_is_refused(cli: Cli, trip: str, hotels: tuple[str, str], tmp_path: Path) -> None:
    cli("run", trip, *hotels, "--id", "a")
    (tmp_path / "other.yaml").write_text("name: other\nsteps: [{id: x, call: hotels.other, read_only: true}]")

    ran = cli("run", "other.yaml", *hotels, "--id", "a")

    assert ran.code == 2
    assert "belongs to workflow 'trip'" in ran.err


def test_resume_without_its_service_is_refused_and_changes_nothing(cli: Cli, waiting: str) -> None:
    before = cli("history", "w", "--json").out

    ran = cli("run", waiting, "--id", "w")

    assert ran.code == 2
    assert "needs the service 'hotels', which is not known here" in ran.err
    assert "--service hotels=URL" in ran.err
    assert cli("history", "w", "--json").out == before


def test_executions_of_others_are_not_touched(cli: Cli, trip: str, waiting: str, hotels: tuple[str, str]) -> None:
    cli("cancel", "w")
    before = cli("history", "w", "--json").out

    assert cli("run", trip, *hotels, "--id", "mine").code == 0

    assert cli("history", "w", "--json").out == before
    assert cli("show", "w", "--json").json["status"] == "compensating"


def test_definition_without_a_name_takes_the_file_s(cli: Cli, hotels: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "nameless.yaml").write_text("steps: [{id: x, call: hotels.y, read_only: true}]")

    assert cli("run", "nameless.yaml", *hotels, "--json").json["workflow"] == "nameless"


def test_services_and_database_of_the_configuration_are_used(
    cli: Cli, trip: str, service: RecordingService, tmp_path: Path
) -> None:
    (tmp_path / "makegood.toml").write_text(
        f'[storage]\nconnection_string = "./mine.db"\n[services.hotels]\nurl = "{service.url}/api"\n'
    )

    assert cli("run", trip).code == 0
    assert (tmp_path / "mine.db").exists()
    assert not (tmp_path / "makegood.db").exists()


def test_database_that_fails_on_the_way_is_exit_6_and_says_how_to_go_on(
    cli: Cli, trip: str, hotels: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StorageUnavailable("makegood.db: the disk or the quota is full. Make room; nothing was written.")

    monkeypatch.setattr("makegood.storage.sqlite.journal.SqliteStore.append", full)

    ran = cli("run", trip, *hotels, "--id", "a")

    assert (ran.code, ran.out) == (6, "")
    assert "the disk or the quota is full. Make room" in ran.err
    assert "execution a goes on with:\n  makegood run trip.yaml --id a" in ran.err


def test_refusal_behind_a_pivot_is_told_with_the_ways_out(
    cli: Cli, hotels: tuple[str, str], service: RecordingService, tmp_path: Path
) -> None:
    steps = "[{id: pay, call: hotels.charge, pivot: true}, {id: confirm, call: hotels.confirm, retriable: true}]"
    (tmp_path / "sold.yaml").write_text(f"name: sold\nsteps: {steps}\n")
    service.answers["confirm"] = REFUSED

    ran = cli("run", "sold.yaml", *hotels, "--id", "s")

    assert ran.code == 5
    assert "suspended: after_pivot" in ran.err
    assert "progress is not shown" not in ran.err
    assert "makegood resume s " in ran.err
    assert "makegood resolve s " in ran.err
    assert " confirm --as succeeded --note WHY" in ran.err


def test_child_that_is_not_registered_is_named_with_a_remedy(cli: Cli, hotels: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text("name: parent\nsteps: [{id: kid, workflow: packing}]\n")

    ran = cli("run", "parent.yaml", *hotels)

    assert ran.code == 3
    assert "no workflow 'packing' is registered" in ran.err
    assert "makegood workflows put FILE" in ran.err
