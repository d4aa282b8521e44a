"""Test sagas in-process: scripted services, a virtual clock, crashes. Nothing sleeps, nothing is stored.

    >>> import makegood as mg
    >>> from makegood.testing import ok, play, rejected
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

How services are described stands in `play`; what can be asked afterwards, in `Play`.
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
