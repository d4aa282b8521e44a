"""Requests to services: when one starts, and what its end means, forward and for undo (rules 1 to 4, 16)."""

from __future__ import annotations

from dataclasses import replace

from makegood.core import events as ev
from makegood.core.events import Failure
from makegood.core.failing import abort, node_halted, settle_without_ok, suspend_for_a_person
from makegood.core.flow import check_size
from makegood.core.inputs import Granted, Replied, Unreachable, Unwell
from makegood.core.judgement import Judgement
from makegood.core.outcome import Reply
from makegood.core.program import Kind, Node, Undo, retriable_policy
from makegood.core.state import MOVING, Instance, Key, Track
from makegood.core.undoing import undo_failed
from makegood.expression import PayloadTooLarge
from makegood.model import LIMITS

NEVER_MS = 100 * 365 * 24 * 3600 * 1000
"""A hundred years: beyond every bound of an execution."""
NOTHING_TO_UNDO = "nothing_to_undo"
_GONE = frozenset({404, 410})
_DEFINITE = frozenset({"payload_too_large"})


def granted(j: Judgement, news: Granted) -> None:
    """A place is held: the request is journaled as started, if it is still wanted."""
    instance = j.state.instances.get(news.key)
    if instance is None or not wants_request(j, instance, undo=news.undo):
        return
    track = instance.track(news.undo)
    node = j.program.nodes[instance.node]
    written = node.undo.timeout_ms if news.undo and node.undo else node.timeout_ms
    timeout_ms = written or news.timeout_ms or j.settings.call_timeout_ms
    attempt = track.attempts if track.ongoing else track.attempts + 1
    deadline_ms = j.now_ms + timeout_ms
    if track.until_ms is not None:
        deadline_ms = min(deadline_ms, track.until_ms)
        if deadline_ms <= j.now_ms:
            return  # It is given up in this moment.
    j.emit(ev.AttemptStarted(node.name, instance.iteration, attempt, deadline_ms, news.undo))


def wants_request(j: Judgement, instance: Instance, *, undo: bool) -> bool:
    """Whether the call or undo waits for its next request, and its moment has come; or would have, had its service
    been well."""
    track = instance.undo if undo else instance.call
    if track is None or track.due_ms is None or (track.due_ms > j.now_ms and track.awaits is None):
        return False
    return j.state.status in MOVING


def replied(j: Judgement, news: Replied) -> None:
    """The request that is under way came to an end. A late answer to an earlier one says nothing."""
    instance = j.state.instances.get(news.key)
    if instance is None:
        return
    track = instance.undo if news.undo else instance.call
    if track is None or track.open_until is None or track.attempts != news.attempt:
        return
    judge(j, instance, track, news.reply, undo=news.undo, strict=news.strict)


def unreachable(j: Judgement, news: Unreachable) -> None:
    """No request could be made: the attempt is over before it began."""
    instance = j.state.instances.get(news.key)
    if instance is None or not wants_request(j, instance, undo=news.undo):
        return
    judge(j, instance, instance.track(news.undo), news.reply, undo=news.undo, strict=False)


def unwell(j: Judgement, news: Unwell) -> None:
    """No endpoint may be called: the request waits for one without using up an attempt, and not for ever."""
    instance = j.state.instances.get(news.key)
    if instance is None or not wants_request(j, instance, undo=news.undo):
        return
    track, node = instance.track(news.undo), j.program.nodes[instance.node]
    until_ms = track.due_ms if track.awaits is not None else _awaits_until_ms(j, node, track, news)
    if until_ms is not None and until_ms > j.now_ms:
        if track.awaits is None:
            j.emit(ev.ServiceAwaited(node.name, instance.iteration, news.service, until_ms, news.undo))
        return
    message = f"service {news.service!r} has no endpoint that is well"
    if track.awaits_since_ms is not None:
        message += f", and had none for {(j.now_ms - track.awaits_since_ms) / 1000:g} s"
    reply = Reply("not_sent", code="service_unavailable", message=message)
    judge(j, instance, track, reply, undo=news.undo, strict=False)


def _awaits_until_ms(j: Judgement, node: Node, track: Track, news: Unwell) -> int:
    until_ms = j.now_ms + news.wait_ms
    if track.until_ms is not None:
        until_ms = min(until_ms, track.until_ms)
    if news.undo and _is_given_up_in_time(j, node):
        until_ms = min(until_ms, track.since_ms + j.settings.undo_wait_ms)
    return until_ms


def _is_given_up_in_time(j: Judgement, node: Node) -> bool:
    """Whether an undo that cannot be sent is repeated for `undo_wait` and no longer (rule 16)."""
    explicit = node.undo is not None and node.undo.explicit
    return not explicit and j.program.definition.on_compensation_failure != "retry_forever"


