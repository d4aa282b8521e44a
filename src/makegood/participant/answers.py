"""Answers that can be kept: a status, a media type and a text; and what each of them means for the barrier.

A value of Python and an answer over HTTP are kept in one form. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from makegood.errors import Ongoing, Rejected

JSON = "application/json"
NOT_DONE = (408, 425, 429)

Fate = Literal["done", "ongoing", "rejected", "open"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a delivery is answered.

    Attributes:
        status: Of HTTP.
        body: Text; JSON, for makegood.
        poll_after_s: When to ask again with the same key, in seconds; only with 202.
    """

    status: int
    body: str
    media_type: str = JSON
    poll_after_s: float | None = None

    @property
    def fate(self) -> Fate:
        """What comes of the delivery's transaction.

        `done`: kept, with its effects; so is a 202 whose end is told by a callback. `ongoing`: its effects are kept,
        and the same key will be asked again. `rejected`: kept, without effects. `open`: nothing is kept; the same key
        begins anew.
        """
        if self.status == 202 and self.poll_after_s is not None:
            return "ongoing"
        if 200 <= self.status <= 299:
            return "done"
        return "rejected" if 400 <= self.status <= 499 and self.status not in NOT_DONE else "open"


def answer_of(value: Any) -> Answer:
    """Of what a function returned.

    Raises:
        TypeError, ValueError: It is no JSON.
    """
    if isinstance(value, Ongoing):
        return Answer(202, "null", poll_after_s=value.poll_after_s)
    return Answer(200, json.dumps(value, allow_nan=False))


def refusal(code: str, message: str, details: Any = None, status: int = 409) -> Answer:
    """A definite no, as makegood reads it."""
    return Answer(status, json.dumps({"error": {"code": code, "message": message, "details": details}}))


def refused(error: Rejected) -> Answer:
    """Of what a function raised."""
    return refusal(str(error.code) or "rejected", str(error.message), error.details)


def value_of(answer: Answer) -> Any:
    """What a function is to return, or raise, for an answer of `answer_of` or `refusal`.

    Raises:
        Rejected: The answer is a refusal.
    """
    if answer.status == 202:
        return Ongoing(answer.poll_after_s)
    value = json.loads(answer.body)
    if answer.fate == "done":
        return value
    error = value["error"]
    raise Rejected(error["code"], error["message"], error["details"])


NOTHING = Answer(200, "null")
UNDONE = refusal("undone", "it was undone before it arrived")
KEY_REUSED = refusal("key_reused", "another request came under this Idempotency-Key before")
