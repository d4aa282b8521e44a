"""`makegood.testing`: what users test their sagas with."""

from __future__ import annotations

import doctest
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import makegood as mg
from makegood import testing
from makegood.testing import bad_json, ok, ongoing, play, rejected, reset, status, timeout

ORDER = mg.workflow(
    "order",
    mg.call("reserve", "stock.reserve", compensation="stock.release"),
    mg.call(
        "charge", "cards.charge", timeout="5s", compensation={"call": "cards.refund", "retry": {"max_attempts": 2}}
    ),
)
FORWARD = ["stock.reserve", "cards.charge"]
UNDONE = [*FORWARD, "cards.refund", "stock.release"]
ASK = """
name: ask
timeout: 30d
steps:
  - {id: reserve, call: stock.reserve, compensation: stock.release}
  - {id: answer, signal: answered, timeout: 1d}
"""


def test_the_examples_of_the_documentation_work() -> None:
    for module in (testing, sys.modules["makegood.testing.play"]):
        found = doctest.testmod(module)

        assert found.attempted > 0, module
        assert found.failed == 0, module


# --- what may be played -------------------------------------------------------------------------------


def test_a_definition_may_come_in_any_form(tmp_path: Path) -> None:
    file = tmp_path / "order.yaml"
    file.write_text("steps: [{id: a, call: a.do}]")
    tree = {"name": "order", "steps": [{"id": "a", "call": "a.do"}]}

    for each in (
        tree,
        str(file),
        file,
        '{"name": "order", "steps": [{"id": "a", "call": "a.do"}]}',
        "name: order\nsteps: [{id: a, call: a.do}]",
    ):
        calls, end = play(each)

        assert (calls, end) == (["a.do"], "completed")


def test_the_input_is_checked_as_in_an_engine() -> None:
    picky = mg.workflow("order", mg.call("a", "a.do"), input_schema={"type": "object", "required": ["n"]})

    with pytest.raises(mg.InputError, match="is a required property"):
        play(picky, {})


def test_mistakes_in_a_definition_are_told() -> None:
    with pytest.raises(mg.DefinitionError, match="Did you mean 'call'"):
        play({"name": "order", "steps": [{"id": "a", "cal": "a.do"}]})
    with pytest.raises(mg.InputError, match=r"none\.yaml: .* cannot be read"):
        play("none.yaml")
    with pytest.raises(mg.InputError, match=r"a\0b: .* cannot be read"):
        play("a\0b")
    with pytest.raises(mg.InputError, match="a definition is a"):
        play(3)  # type: ignore[arg-type]


def test_a_file_s_name_is_the_workflow_s_if_it_can_be_one(tmp_path: Path) -> None:
    for file, said in (("order.yaml", None), ("My Order.yaml", "needs the key `name`")):
        (tmp_path / file).write_text("steps: [{id: a, call: a.do}]")
        if said is None:
            assert play(tmp_path / file).end == "completed"
        else:
            with pytest.raises(mg.DefinitionError, match=said):
                play(tmp_path / file)


# --- services -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "calls", "end", "code"),
    [
        (ok({"id": 7}), FORWARD, "completed", None),
        ({"ok": {"id": 7}}, FORWARD, "completed", None),
        (rejected("declined", "no", {"why": 1}), [*FORWARD, "stock.release"], "compensated", "declined"),
        ({"reject": "declined"}, [*FORWARD, "stock.release"], "compensated", "declined"),
        (status(404), [*FORWARD, "stock.release"], "compensated", "http_404"),
        (status(503), UNDONE, "compensated", "service_error"),
        (status(429), [*FORWARD, "stock.release"], "compensated", "http_429"),
        (status(200, {"id": 7}), FORWARD, "completed", None),
        (timeout(with_effect=True), UNDONE, "compensated", "call_timeout"),
        (timeout(), UNDONE, "compensated", "call_timeout"),
        (reset(with_effect=True, effect_after="1s"), UNDONE, "compensated", "connection_reset"),
        (bad_json(), UNDONE, "compensated", "invalid_reply"),
        ([ongoing("2s"), ok()], [*FORWARD, "cards.charge"], "completed", None),
    ],
)
def test_each_reply_has_its_meaning(answer: Any, calls: list[str], end: str, code: str | None) -> None:
    played = play(ORDER, services={"cards.charge": answer})

    assert (played.calls, played.end) == (calls, end)
    assert (played.error or {}).get("code") == code
    assert played.effects == ({"reserve": 1, "charge": 1} if end == "completed" else {})


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (mg.Rejected("declined", "no", {"why": 1}), "declined"),
        (rejected("declined"), "declined"),
        (timeout(with_effect=True), "call_timeout"),
        (ConnectionError("gone"), "service_error"),
    ],
)
@pytest.mark.parametrize("how", ["raise", "return"])
def test_a_function_may_raise_or_return_what_a_service_may_do(answer: Any, code: str, how: str) -> None:
    def charge(body: Any) -> Any:
        if how == "raise":
            raise answer
        return answer

    played = play(ORDER, services={"cards.charge": charge})

    assert (played.error or {})["code"] == code
    assert played.raised == ([answer] if code == "service_error" else [])


