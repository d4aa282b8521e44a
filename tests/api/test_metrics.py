"""Metrics: their names are pinned, each moves when it should, and no label has more values than it may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from calling import Api
from prometheus_client.parser import text_string_to_metric_families

import makegood as mg
from makegood.api import measures as measuring
from makegood.api import metrics
from makegood.api.asked import Server
from makegood.api.door import Door
from makegood.api.measures import Measures
from makegood.app.contracts import Contracts
from makegood.app.directory import SharedServices
from makegood.core.outcome import Reply
from makegood.engine.client import Engine
from makegood.engine.log import log, names
from makegood.errors import Fenced
from makegood.ports import Append, InboxRow, Invocation
from makegood.services import Registry
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

PINNED = Path(__file__).with_name("metric_names.txt")
TABLE = {each.name.removesuffix("_total"): each for each in metrics.METRICS}


class Fence(MemoryStore):
    """A store that somebody else may take, and in whose inbox something may lie."""

    taken = False
    rows: tuple[InboxRow, ...] = ()

    async def append(self, batch: Sequence[Append]) -> list[Exception | None]:
        if self.taken:
            raise Fenced("somebody else has it")
        return await super().append(batch)

    async def inbox(self, *, limit: int) -> list[InboxRow]:
        return list(self.rows[:limit])


class Measured(Engine):
    def __init__(self, store: Any, **options: Any) -> None:
        super().__init__(":memory:", **options)
        self.given = store

    def _open_store(self) -> Any:
        return self.given


class Service:
    """Does as it is told by the input; `hold` waits to be let go."""

    def __init__(self) -> None:
        self.held, self.gate = asyncio.Event(), asyncio.Event()

    async def do(self, input: Any) -> Any:  # noqa: A002
        if input == "reject":
            raise mg.Rejected("no", "no")
        if input == "break":
            raise RuntimeError("broken")
        return input

    async def hold(self, input: Any) -> Any:  # noqa: A002
        self.held.set()
        await self.gate.wait()
        return input


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Every sample: the name and the values of its labels, in the order of the table; of histograms no buckets."""
    return {
        (sample.name, *(sample.labels[label] for label in TABLE[family.name].labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


class Watched:
    """A server whose metrics are read."""

    def __init__(self, api: Api, engine: Engine, service: Service, measures: Measures) -> None:
        self.api, self.engine, self.service, self.measures = api, engine, service, measures

    async def read(self) -> dict[tuple[str, ...], float]:
        """Every sample: the name and the values of its labels."""
        self.measures._looked_s = float("-inf")
        text = (await self.api.call("GET", "/metrics")).body.decode()
        return samples(text)

    async def moved(self, before: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
        """What is not as it was."""
        after = await self.read()
        return {key: value - before.get(key, 0.0) for key, value in after.items() if value != before.get(key, 0.0)}


@asynccontextmanager
async def watched(store: Any = None, **options: Any) -> AsyncIterator[Watched]:
    registry, service, measures = Registry(), Service(), Measures()
    registry.register("s", service)
    async with Measured(store or MemoryStore(), registry=registry, telemetry=measures, **options) as engine:
        services = SharedServices(lambda: engine.directory, registry, 30.0)
        server = Server(
            engine=engine, registry=registry, services=services, contracts=Contracts(registry), node="one",
            measures=measures,
        )  # fmt: skip
        yield Watched(Api(server, Door(server)), engine, service, measures)


def calls(method: str = "s.do", name: str = "w", **options: Any) -> Any:
    return mg.workflow(name, mg.call("a", method, input="${input}", **options), output="${steps.a}")


def test_names_kinds_and_labels_are_pinned() -> None:
    found = sorted(" ".join((each.name, each.kind, *each.labels)) for each in metrics.METRICS)

    assert found == PINNED.read_text().splitlines()


async def test_every_metric_is_told_as_the_table_says_and_no_other() -> None:
    async with watched() as one:
        await (await one.engine.start(calls(), 1)).result()
        await one.read()
        text = (await one.api.call("GET", "/metrics")).body.decode()

    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert {name: (each.type, each.documentation) for name, each in families.items()} == {
        name: (each.kind, each.doc) for name, each in TABLE.items()
    }
    for name, family in families.items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(TABLE[name].labels), sample


async def test_an_execution_that_starts_and_ends() -> None:
    async with watched() as one:
        before = await one.read()
        await (await one.engine.start(calls(), "x")).result()
        moved = await one.moved(before)

    assert moved["makegood_executions_started_total", "w"] == 1
    assert moved["makegood_executions_ended_total", "w", "completed"] == 1
    assert moved["makegood_calls_total", "s", "ok"] == 1
    assert moved["makegood_call_seconds_count", "s"] == 1
    assert moved["makegood_executions", "w", "completed"] == 1
    assert moved["makegood_commit_seconds_count",] == moved["makegood_commit_records_count",] >= 2
    assert moved["makegood_commit_records_sum",] >= 2


@pytest.mark.parametrize(("given", "outcome"), [("reject", "rejected"), ("break", "unknown")])
async def test_what_becomes_of_calls(given: str, outcome: str) -> None:
    async with watched() as one:
        before = await one.read()
        end = await (await one.engine.start(calls(retry={"max_attempts": 1}), given)).end()
        moved = await one.moved(before)

    assert moved["makegood_calls_total", "s", outcome] == 1
    assert ("makegood_calls_total", "s", "ok") not in moved
    assert [key[1:] for key in moved if key[0] == "makegood_executions_ended_total"] == [("w", end["status"])]


async def test_what_is_under_way() -> None:
    async with watched(max_concurrent_executions=5) as one:
        started = await one.engine.start(calls("s.hold"), 1)
        await one.service.held.wait()
        during = await one.read()
        one.service.gate.set()
        await started.result()
        after = await one.read()

    for found, busy in ((during, 1), (after, 0)):
        assert found["makegood_executions_in_memory",] == busy
        assert found["makegood_executions_room",] == 5 - busy
        assert found["makegood_service_places_taken", "s"] == busy
        assert found["makegood_http_in_flight",] == 1
    assert during["makegood_executions", "w", "running"] == 1
    assert during["makegood_records_queued",] == 0


async def test_what_a_dead_process_left_is_taken_over_and_its_call_is_lost() -> None:
    store = MemoryStore()
    dead = await Measured(store).open()
    service = Service()
    dead.register("s", service)
    await dead.start(calls("s.hold"), 1, id="x")
    await service.held.wait()
    dead._intake.halt()
    dead._runner.stopping = True
    for task in [*dead._runner._calls.under_way, dead._committer._task]:
        task.cancel()

    async with watched(MemoryStore(after=store)) as one:
        before = await one.read()
        one.service.gate.set()
        await one.engine.resume()
        assert await one.engine.result("x") == 1
        moved = await one.moved(before)
    assert moved["makegood_executions_resumed_total", "crash"] == 1
    assert moved["makegood_calls_total", "s", "lost"] == 1
    assert moved["makegood_log_events_total", names.EXECUTION_RESUMED] == 1
    assert ("makegood_executions_started_total", "w") not in moved


async def test_who_kills_engines_is_a_suspect_and_then_in_quarantine() -> None:
    store = MemoryStore()
    async with watched(store, only=()) as one:
        await one.engine.start(calls(), 1, id="x")
    for _ in range(5):
        store = MemoryStore(after=store)
        await store.claim(2**53, limit=9)
    async with watched(MemoryStore(after=store)) as one:
        before = await one.read()
        await one.engine.resume()
        assert (await one.engine.end("x"))["status"] == "suspended"
        moved = await one.moved(before)

    assert moved["makegood_suspects_resumed_total",] == 1
    assert moved["makegood_executions_quarantined_total",] == 1
    assert moved["makegood_executions_suspended_total", "quarantine"] == 1


async def test_what_became_a_row_and_what_for() -> None:
    waits = mg.workflow("w", {"id": "a", "wait": "1h"})
    awaits = mg.workflow("s", {"id": "a", "signal": "go"})
    async with watched(MemoryStore()) as one:
        before = await one.read()
        # A signal that is awaited for as long as the execution may take is a matter of time, too.
        for definition in (waits, awaits):
            await one.engine.start(definition, 1, id=definition.name)
        key = ("makegood_executions_parked_total", "time")
        while (await one.moved(before)).get(key) != 2:
            await asyncio.sleep(0)


async def test_what_is_due_and_nobody_takes_in() -> None:
    store = MemoryStore()
    async with watched(store, only=()) as one:
        await one.engine.start(calls(), 1, id="x")
        stored = await store.find("x")
        assert stored is not None
        clock = one.engine.vitals._clock
        late_ms = stored.standing.wake_at_ms + 90_000
        one.engine.vitals._clock = type("Later", (), {"now_ms": lambda _: late_ms})()
        found = await one.read()
        one.engine.vitals._clock = clock

    assert found["makegood_due_lag_seconds",] == 90
    assert found["makegood_executions", "w", "running"] == 1


class Clock:
    """Stands still until it is set."""

    ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms


async def test_how_late_what_was_due_is_taken_in() -> None:
    store, clock = MemoryStore(), Clock()
    async with Measured(store, clock=clock) as engine:
        await engine.start(mg.workflow("w", mg.wait("rest", "1m")), id="x")
        await engine.start(mg.workflow("v", mg.signal("pause", "go")), id="y")
        for each in ("x", "y"):
            while not (await store.find(each)).standing.parked:  # type: ignore[union-attr]
                await asyncio.sleep(0)
    clock.ms += 60_000 + 40_000
    async with watched(MemoryStore(after=store), clock=clock) as one:
        before = await one.read()
        await one.engine.resume()
        await one.engine.result("x")
        await one.engine.signal("y", "go")
        await one.engine.result("y")
        moved = await one.moved(before)

    assert moved["makegood_due_late_seconds_count",] == 1
    assert moved["makegood_due_late_seconds_sum",] == 40
    assert moved["makegood_log_events_total", names.EXECUTION_RESUMED] == 2


async def test_what_lies_in_the_inbox() -> None:
    store = Fence()
    async with watched(store) as one:
        now_ms = 1_000
        one.engine.vitals._clock = type("Hand", (), {"now_ms": lambda _: now_ms})()
        before = await one.read()
        store.rows = (InboxRow(id=7, execution_id="x", kind="cancel", body={}),) * 2
        first = await one.read()
        now_ms = 5_000
        later = await one.read()
        store.rows = ()
        none = await one.read()

    names_ = ("makegood_inbox_waiting",), ("makegood_inbox_lag_seconds",)
    assert [[found[each] for each in names_] for found in (before, first, later, none)] == [
        [0, 0], [2, 0], [2, 4], [0, 0],
    ]  # fmt: skip


async def test_writes_that_somebody_else_has_the_right_to() -> None:
    store = Fence()
    async with watched(store) as one:
        store.taken = True
        with pytest.raises(Fenced):
            await one.engine.start(calls(), 1)
        found = samples(one.measures.text().decode())

    assert found["makegood_fenced_writes_total",] == 1
    assert found["makegood_lease_losses_total",] == 1
    assert found["makegood_log_events_total", "engine_broken"] == 1
    # What cannot be known is not told, rather than told wrongly.
    assert ("makegood_executions_in_memory",) not in found


async def test_leases_and_takeovers_are_counted_by_what_is_logged() -> None:
    async with watched() as one:
        before = await one.read()
        for _ in range(2):
            log.error(names.LEASE_LOST, error="declared dead")
            one.measures.cut_off(1)
            log.warning(names.WORKER_RETURNED, worker=2)
        log.warning(names.WORKERS_DEAD, count=2)
        moved = await one.moved(before)

    assert moved["makegood_lease_losses_total",] == 2
    assert moved["makegood_takeovers_total",] == 2


async def test_requests_are_counted_by_route_and_never_by_id() -> None:
    async with watched() as one:
        before = await one.read()
        for each in range(5):
            await one.api.call("GET", f"/v1/executions/x{each}")
        moved = await one.moved(before)

    assert moved["makegood_http_requests_total", "GET", "/v1/executions/{id}", "404"] == 5
    assert moved["makegood_http_request_seconds_count", "/v1/executions/{id}"] == 5


async def test_the_database_is_looked_at_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    async with watched() as one:
        looked = one.engine.vitals.waiting
        monkeypatch.setattr(one.engine.vitals, "waiting", lambda: looks.append(1) or looked())
        await asyncio.gather(*(one.api.call("GET", "/metrics") for _ in range(5)))
        assert len(looks) == 1
        one.measures._looked_s -= measuring.LOOKED_S
        await one.api.call("GET", "/metrics")

    assert len(looks) == 2


def test_workflows_and_services_beyond_those_that_are_told_apart_are_one() -> None:
    found = Measures()
    for each in range(metrics.LABEL_VALUES_MAX + 50):
        found.started(f"w{each}")
        invocation = Invocation(
            execution_id="x", workflow="w", step="a", service=f"s{each}", method="m", body=None, key="k", attempt=1,
            deadline_ms=1,
        )  # fmt: skip
        found.call_ended(invocation, Reply.ok(), 0.1)
    text = found.text().decode()

    assert f'makegood_executions_started_total{{workflow="{metrics.OTHER}"}} 50.0' in text
    assert f'makegood_calls_total{{outcome="ok",service="{metrics.OTHER}"}} 50.0' in text
    assert text.count("makegood_executions_started_total{") == metrics.LABEL_VALUES_MAX + 1
    assert text.count("makegood_call_seconds_count{") == metrics.LABEL_VALUES_MAX + 1


def test_a_histogram_counts_what_is_at_most_its_bound() -> None:
    found = Measures()
    for seconds in (0.0005, 0.0006, 100.0):
        found.committed(3, seconds)
    text = found.text().decode()

    assert 'makegood_commit_seconds_bucket{le="0.0005"} 1.0' in text
    assert 'makegood_commit_seconds_bucket{le="0.001"} 2.0' in text
    assert 'makegood_commit_seconds_bucket{le="10.0"} 2.0' in text
    assert 'makegood_commit_seconds_bucket{le="+Inf"} 3.0' in text
    assert 'makegood_commit_records_bucket{le="5.0"} 3.0' in text
    assert "makegood_commit_records_sum 9.0" in text
