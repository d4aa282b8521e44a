"""What a scripted service may do with a request, as Python says it. Each can be listed, returned or raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from makegood.errors import InputError
from makegood.language import parse_duration_ms
from makegood.services.payload import InvalidPayload, plain
from makegood.simulation.script import Scripted, told

Duration = str | float
"""`250ms`, `30s`, `5m`, or a number of seconds."""


class Answer(Exception):
    """One reply of a script. Make it with `ok`, `rejected`, `status`, `timeout`, `reset`, `ongoing` or `bad_json`."""

    def __init__(self, scripted: Scripted) -> None:
        self.scripted = scripted
        super().__init__(told(scripted))

    def __repr__(self) -> str:
        return f"Answer({told(self.scripted)})"


def ok(value: Any = None, *, delay: Duration = 0) -> Answer:
    """It is done. `value` is the output, `{}` if left out."""
    output = {} if value is None else _json(value)
    return Answer(Scripted(kind="ok", value=output, effect=True, delay_ms=duration_ms(delay)))


def rejected(code: str = "rejected", message: str = "", details: Any = None, *, delay: Duration = 0) -> Answer:
    """A definite no: nothing was done and nothing remains."""
    error = {"code": str(code), "message": str(message), "details": _json(details)}
    return Answer(Scripted(kind="status", value=409, body={"error": error}, delay_ms=duration_ms(delay)))


def status(
    number: int,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    with_effect: bool | None = None,
    delay: Duration = 0,
) -> Answer:
    """An HTTP status and its body.

    Args:
        number: 404 is a definite no, 429 is retried, 503 leaves open whether it was done; 2xx is `ok`.
        body: JSON, `{}` if left out.
        headers: `Retry-After` counts, and `Makegood-Poll-After` of a 202.
        with_effect: Whether it was done all the same; left out, only with 2xx.
        delay: Until the answer.
    """
    if number not in range(100, 600):
        raise InputError(f"an HTTP status is a whole number from 100 to 599, not {number!r}")
    effect = 200 <= number < 300 if with_effect is None else with_effect
    return Answer(
        Scripted(
            kind="status", value=number, body={} if body is None else _json(body), effect=effect,
            headers={str(name): str(each) for name, each in (headers or {}).items()}, delay_ms=duration_ms(delay),
        )
    )  # fmt: skip


def timeout(*, with_effect: bool = False, effect_after: Duration = 0) -> Answer:
    """It never answers. `with_effect`: what was asked is done nevertheless, `effect_after` it was read."""
    return Answer(Scripted(kind="hang", value=True, effect=with_effect, effect_ms=duration_ms(effect_after)))


def reset(*, with_effect: bool = False, effect_after: Duration = 0, delay: Duration = 0) -> Answer:
    """It reads the request and breaks the connection. `with_effect`: what was asked is done nevertheless."""
    return Answer(
        Scripted(
            kind="reset", value=True, effect=with_effect, effect_ms=duration_ms(effect_after),
            delay_ms=duration_ms(delay),
        )
    )  # fmt: skip


def ongoing(poll_after: Duration | None = 1, *, delay: Duration = 0) -> Answer:
    """Accepted: ask again with the same key after `poll_after`; the next reply of the script is for that request.

    With None it is not asked again: `Play.call_back` says what came of it.
    """
    after_s = None if poll_after is None else duration_ms(poll_after) / 1000
    return Answer(Scripted(kind="ongoing", value=True, poll_after_s=after_s, delay_ms=duration_ms(delay)))


def bad_json(*, with_effect: bool = True, delay: Duration = 0) -> Answer:
    """It answers 200 with something that cannot be read."""
    return Answer(Scripted(kind="bad_json", value=True, effect=with_effect, delay_ms=duration_ms(delay)))


def _json(value: Any) -> Any:
    try:
        return plain(value)
    except InvalidPayload as error:
        raise InputError(f"a service answers what is no JSON: {error}") from None


def duration_ms(given: Duration) -> int:
    """A duration in milliseconds.

    Raises:
        InputError: It is none.
    """
    try:
        return parse_duration_ms(given)
    except ValueError as error:
        raise InputError(f"the duration {given!r} {error}") from None
