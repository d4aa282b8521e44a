"""Looking at executions and acting on them, where no engine is running and where one is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from cli_runs import Cli, Elsewhere

from recording_service import Answer, RecordingService

REFUSED = Answer(409, {"error": {"code": "no_money", "message": "the card is empty"}})


@pytest.fixture
def stuck(cli: Cli, one_undo: str, hotels: tuple[str, str], service: RecordingService) -> str:
    """An execution whose undo has failed."""
    service.answers |= {"charge": REFUSED, "cancel": REFUSED}
    assert cli("run", one_undo, *hotels, "--id", "stuck").code == 4
    service.answers.pop("cancel")
    return "stuck"


# --- looking ---


@pytest.fixture
def long_one(cli: Cli, tmp_path: Path) -> str:
    """An execution of more steps than are shown at once."""
    path = tmp_path / "long.yaml"
    path.write_text("{name: long, steps: [{id: f, foreach: '${input}', steps: [{id: v, set: '${item}'}]}], output: {}}")
    assert cli("run", str(path), "--input", json.dumps(list(range(1_100))), "--id", "long").code == 0
    return "long"


def test_show_says_where_the_next_page_of_steps_begins(cli: Cli, long_one: str) -> None:
    first = cli("show", long_one)
    second = cli("show", long_one, "--cursor", "1000")
    as_json = cli("show", long_one, "--json").json
    page = cli("show", long_one, "--json", "--cursor", as_json["steps_cursor"]).json

    assert "v[998]" in first.out
    assert "v[999]" not in first.out
    assert "--cursor 1000" in first.err
    assert [line.split()[0] for line in second.out.splitlines()[2:]] == [f"v[{number}]" for number in range(999, 1_100)]
    assert second.err == ""
    assert len(as_json["steps"]) == 1_000
    assert (len(page["steps"]), page["cursor"]) == (101, None)


def test_show_gives_pages_of_undos_and_effects(cli: Cli, tmp_path: Path, service: RecordingService) -> None:
    step = "{id: a, call: hotels.do, compensation: hotels.undo}"
    loop = f"{{id: f, foreach: '${{input}}', max_concurrency: 100, steps: [{step}]}}"
    path = tmp_path / "long.yaml"
    path.write_text(f"{{name: long, steps: [{loop}], output: {{}}}}")
    told = json.dumps(list(range(1_003)))
    assert cli("run", str(path), "--service", f"hotels={service.url}", "--input", told, "--id", "long").code == 0

    first = cli("show", "long")
    undos = cli("show", "long", "--only", "compensations", "--cursor", "3")
    effects = cli("show", "long", "--only", "effects", "--json").json
    last = cli("show", "long", "--only", "effects", "--cursor", effects["cursor"])

    assert "more compensations; the next page: --only compensations --cursor 3" in first.err
    assert f"more effects; the next page: --only effects --cursor {effects['cursor']}" in first.err
    assert [line.split()[0].split("[")[0] for line in undos.out.splitlines()[2:]] == ["a", "a", "a"]
    assert len(effects["effects"]) == 1_000
    assert [line.split()[2] for line in last.out.splitlines()[2:]] == ["done"] * 3
    assert (undos.err, last.err) == ("", "")


def test_show_refuses_a_list_that_there_is_not(cli: Cli, long_one: str) -> None:
    refused = cli("show", long_one, "--only", "step")

    assert refused.code == 2
    assert "Did you mean 'steps'?" in refused.err


def test_show_refuses_what_is_no_cursor(cli: Cli, long_one: str) -> None:
    refused = cli("show", long_one, "--cursor", "next")

    assert refused.code == 2
    assert "no cursor" in refused.err


def test_history_of_a_long_execution_has_every_event_in_order(cli: Cli, long_one: str) -> None:
    events = [json.loads(line) for line in cli("history", long_one, "--json").out.splitlines()]

    assert [each["position"] for each in events] == sorted(each["position"] for each in events)
    assert [each["iteration"] for each in events if each.get("step") == "v"] == [[number] for number in range(1_100)]


def test_list_filters_and_pages(cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService) -> None:
    for name in ("a", "b", "c"):
        cli("run", trip, *hotels, "--id", name)
    service.answers["charge"] = REFUSED
    cli("run", trip, *hotels, "--id", "d")

    first = cli("list", "--limit", "3", "--json").json
    second = cli("list", "--limit", "3", "--json", "--cursor", first["cursor"]).json
    filtered = cli("list", "--status", "compensated", "--json").json

    assert [each["id"] for each in first["executions"] + second["executions"]] == ["d", "c", "b", "a"]
    assert second["cursor"] is None
    assert [each["id"] for each in filtered["executions"]] == ["d"]
    assert cli("list", "--workflow", "other", "--json").json["executions"] == []


def test_list_is_a_table(cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    cli("run", trip, *hotels, "--id", "a")

    lines = cli("list").out.splitlines()

    assert lines[0].split()[:4] == ["ID", "WORKFLOW", "VERSION", "STATUS"]
    assert lines[1].split()[:4] == ["a", "trip", "1", "completed"]


def test_show_tells_steps_compensations_and_what_is_not_undone(
    cli: Cli, hotels: tuple[str, str], service: RecordingService, tmp_path: Path
) -> None:
    (tmp_path / "risky.yaml").write_text(
        "name: risky\nsteps:\n  - {id: mail, call: hotels.mail}\n"
        "  - {id: hotel, call: hotels.reserve, compensation: hotels.cancel}\n  - {id: pay, call: hotels.charge}\n"
    )
    service.answers["charge"] = REFUSED
    ran = cli("run", "risky.yaml", *hotels, "--id", "a")

    text = cli("show", "a").out

    assert "warning: " in ran.err
    assert "status     compensated" in text
    assert "error      no_money: the card is empty (at pay)" in text
    assert "hotels.cancel  done  1 attempt" in text
    assert "not undone, because there is no compensation: mail" in text


def test_show_json_is_the_description(cli: Cli, waiting: str) -> None:
    shown = cli("show", "w", "--json").json

    assert shown["status"] == "running"
    assert [each["forward"] for each in shown["steps"]] == ["succeeded", "running"]


def test_history_is_one_event_a_line(cli: Cli, waiting: str) -> None:
    events = [json.loads(line) for line in cli("history", "w", "--json").out.splitlines()]
    lines = cli("history", "w").out.splitlines()

    assert [each["event"] for each in events[:3]] == ["execution_started", "step_scheduled", "attempt_started"]
    assert [each["position"] for each in events] == sorted(each["position"] for each in events)
    assert len(lines) == len(events)


def test_watch_tells_the_past_and_ends_like_run(cli: Cli, stuck: str) -> None:
    ran = cli("watch", stuck)

    assert ran.code == 4
    assert "hotel undo failed: no_money" in ran.err


def test_watch_says_that_no_engine_is_running(cli: Cli, waiting: str) -> None:
    ran = cli("watch", "w")

    assert ran.code == 5
    assert "no engine is running" in ran.err


def test_workflows_and_status_of_a_database(cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    assert cli("workflows", "put", trip, "--json").json == {"name": "trip", "version": 1, "new": True}
    assert cli("workflows", "put", trip).out == "trip version 1 (unchanged)\n"
    assert cli("workflows", "list", "--json").json == [{"name": "trip", "version": 1, "description": ""}]
    assert [each["id"] for each in cli("workflows", "show", "trip").json["steps"]] == ["hotel", "pay"]
    cli("run", trip, *hotels)
    assert cli("db", "status", "--json").json["executions"] == {"completed": 1}


# --- acting where no engine is running ---


def test_cancel_is_decided_and_sends_nothing(
    cli: Cli, waiting: str, hotels: tuple[str, str], service: RecordingService
) -> None:
    ran = cli("cancel", "w", "--note", "changed my mind")

    assert ran.code == 0
    assert "cancel accepted" in ran.out
    assert "makegood run FILE --id w" in ran.out
    assert service.methods == ["reserve"]
    assert cli("run", waiting, *hotels, "--id", "w").code == 3
    assert cli("show", "w", "--json").json["error"]["message"] == "changed my mind"
    assert service.methods == ["reserve", "cancel"]


def test_cancel_after_the_end_is_refused(cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    cli("run", trip, *hotels, "--id", "a")

    ran = cli("cancel", "a")

    assert (ran.code, ran.out) == (1, "")
    assert "execution a is completed and cannot be cancelled" in ran.err


def test_retry_tries_the_undo_again(
    cli: Cli, one_undo: str, stuck: str, hotels: tuple[str, str], service: RecordingService
) -> None:
    assert cli("retry", stuck, "--json").json["verdict"] == "accepted"

    assert cli("run", one_undo, *hotels, "--id", stuck).code == 3
    assert service.methods[-1] == "cancel"


def test_resolve_declares_the_undo_done(cli: Cli, stuck: str) -> None:
    ran = cli("resolve", stuck, "hotel", "--note", "called them")

    assert ran.code == 0
    assert f"execution {stuck} is compensated" in ran.out
    assert cli("show", stuck, "--json").json["compensations"][0]["note"] == "called them"


def test_suspended_execution_goes_on_after_resume(cli: Cli, waiting: str, hotels: tuple[str, str]) -> None:
    assert "is suspended" in cli("suspend", "w").out
    cli("signal", "w", "approved", "--payload", '{"by": "Ada"}')
    assert cli("run", waiting, *hotels, "--id", "w").code == 5
    assert cli("resume", "w").code == 0
    assert cli("run", waiting, *hotels, "--id", "w").code == 0


def test_failed_execution_is_compensated_after_all(
    cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService, tmp_path: Path
) -> None:
    (tmp_path / trip).write_text((tmp_path / trip).read_text() + "error_handling: fail_fast\n")
    service.answers["charge"] = REFUSED
    cli("run", trip, *hotels, "--id", "a")

    assert cli("compensate", "a").code == 0
    assert cli("run", trip, *hotels, "--id", "a").code == 3
    assert service.methods[-1] == "cancel"


@pytest.fixture
def unpaid(trip: str, cli: Cli, hotels: tuple[str, str], service: RecordingService, tmp_path: Path) -> str:
    """An execution `a` that has failed at its second step; its file."""
    (tmp_path / trip).write_text((tmp_path / trip).read_text() + "error_handling: fail_fast\n")
    service.answers["charge"] = REFUSED
    assert cli("run", trip, *hotels, "--id", "a").code == 1
    service.answers.pop("charge")
    return trip


def test_failed_execution_goes_on_from_a_step_as_a_new_one(
    cli: Cli, unpaid: str, hotels: tuple[str, str], service: RecordingService
) -> None:
    ran = cli("rerun", "a", "--from", "pay", "--note", "paid in")
    again = cli("rerun", "a", "--from", "pay", "--json").json
    successor = again["superseded_by"]

    assert ran.code == 0
    assert f"rerun accepted: execution a goes on as {successor}." in ran.out
    assert f"makegood run FILE --id {successor}" in ran.out
    assert (again["verdict"], again["status"]) == ("accepted", "superseded")
    assert service.methods == ["reserve", "charge"]
    assert cli("run", unpaid, *hotels, "--id", successor).code == 0
    assert service.methods == ["reserve", "charge", "charge"]
    assert [each[3] for each in service.calls] == ["a:hotel:do", "a:pay:do", f"{successor}:pay:do"]


def test_lineage_is_shown_by_every_command_that_looks(cli: Cli, unpaid: str) -> None:
    asked = cli("rerun", "a", "--from", "pay", "--by", "ada", "--note", "paid in", "--json")
    successor = asked.json["superseded_by"]

    listed = {each["id"]: each for each in cli("list", "--json").json["executions"]}
    events = [json.loads(line) for line in cli("history", successor, "--json").out.splitlines()]
    watched = cli("watch", "a")

    assert (listed["a"]["superseded_by"], listed[successor]["rerun_of"]) == (successor, "a")
    assert [each["id"] for each in cli("list", "--status", "superseded", "--json").json["executions"]] == ["a"]
    assert f"goes on    as {successor}" in cli("show", "a").out
    assert re.search(r"rerun of   a \(from pay\).*ada.*paid in", cli("show", successor).out)
    assert [each["event"] for each in events[1:3]] == ["rerun_began", "step_taken_over"]
    assert (watched.code, successor in watched.err) == (1, True)
    effects = {each["step"]: each for each in cli("show", "a", "--json").json["effects"]}
    assert (effects["hotel"]["effect"], effects["hotel"]["moved_to"]) == ("moved", successor)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--from", "hotel"), 1, "step 'hotel' has succeeded"),
        (("--from", "payy"), 2, "Did you mean 'pay'?"),
        (("--from", "pay", "--version", "4"), 2, "has no version 4"),
        (("--from", "pay", "--version", "0"), 2, "--version"),
        ((), 2, "--from"),
    ],
)
def test_rerun_that_cannot_be_is_refused_with_the_reason(
    cli: Cli, unpaid: str, words: tuple[str, ...], code: int, told: str
) -> None:
    ran = cli("rerun", "a", *words)

    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
    assert cli("show", "a", "--json").json["status"] == "failed"


def test_signal_is_kept_for_the_step_that_waits(cli: Cli, waiting: str, hotels: tuple[str, str]) -> None:
    misspelt = cli("signal", "w", "aproved", "--payload", "{}")
    unfit = cli("signal", "w", "approved", "--payload", "{}")
    sent = cli("signal", "w", "approved", "--payload", '{"by": "Ada"}')

    assert (misspelt.code, unfit.code, sent.code) == (2, 2, 0)
    assert "Did you mean 'approved'?" in misspelt.err
    assert "does not fit its schema" in unfit.err
    assert cli("run", waiting, *hotels, "--id", "w").json == {"by": "Ada"}


@pytest.mark.parametrize("command", ["show", "history", "watch", "cancel", "suspend", "resume", "retry", "compensate"])
def test_execution_that_does_not_exist(command: str, cli: Cli, trip: str, hotels: tuple[str, str]) -> None:
    cli("run", trip, *hotels, "--id", "a")

    ran = cli(command, "b")

    assert (ran.code, ran.out) == (2, "")
    assert "there is no execution 'b'" in ran.err
    assert "makegood list" in ran.err


# --- acting where an engine is running ---


def test_request_reaches_the_engine_that_holds_the_database(
    cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService, running_elsewhere: type[Elsewhere]
) -> None:
    held = service.hold("charge")
    with running_elsewhere("run", trip, *hotels, "--id", "a", "--json") as engine:
        service.wait_for("charge")

        assert "engine      process" in cli("db", "status").out
        assert cli("show", "a", "--json").json["status"] == "running"
        accepted = cli("cancel", "a")
        twice = cli("cancel", "a", "--json")
        refused = cli("resolve", "a", "hotel", "--note", "why")
        held.set()
        code, out = engine.end()

    assert (accepted.code, twice.code, refused.code) == (0, 0, 1)
    assert "cancel accepted: execution a is stopping." in accepted.out
    assert twice.json["verdict"] == "accepted"
    assert (code, json.loads(out)["status"]) == (3, "compensated")


def test_watch_follows_an_engine_to_the_end(
    trip: str, hotels: tuple[str, str], service: RecordingService, running_elsewhere: type[Elsewhere]
) -> None:
    held = service.hold("charge")
    with running_elsewhere("run", trip, *hotels, "--id", "a", "--json") as engine:
        service.wait_for("charge")
        with running_elsewhere("watch", "a", stderr=subprocess.PIPE) as watch:
            assert watch.process.stderr is not None
            until = next(line for line in watch.process.stderr if "pay calls hotels.charge" in line)
            held.set()
            rest = watch.process.stderr.read()
            code, _ = watch.end()
        engine.end()

    assert until
    assert code == 0
    assert "pay succeeded" in rest


def test_request_for_another_execution_waits_for_an_engine_that_advances_it(
    cli: Cli,
    trip: str,
    waiting: str,
    hotels: tuple[str, str],
    service: RecordingService,
    running_elsewhere: type[Elsewhere],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("makegood.app.deciding.WAIT_S", 0.4)
    held = service.hold("charge")
    with running_elsewhere("run", trip, *hotels, "--id", "a") as engine:
        service.wait_for("charge")
        pending = cli("cancel", "w", "--json")
        held.set()
        engine.end()

    assert (pending.code, pending.json["verdict"]) == (0, "pending")
    assert cli("show", "w", "--json").json["status"] == "running"
    assert cli("run", waiting, *hotels, "--id", "w").code == 3


# --- who and why -----------------------------------------------------------------------------------


def _events(cli: Cli, execution_id: str, kind: str) -> list[tuple[str, str]]:
    events = [json.loads(line) for line in cli("history", execution_id, "--json").out.splitlines()]
    return [(each.get("by", ""), each.get("note", "")) for each in events if each["event"] == kind]


def test_who_asks_and_why_is_shown(cli: Cli, waiting: str) -> None:
    assert cli("suspend", "w", "--by", "ada", "--note", "the hotel called").code == 0

    assert "because    operator (ada: the hotel called)" in cli("show", "w").out.splitlines()
    assert _events(cli, "w", "execution_suspended") == [("ada", "the hotel called")]
    assert "by=ada note=the hotel called" in cli("history", "w").out
    assert "suspended: operator (ada: the hotel called)" in cli("watch", "w").err
    assert cli("resume", "w", "--by", "bob").code == 0
    assert _events(cli, "w", "execution_resumed") == [("bob", "")]
    assert cli("cancel", "w", "--by", "eve", "--note", "no money").code == 0
    assert "error      cancelled: no money (eve)" in cli("show", "w").out.splitlines()
    assert cli("show", "w", "--json").json["error"]["details"] == {"by": "eve"}


def test_who_asks_is_the_user_of_the_process_unless_said(
    cli: Cli, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")

    cli("suspend", "w")

    assert _events(cli, "w", "execution_suspended") == [("grace", "")]


def test_who_retries_and_resolves_is_shown(cli: Cli, stuck: str) -> None:
    assert cli("retry", stuck, "--by", "ada", "--note", "they are back").code == 0
    assert _events(cli, stuck, "compensation_started")[-1] == ("ada", "they are back")


def test_who_resolved_an_undo_is_shown_beside_it(cli: Cli, stuck: str) -> None:
    assert cli("resolve", stuck, "hotel", "--by", "ada", "--note", "called them").code == 0

    assert "(ada: called them)" in cli("show", stuck).out
    entry = cli("show", stuck, "--json").json["compensations"][0]
    assert (entry["by"], entry["note"]) == ("ada", "called them")


def test_who_compensates_is_kept(
    cli: Cli, trip: str, hotels: tuple[str, str], service: RecordingService, tmp_path: Path
) -> None:
    (tmp_path / trip).write_text((tmp_path / trip).read_text() + "error_handling: fail_fast\n")
    service.answers["charge"] = REFUSED
    cli("run", trip, *hotels, "--id", "a")

    assert cli("compensate", "a", "--by", "ada", "--note", "undo it").code == 0
    assert _events(cli, "a", "compensation_started") == [("ada", "undo it")]


@pytest.mark.parametrize(
    "words",
    [("cancel",), ("suspend",), ("resume",), ("retry",), ("compensate",), ("resolve", "hotel", "--note", "n")],
    ids=lambda words: words[0],
)
def test_an_action_on_an_ended_execution_is_refused_with_its_state(
    words: tuple[str, ...], cli: Cli, trip: str, hotels: tuple[str, str]
) -> None:
    cli("run", trip, *hotels, "--id", "a")
    before = cli("history", "a").out

    ran = cli(words[0], "a", *words[1:])

    assert (ran.code, ran.out) == (1, "")
    assert "execution a is completed and cannot be " in ran.err
    assert cli("history", "a").out == before


def test_a_signal_after_the_end_or_that_does_not_fit_changes_nothing(
    cli: Cli, waiting: str, hotels: tuple[str, str]
) -> None:
    before = cli("history", "w").out
    assert cli("signal", "w", "approved", "--payload", "[]").code == 2
    assert cli("history", "w").out == before
    cli("cancel", "w")
    assert cli("run", waiting, *hotels, "--id", "w").code == 3
    before = cli("history", "w").out

    ran = cli("signal", "w", "approved", "--payload", '{"by": "Ada"}')

    assert ran.code == 1
    assert "execution w has ended compensated; it takes no signals" in ran.err
    assert cli("history", "w").out == before
