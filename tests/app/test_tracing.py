"""Traces: one for each family, across crashes and replicas; what the environment says about them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import makegood as mg
from makegood.app.tracing import Traces, tracing_of
from makegood.core.outcome import Reply
from makegood.engine.client import Engine
from makegood.engine.tracing import attempt_span, execution_span, trace_id
from makegood.ports import Invocation
from makegood.services import Ongoing, Registry
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio


class Service(Registry):
    """Services that keep what they are sent; `hold` waits to be let go."""

    def __init__(self) -> None:
        super().__init__()
        self.contexts: list[str] = []
        self.held, self.gate = asyncio.Event(), asyncio.Event()
        self.polls = 0
        names = ("do", "refuse", "hold", "later", "flaky")
        self.register("s", {"undo": self.do} | {name: getattr(self, name) for name in names})

    async def invoke(self, invocation: Invocation) -> Reply:
        assert invocation.traceparent is not None
        self.contexts.append(invocation.traceparent)
        return await super().invoke(invocation)

    async def do(self, input: Any) -> Any:  # noqa: A002
        return input

    async def refuse(self, input: Any) -> Any:  # noqa: A002
        raise mg.Rejected("no", "no")

    async def hold(self, input: Any) -> Any:  # noqa: A002
        self.held.set()
        await self.gate.wait()
        return input

    async def flaky(self, input: Any) -> Any:  # noqa: A002
        self.polls += 1
        if self.polls == 1:
            raise RuntimeError("broken")
        return input

    async def later(self, input: Any) -> Any:  # noqa: A002
        self.polls += 1
        if self.polls < 3:
            raise Ongoing(0.001)
        return input


class Traced(Engine):
    """An engine on a store that is there already, that is traced."""

    def __init__(self, store: MemoryStore, exporter: InMemorySpanExporter) -> None:
        self.given, self.service = store, Service()
        super().__init__(":memory:", registry=self.service, telemetry=Traces([SimpleSpanProcessor(exporter)]))

    def _open_store(self) -> Any:
        return self.given

    def die(self) -> None:
        """As a kill leaves it."""
        self._intake.halt()
        self._runner.stopping = True
        for task in [*self._runner._calls.under_way, self._committer._task]:
            assert task is not None
            task.cancel()


def by_name(exporter: InMemorySpanExporter) -> list[tuple[str, Any, Any]]:
    """Each span: its name, the attempt, and what came of it."""
    facts = [(span.name, span.attributes or {}) for span in exporter.get_finished_spans()]
    return [
        (name, each.get("makegood.attempt"), each.get("makegood.outcome") or each["makegood.state"])
        for name, each in facts
    ]


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Trace, span and parent."""
    assert span.context is not None
    parent = None if span.parent is None else f"{span.parent.span_id:016x}"
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


async def test_one_trace_across_a_crash_and_a_restart() -> None:
    store = MemoryStore()
    flow = mg.workflow("trip", mg.call("a", "s.do", input=1), mg.call("b", "s.hold", input=2), output="${steps.b}")
    before, after = InMemorySpanExporter(), InMemorySpanExporter()
    dead = await Traced(store, before).open()
    await dead.start(flow, 1, id="x")
    await dead.service.held.wait()
    dead.die()
    async with Traced(MemoryStore(after=store), after) as engine:
        engine.service.gate.set()
        await engine.resume()
        assert await engine.result("x") == 2

    assert by_name(before) == [("s.do", 1, "ok")]
    assert by_name(after) == [("s.hold", 1, "lost"), ("s.hold", 2, "ok"), ("trip", None, "completed")]
    told = [ids(span) for each in (before, after) for span in each.get_finished_spans()]
    assert told == [
        (trace_id("x"), attempt_span("x:a:do", 1), execution_span("x")),
        (trace_id("x"), attempt_span("x:b:do", 1), execution_span("x")),
        (trace_id("x"), attempt_span("x:b:do", 2), execution_span("x")),
        (trace_id("x"), execution_span("x"), None),
    ]
    # What a service does is seen inside the attempt that it was sent.
    sent = [*dead.service.contexts, *engine.service.contexts]
    assert sent == [f"00-{trace}-{span}-01" for trace, span, _ in told[:3]]