def test_a_function_computes_its_answer_and_knows_the_call() -> None:
    seen: list[mg.Call] = []

    def charge(body: dict[str, Any], call: mg.Call) -> dict[str, Any]:
        seen.append(call)
        return {"paid": body["amount"] * 2}

    played = play(ORDER, {"amount": 21}, {"cards.charge": charge})

    assert played.output == {"paid": 42}
    assert (seen[0].key, seen[0].workflow, seen[0].remaining_s) == ("play:charge:do", "order", 5.0)


def test_a_function_is_told_which_workflow_calls_it() -> None:
    seen: list[tuple[str, bool]] = []
    family = {"name": "family", "steps": [{"id": "call", "workflow": "child"}]}
    child = {"name": "child", "steps": [{"id": "own", "call": "cards.charge"}]}

    played = play(
        family,
        services={"cards.charge": lambda body, call: seen.append((call.workflow, call.key.startswith("play:")))},
        workflows=[child],
    )

    assert (played.end, seen) == ("completed", [("child", False)])


def test_an_object_is_a_service_and_its_async_methods_too() -> None:
    class Cards:
        def __init__(self) -> None:
            self.refunded: list[Any] = []

        async def charge(self, body: Any) -> Any:
            raise ConnectionError("gone")

        def refund(self, undo: Any, call: mg.Call) -> None:
            self.refunded.append((undo["outcome"], call.undo))

    cards = Cards()

    assert play(ORDER, services={"cards": cards}).calls == UNDONE
    assert cards.refunded == [("unknown", True)]


def test_a_failing_assertion_in_a_service_fails_the_test() -> None:
    def charge(body: Any) -> None:
        assert body["amount"] > 0, "nothing to charge"

    with pytest.raises(AssertionError, match="nothing to charge"):
        play(ORDER, {"amount": 0}, {"cards.charge": charge})


def test_a_key_that_was_answered_ok_gets_the_same_answer_after_a_crash() -> None:
    answers = iter(range(10))

    played = play(ORDER, services={"cards.charge": lambda body: {"n": next(answers)}}, crash_after=range(1, 9))

    assert played.output == {"n": 0}
    assert played.effects == {"reserve": 1, "charge": 1}
    assert len({each.key for each in played.requests if each.method == "cards.charge"}) == 1


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ({"cards.chrage": ok()}, "does not call 'cards.chrage'. Did you mean 'cards.charge'?"),
        ({"card": {"charge": print}}, "calls no service 'card'. Did you mean 'cards'?"),
        ({"cards": {"charge": print}}, "'cards' has no method 'refund'"),
        ({"cards.charge": [{"okay": 1}]}, "Did you mean 'ok'?"),
        ({"cards.charge": []}, "must be a reply"),
        ({"cards.charge": "ok"}, "must be a reply"),
        ({"cards.charge": [print]}, "give the function instead of the list"),
        ({"cards.charge": lambda a, b, c: 1}, "demands more"),
        ({"cards.charge": lambda body: object()}, "no JSON"),
    ],
)
def test_mistakes_in_services_are_told(services: Any, said: str) -> None:
    with pytest.raises(mg.InputError) as caught:
        play(ORDER, services=services)

    assert said in str(caught.value)


