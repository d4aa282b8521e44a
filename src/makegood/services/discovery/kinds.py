"""Which ways of finding services there are, by the name that `service_registry.type` gives them."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from makegood.errors import ConfigurationError, nearest
from makegood.services.discovery.local import Local
from makegood.services.discovery.port import Discovery, Settings

GROUP = "makegood.discovery"
"""The entry points of others: each names a callable that takes `Settings` and gives a `Discovery`."""
OWN = ("local", "dns", "kubernetes")
KNOWN_ELSEWHERE = ("consul", "etcd", "nacos")
"""Not makegood's own, and asked for so often that a misspelling is not what is meant."""


def discovery_of(kind: str, settings: Settings) -> Discovery:
    """The adapter of that name. Nothing is connected to.

    Raises:
        ConfigurationError: There is none, it cannot be loaded, or a setting does not fit.
    """
    match kind:
        case "local":
            return Local()
        case "dns":
            # Imported here, like the next one: who does not use it does not pay for it.
            from makegood.services.discovery.dns import Dns  # noqa: PLC0415

            return Dns(settings)
        case "kubernetes":
            from makegood.services.discovery.kubernetes import Kubernetes  # noqa: PLC0415

            return Kubernetes(settings)
        case _:
            return _of_others(kind, settings)


def _of_others(kind: str, settings: Settings) -> Discovery:
    found = sorted(entry_points(group=GROUP), key=lambda each: each.name)
    named = [each for each in found if each.name == kind]
    if not named:
        raise ConfigurationError(_not_there(kind, found))
    try:
        made: Discovery = named[0].load()(settings)
    except ConfigurationError:
        raise
    except Exception as error:
        # Code of others: whatever is wrong with it is said, and by its name.
        raise ConfigurationError(
            f"service_registry.type = {kind!r}: {named[0].value} cannot be used: {type(error).__name__}: {error}"
        ) from error
    return made


def _not_there(kind: str, found: list[EntryPoint]) -> str:
    if kind in KNOWN_ELSEWHERE:
        return (
            f"service_registry.type = {kind!r} is not part of makegood, and no package that provides it is installed. "
            f"Install one that has the entry point {kind!r} of the group {GROUP!r}, or use "
            f"{', '.join(map(repr, OWN[:-1]))} or {OWN[-1]!r}."
        )
    there = (*OWN, *(each.name for each in found))
    return (
        f"service_registry.type = {kind!r} is none of {', '.join(map(repr, there))}.{nearest(kind, there)} "
        f"Others are packages with an entry point of the group {GROUP!r}."
    )
