"""The endpoints of one service: which there are, how each fares, and which is called next.

A pool is told where endpoints are (`set`), what health checks say (`heard`) and what came of calls (a
`Visit`). Strangers keep out: how many calls there may be at once is the gate's business, how one
travels the adapter's.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from makegood.errors import ConfigurationError
from makegood.services.choice import lesser, may_eject, near
from makegood.services.circuit import POLICY, Policy
from makegood.services.config import checked_url
from makegood.services.endpoint import Endpoint
from makegood.services.member import Member, Standing

_log = logging.getLogger("makegood.services")

SOURCES = ("config", "instances", "discovery")
"""Who may say where endpoints are. The labels of the first that names one count."""
ENDPOINTS_MAX = 1_000
"""Endpoints of one service."""
_REASON_MAX = 200


class Pick:
    """An endpoint with a call in hand."""

    __slots__ = ("member", "term")

    def __init__(self, member: Member, term: int) -> None:
        self.member = member
        self.term = term


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Pool:
    """The endpoints of one service.

    Args:
        service: Its name.
        zone: Where this process is: endpoints with that label `zone` are preferred.
        policy: When circuits open.
        ticks_s: Seconds of a clock that does not go back.
        now_ms: The wall clock.
        chance: At least 0, less than 1.

    Attributes:
        probe_s: From when on an endpoint may be probed whose circuit is not closed.
        on_change: Called after an endpoint has come to be callable, or has ceased to be.
    """

    def __init__(
        self,
        service: str,
        *,
        zone: str | None = None,
        policy: Policy = POLICY,
        ticks_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = _wall_clock_ms,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._service = service
        self._zone = zone
        self._policy = policy
        self.ticks_s = ticks_s
        self._now_ms = now_ms
        self._chance = chance
        self._named: dict[str, tuple[Endpoint, ...]] = {}
        self._members: dict[str, Member] = {}
        self._held: deque[Pick] = deque()
        self._well: Sequence[Member] = ()
        self._near: Sequence[Member] = ()
        self._turn = 0
        self.probe_s = math.inf
        self.on_change: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._members)

    # --- which there are, and what is heard of them ---

    def set(self, source: str, endpoints: Sequence[Endpoint]) -> None:
        """Name all endpoints of one source, instead of those it named before. Who stays keeps its counts.

        Args:
            source: `config`, `instances` or `discovery`.

        Raises:
            ConfigurationError: An URL is none, or there are too many; nothing was changed.
        """
        assert source in SOURCES
        checked = tuple(Endpoint(checked_url(self._service, each.url), each.labels) for each in endpoints)
        named = self._named | {source: checked}
        union: dict[str, Endpoint] = {}
        for each in SOURCES:
            for endpoint in named.get(each, ()):
                union.setdefault(endpoint.url, endpoint)
        if len(union) > ENDPOINTS_MAX:
            raise ConfigurationError(
                f"service {self._service!r} has {len(union)} endpoints; at most {ENDPOINTS_MAX} are called"
            )
        self._named = named
        for url in self._members.keys() - union.keys():
            self._members.pop(url).gone = True
        for url, endpoint in union.items():
            known = self._members.get(url)
            if known is None:
                self._turn += 1
                self._members[url] = Member(endpoint, self._policy, self._now_ms(), self._turn)
            else:
                known.endpoint = endpoint
        self._changed()

    def heard(self, url: str, well: bool, reason: str, at_ms: int) -> None:
        """A health check's verdict, made here or by another replica. The last one told holds, whatever clocks say.

        Args:
            url: The endpoint's.
            reason: Why it is not well.
            at_ms: When it was found, by the wall clock.
        """
        member = self._members.get(url)
        if member is None:
            return
        member.reason = "" if well else reason[:_REASON_MAX]
        if member.healthy == well:
            return
        member.healthy = well
        member.since_ms = at_ms
        _log.log(
            logging.INFO if well else logging.WARNING,
            "service %s: %s is %s", self._service, url, "healthy" if well else f"unhealthy: {member.reason}",
        )  # fmt: skip
        self._changed()

    def endpoints(self) -> tuple[Endpoint, ...]:
        """All of them, well or not."""
        return tuple(each.endpoint for each in self._members.values())

    def label(self, url: str, name: str) -> str | None:
        """What is said of an endpoint under a label, if anything."""
        member = self._members.get(url)
        return member.endpoint.labels.get(name) if member is not None else None

    def standing(self) -> tuple[Standing, ...]:
        """How each endpoint stands now."""
        return tuple(each.standing(self._source(each.endpoint.url)) for each in self._members.values())

    def why(self) -> str:
        """Why none may be called, in a line; empty when one may."""
        if self.ready(self.ticks_s()):
            return ""
        if not self._members:
            return f"service {self._service!r} has no endpoint"
        said = [f"{each.url}: {each.reason or each.circuit}" for each in self.standing()]
        return "; ".join(said)[: 3 * _REASON_MAX]

    def _source(self, url: str) -> str:
        return next(each for each in SOURCES if any(one.url == url for one in self._named.get(each, ())))

    # --- choosing ---

    def ready(self, now_s: float) -> bool:
        """Whether an endpoint may be called now."""
        return bool(self._near) or now_s >= self.probe_s

    @property
    def any_well(self) -> bool:
        """Whether one may be called that is more than a probe."""
        return bool(self._near)

    def hold(self, now_s: float) -> bool:
        """Choose an endpoint for one `visit` to come; whether there was one."""
        pick = self.choose(now_s)
        if pick is None:
            return False
        self._held.append(pick)
        return True

    def give_back(self) -> None:
        """What was held for one visit is not used."""
        if self._held:
            self.leave(self._held.pop())

    def let_go(self) -> None:
        """Nothing of what is held is used."""
        while self._held:
            self.give_back()

    def visit(self) -> Visit:
        """One attempt, under what was held for it."""
        return Visit(self, self._held.popleft() if self._held else None)

    def choose(self, now_s: float, besides: Sequence[Member] = ()) -> Pick | None:
        """Take an endpoint for one call, none of `besides`; None when no other may be called."""
        if besides:
            # An attempt that has failed already goes where it is sure to be served, if it can.
            member = self._one_well(besides) or self._one_due(now_s, besides)
        else:
            # Nothing else shows that one has come back, so it goes before those that are well.
            member = self._one_due(now_s, besides) or self._one_well(besides)
        if member is None:
            return None
        self._turn += 1
        member.turn = self._turn
        member.in_flight += 1
        probes = member.circuit.state != "closed"
        pick = Pick(member, member.circuit.call())
        if probes:
            self._look()
        return pick

    def _one_due(self, now_s: float, besides: Sequence[Member]) -> Member | None:
        if now_s < self.probe_s:
            return None
        return next((each for each in self._members.values() if each.may_probe(now_s) and each not in besides), None)

    def _one_well(self, besides: Sequence[Member]) -> Member | None:
        fit = near([each for each in self._well if each not in besides], self._zone) if besides else self._near
        return lesser(fit, self._chance) if fit else None

    def again(self, pick: Pick | None, now_s: float) -> Pick | None:
        """What was held a while ago, or another one if that has become unwell meanwhile."""
        if pick is None:
            return self.choose(now_s)
        member = pick.member
        if member.healthy and not member.gone and pick.term == member.circuit.term:
            return pick
        other = self.choose(now_s)
        if other is None and not member.gone:
            # Its attempt has begun: better tried there than failed for certain.
            return pick
        self.leave(pick)
        return other

    def others(self, tried: Sequence[Member]) -> int:
        """How many that are well have not been tried."""
        return sum(each not in tried for each in self._well) if len(self._well) > 1 else 0

    # --- what came of it ---

    def leave(self, pick: Pick) -> None:
        """A call ended of which nothing can be said, or was never made."""
        pick.member.in_flight -= 1
        if pick.member.circuit.give_back(pick.term):
            self._changed()

    def answered(self, pick: Pick, took_s: float) -> None:
        """A call was answered, whatever the answer says."""
        member = pick.member
        member.in_flight -= 1
        member.took_s.append(took_s)
        if member.circuit.well(self.ticks_s(), pick.term):
            member.since_ms = self._now_ms()
            _log.info("service %s: %s is called again: a probe succeeded", self._service, member.endpoint.url)
            self._changed()

    def failed(self, pick: Pick, why: str, took_s: float | None) -> None:
        """A call could not be made (then it took None), was not answered or brokenly."""
        member, circuit, now_s = pick.member, pick.member.circuit, self.ticks_s()
        member.in_flight -= 1
        if took_s is not None:
            member.took_s.append(took_s)
        known, was = pick.term == circuit.term, circuit.state
        opened = circuit.sick(now_s, pick.term, self._chance())
        if not opened and known and was == "closed" and member.well:
            opened = may_eject(circuit.in_a_row, well=len(self._well), total=len(self._members))
            if opened:
                circuit.open(now_s, self._chance())
        if opened:
            member.why = why[:_REASON_MAX]
            if was == "closed":
                member.since_ms = self._now_ms()
                _log.warning(
                    "service %s: %s is spared, its circuit is open: %s",
                    self._service, member.endpoint.url, member.why,
                )  # fmt: skip
            self._changed()

    def _look(self) -> None:
        """Find anew who may be called; only when something has changed, so that a call need not."""
        members = self._members.values()
        self._well = [each for each in members if each.well]
        self._near = near(self._well, self._zone)
        self.probe_s = min((each.probe_s for each in members), default=math.inf)

    def _changed(self) -> None:
        self._look()
        if self.on_change is not None:
            self.on_change()


class Visit:
    """One attempt's way from endpoint to endpoint, until one has taken the request.

    Used as a context, so that whatever ends it gives back what it holds.
    """

    __slots__ = ("_began_s", "_held", "_pick", "_pool", "_tried")

    def __init__(self, pool: Pool, held: Pick | None) -> None:
        self._pool = pool
        self._held = held
        self._pick: Pick | None = None
        self._tried: list[Member] = []
        self._began_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for pick in (self._pick, self._held):
            if pick is not None:
                self._pool.leave(pick)
        self._pick = self._held = None

    @property
    def left(self) -> int:
        """How many endpoints may still be tried, the present one included; at least 1."""
        return 1 + self._pool.others(self._tried)

    def go(self) -> str | None:
        """The URL of the next endpoint to try; None when no other may be called."""
        pool = self._pool
        self._began_s = pool.ticks_s()
        if self._tried:
            self._pick = pool.choose(self._began_s, self._tried)
        else:
            held, self._held = self._held, None
            self._pick = pool.again(held, self._began_s)
        if self._pick is None:
            return None
        self._tried.append(self._pick.member)
        return self._pick.member.endpoint.url

    def answered(self) -> None:
        """The endpoint works, whatever its answer says."""
        pick, self._pick = self._pick, None
        assert pick is not None
        self._pool.answered(pick, self._pool.ticks_s() - self._began_s)

    def failed(self, why: str, *, sent: bool) -> None:
        """The endpoint could not be reached, or gave no answer or a broken one.

        Args:
            why: In a line.
            sent: Whether the request has left: then there is no other endpoint to go to.
        """
        pick, self._pick = self._pick, None
        assert pick is not None
        self._pool.failed(pick, why, self._pool.ticks_s() - self._began_s if sent else None)
