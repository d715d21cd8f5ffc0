"""When a push starts a cycle: at once, but not for ever, and never at the cost of the interval. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

GATHER_S = 0.03  # one trade comes as several messages: its fill, the position, the balance
SPACING_S = 0.5  # between two beginnings: a desk that trades all the time is looked at twice a second
AGAIN_S = 1.0  # weight comes back as it becomes a minute old
KEPT = 2  # one half of the budget is never spent on pushes: the interval and requests have it for themselves


@dataclass(slots=True)
class Pace:
    """Of one desk. Times are seconds of a clock that does not run backwards, weights those of the venue's budget."""

    full: int = 0  # the most that was ever left of the budget
    pushed_at: float = math.inf  # the first push that no cycle has answered yet
    began_at: float = -math.inf  # of the last cycle that a push started

    def push(self, now: float) -> None:
        """The venue says that something changed."""
        self.pushed_at = min(self.pushed_at, now)

    def answer(self, now: float, *, to_push: bool) -> None:
        """A cycle begins, because of a push or not: only what is pushed from now on may be too late for it."""
        self.pushed_at = math.inf
        if to_push:
            self.began_at = now

    def wait_s(self, left: int, now: float) -> float:
        """Seconds until a push may start a cycle: 0 is now, infinite when there is none. ``left`` is of the budget."""
        self.full = max(self.full, left)
        if math.isinf(self.pushed_at):
            return math.inf
        if left * KEPT < self.full:
            return AGAIN_S
        return max(0.0, self.pushed_at + GATHER_S - now, self.began_at + SPACING_S - now)