def test_an_async_function_that_waits_is_told_so() -> None:
    import asyncio

    async def charge(body: Any) -> None:
        await asyncio.sleep(0)

    with pytest.raises(mg.InputError, match="time is virtual"):
        play(ORDER, services={"cards.charge": charge})


def test_a_service_that_is_down_is_never_called() -> None:
    assert play(ORDER, down=["cards"]).calls == ["stock.reserve", "stock.release"]
    with pytest.raises(mg.InputError, match=r"calls no service 'carts'. Did you mean 'cards'"):
        play(ORDER, down=["carts"])


@pytest.mark.parametrize("wrong", [lambda: status(99), lambda: ok(delay="soon"), lambda: ongoing(-1)])
def test_mistakes_in_replies_are_told(wrong: Any) -> None:
    with pytest.raises(mg.InputError):
        wrong()


# --- time, actions, going on ---------------------------------------------------------------------------


def test_a_play_stops_where_it_is_told_to() -> None:
    waiting = play(ASK, until="10m")
    assert (waiting.end, waiting.now, waiting.waiting) == ("running", timedelta(minutes=10), ["answered"])

    undoing = play(ORDER, services={"cards.charge": rejected()}, until="compensating")
    assert (undoing.end, undoing.calls) == ("compensating", FORWARD)

    called = play(ORDER, until=lambda it: len(it.calls) == 1)
    assert called.calls == ["stock.reserve"]


def test_an_unknown_status_or_duration_to_stop_at_is_told() -> None:
    with pytest.raises(mg.InputError, match="Did you mean 'completed'"):
        play(ORDER, until="complete")
    with pytest.raises(mg.InputError, match="duration"):
        play(ORDER, until="5 parsecs")


def test_a_waiting_play_goes_on() -> None:
    assert play(ASK, until="10m").signal("answered", {"yes": True}).output == {"yes": True}
    assert play(ASK, until="10m").cancel().calls == ["stock.reserve", "stock.release"]
    assert play(ASK, until="10m").crash().end == "compensated"
    assert (play(ASK).error or {})["code"] == "signal_timeout"

    waiting = play(ASK, until="10m").advance("1h")
    assert (waiting.end, waiting.now) == ("running", timedelta(minutes=70))
    assert waiting.suspend().end == "suspended"
    assert waiting.advance("2d").end == "suspended"
    assert waiting.resume().end == "compensated"
    with pytest.raises(mg.Refused):
        waiting.cancel()
    with pytest.raises(mg.InputError):
        play(ASK, until="1m").signal("aswered")


def test_an_operator_repairs_what_failed() -> None:
    services = {"cards.charge": status(503), "cards.refund": [status(500), status(500), ok()]}

    assert play(ORDER, services=services).end == "compensation_failed"
    assert play(ORDER, services=services).retry().end == "compensated"
    assert play(ORDER, services=services).resolve("charge", note="by hand").end == "compensated"
    with pytest.raises(mg.NotFound):
        play(ORDER, services=services).resolve("chrage")

    fast = mg.workflow(
        "fast", mg.call("a", "a.do", compensation="a.undo"), mg.call("b", "b.do"), error_handling="fail_fast"
    )
    failed = play(fast, services={"b.do": rejected()})
    assert (failed.end, failed.effects) == ("failed", {"a": 1})
    assert (failed.compensate().end, failed.effects) == ("compensated", {})


def test_a_person_settles_what_waits_for_one() -> None:
    final = mg.workflow("final", mg.call("pay", "cards.charge", pivot=True))

    waiting = play(final, services={"cards.charge": status(503)})
    assert waiting.end == "suspended"

    settled = waiting.resolve("pay", note="asked the bank", outcome="succeeded", output={"id": 1})
    assert (settled.end, settled.output) == ("completed", {"id": 1})


def test_actions_are_those_of_scenarios() -> None:
    played = play(ASK, actions=[{"at_ms": 1000, "signal": "answered", "payload": 5}])
    assert (played.output, played.answers, played.now) == (5, [202], timedelta(seconds=1))

    with pytest.raises(mg.InputError, match="exactly one of after_calls"):
        play(ASK, actions=[{"do": "cancel"}])
    with pytest.raises(AssertionError, match="cancel was never due"):
        play(ORDER, actions=[{"after_calls": 9, "do": "cancel"}])
    with pytest.raises(AssertionError, match="cancel was refused with 409"):
        play(ORDER, actions=[{"at_end": "completed", "do": "cancel"}])


