"""`compensation_order: structured`: which entries may be undone side by side (rule 8).

An entry waits for every later one, save those in another branch of a parallel that both are in.
Told of the entries once and of each one that settles; what is free is found without looking at the
others again. Derived from the state, and never compared or journaled.

The entries form a tree: an *area* (the whole, or one branch of a parallel) holds entries and
parallels, of which only the one with the latest entry may move; a *parallel* holds areas, which move
side by side. What is later than an area's second latest holder is free, if it is free inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

from makegood.core.state import Key

Place = Sequence[tuple[Key, int]]
"""The parallels around an entry, innermost first, each with the branch it is in."""


class _Entry:
    """One entry; `latest` is 0 once it has settled."""

    __slots__ = ("free", "key", "latest")

    def __init__(self, key: Key, settled_at: int) -> None:
        self.key = key
        self.latest = settled_at
        self.free = False


class _Holder:
    """What holds others: the latest of each is in a heap, where an outdated mention is passed over."""

    __slots__ = ("inner", "latest", "mentions")

    def __init__(self) -> None:
        self.inner: dict[Any, Any] = {}
        self.mentions: list[tuple[int, int, Any]] = []
        self.latest = 0

    def moved(self, each: Any) -> None:
        """Something inside has another latest entry."""
        if each.latest:
            heappush(self.mentions, (-each.latest, id(each), each))
        self.latest = self._trim()

    def _trim(self) -> int:
        while self.mentions and -self.mentions[0][0] != self.mentions[0][2].latest:
            heappop(self.mentions)
        return -self.mentions[0][0] if self.mentions else 0

    def second(self) -> int:
        """The latest entry of the one after the first."""
        first = heappop(self.mentions)
        found = self._trim()
        while self.mentions and self.mentions[0][2] is first[2]:
            heappop(self.mentions)
            found = self._trim()
        heappush(self.mentions, first)
        return found


class _Area(_Holder):
    """One after another."""

    __slots__ = ()

    def collect(self, bound: int, found: list[_Entry]) -> int:
        """Find what is free and later than the bound; the latest that the bound alone holds back, or 0."""
        if self.latest <= bound:
            return self.latest
        first = self.mentions[0][2]
        if isinstance(first, _Entry):
            if not first.free:
                first.free = True
                found.append(first)
            return 0
        second = self.second()
        held_back: int = first.collect(max(bound, second), found)
        return held_back if bound >= second else 0


class _Parallel(_Holder):
    """Side by side. `looks`: branches to look into, once the bound is below what holds them back."""

    __slots__ = ("looks",)

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[tuple[int, int, _Area]] = []

    def look(self, area: _Area, latest: int) -> None:
        """Look into a branch, once the bound is below its latest."""
        heappush(self.looks, (-latest, id(area), area))

    def collect(self, bound: int, found: list[_Entry]) -> int:
        """As in an area."""
        while self.looks and -self.looks[0][0] > bound:
            area = heappop(self.looks)[2]
            held_back = area.collect(bound, found)
            if held_back:
                self.look(area, held_back)
        return -self.looks[0][0] if self.looks else 0


class SideBySide:
    """The entries of one region that are not settled, and which of them are free to be undone."""

    def __init__(self, entries: Iterable[tuple[Key, int, Place, bool]]) -> None:
        """For each entry its key, its place in the order of settling, where it is, and whether it is under way."""
        self._whole = _Area()
        self._paths: dict[Key, list[Any]] = {}
        self._free: list[tuple[int, Key]] = []
        for key, settled_at, place, under_way in entries:
            entry = _Entry(key, settled_at)
            entry.free = under_way
            path: list[Any] = [self._whole]
            for around, branch in reversed(place):
                path.append(path[-1].inner.setdefault(around, None) or _Parallel())
                path[-2].inner[around] = path[-1]
                path.append(path[-1].inner.setdefault(branch, None) or _Area())
                path[-2].inner[branch] = path[-1]
            path.append(entry)
            self._paths[key] = path
            self._moved(path)

    def settled(self, key: Key) -> None:
        """An entry is settled: it holds back nothing any more."""
        path = self._paths.pop(key, None)
        if path is not None:
            path[-1].latest = 0
            self._moved(path)

    def _moved(self, path: list[Any]) -> None:
        for holder, each in zip(path[-2::-1], path[:0:-1], strict=True):
            holder.moved(each)
            if isinstance(holder, _Parallel) and each.latest:
                holder.look(each, each.latest)

    def next(self) -> Key | None:
        """The latest of the free entries, or None; each is given once."""
        found: list[_Entry] = []
        self._whole.collect(0, found)
        for entry in found:
            heappush(self._free, (-entry.latest, entry.key))
        while self._free:
            key = heappop(self._free)[1]
            if key in self._paths:
                return key
        return None