async def test_undos_and_failures_are_spans_of_their_own() -> None:
    exporter = InMemorySpanExporter()
    flow = mg.workflow("trip", mg.call("a", "s.do", compensation="s.undo"), mg.call("b", "s.refuse"))
    async with Traced(MemoryStore(), exporter) as engine:
        await (await engine.start(flow, 1, id="x")).end()

    assert by_name(exporter) == [
        ("s.do", 1, "ok"), ("s.refuse", 1, "rejected"), ("s.undo", 1, "ok"), ("trip", None, "compensated"),
    ]  # fmt: skip
    spans = exporter.get_finished_spans()
    assert [span.status.status_code is StatusCode.ERROR for span in spans] == [False, True, False, False]
    assert dict(spans[2].attributes or {}) == {
        "makegood.execution": "x", "makegood.workflow": "trip", "makegood.step": "a", "makegood.attempt": 1,
        "makegood.outcome": "ok", "makegood.key": "x:a:undo", "makegood.undo": True,
    }  # fmt: skip
    for span in spans[:3]:
        assert spans[3].start_time <= span.start_time <= span.end_time <= spans[3].end_time


async def test_an_attempt_that_is_polled_is_one_span_and_one_context() -> None:
    exporter = InMemorySpanExporter()
    async with Traced(MemoryStore(), exporter) as engine:
        await (await engine.start(mg.workflow("w", mg.call("a", "s.later")), 1, id="x")).end()

    assert engine.service.polls == 3
    assert len(set(engine.service.contexts)) == 1
    assert by_name(exporter) == [("s.later", 1, "ok"), ("w", None, "completed")]


async def test_every_attempt_of_a_retried_call_is_a_span() -> None:
    exporter = InMemorySpanExporter()
    flow = mg.workflow("w", mg.call("a", "s.flaky", retry={"max_attempts": 2, "initial_interval": "1ms"}))
    async with Traced(MemoryStore(), exporter) as engine:
        await (await engine.start(flow, 1, id="x")).end()

    assert by_name(exporter) == [("s.flaky", 1, "unknown"), ("s.flaky", 2, "ok"), ("w", None, "completed")]
    assert [each.split("-")[2] for each in engine.service.contexts] == [
        attempt_span("x:a:do", 1), attempt_span("x:a:do", 2),
    ]  # fmt: skip


async def test_a_child_is_inside_its_parent() -> None:
    exporter = InMemorySpanExporter()
    async with Traced(MemoryStore(), exporter) as engine:
        await engine.put(mg.workflow("child", mg.call("a", "s.do")))
        await (await engine.start(mg.workflow("top", mg.child("c", "child")), 1, id="x")).end()
    spans = {span.name: span for span in exporter.get_finished_spans()}

    child = str((spans["child"].attributes or {})["makegood.execution"])
    assert ids(spans["top"]) == (trace_id("x"), execution_span("x"), None)
    assert ids(spans["child"]) == (trace_id("x"), execution_span(child), execution_span("x"))
    assert ids(spans["s.do"])[::2] == (trace_id("x"), execution_span(child))


async def test_a_sampler_decides_alike_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    found = []
    for _ in range(2):
        exporter = InMemorySpanExporter()
        async with Traced(MemoryStore(), exporter) as engine:
            for number in range(20):
                await (await engine.start(mg.workflow("w", mg.call("a", "s.do")), 1, id=f"x{number}")).end()
        kept = {ids(span)[0] for span in exporter.get_finished_spans()}
        assert len(exporter.get_finished_spans()) == 2 * len(kept)
        for context in engine.service.contexts:
            _, trace, _, flags = context.split("-")
            assert flags == ("01" if trace in kept else "00")
        found.append(kept)

    assert found[0] == found[1]
    assert 0 < len(found[0]) < 20


# --- as the environment says ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nobody_is_traced_unasked(environ: Mapping[str, str]) -> None:
    assert tracing_of(environ) is None


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_TRACES_EXPORTER": "console"},
    ],
)
async def test_traces_are_kept_where_the_environment_asks(environ: Mapping[str, str]) -> None:
    found = tracing_of(environ)

    assert isinstance(found, Traces)
    await found.aclose()


@pytest.mark.parametrize(
    "environ",
    [{"OTEL_TRACES_EXPORTER": "nonsense"}, {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "x"}],
)
def test_an_exporter_that_is_not_there_is_said_and_stops_nothing(
    environ: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "makegood"):
        assert tracing_of(environ) is None

    assert "traces_unavailable" in caplog.text
    assert "makegood[otel]" in caplog.text


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "makegood"),
        ({"OTEL_SERVICE_NAME": "trips"}, "trips"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=t"}, "t"),
    ],
)
def test_the_service_is_named_as_the_environment_says(
    environ: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each, text in environ.items():
        monkeypatch.setenv(each, text)

    assert Traces([], environ)._provider.resource.attributes["service.name"] == name
