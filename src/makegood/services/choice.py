"""Which endpoint is called next, and which is spared. Pure: chance and counts are given.

Source: "The Power of Two Choices in Randomized Load Balancing", Mitzenmacher 2001: of two taken by
chance the one with less to do is nearly as good as the best of all, and no herd follows one count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from makegood.services.endpoint import Endpoint

ZONE = "zone"
"""The label that says where an endpoint is."""
EJECT_AFTER = 5
"""Sick calls in a row after which an endpoint is spared, while others are well."""


class Candidate(Protocol):
    """What a choice looks at.

    Attributes:
        endpoint: The place.
        in_flight: Calls there now, reserved ones included.
        turn: When it was chosen last, as a number that rises.
    """

    endpoint: Endpoint
    in_flight: int
    turn: int


C = TypeVar("C", bound=Candidate)


def near(candidates: Sequence[C], zone: str | None) -> Sequence[C]:
    """Those in a zone; all of them when none is there, or no zone is given."""
    if zone is None:
        return candidates
    return [each for each in candidates if each.endpoint.labels.get(ZONE) == zone] or candidates


def lesser(candidates: Sequence[C], chance: Callable[[], float]) -> C:
    """Of two by chance, the one with fewer calls in flight; of equals the one whose turn is longer ago.

    Args:
        candidates: At least one.
        chance: At least 0, less than 1.
    """
    count = len(candidates)
    if count == 1:
        return candidates[0]
    at = int(chance() * count)
    other = int(chance() * (count - 1))
    one, two = candidates[at], candidates[other + (other >= at)]
    return one if (one.in_flight, one.turn) < (two.in_flight, two.turn) else two


def may_eject(in_a_row: int, *, well: int, total: int) -> bool:
    """Whether an endpoint that is still called may be spared: never the last, never more than half of all.

    Args:
        in_a_row: Its sick calls since the last one that was well.
        well: How many may be called, this one included.
        total: How many there are.
    """
    return in_a_row >= EJECT_AFTER and well > 1 and (total - well + 1) * 2 <= total
