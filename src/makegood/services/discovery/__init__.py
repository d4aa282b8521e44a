"""Where services are found: one port, and an adapter for each way of finding.

Somebody else's adapter is a package with an entry point `makegood.discovery`; what it needs is here.
"""

from makegood.services.discovery.port import Absent, Asked, Discovery, Settings, Unreachable
from makegood.services.endpoint import Endpoint

__all__ = ["Absent", "Asked", "Discovery", "Endpoint", "Settings", "Unreachable"]
