"""A play reads a reply by the table of replies that the engine's HTTP adapter reads it by."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

import makegood as mg
from makegood.simulation.world import START_MS
from makegood.testing import Answer, ok, play, rejected, status

ONE = mg.workflow(
    "order", mg.call("charge", "cards.charge", retry={"max_attempts": 2, "initial_interval": "1s", "jitter": 0})
)
IN_TEN_SECONDS = format_datetime(datetime.fromtimestamp(START_MS / 1000 + 10, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "waited_s"),
    [
        ({"Retry-After": 5}, 5),
        ({"retry-after": "5"}, 5),
        ({"RETRY-AFTER": IN_TEN_SECONDS}, 10),
        ({"Retry-After": "soon"}, 1),
    ],
)
def test_retry_after_may_be_written_in_any_way(headers: dict[str, Any], waited_s: int) -> None:
    played = play(ONE, services={"cards.charge": [status(429, headers=headers), ok()]})

    assert played.end == "completed"
    assert [each.at_ms for each in played.requests] == [0, waited_s * 1000]


def test_accepted_with_a_time_to_ask_again_is_ongoing() -> None:
    accepted = status(202, headers={"Makegood-Poll-After": "2"})
    played = play(ONE, services={"cards.charge": [accepted, ok({"id": 7})]})

    assert played.output == {"id": 7}
    assert [(each.at_ms, each.attempt) for each in played.requests] == [(0, 1), (2_000, 1)]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            status(409, {"code": "sold_out", "detail": "none left"}),
            ("sold_out", "none left", {"code": "sold_out", "detail": "none left"}, "rejected"),
        ),
        (rejected("sold_out", "none", {"left": 0}), ("sold_out", "none", {"left": 0}, "rejected")),
        (
            status(503, {"error": {"code": "x", "message": "busy", "details": {"a": 1}}}),
            ("service_error", "busy", {"a": 1}, "unknown"),
        ),
        (status(404, ["no", "such"]), ("http_404", "HTTP 404", ["no", "such"], "rejected")),
        (status(302), ("invalid_reply", "HTTP 302: a redirect, which is not followed", None, "unknown")),
    ],
)
def test_what_a_service_says_of_its_no_is_kept(answer: Answer, error: tuple[Any, ...]) -> None:
    once = mg.workflow("order", mg.call("charge", "cards.charge"))
    said = play(once, services={"cards.charge": answer}).error

    assert said is not None
    assert (said["code"], said["message"], said["details"], said["outcome"]) == error


def test_no_content_has_no_body() -> None:
    assert play(ONE, services={"cards.charge": status(204)}).output is None


@pytest.mark.parametrize("make", [ok, lambda value: status(409, value), lambda value: rejected(details=value)])
def test_a_reply_that_is_no_json_is_told(make: Any) -> None:
    assert make((1, 2))
    with pytest.raises(mg.InputError, match=r"no JSON: .*\(at /a\)"):
        make({"a": float("nan")})
