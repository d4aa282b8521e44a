"""Whether what came of a scenario is what it must be. Each difference is a sentence; none means it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from makegood.simulation.scenario import Played, Scenario
from makegood.simulation.script import Call


def differences(scenario: Scenario, played: Played) -> list[str]:
    """Everything in which a play differs from its scenario's expectations."""
    return list(_differences(scenario, played))


def _differences(scenario: Scenario, played: Played) -> Iterator[str]:
    expect = scenario.expect
    refused = expect.get("refused")
    if refused is not None or played.refused is not None:
        if refused != played.refused:
            yield f"refused: expected {refused}, got {played.refused}"
        if played.services.calls:
            yield f"a refused one made calls: {[call.method for call in played.services.calls]}"
        return
    yield from _end(scenario, played)
    yield from _calls(scenario, played)
    yield from _bodies(scenario, played)
    yield from _keys(scenario, played)
    yield from _effects(scenario, played)
    yield from _times(scenario, played)
    yield from _always(scenario, played)
    yield from _actions(scenario, played)


def _end(scenario: Scenario, played: Played) -> Iterator[str]:
    expect, view = scenario.expect, played.view
    if view["status"] != expect["status"]:
        yield f"status: expected {expect['status']}, got {view['status']} (error: {view['error']})"
    error = view["error"] or {}
    if not played.crashed:
        if "error_code" in expect and error.get("code") != expect["error_code"]:
            yield f"error_code: expected {expect['error_code']}, got {error.get('code')} ({error.get('message')})"
        if "suppressed_codes" in expect:
            codes = sorted(each["code"] for each in view["suppressed"])
            if codes != sorted(expect["suppressed_codes"]):
                yield f"suppressed_codes: expected {expect['suppressed_codes']}, got {codes}"
    if "error_step" in expect and error.get("step") != expect["error_step"]:
        yield f"error_step: expected {expect['error_step']}, got {error.get('step')}"
    if "output" in expect and view["output"] != expect["output"]:
        yield f"output: expected {_json(expect['output'])}, got {_json(view['output'])}"
    if "uncompensated_steps" in expect:
        steps = sorted(step.split("[")[0] for step in view["uncompensated_steps"])
        if steps != sorted(expect["uncompensated_steps"]):
            yield f"uncompensated_steps: expected {expect['uncompensated_steps']}, got {steps}"


# --- the order of calls -------------------------------------------------------------------------


def _calls(scenario: Scenario, played: Played) -> Iterator[str]:
    expected = scenario.expect.get("calls", [])
    seen = [call.method for call in played.services.calls]
    if played.crashed:
        seen = _once_for_each_key(played)
        expected = _first_of_each(expected, set(scenario.expect.get("same_key", ())))
    if not allows(expected, seen):
        yield f"calls: expected {_json(expected)}, got {_json(seen)}"


def _once_for_each_key(played: Played) -> list[str]:
    """What was read, repeats of one key once, less the undos that a lost and then refused call explains."""
    excused = _excused_undos(played)
    firsts: dict[str, str] = {}
    for call in played.services.calls:
        if call.key not in excused:
            firsts.setdefault(call.key, call.method)
    return list(firsts.values())


def _excused_undos(played: Played) -> set[str]:
    """Keys of undos that nothing names: of calls that were lost, with the engine or before they were sent, and then
    refused, which leaves them unknown (rule 3)."""
    known: set[str] = set()
    found: set[str] = set()
    if not played.crashed:
        return found
    for call in played.services.calls:
        was_lost = call.lost or (call.key not in known and call.attempt > 1)
        if not call.undo and was_lost and played.services.refused(call.key):
            found.add(call.key.removesuffix(":do") + ":undo")
        known.add(call.key)
    return found


def _names(expected: Any) -> list[str]:
    if isinstance(expected, str):
        return [expected]
    return [name for each in expected for name in _names(each)]


def _first_of_each(expected: Any, once: set[str], seen: set[str] | None = None) -> Any:
    seen = set() if seen is None else seen
    if isinstance(expected, str):
        return expected
    kept = []
    for each in expected:
        if isinstance(each, str) and each in once:
            if each in seen:
                continue
            seen.add(each)
        kept.append(_first_of_each(each, once, seen))
    return kept