def given_up(j: Judgement, key: Key, *, undo: bool) -> None:
    """An ongoing call was asked for long enough."""
    instance = j.state.instances[key]
    track = instance.track(undo)
    message = "the service accepted the call and did not finish it in time"
    reply = Reply("unknown", code="call_timeout", message=message, answered=track.open_until is None)
    judge(j, instance, track, reply, undo=undo, strict=False)


def judge(j: Judgement, instance: Instance, track: Track, reply: Reply, *, undo: bool, strict: bool) -> None:
    """What a reply leads to."""
    node = j.program.nodes[instance.node]
    if reply.outcome == "ongoing":
        _ongoing(j, node, instance, track, reply, undo=undo)
        return
    if reply.outcome == "ok" and not undo:
        reply = _within_limits(j, reply)
    if reply.outcome == "not_sent" and track.ongoing and not undo:
        # Of the question how far it is, not of the call: what the service accepted may well be done.
        reply = replace(reply, outcome="unknown", answered=True)
    if reply.outcome == "ok":
        name, iteration = node.name, instance.iteration
        j.emit(ev.UndoDone(name, iteration) if undo else ev.StepSucceeded(name, iteration, reply.output))
        return
    failure = Failure(reply.code, reply.message, reply.details, reply.outcome, node.name, instance.iteration)
    silent_until_ms = None if reply.answered or reply.outcome != "unknown" else track.open_until
    if undo:
        _undo_not_ok(j, node, instance, track, reply, failure)
    else:
        _call_not_ok(j, node, instance, track, reply, failure, silent_until_ms, strict=strict)


def _within_limits(j: Judgement, reply: Reply) -> Reply:
    """The reply, unless its output is larger than this execution takes: adapters know the language's limit alone."""
    bytes_max = j.settings.limits.payload_bytes
    if bytes_max < LIMITS.payload_bytes:
        try:
            check_size(reply.output, bytes_max)
        except PayloadTooLarge as error:
            return Reply("unknown", code="reply_too_large", message=str(error))
    return reply


def _ongoing(j: Judgement, node: Node, instance: Instance, track: Track, reply: Reply, *, undo: bool) -> None:
    until_ms = track.until_ms
    if until_ms is None:
        # A called workflow has no bound for being asked, and its own undo may be answered `ongoing` too.
        bound = node.call.ongoing_timeout_ms if node.kind is Kind.CALL else None
        if bound is None and undo:
            # Forward, the execution's timeout ends it; nothing ends a compensation but a bound of its own.
            settings = j.settings
            bound = j.program.definition.timeout_ms or settings.execution_timeout_ms or settings.undo_wait_ms
        until_ms = None if bound is None else j.now_ms + bound
    if not undo and node_halted(j, node, instance.iteration):
        last = j.now_ms + (node.timeout_ms or j.settings.call_timeout_ms)
        until_ms = last if until_ms is None else min(until_ms, last)
    if reply.poll_after_ms is not None:
        poll_at_ms = j.now_ms + max(0, reply.poll_after_ms)
    else:
        # It will call back: nobody asks before it is given up.
        poll_at_ms = j.now_ms + NEVER_MS if until_ms is None else until_ms
    j.emit(ev.AttemptOngoing(node.name, instance.iteration, track.attempts, poll_at_ms, until_ms, undo))


# --- forward -----------------------------------------------------------------------------------


def _call_not_ok(
    j: Judgement,
    node: Node,
    instance: Instance,
    track: Track,
    reply: Reply,
    failure: Failure,
    silent_until_ms: int | None,
    *,
    strict: bool,
) -> None:
    policy = retriable_policy(node.retry) if node.call.retriable and j.state.pivoted else node.retry
    worth_it = reply.outcome in {"not_sent", "unknown"} and reply.code not in _DEFINITE
    worth_it = worth_it or reply.code in policy.retry_on
    counted = track.counted + 1
    if worth_it and counted < policy.attempts_max and not node_halted(j, node, instance.iteration):
        wait_ms = max(policy.backoff.wait_ms(counted, j.random()), reply.retry_after_ms or 0)
        j.emit(
            ev.AttemptEnded(
                node.name,
                instance.iteration,
                track.attempts,
                failure,
                j.now_ms + wait_ms,
                silent_until_ms=silent_until_ms,
            )
        )
        return
    _end_without_ok(j, node, instance, track, reply, failure, silent_until_ms, strict=strict)


