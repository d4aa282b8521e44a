"""Services that nobody registered: which are looked for by their names alone, and which were looked for in vain."""

from __future__ import annotations

from collections.abc import Callable

from makegood.services.config import NAME
from makegood.services.discovery.following import ABSENT_S, Following
from makegood.services.discovery.port import Asked

NAMES_MAX = 1_000
"""Services that are found so; as many names are remembered as leading to nothing."""


class ByName:
    """What is known of names.

    Args:
        following: Says which names fit its convention.
        ticks_s: Seconds of a clock that does not go back.
    """

    def __init__(self, following: Following, ticks_s: Callable[[], float]) -> None:
        self._following = following
        self._ticks_s = ticks_s
        self._found: dict[str, bool] = {}
        self._absent_s: dict[str, float] = {}

    def __contains__(self, service: str) -> bool:
        return service in self._found

    @property
    def any(self) -> bool:
        """Whether there is a convention at all."""
        return self._following.check(Asked(service="any"))

    def fits(self, service: str) -> bool:
        """Whether a name fits the convention."""
        return NAME.fullmatch(service) is not None and self._following.check(Asked(service=service))

    def may_look(self, service: str) -> bool:
        """Whether it is worth looking for: it fits, and was not looked for in vain just now."""
        if self._absent_s.get(service, 0.0) > self._ticks_s() or len(self._found) >= NAMES_MAX:
            return False
        self._absent_s.pop(service, None)
        return self.fits(service)

    def begin(self, service: str) -> None:
        """It is looked for."""
        self._found[service] = False

    def forget(self, service: str) -> None:
        """It is not looked for by its name alone, or no longer."""
        self._found.pop(service, None)

    def answered(self, service: str, *, there: bool) -> bool:
        """Take an answer; whether it is worth waiting for: not for what nobody ever found."""
        if there or self._found.get(service) is not False:
            if service in self._found:
                self._found[service] = True
            return True
        if len(self._absent_s) >= NAMES_MAX:
            del self._absent_s[next(iter(self._absent_s))]
        self._absent_s[service] = self._ticks_s() + ABSENT_S
        return False
