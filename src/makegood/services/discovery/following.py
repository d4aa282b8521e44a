"""Follow services through discovery: ask, keep what was found while there is no answer, ask again.

Here is everything that is the same for all adapters: when to ask again, what still holds, and what is told of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from makegood.services.discovery.port import Absent, Asked, Discovery, Unreachable
from makegood.services.endpoint import Endpoint

State = Literal["asking", "found", "absent", "unreachable"]

AGAIN_S_MIN, AGAIN_S_MAX = 1.0, 30.0
"""Between two questions that had no answer; doubled each time, less up to a half by chance."""
ABSENT_S = 5.0
"""Until a service that is not there is asked for again, where the adapter says nothing else."""
_REASON_MAX = 300

_log = logging.getLogger("makegood.services")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the discovery of one service stands.

    Attributes:
        state: `asking` until the first answer, `found`, `absent` (it says that there is no such service), or
            `unreachable` (no answer: what was found last still holds).
        reason: Why it is not found; else empty.
        since_ms: Since when it is so, by the wall clock.
        answered_ms: When the last answer came; None before the first.
    """

    state: State
    reason: str
    since_ms: int
    answered_ms: int | None


@dataclass(slots=True)
class _Followed:
    asked: Asked
    standing: Standing
    task: asyncio.Task[None] | None = None


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Following:
    """The services that are followed, each by a task of its own.

    Args:
        discovery: Where they are asked for; closed with this.
        tell: Called with a service's name and endpoints at every answer; with None when it is absent.
        now_ms: The wall clock.
        sleep: Waits for so many seconds.
        chance: At least 0, less than 1.
    """

    def __init__(
        self,
        discovery: Discovery,
        tell: Callable[[str, Sequence[Endpoint] | None], None],
        *,
        now_ms: Callable[[], int] = _wall_clock_ms,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._discovery = discovery
        self._tell = tell
        self._now_ms = now_ms
        self._sleep = sleep
        self._chance = chance
        self._followed: dict[str, _Followed] = {}
        self._begun = False

    def check(self, asked: Asked) -> bool:
        """Whether it can be followed; see `Discovery.check`."""
        return self._discovery.check(asked)

    def follow(self, asked: Asked) -> None:
        """Follow a service from now on, or from `begin` on; asked for otherwise than before, it begins anew."""
        there = self._followed.get(asked.service)
        if there is not None and there.asked == asked:
            return
        self.forget(asked.service)
        standing = Standing(state="asking", reason="", since_ms=self._now_ms(), answered_ms=None)
        self._followed[asked.service] = _Followed(asked, standing)
        if self._begun:
            self._start(self._followed[asked.service])

    def forget(self, service: str) -> None:
        """Follow it no longer."""
        gone = self._followed.pop(service, None)
        if gone is not None and gone.task is not None:
            gone.task.cancel()

    def begin(self) -> None:
        """Ask, on the running event loop. Until then nothing is connected to."""
        if self._begun:
            return
        self._begun = True
        for each in self._followed.values():
            if each.task is None:
                self._start(each)

    def standing(self, service: str) -> Standing | None:
        """How it stands; None if it is not followed."""
        there = self._followed.get(service)
        return there.standing if there is not None else None

    async def aclose(self) -> None:
        """Ask nothing more."""
        tasks = [each.task for each in self._followed.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._followed.clear()
        await self._discovery.aclose()

    def _start(self, followed: _Followed) -> None:
        name = f"makegood-discovery-{followed.asked.service}"
        followed.task = asyncio.get_running_loop().create_task(self._keep_asking(followed), name=name)

    async def _keep_asking(self, followed: _Followed) -> None:
        failures = 0
        while True:
            answered_ms = followed.standing.answered_ms
            try:
                await self._watch(followed)
            except Absent as absent:
                self._answered(followed, "absent", str(absent), None)
                failures, wait_s = 0, max(AGAIN_S_MIN, ABSENT_S if absent.again_s is None else absent.again_s)
            except Unreachable as error:
                failures = 1 if followed.standing.answered_ms != answered_ms else failures + 1
                wait_s = min(AGAIN_S_MAX, AGAIN_S_MIN * 2 ** min(failures - 1, 10)) * (1 - self._chance() / 2)
                self._stands(followed, "unreachable", str(error))
            await self._sleep(wait_s)

    async def _watch(self, followed: _Followed) -> None:
        """Tell every answer, until there is none.

        Raises:
            Absent, Unreachable: See `Discovery.watch`.
        """
        try:
            async with aclosing(self._discovery.watch(followed.asked)) as answers:
                async for endpoints in answers:
                    self._answered(followed, "found", "", endpoints)
        except (Absent, Unreachable):
            raise
        except Exception as error:  # noqa: BLE001 - an adapter may be code of others: its mistakes end nothing
            _log.exception("the discovery of service %s went wrong", followed.asked.service)
            raise Unreachable(f"internal error of its discovery: {type(error).__name__}: {error}") from None
        raise Unreachable("discovery ended, though it should not")

    def _answered(self, followed: _Followed, state: State, reason: str, endpoints: Sequence[Endpoint] | None) -> None:
        self._tell(followed.asked.service, endpoints)
        self._stands(followed, state, reason, answered_ms=self._now_ms())

    def _stands(self, followed: _Followed, state: State, reason: str, *, answered_ms: int | None = None) -> None:
        before = followed.standing
        followed.standing = Standing(
            state=state,
            reason=reason[:_REASON_MAX],
            since_ms=before.since_ms if before.state == state else self._now_ms(),
            answered_ms=before.answered_ms if answered_ms is None else answered_ms,
        )
        if before.state != state:
            _log.log(
                logging.INFO if state == "found" else logging.WARNING,
                "service %s: discovery is %s%s", followed.asked.service, state, f": {reason}" if reason else "",
            )  # fmt: skip