def test_workflows_call_workflows() -> None:
    outer = mg.workflow("outer", mg.child("inner", "order"), mg.call("ship", "parcels.ship"))

    played = play(outer, services={"parcels.ship": rejected()}, workflows=[ORDER])

    assert played.calls == ["stock.reserve", "cards.charge", "parcels.ship", "cards.refund", "stock.release"]


# --- what is told -------------------------------------------------------------------------------------


def test_requests_tell_everything_in_virtual_time() -> None:
    played = play(ORDER, {"n": 1}, {"cards.charge": timeout(with_effect=True)})
    charge, refund = played.requests[1:3]

    assert (charge.method, charge.body, charge.key, charge.step) == (
        "cards.charge",
        {"n": 1},
        "play:charge:do",
        "charge",
    )
    assert (charge.attempt, charge.undo, charge.at_ms, charge.deadline_ms, charge.answered_at_ms) == (
        1,
        False,
        0,
        5000,
        5000,
    )
    assert (refund.undo, refund.at_ms, refund.body["outcome"]) == (True, 5000, "unknown")
    assert played.view["steps"][1]["forward"] == "unknown"
    assert len(played.journal) == played.view["revision"]


def test_the_representation_is_readable() -> None:
    played = play(ORDER, services={"cards.charge": [status(503)], "cards.refund": [status(500), ok()]})

    assert repr(played) == (
        "<Play of order: compensated, service_error at charge, after 0:00:01\n"
        "         0 ms  stock.reserve  (reserve): ok\n"
        "         0 ms  cards.charge  (charge): status 503\n"
        "         0 ms  cards.refund  (charge): status 500\n"
        "      1000 ms  cards.refund  (charge #2): ok\n"
        "      1000 ms  stock.release  (reserve): ok>"
    )


def test_plays_are_repeatable_and_a_thousand_of_them_are_nothing() -> None:
    steps = [
        mg.call(f"s{n}", f"a{n}.do", compensation=f"a{n}.undo", retry={"max_attempts": 3, "jitter": 1})
        for n in range(5)
    ]
    five = mg.workflow("five", *steps)
    services = {"a4.do": [status(503), status(503), rejected("no")]}

    plays = [play(five, services=services, seed=number % 2) for number in range(1000)]

    assert all(each.end == "compensated" and len(each.calls) == 12 for each in plays)
    assert len({tuple(request.at_ms for request in each.requests) for each in plays}) == 2


def test_a_payload_that_does_not_fit_is_refused_whichever_step_has_the_schema() -> None:
    answer = {"type": "object", "required": ["by"]}
    approval = mg.workflow(
        "approval",
        mg.signal("early", "answered", timeout="1m", on_timeout="continue"),
        mg.signal("late", "answered", schema=answer),
    )
    played = play(approval, until="1s")

    with pytest.raises(mg.InputError, match="'answered' does not fit its schema"):
        played.signal("answered", {"who": "Ada"})

    assert played.waiting == ["answered"]
    assert play(approval, until="2m").signal("answered", {"by": "Ada"}).output == {"by": "Ada"}


def test_a_service_may_be_unwell_for_a_time() -> None:
    played = play(ORDER, unwell={"cards": "30s"})

    assert [(each.method, each.at_ms) for each in played.requests] == [("stock.reserve", 0), ("cards.charge", 30_000)]
    assert play(ORDER, unwell={"cards": [("0s", "2m")]}, wait="1m").calls == ["stock.reserve", "stock.release"]
    waiting = play(ORDER, unwell={"cards": "1h"}, until="10s")
    assert [each.get("waits_for", {}).get("service") for each in waiting.view["steps"]] == [None, "cards"]
    assert waiting.crash().end == "compensated"
    with pytest.raises(mg.InputError, match=r"unwell: the definition calls no service 'carts'\. Did you mean 'cards'"):
        play(ORDER, unwell={"carts": "1s"})
