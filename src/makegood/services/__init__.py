"""Everything that is called: local objects and HTTP endpoints behind one `Invoker`, the `Registry`.

Imports nothing of the engine, the storage or the language: it sends one request and says what came of it.
"""

from makegood.errors import Ongoing
from makegood.services.config import ServiceConfig
from makegood.services.local import LocalService
from makegood.services.methods import Call
from makegood.services.registry import Registry

__all__ = ["Call", "LocalService", "Ongoing", "Registry", "ServiceConfig"]
