"""What an engine tells of its work: trace contexts that follow from ids, and listeners that fail harm nobody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from engines import Counting, EngineOn, one, until

import makegood as mg
from makegood.core.outcome import Reply
from makegood.engine.telemetry import Several, Telemetry
from makegood.engine.tracing import attempt_span, execution_span, trace_id
from makegood.ports import Invocation
from makegood.services import Registry
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


class Sent(Registry):
    """Keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.invocations: list[Invocation] = []

    async def invoke(self, invocation: Invocation) -> Reply:
        self.invocations.append(invocation)
        return await super().invoke(invocation)

    def traceparents(self) -> list[str]:
        return [each.traceparent or "" for each in self.invocations]


async def sent(flow: Any, execution_id: str, telemetry: Telemetry | None = None) -> list[Invocation]:
    registry = Sent()
    async with EngineOn(MemoryStore(), registry=registry, telemetry=telemetry) as engine:
        engine.register("s", Counting())
        await (await engine.start(flow, 1, id=execution_id)).end()
    return registry.invocations


def saga() -> Any:
    return mg.workflow(
        "saga",
        mg.call("a", "s.do", compensation="s.undo"),
        mg.call("b", "s.refuse"),
    )


async def test_the_context_is_well_formed_and_follows_from_execution_step_and_attempt() -> None:
    first, again, other = await sent(saga(), "x"), await sent(saga(), "x"), await sent(saga(), "y")

    told = [each.traceparent or "" for each in first]
    assert [each.step + ("-" if each.undo else "") for each in first] == ["a", "b", "a-"]
    assert all(FORM.fullmatch(each) for each in told)
    assert told == [each.traceparent for each in again]
    assert {each.split("-")[1] for each in told} == {trace_id("x")}
    assert len({each.split("-")[2] for each in told} | {execution_span("x")}) == 4
    assert not set(told) & {each.traceparent for each in other}


def test_ids_are_never_to_change() -> None:
    assert trace_id("x") == "c0ee170cc20f69c920aa3851a9c83b74"
    assert execution_span("x") == "36885d35c86355d1"
    assert attempt_span("x:a:do", 1) == "b9d3e29ba6b34c1d"


@pytest.mark.parametrize("detached", [False, True])
async def test_a_child_is_in_the_trace_of_its_root_and_a_detached_one_in_its_own(detached: bool) -> None:
    registry = Sent()
    async with EngineOn(MemoryStore(), registry=registry) as engine:
        engine.register("s", Counting())
        await engine.put(one(name="child"))
        flow = mg.workflow("top", mg.child("c", "child", input=1, detached=detached))
        await (await engine.start(flow, 1, id="top")).end()
        await until(lambda: registry.invocations)
    child = registry.invocations[0]

    assert child.execution_id != "top"
    assert child.traceparent is not None
    assert child.traceparent.split("-")[1] == trace_id(child.execution_id if detached else "top")


class Fails(Telemetry):
    traces = True

    def started(self, workflow: str) -> None:
        raise RuntimeError("started")

    def recorded(self, *_: Any) -> None:
        raise RuntimeError("recorded")

    def call_began(self, invocation: Invocation) -> bool:
        raise RuntimeError("call_began")

    def call_ended(self, *_: Any) -> None:
        raise RuntimeError("call_ended")

    def committed(self, *_: Any) -> None:
        raise RuntimeError("committed")


async def test_what_fails_to_listen_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    found = await sent(saga(), "x", Fails())

    assert [each.step for each in found] == ["a", "b", "a"]
    failed = {record.facts["error"] for record in caplog.records if record.event == "telemetry_failed"}  # type: ignore[attr-defined]
    assert {each.split("'")[1] for each in failed} == {"started", "recorded", "call_began", "call_ended", "committed"}


class Keeps(Telemetry):
    """Tells what it heard, and samples as it is told."""

    traces = True

    def __init__(self, *, samples: bool = True) -> None:
        self.samples = samples
        self.heard: list[str] = []
        self.closed = False

    def started(self, workflow: str) -> None:
        self.heard.append(f"started {workflow}")

    def call_began(self, invocation: Invocation) -> bool:
        self.heard.append(f"began {invocation.step}")
        return self.samples

    def call_ended(self, invocation: Invocation, reply: Reply, seconds: float) -> None:
        assert seconds >= 0
        self.heard.append(f"{reply.outcome} {invocation.step}")

    async def aclose(self) -> None:
        self.closed = True


async def test_several_hear_the_same_and_are_closed_with_the_engine() -> None:
    several = Keeps(), Keeps()
    await sent(one(), "x", Several(*several))

    assert several[0].heard == several[1].heard == ["started one", "began a", "ok a"]
    assert all(each.closed for each in several)


async def test_a_trace_that_nobody_keeps_is_sent_as_such() -> None:
    kept, dropped = await sent(one(), "x", Keeps()), await sent(one(), "x", Several(Keeps(), Keeps(samples=False)))

    assert kept[0].traceparent is not None
    assert kept[0].traceparent.endswith("-01")
    assert dropped[0].traceparent == kept[0].traceparent[:-2] + "00"


async def test_one_that_waits_for_room_is_told_of_as_started_once() -> None:
    telemetry = Keeps()
    async with EngineOn(MemoryStore(), only=(), telemetry=telemetry) as engine:
        engine.register("s", Counting())
        await engine.start(one(), 1, id="x")
        await engine.start(one(), 1, id="x")

    assert telemetry.heard == ["started one"]
