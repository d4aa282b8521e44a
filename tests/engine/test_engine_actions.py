"""The operator's hand: who and why are kept, an action that the state does not allow says so and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from engines import Counting

import makegood as mg
from makegood.language import load_tree

pytestmark = pytest.mark.anyio

WHO: dict[str, str] = {"by": "ada", "note": "because"}
Action = Callable[[mg.Engine, str], Awaitable[None]]
ACTIONS: dict[str, Action] = {
    "cancel": lambda engine, each: engine.cancel(each, **WHO),
    "suspend": lambda engine, each: engine.suspend(each, **WHO),
    "resume": lambda engine, each: engine.resume_execution(each, **WHO),
    "retry": lambda engine, each: engine.retry(each, **WHO),
    "resolve": lambda engine, each: engine.resolve(each, "a", **WHO),
    "resolve as": lambda engine, each: engine.resolve(each, "a", outcome="succeeded", **WHO),
    "compensate": lambda engine, each: engine.compensate(each, **WHO),
    "signal": lambda engine, each: engine.signal(each, "go"),
}
ALLOWED = {
    ("retry", "compensation_failed"), ("resolve", "compensation_failed"), ("compensate", "failed"),
    # There is nothing left to do, and that is what was asked for.
    ("compensate", "compensated"),
}  # fmt: skip
ENDS = ("completed", "failed", "compensated", "compensation_failed")


def engine_here() -> mg.Engine:
    engine = mg.Engine(":memory:")
    engine.register("s", Counting())
    return engine


def ending(status: str) -> Any:
    """A workflow that comes to this end."""
    undo = {"call": "s.refuse" if status == "compensation_failed" else "s.undo", "retry": {"max_attempts": 1}}
    steps: list[dict[str, Any]] = [{"id": "a", "call": "s.do", "compensation": undo}]
    if status != "completed":
        steps.append({"id": "b", "call": "s.refuse"})
    # So that there is a signal to be refused.
    steps.append({"id": "s", "when": "false", "signal": "go"})
    handling = "fail_fast" if status == "failed" else "compensation"
    return load_tree({"name": status, "steps": steps, "error_handling": handling}).definition


def waiting() -> Any:
    return load_tree(
        {
            "name": "waiting",
            "steps": [
                {"id": "a", "call": "s.do", "compensation": "s.undo"},
                # The first one alone has no schema of its own; the name has one.
                {"id": "s", "signal": "go"},
                {"id": "t", "signal": "go", "schema": {"type": "object", "required": ["ok"]}},
            ],
        }
    ).definition


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_on_an_ended_execution_is_refused_with_its_state(action: str, status: str) -> None:
    if (action, status) in ALLOWED:
        return
    async with engine_here() as engine:
        await engine.start(ending(status), id="x")
        assert (await engine.end("x"))["status"] == status
        before = await engine.history("x")

        with pytest.raises(mg.Refused) as caught:
            await ACTIONS[action](engine, "x")

        assert caught.value.status == status
        assert status in str(caught.value)
        assert await engine.history("x") == before


async def test_a_payload_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    async with engine_here() as engine:
        await engine.start(waiting(), id="x")
        before = await engine.describe("x")

        with pytest.raises(mg.InputError, match="the payload of signal 'go' does not fit its schema") as caught:
            await engine.signal("x", "go", {"no": 1})

        assert "ok" in str(caught.value)
        assert (await engine.describe("x"))["revision"] >= before["revision"]
        assert "SignalReceived" not in [
            type(event).__name__ for record in await engine.history("x") for event in record.events
        ]
        await engine.signal("x", "go", {"ok": 1})
        await engine.signal("x", "go", {"ok": 2})
        assert await engine.result("x") == {"ok": 2}


async def told(engine: mg.Engine, event: str) -> tuple[str, str]:
    """Who and why, of the last event of a kind."""
    events = [event for record in await engine.history("x") for event in record.events]
    found: Any = next(each for each in reversed(events) if type(each).__name__ == event)
    return found.by, found.note


async def test_who_suspends_and_resumes_and_why_is_kept() -> None:
    async with engine_here() as engine:
        await engine.start(waiting(), id="x")
        await engine.suspend("x", **WHO)
        stopped = (await engine.describe("x"))["suspended"]
        await engine.resume_execution("x", by="bob", note="go on")

        assert {key: stopped[key] for key in ("reason", "by", "note")} == {"reason": "operator", **WHO}
        assert await told(engine, "ExecutionSuspended") == ("ada", "because")
        assert await told(engine, "ExecutionResumed") == ("bob", "go on")


async def test_who_cancels_and_why_is_the_error() -> None:
    async with engine_here() as engine:
        await engine.start(waiting(), id="x")
        await engine.cancel("x", **WHO)
        error = (await engine.end("x"))["error"]

        assert (error["code"], error["message"], error["details"]) == ("cancelled", "because", {"by": "ada"})


async def test_who_compensates_retries_and_resolves_and_why_is_kept() -> None:
    async with engine_here() as engine:
        tree = ending("compensation_failed").tree | {"error_handling": "fail_fast"}
        await engine.start(load_tree(tree).definition, id="x")
        assert (await engine.end("x"))["status"] == "failed"

        await engine.compensate("x", **WHO)
        assert await told(engine, "CompensationStarted") == ("ada", "because")
        assert (await engine.end("x"))["status"] == "compensation_failed"
        await engine.retry("x", by="bob", note="once more")
        assert await told(engine, "CompensationStarted") == ("bob", "once more")
        assert await told(engine, "EntryRearmed") == ("bob", "once more")
        assert (await engine.end("x"))["status"] == "compensation_failed"
        await engine.resolve("x", "a", by="eve", note="by hand")

        assert await told(engine, "EntryResolved") == ("eve", "by hand")
        entry = (await engine.end("x"))["compensations"][0]
        assert (entry["status"], entry["by"], entry["note"]) == ("done", "eve", "by hand")


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_who_settles_a_pivot_and_why_is_kept(outcome: Any) -> None:
    class Lost:
        async def pay(self) -> None:
            raise ConnectionError("the line broke")

    async with engine_here() as engine:
        engine.register("bank", Lost())
        await engine.start(mg.workflow("w", mg.call("pay", "bank.pay", pivot=True)), id="x")
        assert (await engine.end("x"))["suspended"]["reason"] == "pivot_unknown"

        await engine.resolve("x", "pay", outcome=outcome, **WHO)

        assert await told(engine, "ExecutionResumed") == ("ada", "because")
        view = await engine.end("x")
        assert view["status"] == ("completed" if outcome == "succeeded" else "compensated")
        if outcome == "failed":
            assert (view["error"]["message"], view["error"]["details"]) == ("because", {"by": "ada"})
