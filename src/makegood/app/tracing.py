"""OpenTelemetry traces: one for each family of executions, a span for each execution and for each attempt.

Spans are made from what is journaled, when it is durable, under ids that follow from it: so a trace goes on
in another replica and after a crash, and nothing is told twice. The packages are those of the extra
`makegood[otel]`; what is done with spans is configured by the standard OTEL_* variables.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from makegood.core import events
from makegood.core.events import Record
from makegood.core.program import Kind
from makegood.core.state import Key, State
from makegood.core.undoing import idempotency_key
from makegood.engine.log import log, names
from makegood.engine.telemetry import Telemetry
from makegood.engine.tracing import attempt_span, execution_span, root_of, trace_id
from makegood.ports import Invocation

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Link

OPEN_MAX = 100_000
"""Attempts under way whose beginning is remembered; the oldest are forgotten first."""

_ENDS: dict[type, str] = {
    events.ExecutionCompleted: "completed",
    events.ExecutionFailed: "failed",
    events.ExecutionCompensated: "compensated",
    events.CompensationFailed: "compensation_failed",
    events.ExecutionSuperseded: "superseded",
}


class Traces(Telemetry):
    """Makes spans of what is recorded.

    Args:
        processors: What is done with each span.
        environment: Where the standard variables are looked up that this reads itself.
    """

    def __init__(self, processors: Iterable[SpanProcessor], environment: Mapping[str, str] | None = None) -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra, and slow to load
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        told = environment or {}
        named = "OTEL_SERVICE_NAME" in told or "service.name=" in told.get("OTEL_RESOURCE_ATTRIBUTES", "")
        self._ids = _derived_ids()
        self._provider = TracerProvider(
            id_generator=self._ids,
            resource=Resource.create({} if named else {"service.name": "makegood"}),
            shutdown_on_exit=False,
        )
        for each in processors:
            self._provider.add_span_processor(each)
        self._tracer = self._provider.get_tracer("makegood")
        self._kept: OrderedDict[str, bool] = OrderedDict()
        # By idempotency key: when the attempt that is under way began, in milliseconds.
        self._open: OrderedDict[str, int] = OrderedDict()

    # --- told by the engine ---

    traces = True

    def call_began(self, invocation: Invocation) -> bool:
        """See `Telemetry`. One that is polled here may have begun elsewhere."""
        self._begin(invocation.key, time.time_ns() // 1_000_000)
        assert invocation.traceparent is not None
        return self._keeps(invocation.traceparent.split("-")[1])

    def recorded(self, state: State, record: Record) -> None:
        """See `Telemetry`."""
        for event in record.events:
            match event:
                case events.AttemptStarted():
                    key = (state.program.index[event.step], event.iteration)
                    self._open.pop(idempotency_key(state, key, undo=event.undo), None)
                    self._begin(idempotency_key(state, key, undo=event.undo), record.at_ms)
                case events.AttemptEnded():
                    outcome = "lost" if event.lost else event.error.outcome
                    self._attempt(state, event, record.at_ms, outcome, undo=event.undo, attempt=event.attempt)
                case events.StepSucceeded():
                    self._attempt(state, event, record.at_ms, "ok", undo=False)
                case events.StepFailed():
                    self._attempt(state, event, record.at_ms, event.error.outcome, undo=False)
                case events.UndoDone():
                    self._attempt(state, event, record.at_ms, "ok", undo=True)
                case events.UndoFailed():
                    self._attempt(state, event, record.at_ms, event.error.outcome, undo=True)
                case _ if type(event) in _ENDS:
                    self._execution(state, record.at_ms, _ENDS[type(event)])
                case _:
                    pass

    async def aclose(self) -> None:
        """See `Telemetry`: what is left is exported."""
        await asyncio.to_thread(self._provider.shutdown)

    # --- spans ---

    def _begin(self, key: str, at_ms: int) -> None:
        self._open.setdefault(key, at_ms)
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)

    def _attempt(
        self, state: State, event: Any, at_ms: int, outcome: str, *, undo: bool, attempt: int | None = None
    ) -> None:
        key: Key = (state.program.index[event.step], event.iteration)
        node = state.program.nodes[key[0]]
        name = idempotency_key(state, key, undo=undo)
        began_ms = self._open.pop(name, None)
        if node.kind is not Kind.CALL or (began_ms is None and outcome != "lost"):
            # Settled without a request: never sent, resolved by a person, or after its last attempt was told.
            return
        track = state.instances[key].track(undo)
        number = track.attempts if attempt is None else attempt
        if began_ms is None:
            # Another process began it; only of the first one the journal says when.
            began_ms = track.since_ms if number == 1 else at_ms
        call = node.undo if undo else node.call
        assert call is not None
        self._span(
            state,
            f"{call.service}.{call.method}",
            span=attempt_span(name, number),
            parent=execution_span(state.execution_id),
            times=(began_ms, at_ms),
            failed=outcome != "ok",
            facts={
                "makegood.execution": state.execution_id,
                "makegood.workflow": state.workflow,
                "makegood.step": state.name(key),
                "makegood.attempt": number,
                "makegood.outcome": outcome,
                "makegood.key": name,
                "makegood.undo": undo,
            },
        )

    def _execution(self, state: State, at_ms: int, end: str) -> None:
        inside = state.parent is not None and root_of(state) != state.execution_id
        facts: dict[str, Any] = {
            "makegood.execution": state.execution_id,
            "makegood.workflow": state.workflow,
            "makegood.version": state.version,
            "makegood.state": end,
        }
        facts |= {} if state.parent is None else {"makegood.parent": state.parent}
        self._span(
            state,
            state.workflow,
            span=execution_span(state.execution_id),
            parent=execution_span(state.parent) if inside and state.parent is not None else None,
            times=(state.started_at_ms, at_ms),
            failed=end in {"failed", "compensation_failed"},
            facts=facts,
            links=[] if state.rerun_of is None else [self._link(state.rerun_of)],
        )

    def _span(
        self,
        state: State,
        name: str,
        *,
        span: str,
        parent: str | None,
        times: tuple[int, int],
        failed: bool,
        facts: dict[str, Any],
        links: list[Link] | None = None,
    ) -> None:
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415 - loaded by then

        trace = trace_id(root_of(state))
        if not self._keeps(trace):
            return
        self._ids.trace, self._ids.span = int(trace, 16), int(span, 16)
        made = self._tracer.start_span(
            name,
            context=_inside(trace, parent),
            kind=SpanKind.CLIENT if "makegood.key" in facts else SpanKind.INTERNAL,
            attributes=facts,
            links=links,
            start_time=times[0] * 1_000_000,
        )
        if failed:
            made.set_status(StatusCode.ERROR)
        made.end(end_time=max(times) * 1_000_000)

    def _keeps(self, trace: str) -> bool:
        """Whether the sampler takes a trace: by its id alone, so that every replica decides alike."""
        kept = self._kept.get(trace)
        if kept is None:
            from opentelemetry.sdk.trace.sampling import Decision  # noqa: PLC0415 - loaded by then

            found = self._provider.sampler.should_sample(None, int(trace, 16), "makegood")
            kept = self._kept[trace] = found.decision is Decision.RECORD_AND_SAMPLE
            if len(self._kept) > OPEN_MAX:
                self._kept.popitem(last=False)
        return kept

    @staticmethod
    def _link(execution_id: str) -> Link:
        from opentelemetry.trace import Link  # noqa: PLC0415 - loaded by then

        return Link(_context_of(trace_id(execution_id), execution_span(execution_id)))


def _context_of(trace: str, span: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415 - loaded by then

    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _inside(trace: str, parent: str | None) -> Context:
    """What a span is made in: inside a parent, or alone, whatever the surroundings."""
    from opentelemetry.context import Context  # noqa: PLC0415 - loaded by then
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context  # noqa: PLC0415

    if parent is None:
        return Context()
    return set_span_in_context(NonRecordingSpan(_context_of(trace, parent)), Context())


def _derived_ids() -> Any:
    """What gives the next span the ids that were derived for it."""
    from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: PLC0415 - an extra

    class DerivedIds(IdGenerator):
        trace = span = 0

        def generate_trace_id(self) -> int:
            return self.trace

        def generate_span_id(self) -> int:
            return self.span

    return DerivedIds()


# --- as the environment says --------------------------------------------------------------------

_ASKING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_EXTRA = "pip install 'makegood[otel]'"


def tracing_of(environ: Mapping[str, str]) -> Telemetry | None:
    """Traces, if the environment asks for them and they can be had; what is missing is logged, not fatal."""
    wanted = [each.strip() for each in environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or wanted in ([""], ["none"])
    if off or not any(environ.get(each, "").strip() for each in _ASKING):
        return None
    try:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra

        return Traces([BatchSpanProcessor(_exporter(each, environ)) for each in wanted], environ)
    except Exception as error:  # noqa: BLE001 - an exporter is anybody's code; work goes on without traces
        hint = f"{error}. {_EXTRA} has what is needed." if isinstance(error, ImportError | LookupError) else repr(error)
        log.warning(names.TRACES_UNAVAILABLE, error=hint)
        return None


def _exporter(name: str, environ: Mapping[str, str]) -> Any:
    if name == "otlp":
        general = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", general).strip()
        name = _PROTOCOLS.get(protocol, protocol)
    found = list(importlib.metadata.entry_points(group="opentelemetry_traces_exporter", name=name))
    if not found:
        raise LookupError(f"there is no exporter of traces {name!r} here")
    return found[0].load()()
