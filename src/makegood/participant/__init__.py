"""What a Python service owes its callers, over one table in its database: the same key has one effect and one answer.

For services: nothing of the engine is loaded, and no package of others. The database drivers, and the web framework if
there is one, are the service's own.
"""

from makegood.errors import NotDone, Ongoing, Rejected
from makegood.participant.asgi import Methods, Middleware
from makegood.participant.asked import Delivery, effect_key
from makegood.participant.barrier import Barrier
from makegood.participant.connections import Connection

__all__ = [
    "Barrier",
    "Connection",
    "Delivery",
    "Methods",
    "Middleware",
    "NotDone",
    "Ongoing",
    "Rejected",
    "effect_key",
]
