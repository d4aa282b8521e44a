"""Signals: each name is a queue, each waiting step takes the oldest, early ones are kept."""

from __future__ import annotations

from makegood.core import events as ev
from makegood.core.inputs import Signal
from makegood.core.judgement import Judgement
from makegood.errors import InputError, Refused, nearest


def signal(j: Judgement, news: Signal) -> None:
    """Keep the payload, or hand it to the step that has waited longest.

    Raises:
        Refused: The execution has ended, or keeps too many signals already.
        InputError: No step of the definition waits for that name.
    """
    state = j.state
    if state.ended:
        raise Refused(
            f"execution {state.execution_id} has ended {state.status}; it takes no signals"
            + (f", and goes on as {state.superseded_by}" if state.superseded_by else ""),
            status=state.status,
        )
    known = j.program.signals
    if news.name not in known:
        raise InputError(
            f"no step of workflow {state.workflow!r} waits for a signal {news.name!r}.{nearest(news.name, known)}"
        )
    limit = j.settings.limits.signals_waiting
    if state.kept >= limit:
        raise Refused(f"{limit} signals wait already; no more are kept", code="too_many_signals", status=state.status)
    j.emit(ev.SignalReceived(news.name, news.payload))
    _hand_out(j, news.name)


def hand_out_all(j: Judgement) -> None:
    """Give every kept signal that somebody waits for: some came while nobody took any."""
    for name in list(j.state.waiting):
        _hand_out(j, name)


def _hand_out(j: Judgement, name: str) -> None:
    """Give kept signals of a name to the steps that wait for it, both oldest first."""
    state = j.state
    while state.status == "running" and state.waiting.get(name) and state.mailbox.get(name):
        key = next(iter(state.waiting[name]))
        j.emit(ev.StepSucceeded(state.node(key).name, key[1], state.mailbox[name][0]))