def _end_without_ok(
    j: Judgement,
    node: Node,
    instance: Instance,
    track: Track,
    reply: Reply,
    failure: Failure,
    silent_until_ms: int | None,
    *,
    strict: bool,
) -> None:
    """No attempt will follow: it settles, or stands still for a person."""
    if _for_a_person(j, instance, node, reply, track, strict=strict):
        j.emit(
            ev.AttemptEnded(
                node.name,
                instance.iteration,
                track.attempts,
                failure,
                j.now_ms,
                counted=False,
                silent_until_ms=silent_until_ms,
            )
        )
        suspend_for_a_person(j, "pivot_unknown" if node.call.pivot else "after_pivot", failure.message)
        return
    settle_without_ok(j, instance, track, failure, strict=strict, silent_until_ms=silent_until_ms)
    _act_on_held_timeout(j, node)


def _for_a_person(j: Judgement, instance: Instance, node: Node, reply: Reply, track: Track, *, strict: bool) -> bool:
    """Rule 26: a pivot of unknown outcome, and every failure behind a pivot."""
    if node_halted(j, node, instance.iteration):
        return False
    cleared = strict and reply.outcome == "rejected"
    return j.state.pivoted or (node.call.pivot and (reply.outcome == "unknown" or (track.unknown and not cleared)))


def _act_on_held_timeout(j: Judgement, node: Node) -> None:
    if node.call.pivot and j.state.timeout_held and not j.state.halted and j.state.status == "running":
        abort(j, "timeout", timeout_failure())


def timeout_failure() -> Failure:
    """The cause of an abort by the execution's timeout."""
    return Failure("timeout", "the execution did not end within its timeout")


# --- undo --------------------------------------------------------------------------------------


def _undo_not_ok(j: Judgement, node: Node, instance: Instance, track: Track, reply: Reply, failure: Failure) -> None:
    """Rule 16: `unknown` is never success, and every other reply is tried again within the budget."""
    undo = node.undo
    assert undo is not None
    nothing_there = reply.status in _GONE or reply.code == NOTHING_TO_UNDO
    if nothing_there and (instance.forward == "unknown" or track.unknown):
        j.emit(ev.UndoDone(node.name, instance.iteration))
        return
    free = reply.outcome == "not_sent" and not undo.explicit
    failures = track.counted + 1
    if _undo_given_up(j, undo, track, reply, free=free):
        undo_failed(j, instance, failure)
        return
    wait_ms = max(undo.retry.backoff.wait_ms(max(1, failures), j.random()), reply.retry_after_ms or 0)
    j.emit(
        ev.AttemptEnded(
            node.name, instance.iteration, track.attempts, failure, j.now_ms + wait_ms, undo=True, counted=not free
        )
    )


def _undo_given_up(j: Judgement, undo: Undo, track: Track, reply: Reply, *, free: bool) -> bool:
    if reply.code == "service_not_found":
        return True
    if j.program.definition.on_compensation_failure == "retry_forever":
        return False
    if free:
        return j.now_ms - track.since_ms >= j.settings.undo_wait_ms
    return track.counted + 1 >= undo.retry.attempts_max


# --- after a crash ------------------------------------------------------------------------------


def take_over(j: Judgement) -> None:
    """Rule 2: every request that was under way is lost."""
    for key, undo in sorted(j.state.open):
        instance = j.state.instances[key]
        track = instance.track(undo)
        if undo:
            _undo_lost(j, instance, track)
        else:
            _call_lost(j, instance, track)


def _call_lost(j: Judgement, instance: Instance, track: Track) -> None:
    node = j.program.nodes[instance.node]
    failure = _lost(node, instance)
    silent_until_ms = (track.open_until or j.now_ms) + j.settings.clock_skew_ms
    again = track.lost < j.settings.limits.lost_attempts and not node_halted(j, node, instance.iteration)
    if again:
        j.emit(
            ev.AttemptEnded(
                node.name,
                instance.iteration,
                track.attempts,
                failure,
                j.now_ms,
                counted=False,
                silent_until_ms=silent_until_ms,
                lost=True,
            )
        )
        return
    reply = Reply("unknown", code="lost", message=failure.message, answered=False)
    if node.call.retriable and j.state.pivoted:
        _call_not_ok(j, node, instance, track, reply, failure, silent_until_ms, strict=False)
    else:
        _end_without_ok(j, node, instance, track, reply, failure, silent_until_ms, strict=False)


def _undo_lost(j: Judgement, instance: Instance, track: Track) -> None:
    node = j.program.nodes[instance.node]
    failure = _lost(node, instance)
    if track.lost >= j.settings.limits.lost_attempts:
        _undo_not_ok(j, node, instance, track, Reply("unknown", code="lost", answered=False), failure)
        return
    j.emit(
        ev.AttemptEnded(
            node.name, instance.iteration, track.attempts, failure, j.now_ms, undo=True, counted=False, lost=True
        )
    )


def _lost(node: Node, instance: Instance) -> Failure:
    message = "the process that made the call ended before its result was recorded"
    return Failure("lost", message, None, "unknown", node.name, instance.iteration)
