"""Waiting for company: what one round trip can serve should be together before it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_STEP_S = 0.0003  # long enough to take in the next call, if there is one
_QUIET_STEPS = 3
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
        """Wait until as many are waiting as last time, nobody came for a moment, or ``most_s`` seconds are over."""
        loop = asyncio.get_running_loop()
        self._turn = (self._turn + 1) % _TRY_EVERY
        alone = self._company == 1
        wanted = self._company if self._turn or (alone and not self._unseen) else self._most
        until, before, quiet = loop.time() + self._most_s, 0, 0
        while (now := self._waiting()) < wanted and (left := until - loop.time()) > 0:
            quiet = 0 if now > before else quiet + 1
            if quiet == (1 if alone else _QUIET_STEPS):
                break
            before = now
            await asyncio.sleep(min(_STEP_S, left))
        self._company = max(1, min(now, self._most))
