"""How much weight may still be sent to a venue, and whether to send anything at all.

The budget is a log of what was spent in the last minute, not a refilling bucket: a bucket of one minute's size lets
nearly two minutes' worth through in its first minute, which is over the venue's limit even at 80 %.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import ClassVar

from reconciler_service.venues import VenueUnreachable

WINDOW_S = 60.0


class WeightBudget:
    """At most ``per_minute`` weight in any 60 seconds. One for all that share an address towards the venue."""

    _shared: ClassVar[dict[str, WeightBudget]] = {}

    def __init__(
        self,
        per_minute: int,
        *,
        max_wait_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``clock`` gives seconds; ``max_wait_s`` is how long a request may wait for weight before it is refused."""
        self.per_minute = per_minute
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._sleep = sleep
        self._log: deque[tuple[float, int]] = deque()
        self._spent = 0

    @classmethod
    def shared(cls, origin: str, per_minute: int) -> WeightBudget:
        """The process's one budget for ``origin`` (scheme, host and port), made on first use."""
        return cls._shared.setdefault(origin, cls(per_minute))

    @property
    def left(self) -> int:
        """Weight that could be sent now; never negative."""
        self._forget()
        return max(0, self.per_minute - self._spent)

    def charge(self, weight: int) -> None:
        """Count weight that is already spent, e.g. a price that depended on the answer."""
        if weight > 0:
            self._log.append((self._clock(), weight))
            self._spent += weight

    async def take(self, weight: int) -> None:
        """Spend weight, waiting a little for it; VenueUnreachable where it would take too long."""
        waited = 0.0
        while (wait := self._wait_for(weight)) > 0:
            if waited + wait > self._max_wait_s:
                left = f"{self.left} of {self.per_minute}"
                raise VenueUnreachable(f"request budget spent: {left} weight left this minute")
            await self._sleep(wait)
            waited += wait
        self.charge(weight)

    def _wait_for(self, weight: int) -> float:
        """Seconds until enough of what was spent is a minute old."""
        self._forget()
        missing = self._spent + min(weight, self.per_minute) - self.per_minute
        for at, spent in self._log:
            if missing <= 0:
                break
            missing -= spent
            if missing <= 0:
                # A clock that did not move between two looks must not turn this into a busy loop.
                return max(at + WINDOW_S - self._clock(), 0.001)
        return 0.0

    def _forget(self) -> None:
        horizon = self._clock() - WINDOW_S
        while self._log and self._log[0][0] <= horizon:
            self._spent -= self._log.popleft()[1]


class Breaker:
    """Stops sending after ``threshold`` failures in a row; after ``open_s`` seconds lets one probe through."""

    def __init__(
        self, *, threshold: int = 6, open_s: float = 15.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` gives seconds."""
        self._threshold = threshold
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._why = ""
        self._opened_at: float | None = None
        self._probe: asyncio.Event | None = None

    async def admit(self) -> None:
        """Pass, or raise VenueUnreachable. While a probe is under way, wait for what it finds."""
        while self._opened_at is not None:
            if self._probe is not None:
                await self._probe.wait()
                continue
            again_s = self._opened_at + self._open_s - self._clock()
            if again_s > 0:
                last = f", the last: {self._why}" if self._why else ""
                raise VenueUnreachable(f"{self._failures} failures in a row{last}; asking again in {again_s:.0f} s")
            self._probe = asyncio.Event()
            return

    def succeeded(self) -> None:
        """The venue answered, whatever it said."""
        self._failures = 0
        self._opened_at = None
        self.release()

    def failed(self, why: str = "") -> None:
        """No usable answer came. ``why`` is told while nobody is asked: it must hold no secret."""
        self._failures += 1
        self._why = why
        if self._failures >= self._threshold:  # a failed probe as well: only success resets the count
            self._opened_at = self._clock()
        self.release()

    def release(self) -> None:
        """Let those who wait for the probe look again; also for a probe that was cancelled."""
        if self._probe is not None:
            self._probe.set()
            self._probe = None