def allows(expected: Sequence[Any], seen: Sequence[str]) -> bool:
    """Whether a sequence is one of the orders that a nested list allows: in order, any order, in order, ..."""
    return len(seen) in _ends(expected, list(seen), {0}, ordered=True)


def _ends(expected: Any, seen: list[str], starts: set[int], *, ordered: bool) -> set[int]:
    """Where a match that begins at one of the starts can end."""
    if isinstance(expected, str):
        return {start + 1 for start in starts if start < len(seen) and seen[start] == expected}
    if ordered:
        for each in expected:
            starts = _ends(each, seen, starts, ordered=False)
        return starts
    return {end for start in starts for end in _interleaved(expected, seen, start)}


def _interleaved(branches: Sequence[Any], seen: list[str], start: int) -> set[int]:
    """Ends of a stretch that is a merge of the branches, each of which keeps its own order."""
    flat = [[branch] if isinstance(branch, str) else list(branch) for branch in branches]
    total = sum(len(_names(branch)) for branch in flat)
    stretch = seen[start : start + total]
    return {start + total} if len(stretch) == total and _merges(flat, stretch) else set()


def _merges(branches: list[list[Any]], stretch: list[str]) -> bool:
    reached = {tuple(_places(branches))}
    for name in stretch:
        reached = {after for place in reached for after in _advance(branches, place, name)}
        if not reached:
            return False
    return any(all(_is_done(branch, at) for branch, at in zip(branches, place, strict=True)) for place in reached)


Place = tuple[int, frozenset[int]]
"""How far a branch is: its position, and what of an any-order list there has been seen."""


def _places(branches: list[list[Any]]) -> Iterator[Place]:
    for _ in branches:
        yield (0, frozenset())


def _is_done(branch: list[Any], place: Place) -> bool:
    return place[0] == len(branch)


def _advance(branches: list[list[Any]], places: tuple[Place, ...], name: str) -> Iterator[tuple[Place, ...]]:
    for number, (branch, place) in enumerate(zip(branches, places, strict=True)):
        at, seen = place
        if at >= len(branch):
            continue
        for after in _step_in(branch[at], at, seen, name):
            yield (*places[:number], after, *places[number + 1 :])


def _step_in(each: Any, at: int, seen: frozenset[int], name: str) -> Iterator[Place]:
    if isinstance(each, str):
        if each == name:
            yield (at + 1, frozenset())
        return
    for index, inner in enumerate(each):
        if index not in seen and inner == name:
            grown = seen | {index}
            yield (at + 1, frozenset()) if len(grown) == len(each) else (at, grown)


# --- bodies, keys, effects ------------------------------------------------------------------------


def _bodies(scenario: Scenario, played: Played) -> Iterator[str]:
    calls = played.services.calls
    for method, expected in scenario.expect.get("bodies", {}).items():
        first = next((call for call in calls if call.method == method), None)
        if first is None:
            yield f"bodies: {method} was never called"
        elif not contains(first.body, expected):
            yield f"bodies: {method} expected {_json(expected)}, got {_json(first.body)}"
    for method, bodies in scenario.expect.get("bodies_in_order", {}).items():
        firsts: dict[str, Any] = {}
        excused = _excused_undos(played)
        for call in calls:
            if call.method == method and call.key not in excused:
                firsts.setdefault(call.key, call.body)
        got = list(firsts.values())
        if len(got) != len(bodies) or not all(map(contains, got, bodies)):
            yield f"bodies_in_order: {method} expected {_json(bodies)}, got {_json(got)}"


def contains(got: Any, expected: Any) -> bool:
    """Whether a mapping has the expected keys, recursively; all else must be equal."""
    if isinstance(expected, Mapping):
        return isinstance(got, Mapping) and all(
            name in got and contains(got[name], value) for name, value in expected.items()
        )
    return type(got) is type(expected) and bool(got == expected)


def _keys(scenario: Scenario, played: Played) -> Iterator[str]:
    for method in scenario.expect.get("same_key", ()):
        keys = {call.key for call in played.services.calls if call.method == method}
        if len(keys) != 1:
            yield f"same_key: the requests of {method} carried {sorted(keys)}"


