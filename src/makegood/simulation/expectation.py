"""Whether what came of a scenario is what it must be. None of these checks may be one that cannot fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from makegood.simulation.course import Action
from makegood.simulation.orders import allows
from makegood.simulation.scenario import Played, Scenario, steps_calling_workflows
from makegood.simulation.script import Call
from makegood.simulation.telling import Difference, columns, contains, differing, equal, json_text

HEADERS = (
    "idempotency-key", "makegood-execution", "makegood-step", "makegood-attempt", "makegood-deadline", "content-type",
)  # fmt: skip
"""Every request over HTTP carries these."""


def differences(scenario: Scenario, played: Played) -> list[Difference]:
    """Everything in which a play differs from its scenario's expectations."""
    return list(_differences(scenario, played))


def _differences(scenario: Scenario, played: Played) -> Iterator[Difference]:
    refused = scenario.expect.get("refused")
    if refused is not None or played.refused is not None:
        if refused != played.refused:
            why = tuple(played.why.splitlines())
            yield Difference(
                "refused", f"expected {refused or 'nothing'} to be refused, and {played.refused or 'nothing'} was", why
            )
        if played.services.calls:
            yield Difference("refused", f"a refused one made calls: {[call.method for call in played.services.calls]}")
        return
    yield from _end(scenario, played)
    yield from _calls(scenario, played)
    yield from _bodies(scenario, played)
    yield from _keys(scenario, played)
    yield from _effects(scenario, played)
    yield from _times(scenario, played)
    yield from _always(scenario, played)
    yield from answers(scenario.actions, played.acted)


def _end(scenario: Scenario, played: Played) -> Iterator[Difference]:
    expect, view = scenario.expect, played.view
    error = view["error"] or {}
    if view["status"] != expect["status"]:
        reason = "suspended" if "suspended" in view else "error"
        why = f"{reason}: {json_text(view[reason])}"
        yield Difference("status", f"expected {expect['status']}, got {view['status']} ({why})")
    if not played.crashed:
        if "error_code" in expect and error.get("code") != expect["error_code"]:
            yield Difference(
                "error_code", f"expected {expect['error_code']}, got {error.get('code')} ({error.get('message')})"
            )
        if "suppressed_codes" in expect:
            codes = sorted(each["code"] for each in view["suppressed"])
            if codes != sorted(expect["suppressed_codes"]):
                yield Difference("suppressed_codes", f"expected {expect['suppressed_codes']}, got {codes}")
    if "error_step" in expect and _id(error.get("step")) != expect["error_step"]:
        yield Difference("error_step", f"expected {expect['error_step']}, got {error.get('step')}")
    if "output" in expect and not equal(view["output"], expect["output"]):
        found = tuple(differing(view["output"], expect["output"], subset=False))
        yield Difference("output", f"expected {json_text(expect['output'])}, got {json_text(view['output'])}", found)
    if "uncompensated_steps" in expect:
        steps = sorted(str(_id(step)) for step in view["uncompensated_steps"])
        if steps != sorted(expect["uncompensated_steps"]):
            yield Difference("uncompensated_steps", f"expected {expect['uncompensated_steps']}, got {steps}")


def _id(step: str | None) -> str | None:
    """A step by its id, without the path before it and the iteration behind it."""
    return None if step is None else step.split("[")[0].rpartition("/")[2]


# --- calls -------------------------------------------------------------------------------------


def _calls(scenario: Scenario, played: Played) -> Iterator[Difference]:
    expected = scenario.expect.get("calls", [])
    seen = [call.method for call in played.services.calls]
    if played.crashed:
        seen = _once_for_each_key(played)
        expected = _first_of_each(expected, set(scenario.expect.get("same_key", ())))
    if not allows(expected, seen):
        yield Difference("calls", f"expected {json_text(expected)}, got {json_text(seen)}", columns(expected, seen))


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


# --- bodies, keys, effects ------------------------------------------------------------------------


def _bodies(scenario: Scenario, played: Played) -> Iterator[Difference]:
    calls = played.services.calls
    for method, expected in scenario.expect.get("bodies", {}).items():
        first = next((call for call in calls if call.method == method), None)
        if first is None:
            yield Difference("bodies", f"{method} was never called")
        elif not contains(first.body, expected):
            found = tuple(differing(first.body, expected, subset=True))
            yield Difference("bodies", f"{method} expected {json_text(expected)}, got {json_text(first.body)}", found)
    for method, bodies in scenario.expect.get("bodies_in_order", {}).items():
        got = _bodies_of(method, played)
        if len(got) != len(bodies) or not all(map(contains, got, bodies)):
            told = f"{method} expected {json_text(bodies)}, got {json_text(got)}"
            pairs = enumerate(zip(got, bodies, strict=False))
            lines = [
                line for place, (one, other) in pairs for line in differing(one, other, subset=True, path=f"/{place}")
            ]
            counts = [f"expected {len(bodies)} bodies, got {len(got)}"] if len(got) != len(bodies) else []
            yield Difference("bodies_in_order", told, (*counts, *lines))


def _bodies_of(method: str, played: Played) -> list[Any]:
    firsts: dict[str, Any] = {}
    excused = _excused_undos(played)
    for call in played.services.calls:
        if call.method == method and call.key not in excused:
            firsts.setdefault(call.key, call.body)
    return list(firsts.values())


