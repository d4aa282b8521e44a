"""A service tells by itself what came of a call that it had accepted: the answer to whichever request asked for it.

It may come before the answer to the request, between two of them, or after the process that sent it has
died: the idempotency key is the same for all of them. What is settled stays as it is.
"""

from __future__ import annotations

import re

from makegood.core.attempts import judge
from makegood.core.inputs import CalledBack
from makegood.core.judgement import Judgement
from makegood.core.state import SETTLED, Instance, Key, Track
from makegood.errors import NotFound, Refused

_NAME = re.compile(r"([^\[\]]+)((?:\[[0-9]{1,9}\])*)")
_NUMBER = re.compile(r"[0-9]+")


def called_back(j: Judgement, news: CalledBack) -> None:
    """Settle the call or undo that the service speaks of; the same said again changes nothing."""
    key = _key(j, news.step)
    instance = None if key is None else j.state.instances.get(key)
    track = None if instance is None else instance.undo if news.undo else instance.call
    if instance is None or track is None or not track.attempts:
        raise NotFound(f"step {news.step!r} of execution {j.state.execution_id} has called nobody")
    if _is_settled(instance, undo=news.undo):
        if not _said_before(instance, news):
            raise Refused(
                f"step {news.step!r} of execution {j.state.execution_id} is settled and awaits no callback",
                code="not_awaited",
                status=j.state.status,
            )
        return
    if news.reply.outcome != "ok" and not _is_awaited(track, news.attempt):
        return  # A no ends one attempt, once; that one is over.
    judge(j, instance, track, news.reply, undo=news.undo, strict=False)


def _is_awaited(track: Track, attempt: int | None) -> bool:
    """Whether that attempt is the one that is under way."""
    return (track.open_until is not None or track.ongoing) and attempt in {None, track.attempts}


def _key(j: Judgement, name: str) -> Key | None:
    found = _NAME.fullmatch(name)
    index = None if found is None else j.program.index.get(found[1])
    if found is None or index is None:
        return None
    return index, tuple(int(number) for number in _NUMBER.findall(found[2]))


def _is_settled(instance: Instance, *, undo: bool) -> bool:
    return instance.compensation != "running" if undo else instance.forward in SETTLED


def _said_before(instance: Instance, news: CalledBack) -> bool:
    """Whether that is how it is already: services repeat what they do not know to be heard."""
    if news.undo:
        return news.reply.outcome == "ok" and instance.compensation == "done"
    if news.reply.outcome == "ok":
        return instance.forward == "succeeded" and instance.output == news.reply.output
    return instance.error is not None and instance.error.code == news.reply.code
