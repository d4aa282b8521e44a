"""Several engines that share one PostgreSQL: who advances what, who may write, and how it changes hands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from engines import Counting, HandClock, events, one, waiting
from replicas import freeze, replica, replicas, until, worker_of
from tests.postgres_cluster import cluster, database, statement
from tests.postgres_proxy import proxied

import makegood as mg
from makegood.core.inputs import Cancel, Signal
from makegood.engine import inbox as engine_inbox
from makegood.engine.inbox import Inbox
from makegood.errors import Conflict, Refused, StorageUnavailable
from makegood.storage.postgres import PostgresStore

pytestmark = pytest.mark.anyio

TWO = mg.workflow(
    "two", mg.call("a", "s.do", input="${input}"), mg.call("b", "s.wait", input="${input}"), output="${steps.b}"
)
UNDOABLE = mg.workflow(
    "undoable", mg.call("a", "s.do", compensation="s.undo"), mg.signal("b", "go"), output="${steps.b}"
)


@pytest.fixture
def dsn() -> Iterator[str]:
    with database() as made:
        yield made


def rows(dsn: str, columns: str, table: str = "execution", order: str = "1") -> list[tuple[Any, ...]]:
    return [tuple(each) for each in statement(dsn)(f"SELECT {columns} FROM makegood.{table} ORDER BY {order}")]


async def test_an_engine_runs_on_postgresql(dsn: str) -> None:
    service = Counting()
    service.gate.set()
    async with mg.Engine(dsn) as engine:
        engine.register("s", service)
        executions = [await engine.start(TWO, number) for number in range(20)]
        assert [await each.result() for each in executions] == list(range(20))
        assert len(await engine.list()) == 20
    assert {each[0] for each in rows(dsn, "state", "worker")} == {"left"}


# --- 1, 2, 4: the fence and the lease ------------------------------------------------------------


async def test_what_a_dead_worker_advanced_goes_on_at_another_and_its_late_writes_are_refused(dsn: str) -> None:
    service, late = Counting(), Counting()
    async with replica(dsn, service) as engine, replica(dsn, late) as paused:
        execution = await paused.start(TWO, 7, id="x")
        await late.called.wait()
        first = worker_of(paused)
        await freeze(paused)
        await service.called.wait()

        late.gate.set()
        # Its record is refused, so that it learns what it is, and comes back as another worker.
        await until(lambda: worker_of(paused) not in {None, first} and not paused._runner.stopping)
        service.gate.set()
        assert await engine.result("x") == 7
        assert await execution.result() == 7
        assert (rows(dsn, "state", "worker", "id")[1][0], worker_of(paused)) == ("dead", 3)
        assert service.calls == [("wait", "x:b:do", 2)]
        again = await paused.start(one(), 1)
        assert await again.result() == 1


async def test_a_lease_that_cannot_be_proven_holds_back_what_is_to_be_sent(dsn: str) -> None:
    service = Counting()
    service.gate.set()
    async with replica(dsn, service, lease_seconds=30.0) as engine:
        parts: Any = engine._parts
        tenure = parts.tenure
        await engine.start(waiting(None), 5, id="x")
        tenure._proven_s -= 40
        assert not tenure.holds()
        await engine.signal("x", "go")
        await until(lambda: parts.runner._calls._kept)
        assert "AttemptStarted" in events(await engine.history("x"))
        assert service.calls == []

        await tenure._renew()

        assert await engine.result("x") == 5
        assert [each[2] for each in service.calls] == [1]


async def test_who_was_cut_off_declares_nobody_dead_for_one_lease(dsn: str) -> None:
    async with replica(dsn, None, lease_seconds=30.0) as engine:
        store = PostgresStore(dsn)
        await store.join(30_000)
        statement(dsn)("UPDATE makegood.lease SET expires_at = clock_timestamp() - interval '1 s' WHERE worker_id = 2")
        parts: Any = engine._parts
        tenure = parts.tenure
        tenure._bury_from_s = 0
        tenure._proven_s -= 40

        await tenure._renew()
        assert [each[0] for each in rows(dsn, "state", "worker", "id")] == ["alive", "alive"]
        tenure._bury_from_s -= 30
        await tenure._renew()
        assert [each[0] for each in rows(dsn, "state", "worker", "id")] == ["alive", "dead"]
        await store.aclose()


async def test_a_restart_of_the_database_costs_no_worker_its_executions(dsn: str) -> None:
    import signal

    service = Counting()
    async with replicas(dsn, service, 2, lease_seconds=2.0) as engines:
        executions = [await engine.start(TWO, number) for engine in engines for number in range(3)]
        await until(lambda: service.inside == 6)
        cluster().stop(signal.SIGQUIT)
        service.gate.set()
        cluster().start()

        assert sorted([await each.result() for each in executions]) == [0, 0, 1, 1, 2, 2]
    assert len([each for each in service.calls if each[0] == "wait"]) == 6


# --- 3: a commit whose answer is lost -------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_engine_goes_on_over_lost_answers_and_calls_nothing_twice(dsn: str, when: Any) -> None:
    service = Counting()
    service.gate.set()
    async with proxied(dsn) as (proxy, through), replica(through, service, lease_seconds=10.0) as engine:
        await (await engine.start(TWO, 0)).result()
        service.calls.clear()
        for number in range(12):
            proxy.lose("INSERT INTO makegood.journal", when)
            execution = await engine.start(TWO, number, id=f"e{number}")
            assert await execution.result() == number

        assert proxy.lost == 12
    assert len(service.calls) == len(set(service.calls)) == 24
    assert {each[2] for each in service.calls} == {1}


# --- 5: starts -----------------------------------------------------------------------------------


async def test_a_start_that_waits_for_anothers_holds_up_no_step(dsn: str) -> None:
    import asyncpg

    service = Counting()
    async with replica(dsn, service, lease_seconds=10.0) as engine:
        execution = await engine.start(TWO, 1)
        await service.called.wait()
        rival = await asyncpg.connect(dsn)
        holding = rival.transaction()
        await holding.start()
        await rival.execute(
            "INSERT INTO makegood.execution (id, workflow, version, start_hash, started_at_ms, started_by, root, "
            "search, format_min, status, pivoted, parked, overdue) "
            "VALUES ('taken', 'w', 1, '', 1, 0, 'taken', '{}', 1, 'running', false, true, false)"
        )
        start = asyncio.ensure_future(engine.start(TWO, 2, id="taken"))
        await until(lambda: engine._committer._starts._queue == [] and not engine._committer._starts.idle)
        service.gate.set()

        assert await execution.result() == 1
        assert not start.done()
        await holding.rollback()
        await rival.close()
        assert await (await start).result() == 2


async def test_racing_starts_of_one_id_give_one_execution_to_everybody(dsn: str) -> None:
    service = Counting()
    service.gate.set()
    async with replicas(dsn, service, 3) as engines:
        await engines[0].put(TWO)
        for number in range(10):
            found = await asyncio.gather(
                *(each.start(TWO, number, id=f"e{number}") for each in engines), return_exceptions=True
            )
            assert not [each for each in found if isinstance(each, Exception)]
            assert [await each.result() for each in found if not isinstance(each, BaseException)] == [number] * 3
    assert len([each for each in service.calls if each[0] == "do"]) == 10


async def test_a_start_for_which_there_is_no_room_is_taken_by_who_has_some(dsn: str) -> None:
    full, free = Counting(), Counting()
    free.gate.set()
    async with replica(dsn, full, max_concurrent_executions=1) as engine, replica(dsn, free):
        await engine.start(one("s.wait"), 1, id="first")
        await full.called.wait()

        second = await engine.start(one("s.wait"), 2, id="second")

        assert await second.result() == 2
        assert [each[1] for each in free.calls] == ["second:a:do"]
        full.gate.set()
        assert await engine.result("first") == 1


# --- 6, 11: requests for what another worker advances ---------------------------------------------


async def test_a_request_at_any_replica_is_decided_by_the_one_that_advances_the_execution(dsn: str) -> None:
    service = Counting()
    async with replicas(dsn, service, 2) as (owner, other):
        execution = await owner.start(TWO, 1, id="x")
        await service.called.wait()

        assert await other.cancel("x", by="ada", note="enough") is None
        with pytest.raises(Refused, match="compensation_failed"):
            await other.retry("x")
        service.gate.set()
        view = await execution.end()
        assert (view["error"]["message"], view["status"]) == ("enough", "compensated")
        assert (await other.end("x"))["status"] == "compensated"


async def test_a_verdict_that_is_not_given_in_time_is_pending_and_given_later(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_inbox, "OWNER_S", 0.2)
    service = Counting()
    async with replicas(dsn, service, 2, lease_seconds=30.0) as (owner, other):
        execution = await owner.start(TWO, 1, id="x")
        await service.called.wait()
        reading: Inbox = owner._parts.inbox  # type: ignore[union-attr]
        reading.halt()

        assert await other.request("x", Cancel("", "enough")) == "pending"
        reading._task = None
        reading.start()
        await until(lambda: rows(dsn, "verdict", "request") == [("",)])
        service.gate.set()
        assert (await execution.end())["error"]["message"] == "enough"


async def test_a_request_that_is_sent_again_while_it_is_pending_is_done_once(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_inbox, "OWNER_S", 0.2)
    service = Counting()
    flow = mg.workflow(
        "w", mg.call("a", "s.wait"), mg.signal("b", "go"), mg.signal("c", "go"), output=["${steps.b}", "${steps.c}"]
    )
    async with replicas(dsn, service, 3, lease_seconds=30.0) as (owner, other, third):
        execution = await owner.start(flow, 1, id="x")
        await service.called.wait()
        reading: Inbox = owner._parts.inbox  # type: ignore[union-attr]
        reading.halt()
        for engine in (other, third):
            once = engine.repeats.keyed("key", "signal x", 1)
            assert await engine.request("x", Signal("go", 1), once=once) == "pending"
        reading._task = None
        reading.start()
        await until(lambda: rows(dsn, "verdict", "request") == [("",), ("",)])
        assert await third.request("x", Signal("go", 1), once=third.repeats.keyed("key", "signal x", 1)) == "accepted"
        with pytest.raises(Conflict):
            await other.request("x", Signal("go", 2), once=other.repeats.keyed("key", "signal x", 2))
        await other.signal("x", "go", 2)
        service.gate.set()
        assert await execution.result() == [1, 2]


async def test_what_lies_in_the_inbox_is_heard_before_a_signal_that_came_later(dsn: str) -> None:
    flow = mg.workflow("w", mg.signal("a", "go"), mg.signal("b", "go"), output=["${steps.a}", "${steps.b}"])
    async with replicas(dsn, None, 2, lease_seconds=30.0) as (owner, other):
        await owner.start(flow, 1, id="x")
        for each in (owner, other):
            each._parts.inbox.halt()  # type: ignore[union-attr]
        await owner._store_open.put_request("x", "signal", {"name": "go", "payload": "first"})

        await owner.signal("x", "go", "second")

        assert await owner.result("x") == ["first", "second"]


async def test_a_signal_is_received_once_whoever_reads_it(dsn: str) -> None:
    flow = mg.workflow("w", *(mg.signal(f"s{number}", "go") for number in range(6)), output="${steps.s5}")
    async with replicas(dsn, None, 3) as engines:
        execution = await engines[0].start(flow, 1, id="x")
        for number in range(6):
            await engines[0]._store_open.put_request("x", "signal", {"name": "go", "payload": number})
        assert await execution.result() == 5
        assert events(await engines[0].history("x")).count("SignalReceived") == 6


async def test_repairs_of_one_ended_execution_at_once_at_several_replicas_revive_it_once(dsn: str) -> None:
    service = Counting()
    service.gate.set()
    flow = mg.workflow(
        "w", mg.call("a", "s.do", compensation="s.undo"), mg.call("b", "s.refuse"), error_handling="fail_fast"
    )
    async with replicas(dsn, service, 3) as engines:
        await (await engines[0].start(flow, 1, id="x")).end()
        found = await asyncio.gather(*(each.compensate("x") for each in engines), return_exceptions=True)

        assert (await engines[1].end("x"))["status"] == "compensated"
        assert None in found
        assert not [each for each in found if isinstance(each, Exception) and not isinstance(each, Refused)]
    assert [each[0] for each in service.calls].count("undo") == 1


# --- 7: crashes ----------------------------------------------------------------------------------


async def test_a_takeover_counts_and_two_leases_without_harm_clear(dsn: str) -> None:
    service, late = Counting(), Counting()
    async with replica(dsn, service) as engine, replica(dsn, late) as paused:
        await paused.start(TWO, 7, id="x")
        await paused.start(waiting(None), 7, id="asleep")
        await late.called.wait()
        await freeze(paused)
        await service.called.wait()

        assert rows(dsn, "id, crashes") == [("asleep", 0), ("x", 1)]
        await until(lambda: rows(dsn, "crashes")[1][0] == 0)
        service.gate.set()
        assert await engine.result("x") == 7


async def test_who_ends_gracefully_leaves_no_crash_behind(dsn: str) -> None:
    service = Counting()
    store = PostgresStore(dsn)
    async with replica(dsn, service) as engine:
        await engine.start(TWO, 7, id="x")
        await service.called.wait()
        statement(dsn)("UPDATE makegood.execution SET crashes = 1")
        engine._intake.suspects._since["x"] = HandClock().ms
    assert rows(dsn, "crashes, parked, owner") == [(0, True, None)]
    assert [each.crashes for each in await store.claim(2**53, limit=9)] == [0]
    await store.aclose()


# --- 8: what a worker can fold and serve -----------------------------------------------------------


async def test_an_execution_waits_for_a_worker_that_offers_its_services(dsn: str) -> None:
    service = Counting()
    service.gate.set()
    async with replica(dsn, None) as engine, replica(dsn, Counting()) as starter:
        await starter.start(waiting("100ms"), 1, id="short")
        await starter.start(waiting(None), 1, id="x")
        await starter.aclose()
        before = rows(dsn, "id, wake_at_ms, parked")
        await engine._store_open.claim(2**53, limit=9, offered=["t"])
        assert rows(dsn, "id, wake_at_ms, parked") == before

        async with replica(dsn, service) as able:
            assert await able.result("short") == 1
            await able.signal("x", "go")
            assert await able.result("x") == 1


async def test_what_is_not_understood_is_set_aside_with_a_note_and_can_be_asked_for(dsn: str) -> None:
    service = Counting()
    service.gate.set()
    async with replica(dsn, service) as engine:
        await engine.start(waiting("1h"), 1, id="x")
        await until(lambda: rows(dsn, "parked") == [(True,)])
        statement(dsn)("UPDATE makegood.execution SET wake_at_ms = 0")
        statement(dsn)("UPDATE makegood.journal SET body = replace(body, 'execution_started', 'execution_begun')")
        await until(lambda: rows(dsn, "not_understood IS NOT NULL, parked")[0] == (True, True))
        with pytest.raises(mg.MakegoodError, match="execution_begun"):
            await engine.cancel("x")
        statement(dsn)("UPDATE makegood.journal SET body = replace(body, 'execution_begun', 'execution_started')")

        await engine.cancel("x", note="enough")
        assert (await engine.end("x"))["error"]["message"] == "enough"


# --- 9: only some ----------------------------------------------------------------------------------


async def test_an_engine_with_only_its_own_leaves_all_others(dsn: str) -> None:
    service, own = Counting(), Counting()
    own.gate.set()
    async with replica(dsn, service) as other:
        await other.start(waiting("50ms"), 1, id="theirs")
        other._intake.halt()
        async with replica(dsn, own, only={"mine"}) as engine:
            assert await (await engine.start(one("s.wait"), 3, id="mine")).result() == 3
    assert [each[1] for each in own.calls] == ["mine:a:do"]


# --- 10: leaving -----------------------------------------------------------------------------------


async def test_who_leaves_releases_at_once_what_has_no_open_call_and_the_rest_after_the_drain(dsn: str) -> None:
    service, next_one = Counting(), Counting()
    next_one.gate.set()
    async with replica(dsn, service, drain_seconds=30.0, max_concurrent_executions=50) as leaving:
        await leaving.start(one("s.wait"), 1, id="open")
        await service.called.wait()
        await leaving.start(waiting("1500ms"), 1, id="idle")
        assert [each[0] for each in rows(dsn, "owner")] == [1, 1]
        closing = asyncio.ensure_future(leaving.aclose())
        await until(lambda: rows(dsn, "id, owner") == [("idle", None), ("open", 1)])

        async with replica(dsn, next_one) as staying:
            assert await staying.result("idle") == 1
            assert not closing.done()
            service.gate.set()
            await closing
            assert await staying.result("open") == 1
    assert service.calls == [("wait", "open:a:do", 1)]


# --- what is waited for here and done there ----------------------------------------------------------


async def test_records_of_what_another_replica_advances_can_be_watched(dsn: str) -> None:
    async with replicas(dsn, Counting(), 2) as (owner, other):
        await owner.start(UNDOABLE, 1, id="x")
        seen: list[str] = []

        async def watch() -> None:
            async for record in other.watch("x"):
                seen.extend(type(each).__name__ for each in record.events)

        watching = asyncio.ensure_future(watch())
        afar: Any = other._parts
        await until(lambda: "x" in afar._afar._watched)
        await owner.signal("x", "go", 3)
        await watching
        assert "SignalReceived" in seen
        assert "ExecutionCompleted" in seen


async def test_a_child_whose_parent_another_replica_advances_tells_it(dsn: str) -> None:
    service = Counting()
    child = one("s.wait", "child")
    parent = mg.workflow(
        "parent",
        mg.parallel("both", mg.child("c", "child", input="${input}"), mg.call("d", "s.wait", input=1)),
        output="${steps.c}",
    )
    async with replicas(dsn, service, 2) as (one_, two):
        await one_.put(child)
        await one_.start(parent, 4, id="p")
        await until(lambda: service.inside == 2)
        name = next(each[0] for each in rows(dsn, "id") if each[0] != "p")
        # The child changes hands, as when its worker had no room for it.
        live = one_._runner.live[name]
        for task in list(one_._runner._calls.under_way):
            if name in repr(task.get_coro().cr_frame.f_locals.get("invocation")):  # type: ignore[union-attr]
                task.cancel()
        one_._intake.halt()
        one_._runner.parking.park(live, 0)
        await until(lambda: name in two._runner.live)
        service.gate.set()
        assert await one_.result("p") == 4


async def test_a_worker_that_is_coming_back_says_so(dsn: str) -> None:
    async with replica(dsn, Counting()) as engine:
        await engine.start(one(), 1)
        import signal

        cluster().stop(signal.SIGINT)
        engine._committer.fail(StorageUnavailable("gone"))
        with pytest.raises(StorageUnavailable, match="coming back"):
            await engine.start(one(), 1)
        cluster().start()
        first = engine._parts
        await until(lambda: engine._parts is not first)
        assert await (await engine.start(one(), 3)).result() == 3