def _keys(scenario: Scenario, played: Played) -> Iterator[Difference]:
    for method in scenario.expect.get("same_key", ()):
        keys = {call.key for call in played.services.calls if call.method == method}
        if len(keys) != 1:
            yield Difference("same_key", f"the requests of {method} carried {sorted(keys)}")


def _effects(scenario: Scenario, played: Played) -> Iterator[Difference]:
    balance = played.services.ledger.balance()
    for step, count in scenario.expect.get("effects", {}).items():
        if balance.get(step, 0) != count:
            yield Difference("effects", f"of {step} {count} must remain, and {balance.get(step, 0)} do")


# --- times ---------------------------------------------------------------------------------------


def _times(scenario: Scenario, played: Played) -> Iterator[Difference]:
    expect, calls = scenario.expect, played.services.calls
    for pattern, most in expect.get("max_in_flight", {}).items():
        got = _most_open([call for call in calls if _matches(pattern, call.method)])
        if got > most or (got < most and not played.crashed):
            yield Difference("max_in_flight", f"{pattern} expected {most}, got {got}")
    for first, second, gap_ms in expect.get("gaps_ms", ()):
        got_ms = _gap(first, second, [call for call in calls if not call.lost])
        if got_ms is not None and got_ms < gap_ms:
            yield Difference("gaps_ms", f"{second} came {got_ms} ms after {first}; at least {gap_ms} expected")
        elif got_ms is None and not played.crashed:
            yield Difference("gaps_ms", f"{first} and {second} did not both come")
    for method in expect.get("after_deadline", ()):
        yield from _before_deadline(method, calls)


def _matches(pattern: str, method: str) -> bool:
    service, _, rest = pattern.partition(".")
    return method.partition(".")[0] == service if rest == "*" else method == pattern


def _most_open(calls: Sequence[Call]) -> int:
    """The most that were open at once, by the order in which the services read and answered."""
    turns = [(call.opened, 1) for call in calls]
    turns += [(call.closed, -1) for call in calls if call.closed is not None]
    most = now = 0
    for _, change in sorted(turns):
        now += change
        most = max(most, now)
    return most


def _gap(first: str, second: str, calls: Sequence[Call]) -> int | None:
    times = [call.at_ms for call in calls if call.method == first]
    others = [call.at_ms for call in calls if call.method == second]
    if first == second:
        return others[1] - others[0] if len(others) > 1 else None
    return others[0] - times[0] if times and others else None


def _before_deadline(method: str, calls: Sequence[Call]) -> Iterator[Difference]:
    undos = [call for call in calls if call.method == method and call.undo]
    if not undos:
        yield Difference("after_deadline", f"{method} was never called to undo")
    for undo in undos:
        forward = undo.key.removesuffix(":undo") + ":do"
        deadlines = [call.deadline_ms for call in calls if call.key == forward]
        if deadlines and undo.at_ms < deadlines[-1]:
            early_ms = deadlines[-1] - undo.at_ms
            yield Difference("after_deadline", f"{method} came {early_ms} ms before the deadline of what it undoes")


# --- always ---------------------------------------------------------------------------------------


def _always(scenario: Scenario, played: Played) -> Iterator[Difference]:
    calls = played.services.calls
    if not scenario.expect.get("allow_overlap"):
        yield from _overlaps(calls)
    forward = {call.key for call in calls if not call.undo}
    # What a called workflow did is undone by a request of its own, which no request forward came before.
    of_workflows = steps_calling_workflows(scenario)
    for call in calls:
        name, _, end = call.key.rpartition(":")
        execution, _, step = name.partition(":")
        if end != ("undo" if call.undo else "do") or not execution or step != call.step:
            yield Difference("key", f"{call.key!r} of step {call.step} has not the form of rule 15")
        elif call.undo and f"{name}:do" not in forward and step.partition("[")[0] not in of_workflows:
            yield Difference("key", f"{call.key!r} undoes a call that was never made")
        if call.headers:
            yield from _headers(call)


def _headers(call: Call) -> Iterator[Difference]:
    given = {name.lower(): value for name, value in call.headers.items()}
    missing = [name for name in HEADERS if not given.get(name)]
    if missing:
        yield Difference("headers", f"{call.method} came without {', '.join(missing)}")
    elif not call.key.startswith(f"{given['makegood-execution']}:"):
        yield Difference(
            "headers", f"{call.method} has the key {call.key!r} in execution {given['makegood-execution']!r}"
        )


def _overlaps(calls: Sequence[Call]) -> Iterator[Difference]:
    for undo in (call for call in calls if call.undo):
        for call in calls:
            is_open = call.opened < undo.opened and (call.closed is None or call.closed > undo.opened)
            if not call.undo and is_open and undo.at_ms < call.deadline_ms:
                yield Difference("overlap", f"{undo.method} came while {call.method} was open")


def answers(actions: Sequence[Action], acted: Sequence[int | None]) -> Iterator[Difference]:
    """Actions that were never due, or answered otherwise than they must be."""
    for action, answer in zip(actions, acted, strict=True):
        if answer is None:
            yield Difference("actions", f"{action.deed} was never due")
        elif action.answer is not None and answer != action.answer:
            yield Difference("actions", f"{action.deed} must be answered {action.answer}, and was {answer}")
        elif action.answer is None and not 200 <= answer < 300:
            yield Difference("actions", f"{action.deed} was refused with {answer}")
