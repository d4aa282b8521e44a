"""A parent, its child and its grandchild: the engine dies at every record of theirs, and the ends are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from families import Family, Shop, bought, child_of, world_of

import makegood as mg

pytestmark = pytest.mark.anyio

CHILD = child_of("family", "b")
GRANDCHILD = child_of(CHILD, "n")


def family(*refusing: str, cancelled: bool = False, undo: Any = None, caught: bool = False, **keys: Any) -> Family:
    """Parent, child, grandchild. The grandchild of one that is cancelled waits for a signal that never comes."""
    pause = [mg.signal("pause", "go")] if cancelled else []
    leaf = mg.workflow("leaf", bought("p"), *pause, bought("q"), **keys)
    middle = mg.workflow("middle", bought("m"), mg.child("n", "leaf"), bought("o"))
    called = mg.child("b", "middle", compensation=undo)
    if caught:
        called = mg.try_("t", [bought("k"), called], catch=[{"steps": [bought("h")]}])
    top = mg.workflow("top", bought("a"), called, bought("c"))
    return Family([leaf, middle, top], Shop(frozenset(refusing)), cancelled)


PLAYS: dict[str, tuple[Any, dict[str, str], dict[str, int]]] = {
    "all go well": (
        family,
        {"family": "completed", CHILD: "completed", GRANDCHILD: "completed"},
        dict.fromkeys("apqmoc", 1),
    ),
    "the parent fails after them": (
        lambda: family("c"),
        {"family": "compensated", CHILD: "compensated", GRANDCHILD: "compensated"},
        {},
    ),
    "the grandchild fails": (
        lambda: family("q"),
        {"family": "compensated", CHILD: "compensated", GRANDCHILD: "compensated"},
        {},
    ),
    "the grandchild fails and undoes nothing itself": (
        lambda: family("q", error_handling="fail_fast"),
        {"family": "compensated", CHILD: "compensated", GRANDCHILD: "compensated"},
        {},
    ),
    "the parent is cancelled": (
        lambda: family(cancelled=True),
        {"family": "compensated", CHILD: "compensated", GRANDCHILD: "compensated"},
        {},
    ),
    "the parent catches": (
        lambda: family("o", caught=True),
        {"family": "completed", CHILD: "compensated", GRANDCHILD: "compensated"},
        dict.fromkeys("ahc", 1),
    ),
    "a compensation of its own replaces the child's": (
        lambda: family("c", undo="shop.undo"),
        {"family": "compensated", CHILD: "completed", GRANDCHILD: "completed"},
        dict.fromkeys("mpqo", 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("name", PLAYS)
async def test_wherever_the_engine_dies_the_family_ends_the_same(name: str, kind: str, tmp_path: Path) -> None:
    make, ends, balance = PLAYS[name]
    whole = await make().play(world_of(kind, tmp_path / "whole"))

    assert (whole.ends, whole.balance) == (ends, balance)
    assert whole.records > 10
    for number in range(1, whole.records + 1):
        for death in ({"after": number}, {"over": number}):
            found = await make().play(world_of(kind, tmp_path / f"{number}{next(iter(death))}"), **death)
            assert (found.ends, found.balance, found.lives) == (ends, balance, 2), death
