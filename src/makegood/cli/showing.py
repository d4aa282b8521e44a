"""How executions and their journals look as text: a table, a summary, one line for each event."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from makegood.cli.words import short, span_text, who_and_why
from makegood.core.state import instance_name

CELL_MAX = 60
VALUE_MAX = 120
"""Characters of a value that `show` and `history` print; `--json` prints it all."""


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows under their headings, aligned, on stdout. Columns without any value are left out."""
    used = [column for column in columns if any(row.get(column) not in (None, "") for row in rows)]
    if not rows:
        return
    texts = [[_cell(row.get(column)) for column in used] for row in rows]
    heads = [column.upper().replace("_", " ") for column in used]
    widths = [max(len(line[number]) for line in [heads, *texts]) for number in range(len(used))]
    for line in [heads, *texts]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return "" if value is None else short(value, CELL_MAX)


def detail_lines(view: Mapping[str, Any]) -> Iterator[str]:
    """One execution, readable: what it is, its steps, its compensation list, what is not undone."""
    phase = f" ({view['phase']})" if view["phase"] and view["status"] == "running" else ""
    yield f"execution  {view['id']}"
    yield f"workflow   {view['workflow']} (version {view['version']})"
    yield f"status     {view['status']}{phase}"
    yield from _why_lines(view)
    if view["business_key"] is not None:
        yield f"key        {short(view['business_key'])}"
    yield f"started    {view['started_at']}"
    if view["ended_at"]:
        yield f"ended      {view['ended_at']} (after {_span(view)})"
    yield f"input      {_value(view['input'])}"
    if view["status"] == "completed":
        yield f"output     {_value(view['output'])}"
    for title, error in [("error", view["error"]), *(("also", each) for each in view["suppressed"])]:
        if error is not None:
            yield f"{title:10} {_error(error)}"
    yield from step_lines(view["steps"])
    entries = view["compensations"]
    if view["status"] == "completed":
        # What is armed stays so: there is nothing to undo any more.
        entries = [each for each in entries if each["status"] != "armed"]
    yield from _entry_lines(entries)
    left = [each for each in view.get("effects", ()) if each["effect"] in _LEFT]
    if left and view["ended_at"] is not None:
        yield from _section("effects that a person should know of", [_effect_row(each) for each in left])
    if view["uncompensated_steps"]:
        yield ""
        yield uncompensated_line(view)


def uncompensated_line(view: Mapping[str, Any]) -> str:
    """What stays because nothing undoes it, and how much more of it there is than is shown."""
    shown = view["uncompensated_steps"]
    more = view["uncompensated_total"] - len(shown)
    told = f"{', '.join(shown)}{f' and {more:,} more' if more else ''}"
    return f"not undone, because there is no compensation: {told}"


def page_lines(page: Mapping[str, Any]) -> Iterator[str]:
    """A page of one of the lists."""
    if "steps" in page:
        yield from step_lines(page["steps"])
    elif "compensations" in page:
        yield from _entry_lines(page["compensations"])
    else:
        rows = [[_name(each), each["call"], each["effect"], each["key"]] for each in page["effects"]]
        yield from _section("effects", rows)


def _entry_lines(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from _section("compensations, in undo order", [_undo_row(each) for each in entries])


def _why_lines(view: Mapping[str, Any]) -> Iterator[str]:
    """Why it waits for a person, what it is a rerun of, and where it goes on."""
    if view.get("suspended"):
        stopped = view["suspended"]
        yield f"because    {stopped['reason']}{who_and_why(stopped['by'], stopped['note'])}"
    if view.get("rerun_of"):
        told = who_and_why(view.get("rerun_by"), view.get("rerun_note"))
        yield f"rerun of   {view['rerun_of']} (from {view['rerun_from']}){told}"
    if view.get("superseded_by"):
        yield f"goes on    as {view['superseded_by']}"


def step_lines(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Steps under their heading; nothing when there are none."""
    yield from _section("steps", [_step_row(each) for each in steps])


_LEFT = {
    "remaining": "is still there; its undo did not succeed",
    "unknown": "may be there; nobody could say",
    "irreversible": "is still there; nothing undoes it",
}


def _effect_row(effect: dict[str, Any]) -> list[str]:
    return [_name(effect), effect["call"], _left(effect), effect["key"]]


def _left(effect: Mapping[str, Any]) -> str:
    """A child's undo has no attempts of its own, so that says nothing about whether it was tried."""
    untried = effect["effect"] == "remaining" and not effect["undo_attempts"] and effect["undo_call"] != "workflow"
    return "is still there; its undo was not tried" if untried else _LEFT[effect["effect"]]


def _section(title: str, rows: list[list[str]]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield f"{title}:"
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    for row in rows:
        yield ("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))).rstrip()


def _wait(row: Mapping[str, Any]) -> str:
    """What it waits for while its service is not well."""
    wait = row.get("waits_for")
    if wait is None:
        return ""
    since, until = wait["since"][11:19], wait["until"][11:19]
    return f"waits for service {wait['service']} since {since}, until {until} at most"


def _step_row(step: Mapping[str, Any]) -> list[str]:
    attempts = _attempts(step["attempts"])
    error = "" if step["error"] is None else f"{step['error']['code']}: {short(step['error']['message'], CELL_MAX)}"
    error = error or _wait(step)
    undo = "" if step["compensation"] == "none" else f"undo {step['compensation']}"
    began = (step["started_at"] or "")[11:23]
    return [_name(step), step["call"] or step["kind"], step["forward"], attempts, began, _span(step), undo, error]


def _undo_row(entry: Mapping[str, Any]) -> list[str]:
    error = "" if entry["error"] is None else f"{entry['error']['code']}: {short(entry['error']['message'], CELL_MAX)}"
    error = _wait(entry) or error
    note = short(who_and_why(entry["by"], entry["note"]).strip(), CELL_MAX)
    return [_name(entry), entry["call"], entry["status"], _attempts(entry["attempts"]), error, note]


def _name(placed: Mapping[str, Any]) -> str:
    return instance_name(placed["step"], placed["iteration"])


def _attempts(count: int) -> str:
    return "" if not count else f"{count} attempt{'s' if count > 1 else ''}"


def _span(timed: Mapping[str, Any]) -> str:
    if not timed["started_at"] or not timed["ended_at"]:
        return ""
    began, ended = (datetime.fromisoformat(timed[each]) for each in ("started_at", "ended_at"))
    return span_text((ended - began).total_seconds() * 1000)


def _error(error: Mapping[str, Any]) -> str:
    at = f" (at {_name(error)})" if error["step"] else ""
    # What a person decided carries who it was.
    decided = error["code"] in {"cancelled", "resolved"} and isinstance(error["details"], dict)
    at += who_and_why(error["details"].get("by"), "") if decided else ""
    return f"{error['code']}: {short(error['message'])}{at}" if error["message"] else f"{error['code']}{at}"


def _value(value: Any) -> str:
    return short(json.dumps(value, ensure_ascii=False), VALUE_MAX)


def history_line(event: Mapping[str, Any]) -> str:
    """One event: when, which record, what, and its facts, shortened."""
    hidden = ("position", "at", "event", "event_version")
    nothing: tuple[Any, ...] = (None, [], (), "")
    facts = " ".join(
        f"{name}={_fact(value)}" for name, value in event.items() if name not in hidden and value not in nothing
    )
    return f"{event['at']}  {event['position']:>4}  {event['event']}  {facts}".rstrip()


def _fact(value: Any) -> str:
    return short(value, VALUE_MAX) if isinstance(value, str) else _value(value)
