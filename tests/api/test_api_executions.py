"""Executions over HTTP: started, looked at, listed, followed, acted on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from calling import CALLS, SIGNAL, Api

from makegood.core.view import time_text

pytestmark = pytest.mark.anyio

UNDO_FAILS = {
    "name": "stuck",
    "steps": [
        {
            "id": "hotel",
            "call": "hotels.reserve",
            "compensation": {"call": "hotels.cancel", "retry": {"max_attempts": 1}},
        },
        {"id": "stop", "fail": {"error": "enough", "message": "as planned"}},
    ],
}


# --- starting ----------------------------------------------------------------------------------


async def test_a_start_answers_the_execution_and_where_it_is(api: Api) -> None:
    await api.put(SIGNAL)

    reply = await api.call("POST", "/v1/executions", {"workflow": "approval", "input": {"city": "Rome"}, "id": "a"})

    assert reply.status == 201
    assert reply.headers["location"] == "/v1/executions/a"
    assert (reply.json["id"], reply.json["status"], reply.json["phase"]) == ("a", "running", "forward")
    assert reply.json["input"] == {"city": "Rome"}


async def test_the_same_start_again_is_the_same_execution_and_another_is_refused(api: Api) -> None:
    await api.put(SIGNAL)
    body = {"workflow": "approval", "input": {"city": "Rome"}, "id": "a"}
    await api.call("POST", "/v1/executions", body)

    again = await api.call("POST", "/v1/executions", body)
    other = await api.call("POST", "/v1/executions", {**body, "input": {"city": "Oslo"}})

    assert (again.status, again.json["id"]) == (200, "a")
    assert (other.status, other.code, other.json["existing"]) == (409, "id_taken", "a")


async def test_a_business_key_is_held(api: Api) -> None:
    await api.put(SIGNAL)
    first = await api.start("approval", {"city": "x"}, business_key="k")

    reply = await api.call(
        "POST", "/v1/executions", {"workflow": "approval", "input": {"city": "x"}, "business_key": "k"}
    )

    assert (reply.status, reply.code, reply.json["existing"]) == (409, "business_key_taken", first["id"])


async def test_a_start_waits_for_the_end(api: Api) -> None:
    await api.put(CALLS)

    reply = await api.call("POST", "/v1/executions?wait=20s", {"workflow": "trip", "input": {"days": 1}})
    poor = await api.call("POST", "/v1/executions?wait=20", {"workflow": "trip", "input": {"poor": True}})

    assert (reply.json["status"], reply.json["output"]) == ("completed", {"paid": True})
    assert (poor.json["status"], poor.json["error"]["code"]) == ("compensated", "no_money")


async def test_a_start_waits_no_longer_than_asked(api: Api) -> None:
    await api.put(SIGNAL)

    reply = await api.call("POST", "/v1/executions?wait=20ms", {"workflow": "approval", "input": {"city": 1}})

    assert (reply.status, reply.json["status"]) == (201, "running")


async def test_a_wait_ends_at_a_suspension(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")
    await api.call("POST", "/v1/executions/a/suspend")

    reply = await api.call("GET", "/v1/executions/a?wait=20s")

    assert (reply.json["status"], reply.json["suspended"]["reason"]) == ("suspended", "operator")


async def test_an_input_that_does_not_fit_starts_nothing(api: Api) -> None:
    await api.put({**SIGNAL, "input_schema": {"type": "object", "required": ["city"]}})

    reply = await api.call("POST", "/v1/executions", {"workflow": "approval", "input": {}})

    assert (reply.status, reply.code) == (422, "invalid_input")
    assert (await api.call("GET", "/v1/executions")).json["executions"] == []


async def test_a_workflow_that_is_not_there(api: Api) -> None:
    await api.put(SIGNAL)

    reply = await api.call("POST", "/v1/executions", {"workflow": "aproval"})

    assert (reply.status, reply.code) == (404, "not_found")
    assert "Did you mean 'approval'?" in reply.json["detail"]


# --- looking -----------------------------------------------------------------------------------


async def test_lists_page_and_filter(api: Api) -> None:
    await api.put(SIGNAL)
    await api.put(CALLS)
    for number in range(5):
        await api.start("approval", {"city": "Rome" if number % 2 else "Oslo"}, id=f"a{number}")
    await api.call("POST", "/v1/executions?wait=20s", {"workflow": "trip", "input": 1, "id": "t"})

    async def ids(query: str) -> list[str]:
        return [each["id"] for each in (await api.call("GET", f"/v1/executions?{query}")).json["executions"]]

    first = (await api.call("GET", "/v1/executions?limit=4")).json
    rest = (await api.call("GET", f"/v1/executions?limit=4&cursor={first['cursor']}")).json
    assert len(first["executions"]) == 4
    assert sorted(each["id"] for each in first["executions"] + rest["executions"]) == sorted(
        ["t", *(f"a{number}" for number in range(5))]
    )
    assert rest["cursor"] is None
    assert await ids("workflow=trip") == ["t"]
    assert await ids("status=completed") == ["t"]
    assert sorted(await ids("search.city=Rome")) == ["a1", "a3"]
    assert await ids("search.city=Rome&limit=1&status=completed") == []
    assert await ids("business_key=none") == []
    assert await ids(f"started_after={(await api.call('GET', '/v1/executions/t')).json['started_at']}") == []
    assert len(await ids("started_after=2020-01-31T12:00:00%2B02:00")) == 6


async def test_steps_and_history_page(api: Api) -> None:
    await api.put({"name": "many", "steps": [{"id": f"s{number}", "set": number} for number in range(7)]})
    await api.call("POST", "/v1/executions?wait=20s", {"workflow": "many", "id": "m"})

    pages, cursor = [], ""
    while cursor is not None:
        page = (await api.call("GET", f"/v1/executions/m/steps?limit=3{cursor and '&cursor='}{cursor}")).json
        pages.append([each["step"] for each in page["steps"]])
        cursor = page["cursor"]
    assert pages == [["s0", "s1", "s2"], ["s3", "s4", "s5"], ["s6"]]

    whole = (await api.call("GET", "/v1/executions/m/history")).json
    assert whole["events"][0]["event"] == "execution_started"
    assert whole["events"][-1]["event"] == "execution_completed"
    assert whole["cursor"] is None
    assert (await api.call("GET", "/v1/executions/m/history?cursor=999")).json == {"events": [], "cursor": None}


@pytest.mark.parametrize(("rows", "order"), [("compensations", "cba"), ("effects", "abc")])
async def test_compensations_and_effects_page(api: Api, rows: str, order: str) -> None:
    steps = [{"id": name, "call": "hotels.reserve", "compensation": "hotels.cancel"} for name in "abc"]
    await api.put({"name": "three", "steps": steps})
    whole = (await api.call("POST", "/v1/executions?wait=20s", {"workflow": "three", "input": 1, "id": "m"})).json

    first = (await api.call("GET", f"/v1/executions/m/{rows}?limit=2")).json
    rest = (await api.call("GET", f"/v1/executions/m/{rows}?limit=2&cursor={first['cursor']}")).json
    wrong = await api.call("GET", f"/v1/executions/m/{rows}?cursor=next")

    assert first[rows] + rest[rows] == whole[rows]
    assert (len(first[rows]), rest["cursor"], whole[f"{rows}_cursor"]) == (2, None, None)
    assert "".join(each["step"] for each in whole[rows]) == order
    assert wrong.status == 400


async def test_a_history_of_many_records_pages_by_records(api: Api) -> None:
    await api.put(CALLS)
    await api.call("POST", "/v1/executions?wait=20s", {"workflow": "trip", "input": 1, "id": "t"})
    whole = (await api.call("GET", "/v1/executions/t/history")).json["events"]

    found, cursor = [], None
    while True:
        page = (
            await api.call("GET", "/v1/executions/t/history?limit=1" + (f"&cursor={cursor}" if cursor else ""))
        ).json
        assert len({each["position"] for each in page["events"]}) == 1
        found += page["events"]
        cursor = page["cursor"]
        if cursor is None:
            break

    assert found == whole
    assert len({each["position"] for each in whole}) > 1


@pytest.mark.parametrize("path", ["", "/steps", "/compensations", "/effects", "/history", "/events"])
async def test_an_execution_that_is_not_there(api: Api, path: str) -> None:
    reply = await api.call("GET", f"/v1/executions/nobody{path}")

    assert (reply.status, reply.code) == (404, "not_found")


# --- following ---------------------------------------------------------------------------------


async def test_events_are_told_as_they_come_and_end_with_the_execution(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    async with api.stream("/v1/executions/a/events") as events:
        assert "comment" in await anext(events)
        seen = [await anext(events), await anext(events)]
        await api.call("POST", "/v1/executions/a/signals/go", {"ok": True})
        seen += [each async for each in events]

    told = (await api.call("GET", "/v1/executions/a/history")).json["events"]
    assert [each["data"] for each in seen] == told
    assert told[-1]["event"] == "execution_completed"

    async with api.stream("/v1/executions/a/events", last_event_id=seen[1]["id"]) as events:
        rest = [each async for each in events if "data" in each]
    assert rest == seen[2:]
    done = await api.call("GET", "/v1/executions/a/events", last_event_id=f"{told[-1]['position'] + 1}.0")
    assert done.status == 204


async def test_a_stream_stays_open_over_a_suspension(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    async with api.stream("/v1/executions/a/events") as events:
        for kind in ("suspend", "resume", "cancel"):
            await api.call("POST", f"/v1/executions/a/{kind}")
        kinds = [each["data"]["event"] async for each in events if "data" in each]

    assert [each for each in kinds if each.startswith("execution_")] == [
        "execution_started", "execution_suspended", "execution_resumed", "execution_compensated",
    ]  # fmt: skip


async def test_who_leaves_a_stream_leaves_nothing_behind(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    async with api.stream("/v1/executions/a/events") as events:
        await anext(events)
        await anext(events)

    assert api.server.traffic.requests == 0
    assert not api.server.engine._listeners.watchers


async def test_streams_and_waits_end_when_the_server_stops(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")
    waiting = asyncio.ensure_future(api.call("GET", "/v1/executions/a?wait=60s"))

    async with api.stream("/v1/executions/a/events") as events:
        seen = [await anext(events) for _ in range(3)]
        api.server.traffic.draining.set()
        rest = [each async for each in events]

    assert ("comment" in seen[0], rest) == (True, [])
    assert (await waiting).json["status"] == "running"
    assert (await api.call("GET", "/readyz")).json == {"status": "draining", "node": "test"}
    assert (await api.call("GET", "/healthz")).status == 200
    refused = await api.call("POST", "/v1/executions", {"workflow": "approval"})
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "draining", "1")


# --- acting ------------------------------------------------------------------------------------


async def test_a_life_of_requests(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    async def ask(kind: str, value: Any = None) -> tuple[int, str]:
        reply = await api.call("POST", f"/v1/executions/a/{kind}", value)
        return reply.status, reply.json["status"] if reply.status == 202 else reply.code

    assert await ask("suspend", {"note": "lunch"}) == (202, "suspended")
    assert await ask("suspend") == (202, "suspended")
    assert await ask("resume") == (202, "running")
    assert await ask("retry") == (409, "refused")
    assert await ask("compensate") == (409, "refused")
    assert await ask("resolve", {"step": "go", "note": "x"}) == (409, "refused")
    assert await ask("cancel") == (202, "compensated")
    assert await ask("cancel") == (409, "refused")
    assert await ask("signals/go", {}) == (409, "refused")
    refused = await api.call("POST", "/v1/executions/a/cancel")
    assert refused.json["execution_status"] == "compensated"


async def test_a_signal_is_checked_and_kept(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    assert (await api.call("POST", "/v1/executions/a/signals/gone", {})).code == "invalid_input"
    assert (await api.call("POST", "/v1/executions/a/signals/go", [1])).status == 422
    assert (await api.call("POST", "/v1/executions/a/signals/go")).status == 422
    told = await api.call("POST", "/v1/executions/a/signals/go", {"ok": 1})
    assert told.json == {
        "id": "a", "request": "signal", "verdict": "accepted", "pending": False, "status": "completed", "phase": None,
    }  # fmt: skip
    assert (await api.call("GET", "/v1/executions/a")).json["output"] == {"told": {"ok": 1}}


async def test_an_undo_that_failed_is_retried_and_resolved(api: Api, hotels: Any) -> None:
    hotels.undo_failures = 2
    await api.put(UNDO_FAILS)
    first = await api.call("POST", "/v1/executions?wait=20s", {"workflow": "stuck", "id": "a"})
    assert first.json["status"] == "compensation_failed"

    assert (await api.call("POST", "/v1/executions/a/retry", {"note": "again"})).status == 202
    assert (await api.call("GET", "/v1/executions/a?wait=20s")).json["status"] == "compensation_failed"
    assert (await api.call("POST", "/v1/executions/a/resolve", {"step": "hotl", "note": "x"})).status == 404
    assert (await api.call("POST", "/v1/executions/a/resolve", {"step": "hotel", "note": "by phone"})).status == 202

    view = (await api.call("GET", "/v1/executions/a?wait=20s")).json
    assert (view["status"], view["compensations"][0]["note"]) == ("compensated", "by phone")
    assert hotels.calls == ["reserve", "cancel", "cancel"]


async def test_a_failed_one_is_run_again_from_a_step(api: Api) -> None:
    steps = [{"id": "a", "call": "hotels.reserve"}, {"id": "b", "call": "hotels.pay", "input": {"poor": True}}]
    await api.put({"name": "again", "steps": steps, "error_handling": "fail_fast"})
    await api.call("POST", "/v1/executions?wait=20s", {"workflow": "again", "id": "x"})
    await api.put({"name": "again", "steps": [steps[0], {**steps[1], "input": {}}], "error_handling": "fail_fast"})

    body = {"from": "b", "version": 2, "note": "paid in"}
    told = await api.call("POST", "/v1/executions/x/rerun", body, idempotency_key="k")
    again = await api.call("POST", "/v1/executions/x/rerun", body, idempotency_key="k")
    other = await api.call("POST", "/v1/executions/x/rerun", {**body, "from": "a"}, idempotency_key="k")

    assert (told.status, told.json["status"]) == (202, "superseded")
    assert (again.json, other.status) == (told.json, 409)
    view = (await api.call("GET", f"{told.headers['location']}?wait=20s")).json
    assert (view["id"], view["status"], view["rerun_of"]) == (told.json["superseded_by"], "completed", "x")
    assert (await api.call("POST", "/v1/executions/x/rerun", {"from": "z"})).status in {404, 409}
    assert (await api.call("POST", "/v1/executions/x/rerun", {"form": "b"})).status == 422


@pytest.mark.parametrize("kind", ["cancel", "suspend", "resume", "retry", "compensate"])
async def test_nothing_is_asked_of_nobody(api: Api, kind: str) -> None:
    assert (await api.call("POST", f"/v1/executions/nobody/{kind}")).status == 404


# --- repeated writes ---------------------------------------------------------------------------


async def test_a_key_stands_for_one_start(api: Api) -> None:
    await api.put(SIGNAL)
    body = {"workflow": "approval", "input": {"city": "x"}}

    told = await asyncio.gather(*(api.call("POST", "/v1/executions", body, idempotency_key="k") for _ in range(10)))
    other = await api.call("POST", "/v1/executions", {**body, "input": {"city": "y"}}, idempotency_key="k")

    assert len({each.json["id"] for each in told}) == 1
    assert sorted(each.status for each in told) == [200] * 9 + [201]
    assert (other.status, other.code) == (409, "idempotency_key_reused")
    assert len((await api.call("GET", "/v1/executions")).json["executions"]) == 1


async def test_a_key_with_an_id_stands_for_that_id(api: Api) -> None:
    await api.put(SIGNAL)
    body = {"workflow": "approval", "input": {"city": "x"}}

    first = await api.call("POST", "/v1/executions", {**body, "id": "a"}, idempotency_key="k")
    again = await api.call("POST", "/v1/executions", {**body, "id": "a"}, idempotency_key="k")
    other = await api.call("POST", "/v1/executions", {**body, "id": "b"}, idempotency_key="k")

    assert (first.status, again.status, other.status) == (201, 200, 409)


async def test_a_key_stands_for_one_signal(api: Api) -> None:
    await api.put({"name": "two", "steps": [{"id": "a", "signal": "go"}, {"id": "b", "signal": "go"}]})
    await api.start("two", id="x")

    for _ in range(3):
        assert (await api.call("POST", "/v1/executions/x/signals/go", 1, idempotency_key="k")).status == 202
    assert (await api.call("POST", "/v1/executions/x/signals/go", 2, idempotency_key="k")).status == 409
    assert (await api.call("GET", "/v1/executions/x")).json["status"] == "running"
    assert (await api.call("POST", "/v1/executions/x/signals/go", 1, idempotency_key="l")).status == 202
    assert (await api.call("GET", "/v1/executions/x")).json["status"] == "completed"
    # What was accepted is accepted again, even now.
    assert (await api.call("POST", "/v1/executions/x/signals/go", 1, idempotency_key="l")).status == 202


async def test_a_cancel_under_a_key_is_accepted_again_after_the_end(api: Api) -> None:
    await api.put(SIGNAL)
    await api.start("approval", {"city": 1}, id="a")

    first = await api.call("POST", "/v1/executions/a/cancel", idempotency_key="k")
    again = await api.call("POST", "/v1/executions/a/cancel", idempotency_key="k")
    other = await api.call("POST", "/v1/executions/a/cancel", {"note": "y"}, idempotency_key="k")

    assert (first.status, again.status, other.status) == (202, 202, 409)


async def test_moments_are_told_in_one_form(api: Api) -> None:
    await api.put(SIGNAL)
    view = await api.start("approval", {"city": 1}, id="a")

    assert view["started_at"].endswith("Z")
    assert len(view["started_at"]) == len(str(time_text(0)))
