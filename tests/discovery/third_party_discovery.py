"""What a package of somebody else might have."""

from __future__ import annotations

from makegood.errors import ConfigurationError
from makegood.services.discovery import Settings
from makegood.services.discovery.local import Local


class Ours(Local):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.options = settings.options


def broken(settings: Settings) -> Ours:
    raise RuntimeError("out of order")


def choosy(settings: Settings) -> Ours:
    raise ConfigurationError("consul needs options.address")
