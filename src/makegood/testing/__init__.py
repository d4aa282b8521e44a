"""Test sagas in-process: scripted services, a virtual clock, crashes. Nothing sleeps, nothing is stored.

    >>> import makegood as mg
    >>> from makegood.testing import ok, play, rejected, timeout
    >>> order = mg.workflow(
    ...     "order",
    ...     mg.call("reserve", "stock.reserve", compensation="stock.release"),
    ...     mg.call("charge", "cards.charge", compensation="cards.refund"),
    ... )
    >>> calls, end = play(order, services={"cards.charge": rejected("card_expired")})
    >>> calls
    ['stock.reserve', 'cards.charge', 'stock.release']
    >>> end
    'compensated'

A method in `services` is a reply (`ok({...})`, `rejected("sold_out")`, `timeout()`, ..., or `{"ok": {...}}` as
scenario files write it), a list of replies used in order, the last of which repeats, or a function `(input, call)`
that returns the output, may raise `makegood.Rejected`, and may return or raise a reply. What is not given answers
`ok({})`. A key that was answered `ok` gets the same answer again, as from a service that honours idempotency keys.

    >>> played = play(order, {"amount": 75}, {"cards.charge": timeout(with_effect=True)})
    >>> played.calls
    ['stock.reserve', 'cards.charge', 'cards.refund', 'stock.release']
    >>> [request.at_ms for request in played.requests]
    [0, 0, 30000, 30000]
    >>> played.effects
    {}

What else can be asked of a play, and how it goes on, is in `Play`.
"""

from makegood.testing.answers import Answer, bad_json, ok, ongoing, rejected, reset, status, timeout
from makegood.testing.play import Play, Request, play

__all__ = [
    "Answer",
    "Play",
    "Request",
    "bad_json",
    "ok",
    "ongoing",
    "play",
    "rejected",
    "reset",
    "status",
    "timeout",
]
