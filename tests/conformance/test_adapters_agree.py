"""The adapters are one: whatever is asked of them, in whatever order, they answer alike."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.worlds import WORLDS

from makegood.core.events import Record, SignalReceived
from makegood.ports import Append, Query, Standing, Start, Wait

IDS = st.sampled_from(["a", "b", "c", "d"])
STANDINGS = st.sampled_from(
    [
        None,
        None,
        Standing(status="running", phase="forward"),
        Standing(status="running", parked=True, wake_at_ms=5),
        Standing(status="suspended", parked=True),
        Standing(status="compensating", error_code="x"),
        Standing(status="completed", ended_at_ms=3),
        Standing(status="failed", ended_at_ms=4, parked=True),
        Standing(status="failed"),
        Standing(status="superseded", ended_at_ms=4, superseded_by="d"),
    ]
)


WAITS = st.sampled_from(
    [
        None,
        None,
        (),
        (Wait(service="s", since_ms=1, step="x"),),
        (Wait(service="s", since_ms=2, step="y"), Wait(service="t", since_ms=1, step="x")),
    ]
)


@st.composite
def appends(draw: st.DrawFn) -> Append:
    name, position = draw(IDS), draw(st.integers(0, 4))
    begins = position == 0 and draw(st.booleans())
    key = draw(st.sampled_from([None, "k", "l"]))
    return Append(
        execution_id=name,
        position=position,
        record=None
        if not begins and draw(st.integers(0, 5)) == 0
        else Record(1, (SignalReceived("go", draw(st.integers())),)),
        start=Start(
            workflow="w",
            version=1,
            start_hash="h",
            started_at_ms=draw(st.integers(0, 3)),
            business_key=key,
            rerun_of=draw(st.sampled_from([None, "a"])),
        )
        if begins
        else None,
        standing=draw(STANDINGS),
        waits=draw(WAITS),
        together=draw(st.sampled_from([None, None, None, "g", "h"])),
    )


STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(appends(), max_size=8)),
    st.tuples(st.just("claim"), st.tuples(st.integers(0, 9), st.none() | st.lists(IDS, unique=True), st.booleans())),
    st.tuples(st.just("wake"), st.tuples(st.sampled_from("st"), st.integers(0, 3))),
    st.tuples(st.just("crash"), st.none()),
    st.tuples(st.just("close"), st.none()),
    st.tuples(st.just("clear"), st.lists(IDS)),
)


async def answers(world: Any, steps: list[Any]) -> list[Any]:
    store = world.open()
    told: list[Any] = []
    for kind, asked in steps:
        if kind == "append":
            told.append([None if each is None else (type(each), str(each)) for each in await store.append(asked)])
        elif kind == "claim":
            # A tie of owner and crashes has no order, so that a limit could take either of two.
            told.append(
                sorted(
                    (await store.claim(asked[0], limit=9, only=asked[1], early=asked[2])),
                    key=lambda each: each.execution_id,
                )
            )
        elif kind == "wake":
            told.append(await store.claim(9, limit=2, waits=asked))
        elif kind == "clear":
            await store.clear_crashes(asked)
        else:
            await (world.crash(store) if kind == "crash" else store.aclose())
            store = world.open()
        told.append([await store.query(each) for each in (Query(), Query(status="running"), Query(waiting_for="s"))])
        told.append([await store.next_wake_ms(), await store.waited_for("st"), await store.waiting("t", limit=2)])
    told.append([await store.load(each) for each in "abcd"])
    await store.aclose()
    return told


@pytest.mark.parametrize("name", sorted(set(WORLDS) - {"memory"}))
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=12))
def test_an_adapter_answers_as_memory_does(name: str, steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        expected = asyncio.run(answers(WORLDS["memory"](Path(one)), steps))
        world = WORLDS[name](Path(other))
        try:
            assert asyncio.run(answers(world, steps)) == expected
        finally:
            world.close()
