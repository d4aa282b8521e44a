"""Which endpoint is called next, and which is spared. Pure: chance and counts are given.

Source: "The Power of Two Choices in Randomized Load Balancing", Mitzenmacher 2001: of two taken by
chance the one with less to do is nearly as good as the best of all, and no herd follows one count.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol, TypeVar

from makegood.services.endpoint import Endpoint

ZONE = "zone"
"""The label that says where an endpoint is."""
HOST = "host"
"""The label that says by which name an endpoint is asked, where its URL has an address."""
PRIORITY, WEIGHT = "priority", "weight"
"""The labels of SRV records: only the least priority is called, its endpoints in proportion to their weights."""
WEIGHTLESS = 0.1
"""What a weight of 0 counts: almost nothing (RFC 2782)."""
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
    """Of those with the least priority those in a zone; all when none is there, or no zone is given."""
    if any(PRIORITY in each.endpoint.labels for each in candidates):
        least = min(_number(each, PRIORITY) for each in candidates)
        candidates = [each for each in candidates if _number(each, PRIORITY) == least]
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
    if WEIGHT in candidates[0].endpoint.labels:
        return _by_weight(candidates, chance)
    at = int(chance() * count)
    other = int(chance() * (count - 1))
    one, two = candidates[at], candidates[other + (other >= at)]
    return one if (one.in_flight, one.turn) < (two.in_flight, two.turn) else two


def _by_weight(candidates: Sequence[C], chance: Callable[[], float]) -> C:
    """One by chance, in proportion to the weights; or another one so chosen, if that has less to do for its weight."""
    weights = [_number(each, WEIGHT) or WEIGHTLESS for each in candidates]
    sums = list(accumulate(weights))
    one, two = (bisect(sums, chance() * sums[-1]) for _ in range(2))
    lighter = candidates[two].in_flight / weights[two] < candidates[one].in_flight / weights[one]
    return candidates[two if lighter else one]


def _number(candidate: Candidate, label: str) -> int:
    """What a label says, or 0; labels may be anybody's words."""
    text = candidate.endpoint.labels.get(label, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0


def may_eject(in_a_row: int, *, well: int, total: int) -> bool:
    """Whether an endpoint that is still called may be spared: never the last, never more than half of all.

    Args:
        in_a_row: Its sick calls since the last one that was well.
        well: How many may be called, this one included.
        total: How many there are.
    """
    return in_a_row >= EJECT_AFTER and well > 1 and (total - well + 1) * 2 <= total
