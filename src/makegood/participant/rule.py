"""Rule 20, as a conversation with a database: which statements, in which order, and what each answer means.

A generator yields steps and is sent their results, so that one text serves plain and asynchronous
connections, and a test may stop it between any two. It opens nothing, sleeps for nobody and reads no clock.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from makegood.errors import NotDone, Rejected
from makegood.participant.answers import KEY_REUSED, NOTHING, UNDONE, Answer, refused
from makegood.participant.asked import UNDO, forward_key
from makegood.participant.statements import Dialect, statements

PAUSE_S_MIN, PAUSE_S_MAX = 0.002, 0.05
CLAIMS_MAX = 3
_log = logging.getLogger("makegood.participant")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a method of `Hands`, and its arguments."""

    verb: str
    given: tuple[Any, ...] = ()


Work = Generator[Step, Any, Answer]
"""Yields steps, is sent what came of each, or thrown what it raised; returns the answer."""


class TransactionEnded(RuntimeError):
    """The function, or the application behind the middleware, ended the transaction that is the barrier's to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A delivery, ready to be dealt with.

    Attributes:
        hash: Of what is asked for; another one under the same key is refused.
        at_ms: Now, in milliseconds since the epoch.
        wait_s: How long to wait for a delivery of the same call that is under way, in seconds.
    """

    key: str
    hash: str
    at_ms: int
    wait_s: float
    dialect: Dialect
    table: str

    def run(self, name: str, *values: Any) -> Step:
        """One statement of `barrier.sql`."""
        return Step("run", (statements(self.dialect, self.table)[name], values))


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of a key."""

    state: str
    hash: str | None
    status: int | None
    media_type: str | None
    reply: str | None

    @property
    def answer(self) -> Answer:
        """The one that is kept."""
        assert self.status is not None
        assert self.reply is not None
        return Answer(self.status, self.reply, self.media_type or "")

    @property
    def done(self) -> Any:
        """What the call answered: a value if that was JSON, else its text; None if it is not known."""
        if self.state != "done" or self.reply is None:
            return None
        try:
            return json.loads(self.reply)
        except ValueError:
            return self.reply


def delivered(asked: Asked) -> Work:
    """Deal with one delivery, in one transaction.

    Raises:
        NotDone: Nothing was done: another delivery of this call is under way, or the database is not well.
        TransactionEnded: The function committed or rolled back; what it did may be there without an answer.
        Exception: The function's own. Nothing is kept.
    """
    yield from begun(asked.wait_s)
    try:
        answer, keep = yield from (_undo(asked) if asked.key.endswith(UNDO) else _do(asked))
        if keep:
            yield Step("commit")
            return answer
    except GeneratorExit:
        raise
    except BaseException:
        yield from rolled_back()
        raise
    yield from rolled_back()
    return answer


def rolled_back() -> Generator[Step, Any, None]:
    """What cannot be rolled back any more, over a connection that is gone, the database rolls back by itself."""
    try:
        yield Step("rollback")
    except Exception as error:  # noqa: BLE001 - what led here is what the caller must hear of
        _log.debug("rollback failed: %r", error)


_Part = Generator[Step, Any, tuple[Answer, bool]]


def _do(asked: Asked) -> _Part:
    row = yield from _claimed(asked, asked.key, "begun", asked.hash)
    if row is not None:
        if row.state == "undone":
            return UNDONE, False
        if row.hash != asked.hash:
            return KEY_REUSED, False
        if row.state in ("done", "rejected"):
            return row.answer, False
        if row.state == "begun":
            raise TransactionEnded(_BEGUN.format(key=asked.key))
    answer = yield from _performed(asked, None)
    if answer.fate == "open":
        return answer, False
    yield from _kept(asked, answer)
    return answer, True


def _undo(asked: Asked) -> _Part:
    """The undo's key is always claimed before the call's, so two of them never wait for each other."""
    call = forward_key(asked.key)
    own = yield from _claimed(asked, asked.key, "begun", asked.hash)
    if own is not None:
        if own.hash != asked.hash:
            return KEY_REUSED, False
        if own.state == "done":
            return own.answer, False
        if own.state == "begun":
            raise TransactionEnded(_BEGUN.format(key=asked.key))
    row = yield from _claimed(asked, call, "undone", None)
    # Without an undo that is ongoing, `undone` is a tombstone. What was rejected left nothing.
    nothing = row is None or (own is None and row.state in ("undone", "rejected"))
    answer = NOTHING if nothing else (yield from _performed(asked, row.done if row else None))
    # An undo is meant to succeed: its rejection is not kept, so that asking again may end otherwise.
    if answer.fate in ("open", "rejected"):
        return answer, False
    yield asked.run("close", asked.at_ms, call)
    yield from _kept(asked, answer)
    return answer, True


def _performed(asked: Asked, done: Any) -> Generator[Step, Any, Answer]:
    """Call the function; what it did before it rejected is taken back."""
    yield asked.run("mark")
    try:
        answer: Answer = yield Step("perform", (done,))
    except Rejected as error:
        answer = refused(error)
    if answer.fate != "open":
        try:
            yield asked.run("take_back" if answer.fate == "rejected" else "accept")
        except Exception as error:
            raise TransactionEnded(_ENDED.format(key=asked.key)) from error
    return answer


def _kept(asked: Asked, answer: Answer) -> Generator[Step, Any, None]:
    if answer.fate == "ongoing":
        yield asked.run("keep", "ongoing", None, None, None, asked.at_ms, asked.key)
    else:
        values = (answer.fate, answer.status, answer.media_type, answer.body, asked.at_ms, asked.key)
        yield asked.run("keep", *values)


# --- before the function is called: whatever goes wrong, nothing was done --------------------


def begun(wait_s: float) -> Generator[Step, Any, None]:
    """SQLite has one writer: one that is busy is asked again, by us, so that an event loop is not held up."""
    waited_s, pause_s = 0.0, PAUSE_S_MIN
    while not (yield from harmless(Step("begin"))):
        if waited_s >= wait_s:
            raise NotDone(f"the database was busy for {wait_s:g} s; nothing was done")
        yield Step("pause", (pause_s,))
        waited_s, pause_s = waited_s + pause_s, min(pause_s * 2, PAUSE_S_MAX)


def _claimed(asked: Asked, key: str, state: str, hash_: str | None) -> Generator[Step, Any, Row | None]:
    """Make the row of a key; None if it is ours now, else the row that was there, locked.

    PostgreSQL waits here for a transaction that has made the row and not ended yet.
    """
    patience = None
    if asked.dialect == "postgres":
        wait_ms = max(1, round(asked.wait_s * 1000))
        patience = (yield from harmless(asked.run("patience", f"{wait_ms}ms")))[0][0]
    row = yield from _found(asked, key, state, hash_)
    if patience is not None:
        yield from harmless(asked.run("patience", patience))
    return row


def _found(asked: Asked, key: str, state: str, hash_: str | None) -> Generator[Step, Any, Row | None]:
    for _ in range(CLAIMS_MAX):
        if (yield from harmless(asked.run("claim", key, state, hash_, asked.at_ms))):
            return None
        rows = yield from harmless(asked.run("kept", key))
        if rows:
            return Row(*rows[0])
    raise NotDone(f"what is kept of {key} comes and goes; nothing was done")


def harmless(step: Step) -> Generator[Step, Any, Any]:
    """A step before the function is called: whatever goes wrong, nothing was done."""
    try:
        return (yield step)
    except Exception as error:
        raise NotDone(f"nothing was done: {type(error).__name__} before the call was begun") from error


_ENDED = (
    "{key}: the transaction was ended while the call was being performed. "
    "The barrier commits: take every commit, rollback and `with connection:` out of what it calls"
)
_BEGUN = (
    "{key}: it was begun and has no answer, because the transaction was ended while it was performed. "
    "Whether it had its effect only a person can say: look, and delete the row or give it an answer"
)