def _effects(scenario: Scenario, played: Played) -> Iterator[str]:
    balance = played.services.ledger.balance()
    for step, count in scenario.expect.get("effects", {}).items():
        if balance.get(step, 0) != count:
            yield f"effects: of {step} {count} must remain, and {balance.get(step, 0)} do"


# --- times ---------------------------------------------------------------------------------------


def _times(scenario: Scenario, played: Played) -> Iterator[str]:
    expect, calls = scenario.expect, played.services.calls
    for pattern, most in expect.get("max_in_flight", {}).items():
        got = _most_open([call for call in calls if _matches(pattern, call.method)])
        if got > most or (got < most and not played.crashed):
            yield f"max_in_flight: {pattern} expected {most}, got {got}"
    for first, second, gap_ms in expect.get("gaps_ms", ()):
        got_ms = _gap(first, second, [call for call in calls if not call.lost])
        if got_ms is not None and got_ms < gap_ms:
            yield f"gaps_ms: {second} came {got_ms} ms after {first}; at least {gap_ms} expected"
        elif got_ms is None and not played.crashed:
            yield f"gaps_ms: {first} and {second} did not both come"
    for method in expect.get("after_deadline", ()):
        yield from _before_deadline(method, calls)


def _matches(pattern: str, method: str) -> bool:
    service, _, rest = pattern.partition(".")
    return method.partition(".")[0] == service if rest == "*" else method == pattern


def _most_open(calls: Sequence[Call]) -> int:
    edges: list[tuple[int, int]] = []
    for call in calls:
        edges.append((call.at_ms, 1))
        closed = (each for each in (call.answered_at_ms, call.lost_at_ms, call.deadline_ms) if each is not None)
        edges.append((next(closed), -1))
    most = now = 0
    for _, change in sorted(edges):
        now += change
        most = max(most, now)
    return most


def _gap(first: str, second: str, calls: Sequence[Call]) -> int | None:
    times = [call.at_ms for call in calls if call.method == first]
    others = [call.at_ms for call in calls if call.method == second]
    if first == second:
        return others[1] - others[0] if len(others) > 1 else None
    return others[0] - times[0] if times and others else None


def _before_deadline(method: str, calls: Sequence[Call]) -> Iterator[str]:
    for undo in (call for call in calls if call.method == method and call.undo):
        forward = undo.key.removesuffix(":undo") + ":do"
        deadlines = [call.deadline_ms for call in calls if call.key == forward]
        if deadlines and undo.at_ms < deadlines[-1]:
            yield f"after_deadline: {method} came {deadlines[-1] - undo.at_ms} ms before the deadline of what it undoes"


# --- always ---------------------------------------------------------------------------------------


def _always(scenario: Scenario, played: Played) -> Iterator[str]:
    calls = played.services.calls
    if not scenario.expect.get("allow_overlap"):
        yield from _overlaps(calls)
    forward = {call.key for call in calls if not call.undo}
    for call in calls:
        if not call.key.endswith((":do", ":undo")):
            yield f"key: {call.key!r} has not the form of rule 15"
        if call.undo and call.key.removesuffix(":undo") + ":do" not in forward:
            yield f"key: {call.key!r} undoes a call that was never made"


def _overlaps(calls: Sequence[Call]) -> Iterator[str]:
    for undo in (call for call in calls if call.undo):
        for call in calls:
            if call.undo or call.at_ms > undo.at_ms:
                continue
            closed_ms = call.deadline_ms if call.answered_at_ms is None else call.answered_at_ms
            if undo.at_ms < closed_ms and not call.lost:
                yield f"overlap: {undo.method} came while {call.method} was open"


def _actions(scenario: Scenario, played: Played) -> Iterator[str]:
    for action, answer in zip(scenario.actions, played.acted, strict=True):
        if answer is None:
            yield f"action {action.deed} was never due"
        elif action.answer is not None and answer != action.answer:
            yield f"action {action.deed}: expected the answer {action.answer}, got {answer}"
        elif action.answer is None and not 200 <= answer < 300:  # noqa: PLR2004 - a range of statuses
            yield f"action {action.deed} was refused with {answer}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
