"""Waiting for company: what one round trip can serve should be together before it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# The loop turns at once when it has nothing to do, and takes a new call in a few turns if there is one: that nobody came
# in so many says that nobody is about to, a fraction of a millisecond after the last one. A timer would take longer.
_QUIET_TURNS = 10
_TRY_EVERY = 8


class Crowd:
    """Knows how many came together last time: callers that each wait for their answer come again together.

    Now and then it waits for more than that. With ``unseen``, for a single caller too: where the round trip is so short
    that nobody else is taken in meanwhile, a crowd in front of the door is served one by one and looks like that.
    """

    def __init__(self, waiting: Callable[[], int], most: int, most_s: float, *, unseen: bool = False) -> None:
        self._waiting = waiting
        self._most = most
        self._most_s = most_s
        self._unseen = unseen
        self._company = 1
        self._turn = 0

    async def gather(self) -> None:
        """Wait until as many are waiting as last time, nobody is about to come, or ``most_s`` seconds are over."""
        loop = asyncio.get_running_loop()
        self._turn = (self._turn + 1) % _TRY_EVERY
        alone = self._company == 1
        wanted = self._company if self._turn or (alone and not self._unseen) else self._most
        until, before, quiet = loop.time() + self._most_s, 0, 0
        while (now := self._waiting()) < wanted and loop.time() < until:
            quiet = 0 if now > before else quiet + 1
            if quiet == _QUIET_TURNS:
                break
            before = now
            await asyncio.sleep(0)
        self._company = max(1, min(now, self._most))
